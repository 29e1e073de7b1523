//! Whom the stub's account knows: enough of everything for tests to find each other.

use serde_json::{Value, json};

/// The account, its friends and its groups, as objects of section 3.
#[derive(Debug)]
pub struct People {
    /// The account itself.
    pub me: Value,
    /// Its friends.
    pub friends: Vec<Value>,
    /// Its groups.
    pub groups: Vec<Value>,
}

impl People {
    /// Those whom the account of this name knows.
    pub fn of(account: &str) -> Self {
        let mut me = person(0);
        me["id"] = "@me".into();
        me["name"] = account.into();
        me["account"] = account.into();
        me["uid"] = 1000.into();
        let mut helper = person(90);
        helper["id"] = "filehelper".into();
        helper["name"] = "文件传输助手".into();
        let mut friends: Vec<_> = (1..=3).map(person).collect();
        friends.push(helper);
        Self {
            me,
            friends,
            groups: (1..=2).map(group).collect(),
        }
    }

    /// The friend that has these properties.
    pub fn friend(&self, wanted: &[(&str, &str)]) -> Option<&Value> {
        self.friends.iter().find(|it| has(it, wanted))
    }

    /// The group that has these properties.
    pub fn group(&self, wanted: &[(&str, &str)]) -> Option<&Value> {
        self.groups.iter().find(|it| has(it, wanted))
    }
}

/// Whether an object has all of these properties.
pub fn has(object: &Value, wanted: &[(&str, &str)]) -> bool {
    let same = |(name, value): &(&str, &str)| match object.get(*name) {
        Some(Value::String(text)) => text == value,
        Some(Value::Number(number)) => number.to_string().as_str() == *value,
        _ => false,
    };
    !wanted.is_empty() && wanted.iter().all(same)
}

fn person(number: u32) -> Value {
    json!({
        "id": format!("@f{number}"),
        "uid": 2000 + number,
        "name": format!("好友{number}"),
        "account": format!("friend{number}"),
        "markname": format!("mark{number}"),
        "displayname": format!("mark{number}"),
        "display": "",
        "sex": "none",
        "city": "杭州",
        "province": "浙江",
        "signature": "",
        "category": "好友",
    })
}

fn group(number: u32) -> Value {
    let members: Vec<_> = (1..=3).map(person).collect();
    json!({
        "id": format!("@@g{number}"),
        "uid": 3000 + number,
        "name": format!("群{number}"),
        "displayname": format!("群{number}"),
        "member": members,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_found_by_what_they_have() {
        let people = People::of("a1");
        let found = |wanted| people.friend(wanted).map(|it| it["id"].clone());
        assert_eq!(found(&[("name", "好友2")]), Some("@f2".into()));
        assert_eq!(found(&[("uid", "2003")]), Some("@f3".into()));
        assert_eq!(found(&[]), None);
        assert!(people.group(&[("id", "@@g1")]).is_some());
    }
}
