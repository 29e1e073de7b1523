use super::*;
use crate::domain::{
    action::{FileSource, Segment},
    file::FileState,
};

fn text(text: &str) -> Action {
    Action::text("@f", text)
}

#[tokio::test]
async fn tasks_are_carried_out_in_order_and_end_as_the_client_says() {
    let rig = rig().await;
    rig.running("s1").await;
    let refused = answer(r#"{"code":100,"status":"object not found"}"#);
    let silent = Err(CallFault::Unanswered("no answer within 1 s".to_owned()));
    rig.native
        .next("send_friend_message", answer(r#"{"code":0}"#));
    rig.native.next("send_friend_message", refused);
    rig.native.next("send_friend_message", silent);
    let asked = Submission {
        actions: vec![text("1"), text("2"), text("3"), text("4")],
        ..Submission::default()
    };
    let (tasks, _) = rig.service.submit(&account(), asked).await.unwrap();
    let mut ends = Vec::new();
    for task in &tasks {
        let task = rig.ended(task).await;
        ends.push((task.state, task.reason.unwrap_or_default()));
    }
    assert_eq!(ends[0], (TaskState::Done, String::new()));
    assert_eq!(
        ends[1],
        (TaskState::Failed, "code 100: object not found".to_owned())
    );
    assert_eq!(ends[2].0, TaskState::Unknown);
    assert!(ends[2].1.contains("no answer within 1 s"));
    assert_eq!(ends[3].0, TaskState::Done);
    let contents: Vec<_> = rig.native.asked();
    let wanted = (1..=4).map(|n| format!("send_friend_message?id=@f&content={n}"));
    assert_eq!(contents, wanted.collect::<Vec<_>>());
}

#[tokio::test]
async fn what_did_not_reach_the_client_is_tried_again() {
    let rig = rig().await;
    rig.running("s1").await;
    let gone = || Err(CallFault::Unreached("refused".to_owned()));
    rig.native.next("send_friend_message", gone());
    let first = rig.submit(text("1")).await;
    let second = rig.submit(text("2")).await;
    assert_eq!(rig.ended(&first).await.state, TaskState::Done);
    assert_eq!(rig.ended(&second).await.state, TaskState::Done);
    assert_eq!(
        rig.native.asked(),
        [
            "send_friend_message?id=@f&content=1",
            "send_friend_message?id=@f&content=1",
            "send_friend_message?id=@f&content=2"
        ]
    );
}

#[tokio::test]
async fn what_no_client_can_be_told_holds_up_nothing() {
    let rig = rig().await;
    rig.running("s1").await;
    let unfit = Err(CallFault::Unfit("uri too long".to_owned()));
    rig.native.next("send_friend_message", unfit);
    let first = rig.submit(text("1")).await;
    let second = rig.submit(text("2")).await;
    let failed = rig.ended(&first).await;
    assert_eq!(failed.state, TaskState::Failed);
    assert!(failed.reason.unwrap().contains("uri too long"));
    assert_eq!(rig.ended(&second).await.state, TaskState::Done);
}

#[tokio::test]
async fn a_message_in_parts_stops_at_the_first_that_fails() {
    let rig = rig().await;
    rig.running("s1").await;
    rig.native
        .next("send_group_message", answer(r#"{"code":0}"#));
    rig.native.next(
        "send_group_message",
        answer(r#"{"code":201,"status":"failed"}"#),
    );
    let image = |url: &str| Segment::Image(FileSource::Url(url.to_owned()));
    let send = Action::Send {
        conversation: "@@g".to_owned(),
        segments: vec![
            Segment::Mention("@m".to_owned()),
            image("http://h/1"),
            image("http://h/2"),
        ],
    };
    let task = rig.ended(&rig.submit(send).await).await;
    assert_eq!(task.state, TaskState::Failed);
    assert_eq!(
        task.reason.as_deref(),
        Some("1 of 3 parts went out: code 201: failed")
    );
    assert_eq!(
        rig.native.asked(),
        [
            "send_group_message?id=@@g&content=@M ",
            "send_group_message?id=@@g&media_path=http://h/1"
        ]
    );
}

#[tokio::test]
async fn files_are_taken_over_or_missing() {
    let rig = rig().await;
    rig.running("s1").await;
    let bytes = Bytes::from_static(b"\x89PNG\r\n\x1a\nrest");
    rig.native
        .files
        .lock()
        .unwrap()
        .insert("/c/1.png".to_owned(), bytes.clone());
    let download = |file: &str| Action::Download {
        file: file.to_owned(),
    };
    let task = rig.ended(&rig.submit(download("/c/1.png")).await).await;
    assert_eq!(task.state, TaskState::Done);
    let file = rig
        .service
        .file_request(&account(), "/c/1.png")
        .await
        .unwrap();
    assert_eq!(file.state, FileState::Ready);
    let content = file.content.unwrap();
    assert_eq!(content.name.as_deref(), Some("1.png"));
    assert_eq!(content.size_bytes, bytes.len() as u64);

    let task = rig.ended(&rig.submit(download("/c/2.png")).await).await;
    assert_eq!(task.state, TaskState::Failed);
    let file = rig
        .service
        .file_request(&account(), "/c/2.png")
        .await
        .unwrap();
    assert_eq!(file.state, FileState::Missing);

    let picture = Ok(crate::domain::ports::ApiAnswer {
        status: 200,
        mime: "image/png".to_owned(),
        body: bytes,
    });
    rig.native.next("get_avatar", picture);
    let avatar = Action::FetchAvatar {
        user: "@f".to_owned(),
        group: None,
    };
    let task = rig.ended(&rig.submit(avatar.clone()).await).await;
    assert_eq!(task.state, TaskState::Done);
    let file = rig
        .service
        .file_request(&account(), "avatar-@f")
        .await
        .unwrap();
    assert_eq!(file.state, FileState::Ready);
    let task = rig.ended(&rig.submit(avatar).await).await;
    assert_eq!(task.state, TaskState::Failed, "its answer was no picture");
}

#[tokio::test]
async fn contacts_and_members_are_read_on_demand() {
    let rig = rig().await;
    rig.running("s1").await;
    let groups = r#"[{"id":"@@g","name":"G","member":[{"id":"@new","display":"New"}]}]"#;
    rig.native.next("get_group_info", answer(groups));
    let refresh = Action::RefreshGroups {
        groups: vec!["@@g".to_owned()],
    };
    let task = rig.ended(&rig.submit(refresh).await).await;
    assert_eq!(task.state, TaskState::Done);
    assert!(rig.heard_of("members"));
    let members = rig
        .service
        .members(&account(), "@@g", None, 10)
        .await
        .unwrap();
    let names: Vec<_> = members.items.iter().map(|it| it.display_name()).collect();
    assert_eq!(names, ["New"]);
    rig.native
        .next("get_friend_info", answer(r#"[{"id":"@x","name":"X"}]"#));
    let task = rig.ended(&rig.submit(Action::RefreshContacts).await).await;
    assert_eq!(task.state, TaskState::Done);
    let contacts = rig
        .service
        .contacts(&account(), None, None, 10)
        .await
        .unwrap();
    let ids: Vec<_> = contacts.items.iter().map(|it| it.id()).collect();
    assert_eq!(ids, ["@@g", "@x"]);
    rig.native.next(
        "get_friend_info",
        answer(r#"{"code":201,"status":"failed"}"#),
    );
    let task = rig.ended(&rig.submit(Action::RefreshContacts).await).await;
    assert_eq!(task.reason.as_deref(), Some("code 201: failed"));
}
