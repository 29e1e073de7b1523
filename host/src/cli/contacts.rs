//! Whom an account knows, as tables.

use super::output::{Style, Table, quoted};
use crate::{
    domain::{Contact, Group, User},
    edge::control::wire::List,
};

/// Friends, groups and public accounts.
pub fn contacts(list: &List<Contact>, style: &Style) -> String {
    if list.items.is_empty() {
        return "no such contacts: a client reports them after it has logged in".to_owned();
    }
    let mut table = Table::new(["ID", "KIND", "NAME", "REMARK"]);
    for contact in &list.items {
        let (name, remark) = match contact {
            Contact::User(user) | Contact::Official(user) => names(user),
            Contact::Group(group) => (group.name.as_str(), ""),
        };
        table.row([
            contact.id().into(),
            contact.kind().as_str().into(),
            name.into(),
            remark.into(),
        ]);
    }
    with_more(table.show(style), list)
}

fn names(user: &User) -> (&str, &str) {
    (&user.nickname, user.remark.as_deref().unwrap_or_default())
}

/// Groups with what only groups have.
pub fn groups(list: &List<Group>, style: &Style) -> String {
    if list.items.is_empty() {
        return "no such groups: a client reports them after it has logged in".to_owned();
    }
    let mut table = Table::new(["ID", "NAME", "MEMBERS", "OWNER"]);
    for group in &list.items {
        table.row([
            group.id.as_str().into(),
            group.name.as_str().into(),
            group.member_count.to_string().into(),
            group.owner.as_deref().unwrap_or_default().into(),
        ]);
    }
    with_more(table.show(style), list)
}

fn with_more<T>(mut text: String, list: &List<T>) -> String {
    if let Some(next) = &list.next {
        text.push_str(&format!("there are more: add --after {}\n", quoted(next)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contacts_of_every_kind_are_in_one_table() {
        let bob = User {
            nickname: "Bob".to_owned(),
            remark: Some("the builder".to_owned()),
            ..User::unknown("wxid_b")
        };
        let list = List {
            items: vec![
                Contact::Group(group()),
                Contact::Official(User::unknown("gh_x")),
                Contact::User(bob),
            ],
            next: Some("wxid_b".to_owned()),
        };
        assert_eq!(
            contacts(&list, &Style::plain(0)),
            "ID          KIND      NAME  REMARK\n\
             1@chatroom  group     茶\n\
             gh_x        official\n\
             wxid_b      user      Bob   the builder\n\
             there are more: add --after 'wxid_b'\n"
        );
    }

    fn group() -> Group {
        Group {
            id: "1@chatroom".to_owned(),
            name: "茶".to_owned(),
            owner: Some("wxid_b".to_owned()),
            member_count: 3,
            avatar_url: None,
        }
    }

    #[test]
    fn a_strangers_words_do_not_steer_the_terminal() {
        let evil = "a\u{1b}[2J\u{7}\n'; id";
        let next = Some(evil.to_owned());
        let user = User {
            nickname: evil.to_owned(),
            remark: Some(evil.to_owned()),
            ..User::unknown(evil)
        };
        let users = List {
            items: vec![Contact::User(user)],
            next: next.clone(),
        };
        let group = Group {
            id: evil.to_owned(),
            name: evil.to_owned(),
            owner: Some(evil.to_owned()),
            ..group()
        };
        let all = List {
            items: vec![group],
            next,
        };
        let style = Style::plain(0);
        for text in [contacts(&users, &style), groups(&all, &style)] {
            assert_eq!(text.lines().count(), 3, "{text}");
            assert!(!text.contains(['\u{1b}', '\u{7}']), "{text:?}");
            let hint = "--after 'a\u{fffd}[2J\u{fffd}\u{fffd}'\\''; id'\n";
            assert!(text.ends_with(hint), "{text}");
        }
    }

    #[test]
    fn a_group_has_an_owner_and_members() {
        assert_eq!(
            groups(&List::whole([group()]), &Style::plain(0)),
            "ID          NAME  MEMBERS  OWNER\n\
             1@chatroom  茶    3        wxid_b\n"
        );
    }
}
