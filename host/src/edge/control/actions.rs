//! Reads the actions of a request, so that every error names its field.
//!
//! The JSON of an action has its case in a field, for which serde first reads
//! the whole object and then forgets where in it an error arose. It is found
//! again here.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::input::field_of;
use crate::{
    domain::{Action, action::Segment},
    edge::error::{Kind, Problem},
    service::SUBMIT_MAX,
};

/// The actions of a body: one by itself, or several as `{"tasks": […]}`.
pub fn read(body: &[u8]) -> Result<Vec<Action>, Problem> {
    let value = serde_json::from_slice(body)
        .map_err(|error| Problem::new(Kind::BadRequest, format!("the body is no JSON: {error}")))?;
    match value {
        Value::Object(mut object) => match object.remove("tasks") {
            Some(tasks) if object.is_empty() => several(tasks),
            Some(_) => Err(invalid("tasks", "stands by itself")),
            None => Ok(vec![one(object, "")?]),
        },
        _ => Err(Problem::new(
            Kind::BadRequest,
            "the body is no JSON object: it is an action, or `{\"tasks\": [actions]}`",
        )),
    }
}

fn several(tasks: Value) -> Result<Vec<Action>, Problem> {
    let Value::Array(tasks) = tasks else {
        return Err(invalid("tasks", "is no list of actions"));
    };
    if tasks.is_empty() || tasks.len() > SUBMIT_MAX {
        return Err(invalid(
            "tasks",
            format!("has {} actions, 1 to {SUBMIT_MAX} are taken", tasks.len()),
        ));
    }
    let action = |(i, task)| match task {
        Value::Object(object) => one(object, &format!("tasks[{i}].")),
        _ => Err(invalid(format!("tasks[{i}]"), "is no action")),
    };
    tasks.into_iter().enumerate().map(action).collect()
}

fn one(object: Map<String, Value>, prefix: &str) -> Result<Action, Problem> {
    match parse(&object) {
        // serde lets a case without fields have any.
        Ok(Action::RefreshContacts) if object.len() > 1 => {
            let extra = object.keys().find(|key| *key != "action");
            let field = extra.map_or("action", String::as_str);
            Err(invalid(format!("{prefix}{field}"), "is not known here"))
        }
        Ok(action) => Ok(action),
        Err(text) => Err(locate(&object, &text, prefix)),
    }
}

fn parse(object: &Map<String, Value>) -> Result<Action, String> {
    Action::deserialize(object).map_err(|error| error.to_string())
}

fn locate(object: &Map<String, Value>, text: &str, prefix: &str) -> Problem {
    let field = place_in_segments(object, text)
        .or_else(|| field_of("", text))
        .or_else(|| culprit(object, text))
        .unwrap_or_else(|| "action".to_owned());
    invalid(format!("{prefix}{field}"), text)
}

/// Where in the segments the error is, if it is there. Looked at first: a
/// missing field could as well be the action's, by its name alone.
fn place_in_segments(object: &Map<String, Value>, text: &str) -> Option<String> {
    let segments = object.get("segments")?;
    let error = serde_path_to_error::deserialize::<_, Vec<Segment>>(segments).err()?;
    let here = error.inner().to_string() == text;
    let path = match error.path().to_string().as_str() {
        "." => "segments".to_owned(),
        path => format!("segments{path}"),
    };
    here.then(|| field_of(&path, text)).flatten()
}

/// How many fields are looked at for the one that is wrong.
const KEYS_LOOKED_AT: usize = 32;

/// The field without which the object would have another error or none.
fn culprit(object: &Map<String, Value>, text: &str) -> Option<String> {
    let matters = |key: &&String| {
        let mut without = object.clone();
        without.remove(*key);
        parse(&without).err().as_deref() != Some(text)
    };
    // Each look costs as much as the whole object: no action has so many fields.
    let mut keys = object
        .keys()
        .filter(|key| *key != "action")
        .take(KEYS_LOOKED_AT);
    keys.find(matters).cloned()
}

fn invalid(field: impl Into<String>, problem: impl std::fmt::Display) -> Problem {
    let field = field.into();
    Problem::new(Kind::InvalidAction, format!("{field}: {problem}")).at(field)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn refused(body: &str) -> String {
        format!("{:?}", read(body.as_bytes()).unwrap_err())
    }

    #[test]
    fn one_action_or_several() {
        let hi = r#"{"action":"send","conversation":"wxid_x","segments":[{"text":"hi"}]}"#;
        let action = Action::text("wxid_x", "hi");
        assert_eq!(read(hi.as_bytes()), Ok(vec![action.clone()]));
        let two = format!(r#"{{"tasks":[{hi},{hi}]}}"#);
        assert_eq!(read(two.as_bytes()), Ok(vec![action.clone(), action]));
    }

    #[test]
    fn every_error_names_its_field() {
        for (body, field) in [
            (r#"{}"#, "action"),
            (r#"{"action":"dance"}"#, "action"),
            (r#"{"action":7,"group":"g"}"#, "action"),
            (r#"{"action":"recall"}"#, "message"),
            (r#"{"action":"recall","message":7}"#, "message"),
            (r#"{"action":"recall","message":"m","x":1}"#, "x"),
            (r#"{"action":"refresh-contacts","x":1}"#, "x"),
            (r#"{"action":"stick","conversation":"c","on":"yes"}"#, "on"),
            (r#"{"action":"create-group","users":["a",7]}"#, "users"),
            (
                r#"{"action":"create-group","users":["a"],"name":7}"#,
                "name",
            ),
            (
                r#"{"action":"send","conversation":"c","segments":7}"#,
                "segments",
            ),
            (
                r#"{"action":"send","conversation":"c","segments":[{"text":"a"},{"text":7}]}"#,
                "segments[1].text",
            ),
            (
                r#"{"action":"send","conversation":"c","segments":[{"link":{"title":"t"}}]}"#,
                "segments[0].link.url",
            ),
            (
                r#"{"action":"send","conversation":"c","segments":[{"song":"a"}]}"#,
                "segments[0]",
            ),
            (r#"{"tasks":[]}"#, "tasks"),
            (r#"{"tasks":7}"#, "tasks"),
            (r#"{"tasks":[7]}"#, "tasks[0]"),
            (r#"{"tasks":[{"action":"recall"}]}"#, "tasks[0].message"),
            (
                r#"{"tasks":[{"action":"refresh-contacts"}],"x":1}"#,
                "tasks",
            ),
        ] {
            let shown = refused(body);
            assert!(
                shown.contains(&format!("field: Some({field:?})")),
                "{body}: {shown}"
            );
            assert!(shown.contains("InvalidAction"), "{shown}");
        }
    }

    #[test]
    fn what_is_no_object_is_a_bad_request() {
        for body in ["", "{", "[]", "7", "null", "\"send\"", "{} {}"] {
            assert!(refused(body).contains("BadRequest"), "{body}");
        }
    }

    #[test]
    fn a_request_has_no_more_than_a_hundred_actions() {
        let body = |n| {
            format!(
                r#"{{"tasks":[{}]}}"#,
                vec![r#"{"action":"refresh-contacts"}"#; n].join(",")
            )
        };
        assert_eq!(read(body(100).as_bytes()).unwrap().len(), 100);
        assert!(refused(&body(101)).contains("101 actions"));
    }
}
