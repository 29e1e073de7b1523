//! Schedules: when a version is called without anything having happened.

use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};
use jiff::{Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize};

use super::VersionNumber;
use crate::domain::{HandlerName, Millis};

/// How many schedules a version may have.
pub const SCHEDULES_MAX: usize = 16;
/// The longest name of one, as a handler's.
const NAME_MAX_CHARS: usize = 64;
/// The longest payload, in bytes. It goes with every handler's record; what is larger
/// belongs in the configuration.
const PAYLOAD_MAX_BYTES: usize = 4 * 1024;
/// The longest expression taken, in bytes: bounds what reading one costs. The longest
/// of use lists sixty minutes.
const CRON_MAX_BYTES: usize = 512;
/// The longest name of a zone, in bytes. IANA's have at most 32.
const ZONE_MAX_BYTES: usize = 64;
/// The zone of a schedule that names none.
const UTC: &str = "UTC";

/// Calls a bot at certain times, once for every account that it serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Its name: lower case letters, digits and hyphens. The bot gets
    /// `schedule:NAME` as the timer's id.
    pub name: String,
    /// When: minute, hour, day of the month, month, day of the week.
    pub cron: String,
    /// Where the clock hangs, by IANA's name.
    #[serde(default = "utc")]
    pub zone: String,
    /// What the bot gets with it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub payload: String,
}

fn utc() -> String {
    UTC.to_owned()
}

impl Schedule {
    /// Reads `NAME=CRON` or `NAME=CRON@ZONE`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let form = || "a schedule is NAME=CRON or NAME=CRON@ZONE".to_owned();
        let (name, when) = text.split_once('=').ok_or_else(form)?;
        let (cron, zone) = when.rsplit_once('@').unwrap_or((when, UTC));
        let schedule = Self {
            name: name.trim().to_owned(),
            cron: cron.trim().to_owned(),
            zone: zone.trim().to_owned(),
            payload: String::new(),
        };
        schedule.check()?;
        Ok(schedule)
    }

    /// Says which field can't be taken, and what can.
    pub fn check(&self) -> Result<(), String> {
        let ok = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let name = &self.name;
        if !(1..=NAME_MAX_CHARS).contains(&name.len())
            || !name.chars().all(ok)
            || name.starts_with('-')
            || name.ends_with('-')
        {
            return Err(
                "name: has 1 to 64 lower case letters, digits and hyphens, no hyphen at an end"
                    .to_owned(),
            );
        }
        if self.payload.len() > PAYLOAD_MAX_BYTES {
            return Err(format!("payload: has at most {PAYLOAD_MAX_BYTES} bytes"));
        }
        zone(&self.zone)?;
        let cron = cron(&self.cron)?;
        // What never comes within the library's reach is of no use.
        let some_day = Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC);
        match cron.find_next_occurrence(&some_day, false) {
            Ok(_) => Ok(()),
            Err(_) => Err("cron: no such day ever comes".to_owned()),
        }
    }

    /// When and where, as one text.
    pub fn timing(&self) -> String {
        format!("{}@{}", self.cron, self.zone)
    }

    /// The first time after this one. None when it can't be told, which `check` rules
    /// out. A time that daylight saving skips comes when the clock has been put on;
    /// one that comes twice runs once, unless the hour is `*` or a step.
    pub fn next_after(&self, at_ms: Millis) -> Option<Millis> {
        let at = Timestamp::from_millisecond(i64::try_from(at_ms).ok()?).ok()?;
        let at = at.to_zoned(zone(&self.zone).ok()?);
        let next = cron(&self.cron).ok()?;
        let next = next.find_next_occurrence(&at, false).ok()?;
        Millis::try_from(next.timestamp().as_millisecond()).ok()
    }
}

