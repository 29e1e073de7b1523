//! The envelope (section 1), and the actions that become no event.

use bytes::Bytes;
use serde::Deserialize;

use super::{
    messages, reports,
    request::{DATA, Incoming, LoginRequest, Request},
};
use crate::{
    domain::AccountId,
    edge::loose::{At, BadRequest, Loose, read_object},
};

/// The longest action name in bytes; the longest known has 25. It ends up in
/// keys and logs.
const ACTION_MAX_BYTES: usize = 100;

#[derive(Deserialize, Default)]
#[serde(default)]
struct Envelope<'a> {
    #[serde(borrow)]
    action: Loose<'a>,
    /// How heartbeats on the WebSocket spell it.
    atcion: Loose<'a>,
    appid: Loose<'a>,
    wxid: Loose<'a>,
    client_session: Loose<'a>,
    data: Loose<'a>,
}

/// Reads a callback body (sections 1 to 4).
pub fn parse(body: &Bytes) -> Result<Request, BadRequest> {
    let envelope = read_object::<Envelope<'_>>(body)?;
    let action = envelope.action()?;
    envelope
        .request(&action, body)
        .map_err(|error| error.during(&action))
}

/// Whose body it is, without a look at what it reports: the action, the customer
/// id and the account. Costs little however much the body holds.
pub fn sender(body: &Bytes) -> Result<(String, String, AccountId), BadRequest> {
    let envelope = read_object::<Envelope<'_>>(body)?;
    let action = envelope.action()?;
    let (appid, account) = envelope.names().map_err(|error| error.during(&action))?;
    Ok((action, appid, account))
}

impl<'a> Envelope<'a> {
    fn action(&self) -> Result<String, BadRequest> {
        let spelling = match self.action.raw() {
            Some(_) => self.action,
            None => self.atcion,
        };
        let at = At::Root("action");
        // The one field that has to be as the page says.
        match spelling.raw() {
            None => return Err(BadRequest::new(at, "is missing")),
            Some(raw) if !raw.get().starts_with('"') => {
                return Err(BadRequest::new(at, "is no string"));
            }
            Some(_) => {}
        }
        let action = spelling.text(at)?.into_owned();
        match action.len() {
            0 => Err(BadRequest::new(at, "is empty")),
            1..=ACTION_MAX_BYTES => Ok(action),
            _ => Err(BadRequest::new(
                at,
                format!("is longer than {ACTION_MAX_BYTES} bytes"),
            )),
        }
    }

    fn request(&self, action: &str, body: &Bytes) -> Result<Request, BadRequest> {
        let (appid, account) = self.names()?;
        Ok(Request {
            appid,
            client_session: self.client_session.field(At::Root("client_session"))?,
            action: self.incoming(action, &account, body)?,
            account,
        })
    }

    fn names(&self) -> Result<(String, AccountId), BadRequest> {
        let appid = self.named(self.appid, "appid")?;
        let wxid = self.named(self.wxid, "wxid")?;
        let account = AccountId::try_from(wxid)
            .map_err(|error| BadRequest::new("wxid", error.to_string()))?;
        Ok((appid, account))
    }

    fn named(&self, value: Loose<'_>, name: &'static str) -> Result<String, BadRequest> {
        let at = At::Root(name);
        value
            .some_id(at)?
            .ok_or_else(|| BadRequest::new(at, "is missing or empty"))
    }

    fn incoming(
        &self,
        action: &str,
        account: &AccountId,
        body: &Bytes,
    ) -> Result<Incoming, BadRequest> {
        match action {
            "login" => self.data::<Login<'_>>()?.read().map(Incoming::Login),
            "logout" => self.data::<Logout<'_>>()?.read(),
            "pull_task" => Ok(Incoming::PullTask),
            "report_task_result" => self.data::<TaskResult<'_>>()?.read(),
            "heartbeat" => Ok(Incoming::Heartbeat),
            "report_new_msg" => messages::read(self.data()?, account, body).map(Incoming::Report),
            _ => reports::read(action, self.data, account, body).map(Incoming::Report),
        }
    }

    fn data<T: Deserialize<'a> + Default>(&self) -> Result<T, BadRequest> {
        self.data.object(DATA).map(Option::unwrap_or_default)
    }
}

/// Section 2.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Login<'a> {
    #[serde(borrow)]
    nickname: Loose<'a>,
    wx_alias: Loose<'a>,
    head_img: Loose<'a>,
    client_version: Loose<'a>,
    nonce: Loose<'a>,
    local_ip: Loose<'a>,
    machine_id: Loose<'a>,
    qr_session_id: Loose<'a>,
    /// The same, by the name it has in task 200.
    qrcode_session_id: Loose<'a>,
}

impl Login<'_> {
    fn read(&self) -> Result<LoginRequest, BadRequest> {
        let at = DATA;
        let qr_session_id = self.qr_session_id.some_id(at.field("qr_session_id"))?;
        let qrcode_session_id = self
            .qrcode_session_id
            .some_id(at.field("qrcode_session_id"))?;
        Ok(LoginRequest {
            nickname: self.nickname.field(at.field("nickname"))?,
            alias: self.wx_alias.field(at.field("wx_alias"))?,
            avatar_url: self.head_img.field(at.field("head_img"))?,
            client_version: self.client_version.field(at.field("client_version"))?,
            nonce: self.nonce(at.field("nonce"))?,
            local_ips: addresses(&self.local_ip.field(at.field("local_ip"))?),
            machine_id: self.machine_id.field(at.field("machine_id"))?,
            qr_session_id: qr_session_id.or(qrcode_session_id),
        })
    }

    /// An empty nonce is one too: a client that sends it may check.
    fn nonce(&self, at: At<'_>) -> Result<Option<String>, BadRequest> {
        match self.nonce.raw() {
            // To the letter, since it is signed.
            Some(_) => self.nonce.handle(at).map(Some),
            None => Ok(None),
        }
    }
}

/// Several addresses come joined by `|`.
fn addresses(joined: &str) -> Vec<String> {
    let parts = joined.split('|').map(str::trim);
    parts
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect()
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Logout<'a> {
    #[serde(borrow)]
    client_version: Loose<'a>,
    machine_id: Loose<'a>,
}

impl Logout<'_> {
    fn read(&self) -> Result<Incoming, BadRequest> {
        Ok(Incoming::Logout {
            client_version: self.client_version.field(DATA.field("client_version"))?,
            machine_id: self.machine_id.field(DATA.field("machine_id"))?,
        })
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct TaskResult<'a> {
    #[serde(borrow)]
    task_id: Loose<'a>,
    task_result: Loose<'a>,
    error_reason: Loose<'a>,
}

impl TaskResult<'_> {
    fn read(&self) -> Result<Incoming, BadRequest> {
        let at = DATA.field("task_id");
        let task = self.task_id.handle(at)?;
        if task.is_empty() {
            return Err(BadRequest::new(at, "is missing or empty"));
        }
        Ok(Incoming::TaskResult {
            task: task.parse().ok(),
            done: self.done()?,
            reason: self.error_reason.name(DATA.field("error_reason"))?,
        })
    }

    /// A guess would end a task that may still be under way.
    fn done(&self) -> Result<bool, BadRequest> {
        let at = DATA.field("task_result");
        match self.task_result.text(at)?.as_ref() {
            "1" => Ok(true),
            "0" => Ok(false),
            _ => Err(BadRequest::new(at, "is neither 0 nor 1")),
        }
    }
}
