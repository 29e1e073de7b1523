//! The answers of a host, held strictly to the protocol page (section 1).

use serde_json::{Map, Value};

use super::{Sent, Task};
use crate::{Context, Result, check, fail};

/// One answer.
#[derive(Debug, Clone)]
pub struct Ack {
    /// 0 is success.
    pub error_code: i64,
    /// Why not, in words.
    pub error_reason: String,
    /// Which kind of answer it is.
    pub ack_type: String,
    /// The particulars.
    pub data: Value,
    /// The tasks in it, checked.
    pub tasks: Vec<Task>,
    /// The id of the task in a `pull_task_ack`.
    pub task_id: Option<String>,
}

impl Ack {
    /// Reads the answer to this action. Anything that the protocol page does
    /// not allow is an error.
    pub fn parse(action: &str, body: &[u8]) -> Result<Self> {
        let body: Map<String, Value> = serde_json::from_slice(body)?;
        let known = ["error_code", "error_reason", "ack_type", "data"];
        let stray = body.keys().find(|key| !known.contains(&key.as_str()));
        check!(
            stray.is_none(),
            "the field {stray:?} is not of the protocol"
        );
        let field = |name: &str| body.get(name).context(format!("there is no {name}"));
        let text = |name: &str| {
            let value = field(name)?.as_str();
            value
                .context(format!("{name} is no text"))
                .map(str::to_owned)
        };
        let mut ack = Self {
            error_code: field("error_code")?
                .as_i64()
                .context("error_code is no whole number")?,
            error_reason: text("error_reason")?,
            ack_type: text("ack_type")?,
            data: field("data")?.clone(),
            tasks: Vec::new(),
            task_id: None,
        };
        ack.check_kind(action)?;
        ack.read_tasks()?;
        Ok(ack)
    }

    fn check_kind(&self, action: &str) -> Result<()> {
        let wanted = match action {
            "login" => "login_ack",
            "logout" => "logout_ack",
            "pull_task" => "pull_task_ack",
            _ => "common_ack",
        };
        check!(self.ack_type == wanted, "the ack_type is no {wanted}");
        check!(self.data.is_object(), "data is no object");
        let explained = self.error_code == 0 || !self.error_reason.is_empty();
        check!(explained, "an error_code without an error_reason");
        Ok(())
    }

    fn read_tasks(&mut self) -> Result<()> {
        let data = self.data.as_object().context("data is no object")?;
        match self.ack_type.as_str() {
            "pull_task_ack" if !data.is_empty() => {
                let id = data.get("task_id").and_then(Value::as_str);
                let id = id.filter(|id| !id.is_empty()).context("no task_id")?;
                let task = data.get("task_data").context("no task_data")?;
                self.tasks = vec![Task::parse(task)?];
                self.task_id = Some(id.to_owned());
            }
            "common_ack" => {
                let tasks = match data.get("reply_task_list") {
                    Some(Value::Array(tasks)) => tasks.as_slice(),
                    None if self.error_code != 0 => &[],
                    _ => fail!("reply_task_list is no list"),
                };
                self.tasks = tasks.iter().map(Task::parse).collect::<Result<_>>()?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Insists on success.
    pub fn ok(&self) -> Result<&Self> {
        let Self {
            error_code,
            error_reason,
            ..
        } = self;
        check!(
            *error_code == 0,
            "refused with {error_code}: {error_reason}"
        );
        Ok(self)
    }

    /// Insists on a refusal whose reason contains `word`.
    pub fn refused(&self, word: &str) -> Result<&Self> {
        check!(self.error_code != 0, "this was taken: {self:?}");
        check!(
            self.error_reason.contains(word),
            "the reason {:?} does not name {word:?}",
            self.error_reason
        );
        check!(self.tasks.is_empty(), "a refusal with tasks: {self:?}");
        Ok(self)
    }

    /// Insists on success without a task.
    pub fn silent(&self) -> Result<&Self> {
        check!(self.ok()?.tasks.is_empty(), "not silent: {:?}", self.tasks);
        Ok(self)
    }

    /// Insists on success and one text, no more and no less.
    pub fn says(&self, text: &str) -> Result<&Self> {
        let said = self.ok()?.texts();
        check!(said == [text], "said {said:?}, not {text:?}");
        Ok(self)
    }

    /// Insists that every message in it goes to this conversation.
    pub fn to(&self, conversation: &str) -> Result<&Self> {
        let elsewhere = self.sent().find(|sent| sent.to != conversation);
        check!(
            elsewhere.is_none(),
            "{elsewhere:?} is not for {conversation}"
        );
        Ok(self)
    }

    /// The texts in it, as people see them.
    pub fn texts(&self) -> Vec<String> {
        self.sent().filter_map(|sent| sent.text).collect()
    }

    /// The address of the WebSocket that the answer to a login offers.
    pub fn socket_url(&self) -> Result<&str> {
        let offer = &self.data["extension_protocol"];
        check!(offer["type"] == "websocket", "there is no offer: {offer}");
        let url = offer["param"]["ws_url"].as_str();
        url.context("the offer has no ws_url")
    }

    /// Every message in it.
    pub fn sent(&self) -> impl Iterator<Item = Sent> + '_ {
        self.tasks.iter().flat_map(Task::sent)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop")]
    use super::*;
    use serde_json::json;

    fn parse(action: &str, body: Value) -> Result<Ack> {
        Ack::parse(action, body.to_string().as_bytes())
    }

    fn common(tasks: Value) -> Value {
        json!({"error_code": 0, "error_reason": "", "ack_type": "common_ack",
               "data": {"reply_task_list": tasks}})
    }

    #[test]
    fn an_answer_says_what_it_says() {
        let task = json!({"task_type": 1, "task_dict": {
            "wxid_to": "wxid_bob", "msg_list": [{"msg_type": 1, "msg": "hi"}],
            "at_list": [], "at_style": 0}});
        let ack = parse("report_new_msg", common(json!([task]))).unwrap();
        ack.says("hi").unwrap().to("wxid_bob").unwrap();
        assert!(ack.says("ho").is_err());
        assert!(ack.silent().is_err());
        assert!(ack.refused("").is_err());
    }

    #[test]
    fn what_the_protocol_does_not_allow_is_an_error() {
        let good = common(json!([]));
        assert!(parse("report_contact", good.clone()).is_ok());
        assert!(parse("login", good.clone()).is_err());
        for (field, value) in [
            ("error_code", json!("0")),
            ("error_code", json!(7)),
            ("error_reason", json!(null)),
            ("ack_type", json!("login_ack")),
            ("data", json!([])),
            ("data", json!({})),
            ("more", json!(1)),
        ] {
            let mut bad = good.clone();
            bad[field] = value.clone();
            assert!(parse("x", bad).is_err(), "{field} = {value}");
        }
    }

    #[test]
    fn a_pulled_task_has_an_id() {
        let ack = |data| json!({"error_code": 0, "error_reason": "", "ack_type": "pull_task_ack", "data": data});
        assert!(parse("pull_task", ack(json!({}))).unwrap().tasks.is_empty());
        let task = json!({"task_type": 8, "task_dict": {"room_wxid": "1@chatroom"}});
        let pulled = parse(
            "pull_task",
            ack(json!({"task_id": "a-1", "task_data": task.clone()})),
        );
        assert_eq!(pulled.unwrap().task_id.as_deref(), Some("a-1"));
        assert!(parse("pull_task", ack(json!({"task_data": task}))).is_err());
    }
}