fn cron(text: &str) -> Result<Cron, String> {
    if text.len() > CRON_MAX_BYTES {
        return Err(format!("cron: has at most {CRON_MAX_BYTES} bytes"));
    }
    let fields = text.split_whitespace().count();
    if fields != 5 {
        return Err(format!(
            "cron: has five fields (minute, hour, day of the month, month, day of the week), \
             `{text}` has {fields}"
        ));
    }
    let parser = CronParser::builder()
        .seconds(Seconds::Disallowed)
        .year(Year::Disallowed)
        .build();
    parser
        .parse(text)
        .map_err(|error| format!("cron: `{text}` can't be read: {error}"))
}

fn zone(name: &str) -> Result<TimeZone, String> {
    let unknown = || format!("zone: takes a name of IANA's, such as Asia/Shanghai, not `{name}`");
    // Letters and signs of such names only: what is asked for becomes a path.
    let ok = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '+' | '-');
    if name.len() > ZONE_MAX_BYTES || !name.chars().all(ok) {
        return Err("zone: takes a name of IANA's, such as Asia/Shanghai".to_owned());
    }
    TimeZone::get(name).map_err(|_| unknown())
}

/// A schedule's times, as they are kept: what was missed while the host was down is
/// known by them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// Whose.
    pub handler: HandlerName,
    /// Which schedule.
    pub schedule: String,
    /// When and where, as the schedule says: a version that says otherwise begins
    /// anew.
    pub timing: String,
    /// When it comes due next, in ms.
    pub next_ms: Option<Millis>,
    /// When it came due last, in ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_ms: Option<Millis>,
    /// When accounts were told of that, in ms: later, where the host was down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told_ms: Option<Millis>,
}

/// A schedule of a version that serves, and its times.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleView {
    /// When, and with what payload.
    #[serde(flatten)]
    pub schedule: Schedule,
    /// The version that has it.
    pub version: VersionNumber,
    /// When it comes due next, in ms.
    pub next_ms: Option<Millis>,
    /// When it came due last, in ms.
    pub last_ms: Option<Millis>,
}

/// For how many accounts a schedule was fired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fired {
    /// How many.
    pub accounts: usize,
}

/// What tells the runs of one handler apart: the schedule's name and its timing. Two
/// versions that serve at the same time may have other times under the same name.
pub type RunKey = (HandlerName, String, String);

impl Run {
    /// Of a schedule that begins now.
    pub fn begin(handler: &HandlerName, schedule: &Schedule, now_ms: Millis) -> Self {
        Self {
            handler: handler.clone(),
            schedule: schedule.name.clone(),
            timing: schedule.timing(),
            next_ms: schedule.next_after(now_ms),
            last_ms: None,
            told_ms: None,
        }
    }

    /// What it is known by.
    pub fn key(&self) -> RunKey {
        (
            self.handler.clone(),
            self.schedule.clone(),
            self.timing.clone(),
        )
    }

    /// Whether it is of this schedule.
    pub fn is_of(&self, schedule: &Schedule) -> bool {
        self.schedule == schedule.name && self.timing == schedule.timing()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use proptest::prelude::*;

    use super::*;

    fn schedule(cron: &str, zone: &str) -> Schedule {
        Schedule {
            name: "daily".to_owned(),
            cron: cron.to_owned(),
            zone: zone.to_owned(),
            payload: String::new(),
        }
    }

    fn ms(text: &str) -> Millis {
        let at: Timestamp = text.parse().unwrap();
        at.as_millisecond().try_into().unwrap()
    }

    /// The next times after this one, in UTC.
    fn times(cron: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
        let schedule = schedule(cron, zone);
        schedule.check().unwrap();
        let mut at = ms(after);
        let mut times = Vec::new();
        for _ in 0..count {
            at = schedule.next_after(at).unwrap();
            let at = Timestamp::from_millisecond(at.try_into().unwrap()).unwrap();
            times.push(at.to_string());
        }
        times
    }

    #[test]
    fn times_are_those_of_the_zone() {
        assert_eq!(
            times("30 8 * * 1-5", "Asia/Shanghai", "2026-11-20T00:00:00Z", 2),
            ["2026-11-20T00:30:00Z", "2026-11-23T00:30:00Z"]
        );
        assert_eq!(
            times("*/20 * * * *", "UTC", "2026-11-20T00:20:00Z", 2),
            ["2026-11-20T00:40:00Z", "2026-11-20T01:00:00Z"]
        );
    }

    #[test]
    fn a_time_that_daylight_saving_skips_comes_when_the_clock_was_put_on() {
        // On 2026-03-29 the clock goes from 2:00 to 3:00, which is 1:00 UTC.
        assert_eq!(
            times("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", 2),
            ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]
        );
    }

