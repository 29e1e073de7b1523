//! Tasks as the client gets them, held strictly to the protocol page (section 5).

use serde_json::{Map, Value};

use crate::{Context, Result, check, fail};

/// What a text's mention is written as with `at_style` 1.
const PLACE: &str = "{$@}";

/// One task.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// Which kind.
    pub kind: i64,
    /// Its particulars.
    pub fields: Map<String, Value>,
}

/// A message that a task sends.
#[derive(Debug, Clone, PartialEq)]
pub struct Sent {
    /// To whom.
    pub to: String,
    /// The text as people see it; none when it is no text.
    pub text: Option<String>,
    /// The message unit.
    pub unit: Value,
}

/// What a field of a task must be.
#[derive(Clone, Copy)]
enum Kind {
    /// A text that is not empty.
    Text,
    /// A text that may be empty.
    AnyText,
    /// A whole number.
    Number,
    /// A list of texts, at least this many.
    Texts(usize),
}

impl Task {
    /// Reads a task and checks every field of it.
    pub fn parse(task: &Value) -> Result<Self> {
        let kind = task["task_type"].as_i64().context("no task_type")?;
        let fields = task["task_dict"].as_object().context("no task_dict")?;
        let task = Self {
            kind,
            fields: fields.clone(),
        };
        task.check().context(format!("task {kind} {fields:?}"))?;
        Ok(task)
    }

    fn check(&self) -> Result<()> {
        for (name, kind) in required(self.kind)? {
            let value = self.fields.get(*name);
            let value = value.context(format!("there is no {name}"))?;
            check!(kind.fits(value), "{name} can't be {value}");
        }
        match self.kind {
            1 => self.check_messages(),
            _ => Ok(()),
        }
    }

    fn check_messages(&self) -> Result<()> {
        let units = self.fields.get("msg_list").and_then(Value::as_array);
        let units = units.context("msg_list is no list")?;
        check!(!units.is_empty(), "msg_list is empty");
        units.iter().try_for_each(check_unit)?;
        let mentions = self.mentions();
        if !mentions.is_empty() {
            let group = self.text("wxid_to").ends_with("chatroom");
            check!(group, "mentions outside of a group");
        }
        if self.fields.get("at_style").and_then(Value::as_i64) == Some(1) {
            let texts = units.iter().filter_map(|unit| unit["msg"].as_str());
            let places: usize = texts.map(|text| text.matches(PLACE).count()).sum();
            let named = mentions.len();
            check!(places == named, "{places} places for {named} mentions");
        }
        Ok(())
    }

    /// A field that is text; empty when it is not.
    pub fn text(&self, name: &str) -> &str {
        let value = self.fields.get(name).and_then(Value::as_str);
        value.unwrap_or_default()
    }

    fn mentions(&self) -> Vec<&str> {
        let list = self.fields.get("at_list").and_then(Value::as_array);
        list.into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect()
    }

    /// The messages that it sends; none for other tasks.
    pub fn sent(&self) -> Vec<Sent> {
        let units = match self.kind {
            1 => self.fields.get("msg_list").and_then(Value::as_array),
            _ => None,
        };
        let sent = |unit: &Value| Sent {
            to: self.text("wxid_to").to_owned(),
            text: unit["msg"]
                .as_str()
                .filter(|_| unit["msg_type"] == 1)
                .map(|text| self.shown(text)),
            unit: unit.clone(),
        };
        units.into_iter().flatten().map(sent).collect()
    }

    /// A text as people see it, with its mentions.
    fn shown(&self, text: &str) -> String {
        let mut mentions = self.mentions().into_iter().map(|user| format!("@{user}"));
        if self.fields.get("at_style").and_then(Value::as_i64) != Some(1) {
            let named: Vec<_> = mentions.chain([text.trim_start().to_owned()]).collect();
            return named.join(" ");
        }
        let mut parts = text.split(PLACE);
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |shown, part| {
            shown + &mentions.next().unwrap_or_default() + part
        })
    }

    /// The task in a few words, for people.
    pub fn summary(&self) -> String {
        match self.sent().as_slice() {
            [] => format!("task {} {}", self.kind, Value::from(self.fields.clone())),
            sent => sent
                .iter()
                .map(Sent::summary)
                .collect::<Vec<_>>()
                .join(" / "),
        }
    }
}

impl Sent {
    /// The message in a few words, for people.
    pub fn summary(&self) -> String {
        match &self.text {
            Some(text) => text.clone(),
            None => format!("[{}]", self.unit),
        }
    }
}

