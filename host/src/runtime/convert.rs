//! Between the package in `wit/` and the domain, in both directions.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    bindings::{callback::wit as asked, wxhost::bot::model as wit},
    state::NotTaken,
};
use crate::domain::{
    Account, AccountId, ClientKind, Contact, Deployment, Digest, Event, EventKey, Group,
    HandlerName, Happening, Member, Message, TaskId, TaskState, User,
    action::{FileSource, LinkCard, MiniProgramCard, Refused, Segment},
    callback::{
        ActionAnswer, Admission, Exits, LoginAttempt, LoginDecision, LogoutNotice, Question,
        UnknownCall, Verdict,
    },
    contact::{Region, Sex},
    event::{Content, File, FriendRequest, Link},
    handler::{Configuration, Manifest, Version, VersionNumber},
    ports::{Ask, Call},
};

/// An event as the guest gets it.
pub fn event(event: &Event) -> wit::Event {
    wit::Event {
        id: event.key.as_str().to_owned(),
        account: event.account.as_str().to_owned(),
        at: event.at_ms,
        what: happening(&event.what, event.account.as_str()),
    }
}

fn happening(what: &Happening, me: &str) -> wit::Happening {
    use Happening as H;
    use wit::Happening as W;
    match what {
        H::Login(who) => W::Login(user(who)),
        H::Logout(reason) => W::Logout(reason.clone()),
        H::Message(said) => W::Message(message(said, me)),
        H::FriendRequest(request) => W::FriendRequest(friend_request(request)),
        H::FriendAdded { user, greeting } => W::FriendAdded(friend_added(user, greeting)),
        H::FriendRemoved(id) => W::FriendRemoved(id.clone()),
        H::GroupJoined(joined) => W::GroupJoined(group(joined)),
        H::GroupLeft(id) => W::GroupLeft(id.clone()),
        H::GroupRenamed {
            group,
            name,
            previous,
        } => W::GroupRenamed(wit::GroupRenamed {
            group: group.clone(),
            name: name.clone(),
            previous: previous.clone(),
        }),
        H::MembersChanged {
            group,
            joined,
            left,
        } => W::MembersChanged(members_changed(group, joined, left)),
        H::MembersReported(groups) => W::MembersReported(groups.clone()),
        H::ContactsReported {
            users,
            groups,
            officials,
        } => W::ContactsReported(wit::ContactsReported {
            users: *users,
            groups: *groups,
            officials: *officials,
        }),
        H::ContactsUpdated(ids) => W::ContactsUpdated(ids.clone()),
        H::UserInfo { user, groups } => W::UserInfo(user_info(user, groups)),
        H::FriendChecked { user, state } => W::FriendChecked(wit::FriendCheck {
            user: user.clone(),
            state: state.clone(),
        }),
        H::FileReady { file: it, failure } => W::FileReady(wit::FileReady {
            file: file(it),
            failure: failure.clone(),
        }),
        H::TaskEnded {
            task,
            state,
            reason,
        } => W::TaskEnded(task_end(task, *state, reason.as_ref())),
        H::Timer { id, payload } => W::Timer(wit::TimerFired {
            id: id.clone(),
            payload: payload.clone(),
        }),
        H::Other(name) => W::Other(name.clone()),
    }
}

fn friend_added(who: &User, greeting: &str) -> wit::FriendAdded {
    wit::FriendAdded {
        user: user(who),
        greeting: greeting.to_owned(),
    }
}

fn members_changed(group: &str, joined: &[String], left: &[String]) -> wit::MembersChanged {
    wit::MembersChanged {
        group: group.to_owned(),
        joined: joined.to_vec(),
        left: left.to_vec(),
    }
}

fn user_info(who: &User, groups: &[String]) -> wit::UserInfo {
    wit::UserInfo {
        user: user(who),
        groups: groups.to_vec(),
    }
}

fn task_end(task: &TaskId, state: TaskState, reason: Option<&String>) -> wit::TaskEnd {
    wit::TaskEnd {
        task: task.to_string(),
        state: state.as_str().to_owned(),
        reason: reason.cloned(),
        message: None,
    }
}

fn message(said: &Message, me: &str) -> wit::Message {
    wit::Message {
        id: said.id.clone(),
        conversation: said.conversation.clone(),
        author: said.author.clone(),
        author_name: said.author_name.clone(),
        group: said.group.clone(),
        mentions_me: said.mentions.iter().any(|id| id == me),
        mentions: said.mentions.clone(),
        quote: None,
        outgoing: said.outgoing,
        content: content(&said.content),
    }
}