    #[test]
    fn a_time_that_comes_twice_runs_once_and_what_runs_each_hour_runs_in_both() {
        // On 2026-10-25 the clock goes from 3:00 back to 2:00, which is 1:00 UTC.
        assert_eq!(
            times("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 2),
            ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]
        );
        assert_eq!(
            times("30 * * * *", "Europe/Berlin", "2026-10-25T00:00:00Z", 3),
            [
                "2026-10-25T00:30:00Z",
                "2026-10-25T01:30:00Z",
                "2026-10-25T02:30:00Z"
            ]
        );
    }

    #[test]
    fn what_can_not_be_taken_is_refused_by_its_field() {
        let long = "1,".repeat(300);
        for (cron, zone, field) in [
            ("* * * *", "UTC", "cron: has five fields"),
            ("0 0 8 * * *", "UTC", "cron: has five fields"),
            ("@daily", "UTC", "cron: has five fields"),
            ("61 * * * *", "UTC", "cron: `61 * * * *`"),
            ("0 0 30 2 *", "UTC", "cron: no such day"),
            (&long, "UTC", "cron: has at most"),
            ("0 8 * * *", "Asia/Nowhere", "zone: "),
            ("0 8 * * *", "../../etc/passwd", "zone: "),
            ("0 8 * * *", "", "zone: "),
        ] {
            let problem = schedule(cron, zone).check().unwrap_err();
            assert!(problem.starts_with(field), "{cron} {zone}: {problem}");
        }
        for name in ["", "A", "-a", "a-", "a b", &"x".repeat(65)] {
            let named = Schedule {
                name: name.to_owned(),
                ..schedule("0 8 * * *", "UTC")
            };
            let problem = named.check().unwrap_err();
            assert!(problem.starts_with("name: "), "{name}: {problem}");
        }
    }

    #[test]
    fn a_schedule_is_a_name_a_time_and_a_zone() {
        let read = Schedule::parse("daily=0 8 * * *@Asia/Shanghai").unwrap();
        assert_eq!(read, schedule("0 8 * * *", "Asia/Shanghai"));
        assert_eq!(Schedule::parse("daily=0 8 * * *").unwrap().zone, "UTC");
        assert!(Schedule::parse("0 8 * * *").is_err());
        let stored: Schedule =
            serde_json::from_value(serde_json::json!({"name": "daily", "cron": "0 8 * * *"}))
                .unwrap();
        assert_eq!(stored, schedule("0 8 * * *", "UTC"));
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_parser(text in "\\PC{0,60}", at in 0u64..4_000_000_000_000) {
            if let Ok(schedule) = Schedule::parse(&text) {
                prop_assert!(schedule.next_after(at).is_none_or(|next| next > at));
            }
        }

        #[test]
        fn the_next_time_is_later(
            cron in "[0-9*]{1,2}(/[1-9])? [0-9*]{1,2} [0-9*L]{1,2} [0-9*]{1,2} [0-7*]",
            zone in prop_oneof![Just("UTC"), Just("America/New_York"), Just("Asia/Shanghai")],
            at in 0u64..4_000_000_000_000,
        ) {
            let schedule = schedule(&cron, zone);
            if schedule.check().is_ok() {
                prop_assert!(schedule.next_after(at).is_none_or(|next| next > at));
            }
        }
    }
}
