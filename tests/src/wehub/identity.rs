//! Who a simulated WeHub process is, and what it tells of itself.

use std::fmt::Write as _;

use md5::{Digest, Md5};
use serde_json::{Value, json};

/// One WeHub process and the account that it drives.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The customer id.
    pub appid: String,
    /// The key that the host proves to know.
    pub secret_key: String,
    /// The account.
    pub wxid: String,
    /// The account's nickname.
    pub nickname: String,
    /// Which process on which machine.
    pub machine_id: String,
    /// The client process's own name for its session.
    pub client_session: String,
    /// The client's version.
    pub client_version: String,
}

impl Identity {
    /// A process of the last documented version.
    pub fn new(appid: &str, secret_key: &str, wxid: &str) -> Self {
        Self {
            appid: appid.to_owned(),
            secret_key: secret_key.to_owned(),
            wxid: wxid.to_owned(),
            nickname: format!("Nick of {wxid}"),
            machine_id: format!("DESKTOP-{wxid}_4711"),
            client_session: format!("cs-{wxid}"),
            client_version: "0.4.26".to_owned(),
        }
    }

    /// A request's body (protocol page, section 1).
    pub fn envelope(&self, action: &str, data: Value) -> Value {
        json!({
            "action": action,
            "appid": self.appid,
            "wxid": self.wxid,
            "client_session": self.client_session,
            "data": data,
        })
    }

    /// The data of a login, with a nonce to be signed or without.
    pub fn login_data(&self, nonce: Option<&str>) -> Value {
        let mut data = json!({
            "nickname": self.nickname,
            "wx_alias": "",
            "head_img": format!("http://img.example/{}.jpg", self.wxid),
            "client_version": self.client_version,
            "local_ip": "192.168.0.104|10.0.0.4",
            "machine_id": self.machine_id,
        });
        if let (Some(nonce), Some(fields)) = (nonce, data.as_object_mut()) {
            fields.insert("nonce".to_owned(), nonce.into());
        }
        data
    }

    /// What the host must answer to this nonce.
    pub fn signature(&self, nonce: &str) -> String {
        signature(&self.wxid, nonce, &self.secret_key)
    }

    /// A contact list of this many friends, one group and one public account.
    pub fn contacts(&self, friends: usize) -> Value {
        let friends: Vec<_> = (1..=friends).map(friend).collect();
        json!({
            "friend_list": friends,
            "group_list": [{
                "wxid": "8680025352@chatroom", "name": "客户群 1", "owner_wxid": self.wxid,
                "member_count": 3, "head_img": "http://img.example/g.jpg",
                "member_wxid_list": [self.wxid, "wxid_friend1", "wxid_friend2"],
            }],
            "public_list": [{"wxid": "gh_7ec28ec1ef37", "nickname": "公众号", "head_img": ""}],
        })
    }
}

fn friend(number: usize) -> Value {
    json!({
        "wxid": format!("wxid_friend{number}"), "wx_alias": "", "nickname": format!("好友{number}"),
        "remark_name": "", "head_img": format!("http://img.example/{number}.jpg"), "sex": number % 3,
        "country": "CN", "province": "Zhejiang", "city": "Hangzhou",
    })
}

/// md5 of `wxid#nonce#secret_key`, in lower case hex digits.
pub fn signature(wxid: &str, nonce: &str, secret_key: &str) -> String {
    let digest = Md5::digest(format!("{wxid}#{nonce}#{secret_key}"));
    digest.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_protocol_pages_vectors_hold() {
        assert_eq!(
            signature("fangqing_hust", "helloworld", "112233"),
            "4b8d798f8b34a7bd2cd3b4cbfa309d9c"
        );
        assert_eq!(
            signature("微信号", "随机", "eovBCOX3457@"),
            "1c5288096505c10ab02cc10891a01ac6"
        );
    }
}