fn content(held: &Content) -> wit::Content {
    use wit::Content as W;
    match held {
        Content::Text(text) => W::Text(text.clone()),
        Content::Image(it) => W::Image(file(it)),
        Content::Voice(it) => W::Voice(file(it)),
        Content::Video(it) => W::Video(file(it)),
        Content::Document(it) => W::Document(file(it)),
        Content::Sticker(it) => W::Sticker(file(it)),
        Content::Link(it) => W::Link(link(it)),
        Content::GroupInvitation {
            url,
            title,
            description,
        } => W::GroupInvitation(wit::GroupInvitation {
            url: url.clone(),
            title: title.clone(),
            description: description.clone(),
        }),
        Content::MiniProgram { title, xml, cover } => W::MiniProgram(wit::MiniProgram {
            title: title.clone(),
            xml: xml.clone(),
            cover: cover.as_ref().map(file),
            cover_url: None,
        }),
        Content::Card { user: who, xml } => W::Card(wit::Card {
            user: user(who),
            xml: xml.clone(),
        }),
        Content::Transfer { id, state } => W::Transfer(wit::Transfer {
            id: id.clone(),
            state: state.clone(),
            amount_cents: None,
            note: None,
        }),
        Content::Notice(text) => W::Notice(text.clone()),
        Content::Recalled(id) => W::Recalled(id.clone()),
        Content::Raw(json) => W::Raw(json.clone()),
    }
}

fn file(it: &File) -> wit::File {
    wit::File {
        id: it.id.clone(),
        name: it.name.clone(),
        mime: it.mime.clone(),
        size: it.size,
        url: it.url.clone(),
    }
}

fn link(it: &Link) -> wit::Link {
    wit::Link {
        title: it.title.clone(),
        description: it.description.clone(),
        url: it.url.clone(),
        thumbnail_url: it.thumbnail_url.clone(),
        app_name: it.app_name.clone(),
    }
}

fn friend_request(request: &FriendRequest) -> wit::FriendRequest {
    wit::FriendRequest {
        ticket: request.ticket.clone(),
        user: user(&request.user),
        greeting: request.greeting.clone(),
        source: request.source.clone(),
    }
}

/// A person as the guest gets it.
pub fn user(who: &User) -> wit::User {
    wit::User {
        id: who.id.clone(),
        nickname: who.nickname.clone(),
        remark: who.remark.clone(),
        account_name: who.account_name.clone(),
        sex: match who.sex {
            Sex::Unknown => wit::Sex::Unknown,
            Sex::Male => wit::Sex::Male,
            Sex::Female => wit::Sex::Female,
        },
        region: who.region.as_ref().map(region),
        avatar_url: who.avatar_url.clone(),
        signature: who.signature.clone(),
        is_friend: who.is_friend,
    }
}

fn region(it: &Region) -> wit::Region {
    wit::Region {
        country: it.country.clone(),
        province: it.province.clone(),
        city: it.city.clone(),
    }
}

fn group(it: &Group) -> wit::Group {
    wit::Group {
        id: it.id.clone(),
        name: it.name.clone(),
        owner: it.owner.clone(),
        member_count: it.member_count,
        avatar_url: it.avatar_url.clone(),
    }
}

/// A contact as the guest gets it.
pub fn contact(it: &Contact) -> wit::Contact {
    match it {
        Contact::User(who) => wit::Contact::User(user(who)),
        Contact::Group(it) => wit::Contact::Group(group(it)),
        Contact::Official(who) => wit::Contact::Official(user(who)),
    }
}

/// A member as the guest gets it.
pub fn member(it: &Member) -> wit::Member {
    wit::Member {
        user: user(&it.user),
        group_nickname: it.group_nickname.clone(),
    }
}

/// The account itself, as a person.
pub fn me(id: &AccountId, account: Option<&Account>) -> wit::User {
    let filled = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    user(&User {
        nickname: account.map(|it| it.nickname.clone()).unwrap_or_default(),
        account_name: account.and_then(|it| filled(&it.alias)),
        avatar_url: account.and_then(|it| filled(&it.avatar_url)),
        ..User::unknown(id.as_str())
    })
}

/// The pieces of a message that the guest sends.
pub fn segments(pieces: Vec<wit::Segment>) -> Result<Vec<Segment>, wit::Failure> {
    pieces.into_iter().map(segment).collect()
}

fn segment(piece: wit::Segment) -> Result<Segment, wit::Failure> {
    use wit::Segment as W;
    Ok(match piece {
        W::Text(text) => Segment::Text(text),
        W::Mention(user) => Segment::Mention(user),
        W::MentionAll => Segment::MentionAll,
        W::Image(source) => Segment::Image(file_source("image", source)?),
        W::Sticker(source) => Segment::Sticker(file_source("sticker", source)?),
        W::Voice(source) => Segment::Voice(file_source("voice", source)?),
        W::Video(source) => Segment::Video(file_source("video", source)?),
        W::Document(source) => Segment::Document(file_source("document", source)?),
        W::Link(it) => Segment::Link(LinkCard {
            title: it.title,
            description: it.description,
            url: it.url,
            thumbnail_url: it.thumbnail_url,
        }),
        W::MiniProgram(it) => Segment::MiniProgram(MiniProgramCard {
            xml: it.xml,
            cover_url: it.cover_url,
        }),
        W::Card(user) => Segment::Card(user),
        W::Quote(message) => Segment::Quote(message),
        W::Raw(json) => Segment::Raw(json),
    })
}

