//! A pretended WeHub with one account: what happens to it is reported to the host as WeHub
//! reports it, and tasks are taken and said to be done.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use reqwest::redirect;
use serde_json::{Value, json};

use super::host::{APPID, Host};
use crate::cli::failure::Failure;

/// The account.
pub const ACCOUNT: &str = "wxid_bot";
/// How WeHub's own answers are waited for (protocol page, section 1).
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// What the protocol calls words.
const TEXT: u32 = 1;

/// The account, and the people whom it knows.
#[derive(Debug)]
pub struct Account {
    http: reqwest::Client,
    url: String,
    /// Names by id.
    people: BTreeMap<String, String>,
    /// Names and members by id.
    groups: BTreeMap<String, (String, BTreeSet<String>)>,
    messages: u64,
}

/// Who speaks, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Speaker {
    /// Their name.
    pub name: String,
    /// In which group, by its name.
    pub group: Option<String>,
}

impl Speaker {
    /// As the prompt shows it.
    pub fn shown(&self) -> String {
        match &self.group {
            Some(group) => format!("{} in {group}", self.name),
            None => self.name.clone(),
        }
    }

    /// The conversation that the bot answers to.
    pub fn conversation(&self) -> String {
        match &self.group {
            Some(group) => group_id(group),
            None => user_id(&self.name),
        }
    }
}

/// The id of somebody of this name.
pub fn user_id(name: &str) -> String {
    format!("wxid_{}", plain(name))
}

fn group_id(name: &str) -> String {
    format!("{}@chatroom", plain(name))
}

/// A name without what ids can't have.
fn plain(name: &str) -> String {
    let ok = |c: &char| !c.is_whitespace() && !c.is_control() && *c != '/';
    name.to_lowercase().chars().filter(ok).collect()
}

