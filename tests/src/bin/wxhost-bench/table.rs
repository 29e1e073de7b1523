//! The one table that a run prints.

use serde_json::{Value, json};

/// What a figure should be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Aim {
    /// This or more.
    AtLeast(f64),
    /// This or less.
    AtMost(f64),
}

/// Rows in the order in which they were measured.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    name: String,
    value: f64,
    unit: &'static str,
    aim: Option<Aim>,
}

impl Aim {
    fn met(self, value: f64) -> bool {
        match self {
            Self::AtLeast(least) => value >= least,
            Self::AtMost(most) => value <= most,
        }
    }

    fn shown(self, unit: &str) -> String {
        let (sign, bound) = match self {
            Self::AtLeast(least) => ('≥', least),
            Self::AtMost(most) => ('≤', most),
        };
        format!("{sign} {}", figure(bound, unit))
    }
}

impl Table {
    /// Adds a row.
    pub fn row(&mut self, name: String, value: f64, unit: &'static str, aim: Option<Aim>) {
        self.rows.push(Row {
            name,
            value,
            unit,
            aim,
        });
    }

    /// Prints it.
    pub fn print(&self) {
        for line in self.lines() {
            println!("{line}");
        }
    }

    fn lines(&self) -> Vec<String> {
        let widest = self.rows.iter().map(|row| row.name.chars().count()).max();
        let width = widest.unwrap_or_default();
        let head = format!("{:<width$}  {:>12}  {:>12}", "measured", "value", "aim");
        let mut lines = vec![head.clone(), "-".repeat(head.chars().count())];
        for row in &self.rows {
            let value = figure(row.value, row.unit);
            let aim = row.aim.map_or(String::new(), |aim| aim.shown(row.unit));
            let missed = row.aim.is_some_and(|aim| !aim.met(row.value));
            let verdict = if missed { "  MISSED" } else { "" };
            let name = &row.name;
            lines.push(format!("{name:<width$}  {value:>12}  {aim:>12}{verdict}"));
        }
        lines
    }

    /// The same for programs.
    pub fn to_json(&self, quick: bool) -> String {
        let row = |row: &Row| {
            json!({
                "name": row.name,
                "value": row.value,
                "unit": row.unit,
                "aim": row.aim.map(|aim| aim.shown(row.unit)),
                "met": row.aim.map(|aim| aim.met(row.value)),
            })
        };
        let rows: Vec<Value> = self.rows.iter().map(row).collect();
        format!("{:#}\n", json!({ "quick": quick, "rows": rows }))
    }
}

fn figure(value: f64, unit: &str) -> String {
    let number = match value.abs() {
        big if big >= 100.0 => format!("{value:.0}"),
        _ => format!("{value:.2}"),
    };
    format!("{number} {unit}").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_aim_that_is_missed_shows() {
        let mut table = Table::default();
        table.row("speed".to_owned(), 0.39, "", Some(Aim::AtLeast(0.4)));
        table.row("p99".to_owned(), 9.5, "ms", Some(Aim::AtMost(10.0)));
        table.row("messages".to_owned(), 12_345.6, "/s", None);
        let lines = table.lines();
        assert!(
            lines
                .get(2)
                .is_some_and(|line| line.ends_with("≥ 0.40  MISSED"))
        );
        assert!(
            lines
                .get(3)
                .is_some_and(|line| line.ends_with("≤ 10.00 ms"))
        );
        assert!(lines.get(4).is_some_and(|line| line.contains("12346 /s")));
        assert!(table.to_json(true).contains("\"met\": false"));
    }
}
