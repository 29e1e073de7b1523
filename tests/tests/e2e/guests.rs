//! Hostile bots, and a bot that calls every function of the package.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wxhost_tests::{
    Context, Host, Result, WehubClient, check, fail, guests,
    host::Settings,
    wehub::{Message, Task},
};

/// The bound on a call as these tests set it, waiting included.
const CALL_WALL: Duration = Duration::from_millis(1500);
/// What an answer may take beyond the call: other tests run at the same time.
const SLACK: Duration = Duration::from_secs(4);
/// How long a well-behaved account may wait while another one's bot misbehaves.
const PROMPT: Duration = Duration::from_secs(2);

/// Each hostile guest and how its failure may be called. None: it may also
/// come through, with what it did too much of dropped.
const HOSTILE: [(&str, &[&str]); 11] = [
    ("trap", &["trap"]),
    // On a machine that is busy with others, its time in all is over first.
    ("endless-loop", &["cpu-time", "wall-clock"]),
    ("endless-recursion", &["trap"]),
    ("memory-hoarder", &["memory"]),
    ("log-flooder", &["host-calls", "cpu-time", "wall-clock"]),
    ("handle-hoarder", &["host-calls", "refused", "trap"]),
    ("slow-host-call", &["wall-clock"]),
    ("call-flooder", &["host-calls"]),
    ("task-flooder", &["effects", "host-calls"]),
    ("effects-then-trap", &["trap"]),
    ("effects-then-err", &["refused"]),
];

fn limits() -> Settings {
    Settings::default()
        .unpaced()
        .limit(
            "call_wall_ms",
            u64::try_from(CALL_WALL.as_millis()).unwrap_or(1500),
        )
        .limit("call_cpu_ms", 300)
}