impl Account {
    /// The account's client for this host. Has not logged in.
    pub fn new(host: &Host) -> Result<Self, Failure> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([])
            .redirect(redirect::Policy::none())
            .timeout(ANSWER_MAX)
            .build();
        Ok(Self {
            http: http.map_err(|error| Failure::local("HTTP", error))?,
            url: format!(
                "http://{}/wehub/{}/callback",
                host.address, host.path_secret
            ),
            people: BTreeMap::new(),
            groups: BTreeMap::new(),
            messages: 0,
        })
    }

    /// Logs in.
    pub async fn login(&self) -> Result<(), Failure> {
        let data = json!({
            "nickname": "Bot", "wx_alias": "", "head_img": "", "client_version": "0.4.26",
            "local_ip": "127.0.0.1", "machine_id": "wxhost-dev_1",
        });
        self.report("login", data).await.map(drop)
    }

    /// Makes a speaker known, with the group, if they are not.
    pub async fn know(&mut self, speaker: &Speaker) -> Result<(), Failure> {
        let id = user_id(&speaker.name);
        let mut news = self
            .people
            .insert(id.clone(), speaker.name.clone())
            .is_none();
        if let Some(name) = &speaker.group {
            let group = self.groups.entry(group_id(name));
            let (_, members) = group.or_insert_with(|| (name.clone(), BTreeSet::new()));
            news |= members.insert(id);
        }
        match news {
            true => self.report_contacts().await,
            false => Ok(()),
        }
    }

    async fn report_contacts(&self) -> Result<(), Failure> {
        let person = |(id, name): (&String, &String)| {
            json!({"wxid": id, "wx_alias": "", "nickname": name, "remark_name": "",
                   "head_img": "", "sex": 0, "country": "", "province": "", "city": ""})
        };
        let groups = self.groups.iter().map(|(id, (name, members))| {
            let members: Vec<_> = members
                .iter()
                .map(String::as_str)
                .chain([ACCOUNT])
                .collect();
            json!({"wxid": id, "name": name, "owner_wxid": ACCOUNT, "head_img": "",
                   "member_count": members.len(), "member_wxid_list": members})
        });
        let data = json!({
            "friend_list": self.people.iter().map(person).collect::<Vec<_>>(),
            "group_list": groups.collect::<Vec<_>>(),
            "public_list": [],
        });
        self.report("report_contact", data).await.map(drop)
    }

    /// Somebody says something.
    pub async fn say(&mut self, speaker: &Speaker, text: &str) -> Result<(), Failure> {
        let from = user_id(&speaker.name);
        let (room, to) = match &speaker.group {
            Some(group) => (group_id(group), group_id(group)),
            None => (String::new(), ACCOUNT.to_owned()),
        };
        let mentioned: &[&str] = match text.to_lowercase().contains("@bot") {
            true => &[ACCOUNT],
            false => &[],
        };
        let message = json!({
            "msg_id": self.next_id(), "msg_timestamp": now_ms(), "msg_type": TEXT,
            "room_wxid": room, "wxid_from": from, "wxid_to": to,
            "atUserList": mentioned, "msg": text,
        });
        self.report("report_new_msg", json!({ "msg": message }))
            .await
            .map(drop)
    }

    /// Somebody wants to be a friend.
    pub async fn friend_request(&mut self, name: &str, text: &str) -> Result<(), Failure> {
        let id = self.next_id();
        let escaped = |text: &str| {
            let text = text.replace('&', "&amp;").replace('<', "&lt;");
            text.replace('"', "&quot;")
        };
        let raw = format!(
            "<msg fromusername=\"{}\" fromnickname=\"{}\" content=\"{}\"/>",
            escaped(&user_id(name)),
            escaped(name),
            escaped(text)
        );
        let data = json!({
            "v1": format!("v1_{id}@stranger"), "v2": format!("v2_{id}@stranger"),
            "notice_word": text, "raw_msg": raw,
        });
        self.report("report_friend_add_request", data)
            .await
            .map(drop)
    }

    /// Somebody joins a group: first the client tells who that is, as WeHub does.
    pub async fn join(&mut self, group: &str, name: &str) -> Result<(), Failure> {
        let (room, id) = (group_id(group), user_id(name));
        let entry = self.groups.entry(room.clone());
        let (_, members) = entry.or_insert_with(|| (group.to_owned(), BTreeSet::new()));
        members.insert(id.clone());
        let members: Vec<_> = members.iter().cloned().collect();
        self.people.insert(id.clone(), name.to_owned());
        let info = members.iter().map(|id| {
            let name = self.people.get(id).cloned().unwrap_or_else(|| id.clone());
            json!({"wxid": id, "wx_alias": "", "nickname": name, "room_nickname": "",
                   "head_img": "", "sex": 0, "country": "", "province": "", "city": ""})
        });
        let info = json!({"room_data_list": [{
            "room_wxid": room, "name": group, "owner_wxid": ACCOUNT, "head_img": "",
            "member_count": members.len() + 1, "memberInfo_list": info.collect::<Vec<_>>(),
        }]});
        self.report("report_room_member_info", info).await?;
        let change = json!({
            "room_wxid": room, "owner_wxid": ACCOUNT, "wxid_list": [id], "flag": 1,
        });
        self.report("report_room_member_change", change)
            .await
            .map(drop)
    }

    /// Reports what somebody recorded, for this account and as if it were new.
    pub async fn replay(&mut self, report: &Value) -> Result<(), Failure> {
        let action = report
            .get("action")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let data = report.get("data").cloned().unwrap_or_else(|| json!({}));
        let former = report
            .get("wxid")
            .and_then(Value::as_str)
            .unwrap_or(ACCOUNT);
        let mut data = replaced(data, former);
        if let Some(id) = data.pointer_mut("/msg/msg_id") {
            *id = self.next_id().into();
        }
        self.report(action, data).await.map(drop)
    }

    /// Takes one task and says that it is done. False when there is none.
    pub async fn carry_out(&self) -> Result<bool, Failure> {
        let answer = self.report("pull_task", json!({})).await?;
        let Some(task) = answer.pointer("/data/task_id").and_then(Value::as_str) else {
            return Ok(false);
        };
        let done = json!({"task_id": task, "task_result": 1, "error_reason": ""});
        self.report("report_task_result", done).await?;
        Ok(true)
    }

    async fn report(&self, action: &str, data: Value) -> Result<Value, Failure> {
        let body = json!({
            "action": action, "appid": APPID, "wxid": ACCOUNT, "client_session": "dev",
            "data": data,
        });
        let failed = |error: reqwest::Error| Failure::Unreachable {
            address: self.url.clone(),
            why: error.to_string(),
        };
        let request = self.http.post(&self.url).body(body.to_string());
        let request = request.header("Content-Type", "application/json");
        let text = request
            .send()
            .await
            .map_err(failed)?
            .text()
            .await
            .map_err(failed)?;
        let answer: Value = serde_json::from_str(&text).map_err(|error| Failure::Strange {
            address: self.url.clone(),
            what: error.to_string(),
        })?;
        match answer.get("error_code").and_then(Value::as_i64) {
            Some(0) => Ok(answer),
            _ => {
                let why = answer.get("error_reason").and_then(Value::as_str);
                Err(Failure::local(action, why.unwrap_or(&text)))
            }
        }
    }

    /// An id that no message had before, as WeChat's: 19 digits.
    fn next_id(&mut self) -> String {
        self.messages = (self.messages + 1).max(now_ms().saturating_mul(1_000_000));
        self.messages.to_string()
    }
}

/// The same with the recorded account's id replaced by ours, wherever it stands.
fn replaced(value: Value, former: &str) -> Value {
    match value {
        Value::String(text) if text == former => Value::String(ACCOUNT.to_owned()),
        Value::Array(items) => items.into_iter().map(|it| replaced(it, former)).collect(),
        Value::Object(fields) => {
            let fields = fields.into_iter();
            let fields = fields.map(|(name, it)| (name, replaced(it, former)));
            Value::Object(fields.collect())
        }
        other => other,
    }
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_ids() {
        let speaker = |name: &str, group: Option<&str>| Speaker {
            name: name.to_owned(),
            group: group.map(str::to_owned),
        };
        assert_eq!(speaker("Ann Lee", None).conversation(), "wxid_annlee");
        assert_eq!(
            speaker("Ann", Some("客户 群")).conversation(),
            "客户群@chatroom"
        );
        assert_eq!(speaker("Ann", Some("shop")).shown(), "Ann in shop");
    }

    #[test]
    fn a_recorded_report_is_for_the_account_that_is_here() {
        let report = json!({"msg": {"wxid_to": "wxid_x", "list": ["wxid_x", "wxid_y"]}});
        let ours = json!({"msg": {"wxid_to": ACCOUNT, "list": [ACCOUNT, "wxid_y"]}});
        assert_eq!(replaced(report, "wxid_x"), ours);
    }
}