fn file_source(field: &str, source: wit::FileSource) -> Result<FileSource, wit::Failure> {
    match source {
        wit::FileSource::Held(id) => Ok(FileSource::Held(id)),
        wit::FileSource::Url(url) => Ok(FileSource::Url(url)),
        // Bytes would have to be kept and served: the host holds no files yet.
        wit::FileSource::Bytes(_) => Err(coded(
            "unsupported",
            format!("{field}: this host can't send bytes yet: give a url"),
        )),
    }
}

/// Why something was not taken on, as the guest gets it.
pub fn failure(error: &NotTaken) -> wit::Failure {
    let code = match error {
        NotTaken::Refused(Refused::Unsupported { .. }) => "unsupported",
        NotTaken::Refused(Refused::Invalid { .. }) | NotTaken::BadEntry(_) => "bad-request",
        NotTaken::NoAccount => "no-account",
        NotTaken::TooMany(_)
        | NotTaken::TooLarge(_)
        | NotTaken::TooManyReads
        | NotTaken::Full(_) => "too-many",
    };
    coded(code, error.to_string())
}

/// A failure with this code.
pub fn coded(code: &str, message: impl Into<String>) -> wit::Failure {
    wit::Failure {
        code: code.to_owned(),
        message: message.into(),
        retry_after_ms: None,
    }
}

/// A login as the callback component gets it.
pub fn login_attempt(attempt: &LoginAttempt) -> asked::LoginAttempt {
    asked::LoginAttempt {
        appid: attempt.appid.clone(),
        account: attempt.account.as_str().to_owned(),
        nickname: attempt.nickname.clone(),
        alias: attempt.alias.clone(),
        client_version: attempt.client_version.clone(),
        machine_id: attempt.machine_id.clone(),
        client_session: attempt.client_session.clone(),
        local_ips: attempt.local_ips.clone(),
        qr_session: attempt.qr_session,
        listed: attempt.listed,
        known: attempt.known,
    }
}

/// What it decided about a login.
pub fn login_verdict(decision: asked::LoginDecision) -> Verdict {
    Verdict::Login(match decision {
        asked::LoginDecision::Admit(admission) => LoginDecision::Admit(Admission {
            report_contact: admission.report_contact,
            websocket: admission.websocket,
        }),
        asked::LoginDecision::Refuse(reason) => LoginDecision::Refuse(reason),
    })
}

/// A logout as the callback component gets it.
pub fn logout_notice(notice: &LogoutNotice) -> asked::LogoutNotice {
    asked::LogoutNotice {
        appid: notice.appid.clone(),
        account: notice.account.as_str().to_owned(),
        client_version: notice.client_version.clone(),
        machine_id: notice.machine_id.clone(),
        client_session: notice.client_session.clone(),
    }
}

/// What it decided about a logout.
pub fn logout_verdict(exits: Option<asked::Exits>) -> Verdict {
    Verdict::Logout(exits.map(|exits| Exits {
        client: exits.exit_client,
        wechat: exits.exit_wechat,
    }))
}

/// An unknown action as the callback component gets it.
pub fn unknown_call(call: &UnknownCall) -> asked::UnknownCall {
    asked::UnknownCall {
        appid: call.appid.clone(),
        account: call.account.as_str().to_owned(),
        action: call.action.clone(),
        body: String::from_utf8_lossy(&call.body).into_owned(),
    }
}

/// What it answers to an unknown action.
pub fn action_verdict(answer: Option<asked::Answer>) -> Verdict {
    Verdict::UnknownAction(answer.map(|answer| ActionAnswer {
        error_code: answer.error_code,
        error_reason: answer.error_reason,
        data: answer.data,
    }))
}

/// A call for trying out a bot: something that no bot knows has happened.
pub fn trial_call(bot: Arc<Deployment>) -> Call {
    Call {
        bot,
        is_trial: true,
        client: ClientKind::Wehub,
        me: None,
        event: Arc::new(Event {
            key: EventKey::new("trial"),
            account: AccountId::trial(),
            at_ms: 0,
            what: Happening::Other("trial".to_owned()),
            facts: Vec::new(),
            raw: Bytes::from_static(b"{}"),
        }),
    }
}

/// The same for a callback component.
pub fn trial_ask(component: Arc<Deployment>) -> Ask {
    Ask {
        component,
        question: Question::UnknownAction(UnknownCall {
            appid: String::new(),
            account: AccountId::trial(),
            action: "trial".to_owned(),
            body: Bytes::from_static(b"{}"),
        }),
    }
}

/// What runs before anybody has said under which name.
pub fn nameless() -> Arc<Deployment> {
    Arc::new(Deployment {
        handler: HandlerName::trial(),
        version: Arc::new(Version {
            number: VersionNumber::default(),
            digest: Digest::of(b""),
            size_bytes: 0,
            world: String::new(),
            imports: Vec::new(),
            manifest: Manifest::default(),
            deployed_ms: 0,
            by: String::new(),
            note: String::new(),
        }),
        config: Configuration::default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_a_lack_of_the_host() {
        let piece = wit::Segment::Image(wit::FileSource::Bytes(vec![1]));
        let failure = segments(vec![piece]).err();
        assert_eq!(failure.map(|it| it.code).as_deref(), Some("unsupported"));
    }
}