/// Has echo answer again and again until `done`, and tells the longest wait.
async fn keep_echoing(
    client: &WehubClient,
    mut done: tokio::sync::oneshot::Receiver<()>,
) -> Result<Duration> {
    let mut longest = Duration::ZERO;
    for number in 0u64.. {
        let text = format!("still there? {number}");
        let sent = Instant::now();
        client.text_from("wxid_bob", &text).await?.says(&text)?;
        longest = longest.max(sent.elapsed());
        match done.try_recv() {
            Err(tokio::sync::oneshot::error::TryRecvError::Empty) => {}
            _ => break,
        }
    }
    Ok(longest)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_bot_harms_nobody_but_its_own_account() -> Result<()> {
    let host = Host::with(limits()).await?;
    host.serve_guest("*", "echo").await?;
    let good = host.wehub("wxid_good")?.login().await?;
    let (finished, done) = tokio::sync::oneshot::channel();
    let echoing = tokio::spawn(async move { keep_echoing(&good, done).await });
    for (guest, kinds) in HOSTILE {
        suffer(&host, guest, kinds).await.context(guest)?;
    }
    let _ = finished.send(());
    let longest = echoing.await??;
    check!(
        longest < PROMPT,
        "echo kept somebody waiting for {longest:?}"
    );
    host.end().await
}

/// One message to an account with this hostile bot.
async fn suffer(host: &Host, guest: &str, kinds: &[&str]) -> Result<()> {
    let account = format!("wxid_{guest}");
    // Logged in first: a login is an event too, and the bot would fail at it.
    let client = host.wehub(&account)?.login().await?;
    host.serve_guest(&account, guest).await?;
    let message = client.text("wxid_bob", "do your worst");
    let sent = Instant::now();
    client.deliver(&message).await?.silent()?;
    let took = sent.elapsed();
    check!(took < CALL_WALL + SLACK, "the answer took {took:?}");

    let api = host.api()?;
    let failures = api.failures(&account).await?;
    let [failure] = failures.as_slice() else {
        fail!("not one failure: {failures:?}");
    };
    let kind = failure["kind"].as_str().unwrap_or_default();
    check!(
        kinds.contains(&kind),
        "{kind} is none of {kinds:?}: {failure}"
    );
    assert_eq!(failure["handler"], guest);
    assert_eq!(failure["event"], message.event_key());
    check!(failure["message"] != "", "no reason: {failure}");

    // Nothing that it asked for happened, and a repeat does not run it again.
    let path = format!("/accounts/{account}/events/{}", message.event_key());
    assert_eq!(api.get(&path).await?["outcome"], "failed");
    assert_eq!(api.tasks(&account).await?, Vec::<Value>::new());
    for key in ["never", "never-counted"] {
        assert_eq!(api.value(&account, guest, key).await?, None);
    }
    let again = Instant::now();
    client.deliver(&message).await?.silent()?;
    check!(again.elapsed() < PROMPT, "a repeat ran the bot again");
    assert_eq!(api.failures(&account).await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn what_a_failing_bot_said_is_shown() -> Result<()> {
    let host = Host::unpaced().await?;
    host.serve_guest("*", "trap").await?;
    let a = host.wehub("wxid_a")?.login().await?;
    a.text_from("wxid_bob", "hi").await?.silent()?;
    let account = host.api()?.get("/accounts/wxid_a").await?;
    let failure = account["failures"][0].to_string();
    check!(failure.contains("trapped on purpose"), "{failure}");
    host.end().await
}

/// Commands of the probe that start a task: the words, the task's type, and
/// fields that it must have.
fn actions() -> Vec<(&'static str, i64, Value)> {
    let g = "1@chatroom";
    vec![
        (
            "chat.send wxid_u text:hello",
            1,
            json!({"wxid_to": "wxid_u"}),
        ),
        (
            "chat.send 1@chatroom mention:wxid_u text:hello",
            1,
            json!({"at_list": ["wxid_u"]}),
        ),
        (
            "chat.send wxid_u image:url:http://x/1.jpg",
            1,
            json!({"msg_list": [{"msg_type": 3, "msg": "http://x/1.jpg"}]}),
        ),
        (
            "chat.send wxid_u sticker:url:http://x/1.gif",
            1,
            json!({"msg_list": [{"msg_type": 47, "msg": "http://x/1.gif"}]}),
        ),
        (
            "chat.send wxid_u video:url:http://x/1.mp4",
            1,
            json!({"msg_list": [{"msg_type": 43, "video_url": "http://x/1.mp4"}]}),
        ),
        (
            "chat.send wxid_u document:url:http://x/1.pdf",
            1,
            json!({"msg_list": [{"msg_type": 43, "video_url": "http://x/1.pdf"}]}),
        ),
        (
            "chat.send wxid_u card:wxid_v",
            1,
            json!({"msg_list": [{"msg_type": 42, "wxid_card": "wxid_v"}]}),
        ),
        (
            "chat.send wxid_u raw:{\"msg_type\":1,\"msg\":\"raw\"}",
            1,
            json!({"msg_list": [{"msg_type": 1, "msg": "raw"}]}),
        ),
        (
            "groups.kick 1@chatroom wxid_u",
            2,
            json!({"room_wxid": g, "wxid": "wxid_u"}),
        ),
        (
            "groups.kick-everywhere wxid_u",
            2,
            json!({"room_wxid": "", "wxid": "wxid_u"}),
        ),
        (
            "groups.invite 1@chatroom invitation wxid_u",
            3,
            json!({"room_wxid": g, "wxid": "wxid_u", "flag": 0}),
        ),
        (
            "groups.invite 1@chatroom adding wxid_u",
            3,
            json!({"flag": 1}),
        ),
        (
            "groups.refresh 1@chatroom 2@chatroom",
            4,
            json!({"room_wxid_list": [g, "2@chatroom"]}),
        ),
        (
            "friends.add wxid_u 1@chatroom hi there",
            5,
            json!({"room_wxid": g, "wxid": "wxid_u", "msg": "hi there"}),
        ),
        ("friends.add wxid_u - hi", 5, json!({"room_wxid": ""})),
        (
            "friends.remark wxid_u Best friend",
            6,
            json!({"wxid": "wxid_u", "remark_name": "Best friend"}),
        ),
        (
            "groups.rename-me 1@chatroom Bot",
            7,
            json!({"room_wxid": g, "room_nickname": "Bot"}),
        ),
        ("groups.leave 1@chatroom", 8, json!({"room_wxid": g})),
        ("chat.download aa01", 9, json!({"file_index": "aa01"})),
        (
            "groups.announce 1@chatroom Be kind",
            10,
            json!({"room_wxid": g, "msg": "Be kind"}),
        ),
        (
            "chat.accept-transfer wxid_u 1000050001201911",
            11,
            json!({"wxid_from": "wxid_u", "transferid": "1000050001201911"}),
        ),
        (
            "friends.remove wxid_u",
            12,
            json!({"wxid_delete": "wxid_u"}),
        ),
        ("friends.refresh-all", 14, json!({"flag_report_contact": 7})),
        ("friends.check wxid_u", 15, json!({"wxid": "wxid_u"})),
        ("friends.refresh wxid_u", 16, json!({"wxid": "wxid_u"})),
        (
            "groups.create - wxid_u wxid_v",
            17,
            json!({"member_list": ["wxid_u", "wxid_v"]}),
        ),
        (
            "groups.rename 1@chatroom New name",
            18,
            json!({"room_wxid": g, "room_name": "New name"}),
        ),
        (
            "groups.accept-invitation https://x/join?t=1",
            19,
            json!({"invite_url": "https://x/join?t=1"}),
        ),
        (
            "tags.add vip wxid_u wxid_v",
            100,
            json!({"tag_name": "vip", "wxid_list": ["wxid_u", "wxid_v"], "op_code": 1}),
        ),
        ("tags.remove vip wxid_u", 100, json!({"op_code": 2})),
        ("tags.delete vip", 100, json!({"op_code": 3})),
        (
            "tags.rename vip gold",
            101,
            json!({"old_tag_name": "vip", "new_tag_name": "gold"}),
        ),
        (
            "chat.perform-raw {\"task_type\":8,\"task_dict\":{\"room_wxid\":\"9@chatroom\"}}",
            8,
            json!({"room_wxid": "9@chatroom"}),
        ),
    ]
}

fn holds(task: &Task, kind: i64, fields: &Value) -> bool {
    let fields = fields.as_object();
    task.kind == kind
        && fields.is_some_and(|all| {
            all.iter()
                .all(|(name, value)| task.fields.get(name) == Some(value))
        })
}

#[tokio::test]
async fn every_action_becomes_its_task() -> Result<()> {
    let host = Host::with(Settings::default().unpaced().report_contact(7)).await?;
    host.serve_guest("*", "probe").await?;
    let a = host.wehub("wxid_a")?.login().await?;
    for (words, kind, fields) in actions() {
        let ack = a.text_from("wxid_bob", words).await.context(words)?;
        let [task, reply] = ack.ok()?.tasks.as_slice() else {
            fail!("{words}: {ack:?}");
        };
        check!(
            holds(task, kind, &fields),
            "{words}: {task:?}, not {kind} {fields}"
        );
        let reply = reply.summary();
        let id = reply
            .strip_prefix("ok ")
            .context(format!("{words}: {reply}"))?;
        let known = host.api()?.task(id).await.context(words)?;
        assert_eq!(known["state"], "unknown", "{words}");
    }
    let invited = a.text_from(
        "wxid_bob",
        "groups.invite 1@chatroom invitation wxid_u wxid_v",
    );
    assert_eq!(
        invited.await?.tasks.len(),
        3,
        "one task per person, and the reply"
    );
    host.end().await
}

#[tokio::test]
async fn every_other_function_answers() -> Result<()> {
    let host = Host::with(limits()).await?;
    host.serve_guest("*", "probe").await?;
    let a = host.wehub("wxid_a")?.called("Rose").login().await?;
    a.report_contact(3).await?.silent()?;
    let script = [
        ("chat.reply just so", "just so"),
        ("chat.recall 1", "err unsupported"),
        ("chat.stick wxid_u on", "err unsupported"),
        ("friends.fetch-avatar wxid_u -", "err unsupported"),
        ("groups.create Name wxid_u wxid_v", "err unsupported"),
        ("chat.send wxid_u mention-all", "err unsupported"),
        ("chat.send wxid_u voice:url:http://x/y", "err unsupported"),
        ("chat.send wxid_u image:url:file:///x", "err bad-request"),
        ("groups.create - wxid_u", "err bad-request"),
        ("chat.send wxid_u mention:wxid_v", "err bad-request"),
        ("timers.set t 32503680000000 payload", "err bad-request"),
        ("timers.cancel t", "ok false"),
        ("timers.list-timers", "ok []"),
        ("web.fetch GET http://127.0.0.1:1/ 10", "err denied"),
        ("context.me", "ok User"),
        ("context.client-kind", "ok wehub"),
        ("context.attempt", "ok 1"),
        ("context.deadline", "ok 1"),
        ("context.raw", "ok {"),
        ("context.fact no-such-fact", "ok -"),
        ("contacts.get-contact wxid_friend1", "ok Some"),
        ("contacts.get-contact wxid_nobody", "ok None"),
        ("contacts.find-contacts 10 好友2", "ok wxid_friend2"),
        (
            "contacts.list-contacts user - 2",
            "ok wxid_friend1,wxid_friend2 next ",
        ),
        (
            "contacts.list-contacts official - 10",
            "ok gh_7ec28ec1ef37 next -",
        ),
        ("contacts.count - 2", "ok 5 in 3"),
        (
            "contacts.list-members 8680025352@chatroom - 10",
            "ok wxid_a,wxid_friend1,wxid_friend2 next -",
        ),
        (
            "contacts.get-member 8680025352@chatroom wxid_friend2",
            "ok Some",
        ),
        ("keyvalue.open", "ok"),
        ("keyvalue.get k", "ok -"),
        ("keyvalue.set k a value", "ok"),
        ("keyvalue.get k", "ok a value"),
        ("keyvalue.exists k", "ok true"),
        ("keyvalue.increment n 2", "ok 2"),
        ("keyvalue.increment n 3", "ok 5"),
        ("keyvalue.set-many x=1 y=2", "ok"),
        ("keyvalue.get-many x y", "ok x=1,y=2"),
        ("keyvalue.list-keys -", "ok k,n,x,y next -"),
        ("keyvalue.delete-many x y", "ok"),
        ("keyvalue.delete k", "ok"),
        ("keyvalue.exists k", "ok false"),
        ("log.info a line", "ok"),
        ("log.stdout a line", "ok"),
        ("clock.now", "ok 1"),
        ("random.bytes 4", "ok "),
        ("random.u64", "ok "),
        ("event", "ok Event"),
    ];
    for (words, wanted) in script {
        let ack = a.text_from("wxid_bob", words).await.context(words)?;
        let texts = ack.ok().context(words)?.texts();
        let text = texts.first().context(words)?;
        check!(
            text.starts_with(wanted),
            "{words}: {text:?}, not {wanted:?}"
        );
    }
    let counted = host.api()?.value("wxid_a", "probe", "n").await?;
    assert_eq!(counted.as_deref(), Some("5"));
    host.end().await
}

#[tokio::test]
async fn a_friend_request_is_accepted_with_its_ticket() -> Result<()> {
    let host = Host::unpaced().await?;
    host.serve_guest("*", "probe").await?;
    host.configure("probe", json!({"report-to": "wxid_log"}))
        .await?;
    let a = host.wehub("wxid_a")?.login().await?;
    let request = json!({"v1": "v1_0a9b@stranger", "v2": "v2_77ff@stranger", "notice_word": "我是 Jerry",
        "raw_msg": "<msg fromusername=\"wxid_friend09\" content=\"我是 Jerry\"/>"});
    let told = a.report("report_friend_add_request", request).await?;
    let told = told.ok()?.texts().join("");
    check!(
        told.contains("wxid_friend09") && told.contains("我是 Jerry"),
        "{told}"
    );
    let (_, rest) = told.split_once("ticket: ").context("no ticket")?;
    let ticket: String = serde_json::Deserializer::from_str(rest)
        .into_iter()
        .next()
        .context("no ticket")??;
    let ack = a
        .text_from("wxid_bob", &format!("friends.accept {ticket}"))
        .await?;
    let accept = ack.ok()?.tasks.first().context("no task")?;
    let wanted = json!({"v1": "v1_0a9b@stranger", "v2": "v2_77ff@stranger"});
    check!(holds(accept, 13, &wanted), "{accept:?}");
    host.end().await
}

#[tokio::test]
async fn messages_of_one_account_wait_for_each_other() -> Result<()> {
    let host = Host::with(limits()).await?;
    host.deploy("slow", &guests::path("slow-host-call")?)
        .await?;
    host.bind("wxid_slow", "slow").await?;
    host.serve_guest("*", "echo").await?;
    let slow = host.wehub("wxid_slow")?.login().await?;
    let twin = slow.twin();
    let message = || Message::private("wxid_slow", "wxid_bob", 1, json!({"msg": "hi"}));
    let (one, two) = (message(), message());
    let began = Instant::now();
    let (first, second) = tokio::join!(slow.deliver(&one), twin.deliver(&two));
    first?.silent()?;
    second?.silent()?;
    let took = began.elapsed();
    check!(
        took >= 2 * CALL_WALL,
        "two calls of one account ran at once: {took:?}"
    );
    host.end().await
}