impl Kind {
    fn fits(self, value: &Value) -> bool {
        match self {
            Self::Text => value.as_str().is_some_and(|text| !text.is_empty()),
            Self::AnyText => value.is_string(),
            Self::Number => value.is_i64() || value.is_u64(),
            Self::Texts(least) => value.as_array().is_some_and(|list| {
                list.len() >= least && list.iter().all(|entry| Self::Text.fits(entry))
            }),
        }
    }
}

/// The fields of each kind of task.
fn required(kind: i64) -> Result<&'static [(&'static str, Kind)]> {
    use Kind::{AnyText, Number, Text, Texts};
    Ok(match kind {
        1 => &[("wxid_to", Text)],
        2 => &[("room_wxid", AnyText), ("wxid", Text)],
        3 => &[("room_wxid", Text), ("wxid", Text), ("flag", Number)],
        4 => &[("room_wxid_list", Texts(1))],
        5 => &[("room_wxid", AnyText), ("wxid", Text), ("msg", AnyText)],
        6 => &[("wxid", Text), ("remark_name", AnyText)],
        7 => &[("room_wxid", Text), ("room_nickname", Text)],
        8 => &[("room_wxid", Text)],
        9 => &[("file_index", Text)],
        10 => &[("room_wxid", Text), ("msg", Text)],
        11 => &[("wxid_from", Text), ("transferid", Text)],
        12 => &[("wxid_delete", Text)],
        13 => &[("v1", Text), ("v2", Text)],
        14 => &[("flag_report_contact", Number)],
        15 | 16 => &[("wxid", Text)],
        17 => &[("member_list", Texts(2))],
        18 => &[("room_wxid", Text), ("room_name", Text)],
        19 => &[("invite_url", Text)],
        100 => &[
            ("tag_name", Text),
            ("wxid_list", Texts(0)),
            ("op_code", Number),
        ],
        101 => &[("old_tag_name", Text), ("new_tag_name", Text)],
        200 => &[("qrcode_session_id", Text)],
        other => fail!("the protocol has no task {other}"),
    })
}

fn check_unit(unit: &Value) -> Result<()> {
    use Kind::{AnyText, Text};
    let wanted: &[(&str, Kind)] = match unit["msg_type"].as_i64() {
        Some(1 | 3 | 47) => &[("msg", Text)],
        Some(42) => &[("wxid_card", Text)],
        Some(43) => &[("video_url", Text)],
        Some(49) => &[
            ("link_url", Text),
            ("link_title", AnyText),
            ("link_desc", AnyText),
            ("link_img_url", AnyText),
        ],
        Some(4901) => &[("raw_msg", Text), ("cover_url", AnyText)],
        _ => fail!("no client can send {unit}"),
    };
    let wrong = wanted.iter().find(|(name, kind)| !kind.fits(&unit[*name]));
    match wrong {
        Some((name, _)) => fail!("{name} is missing or wrong in {unit}"),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop")]
    use super::*;
    use serde_json::json;

    fn text(msg: &str, at_list: Value, at_style: i64) -> Value {
        json!({"task_type": 1, "task_dict": {
            "wxid_to": "1@chatroom", "msg_list": [{"msg_type": 1, "msg": msg}],
            "at_list": at_list, "at_style": at_style}})
    }

    #[test]
    fn mentions_are_shown_where_they_stand() {
        let shown = |task| Task::parse(&task).unwrap().summary();
        assert_eq!(
            shown(text("{$@} hi {$@}", json!(["a", "b"]), 1)),
            "@a hi @b"
        );
        assert_eq!(shown(text(" hi", json!(["a"]), 0)), "@a hi");
        assert_eq!(shown(text("hi", json!([]), 0)), "hi");
    }

    #[test]
    fn a_task_that_no_client_could_do_is_an_error() {
        for task in [
            text("{$@}", json!([]), 1),
            text("hi", json!(["a"]), 1),
            text("", json!([]), 0),
            json!({"task_type": 1, "task_dict": {"wxid_to": "a", "msg_list": []}}),
            json!({"task_type": 1, "task_dict": {"wxid_to": "a", "msg_list": [{"msg_type": 34}]}}),
            json!({"task_type": 2, "task_dict": {"room_wxid": "a"}}),
            json!({"task_type": 4, "task_dict": {"room_wxid_list": []}}),
            json!({"task_type": "8", "task_dict": {"room_wxid": "a"}}),
            json!({"task_type": 99, "task_dict": {}}),
        ] {
            assert!(Task::parse(&task).is_err(), "{task}");
        }
    }
}
