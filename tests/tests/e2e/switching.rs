//! Changes of versions under load: no event is lost, none runs on two versions, and what
//! is under way ends on the version that it began with.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use reqwest::Method;
use serde_json::{Value, json};
use wxhost_tests::{
    Context, Host, Result, Site, WehubClient, check, fail,
    guests::{stamp, stamped},
    host::Settings,
    poll,
    wehub::Message,
};

/// How long something may take to come about on a busy machine.
const SOON: Duration = Duration::from_secs(20);
/// Between two messages of an account: a chat, not a flood, so that there are messages at
/// every change and their events can be read at the end.
const PACE: Duration = Duration::from_millis(10);

/// How often the host is killed, a bit later each time.
const KILLS: u32 = 12;
/// The one of them that comes when a deployment is likely to have ended: those before it
/// come amid it, and those after it say that later ones lose nothing.
const KILLS_WITHIN: u32 = 8;

/// What an account was told, in order.
type Told = Vec<(Message, String)>;

/// A host whose accounts are served by `bot`, whose calls may wait for this site.
async fn host() -> Result<Host> {
    Host::with(Settings::patient()).await
}

/// Deploys the build of this number; for all accounts, unless the options say so.
async fn deploy(host: &Host, number: u32, options: &Value) -> Result<Value> {
    let api = host.api()?;
    let deployed = api.deploy_with("bot", stamped(number)?, options).await?;
    deployed.ok()
}

/// `POST` to the handler.
async fn change(host: &Host, what: &str) -> Result<Value> {
    let path = format!("/handlers/bot/{what}");
    let changed = host.api()?.request(Method::POST, &path, None).await?;
    changed.ok()
}

/// The one text of an answer, and the stamp that it begins with.
fn stamp_of(texts: Vec<String>, rest: &str) -> Result<String> {
    let [text] = texts.as_slice() else {
        fail!("{} answers to {rest:?}: {texts:?}", texts.len());
    };
    let stamp = text.split(' ').next().unwrap_or_default();
    // The first time that the bot has seen it, whichever version.
    check!(*text == format!("{stamp} 1 {rest}"), "{rest:?}: {text}");
    Ok(stamp.to_owned())
}

async fn ask(client: &WehubClient, text: &str) -> Result<String> {
    let ack = client.text_from("wxid_bob", text).await?;
    stamp_of(ack.ok()?.texts(), text)
}

/// Numbered messages as long as the versions change. Each is reported twice at the same
/// time, as by a client that was not answered: the answer is the same.
async fn chat(client: WehubClient, going: &AtomicBool) -> Result<Told> {
    let twin = client.twin();
    let mut told = Told::new();
    while going.load(Ordering::Relaxed) {
        let text = format!("message {}", told.len());
        let message = client.text("wxid_bob", &text);
        let (first, second) = tokio::try_join!(client.deliver(&message), twin.deliver(&message))?;
        let stamp = stamp_of(first.ok()?.texts(), &text)?;
        assert_eq!(stamp_of(second.ok()?.texts(), &text)?, stamp);
        told.push((message, stamp));
        tokio::time::sleep(PACE).await;
    }
    Ok(told)
}

/// Deploys, rolls back, rolls out and promotes, again and again. What serves everybody
/// after a change serves the very next event.
async fn change_versions(host: &Host, watcher: &WehubClient, rounds: u32) -> Result<()> {
    let mut asked = 0;
    let mut serves = async |number: u32| {
        asked += 1;
        let told = ask(watcher, &format!("watch {asked}")).await?;
        check!(told == stamp(number), "{told}, not {}", stamp(number));
        Ok::<_, wxhost_tests::Error>(())
    };
    for round in 0..rounds {
        // Three builds that take turns: the first serves.
        let [first, second, third] = [0, 1, 2].map(|step| (round + step) % 3);
        serves(first).await?;
        deploy(host, second, &json!({})).await?;
        serves(second).await?;
        change(host, "rollback").await?;
        serves(first).await?;
        deploy(host, third, &json!({"rollout": {"percent": 50}})).await?;
        change(host, "rollback").await?;
        serves(first).await?;
        deploy(host, second, &json!({"rollout": {"percent": 50}})).await?;
        change(host, "promote").await?;
        serves(second).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_event_is_answered_once_by_one_version_while_versions_change() -> Result<()> {
    let host = host().await?;
    let first = deploy(&host, 0, &json!({})).await?;
    assert_eq!(first["version"], 1);
    host.bind("*", "bot").await?;
    let accounts = ["wxid_a", "wxid_b", "wxid_c", "wxid_d"];
    let mut clients = Vec::new();
    for account in accounts {
        clients.push(host.wehub(account)?.login().await?);
    }
    let watcher = host.wehub("wxid_watcher")?.login().await?;

    let going = AtomicBool::new(true);
    let chats = clients.into_iter().map(|client| chat(client, &going));
    let changes = async {
        let changed = change_versions(&host, &watcher, 4).await;
        going.store(false, Ordering::Relaxed);
        changed
    };
    let all = futures_util::future::try_join_all(chats);
    let (told, ()) = tokio::try_join!(all, changes)?;

    let mut stamps = BTreeSet::new();
    for (account, told) in accounts.into_iter().zip(told) {
        check!(told.len() > 10, "{account}: {} messages", told.len());
        settled(&host, account, &told).await.context(account)?;
        stamps.extend(told.into_iter().map(|(_, stamp)| stamp));
    }
    let all = BTreeSet::from([0, 1, 2].map(stamp));
    assert_eq!(stamps, all, "the messages came while all of them served");
    check!(
        host.api()?.get("/handlers/bot").await?["returned"].is_null(),
        "no version failed"
    );
    host.end().await
}

/// Each of these was handled, with one task and one count in the bot's store.
async fn settled(host: &Host, account: &str, told: &Told) -> Result<()> {
    let api = host.api()?;
    let events = api.events(account).await?;
    for (message, _) in told {
        let key = message.event_key();
        let same: Vec<_> = events.iter().filter(|it| it["key"] == *key).collect();
        let [event] = same.as_slice() else {
            fail!("{key} is there {} times", same.len());
        };
        assert_eq!(event["outcome"], "handled", "{event}");
        assert_eq!(event["tasks"].as_array().map(Vec::len), Some(1), "{event}");
    }
    assert_eq!(api.tasks(account).await?.len(), told.len());
    let path = format!("/accounts/{account}/kv/bot");
    let kept = api.list(&path, "after").await?;
    assert_eq!(kept.len(), told.len());
    // "1", as the store shows it.
    check!(
        kept.iter().all(|it| it["value_base64"] == "MQ=="),
        "{kept:?}"
    );
    check!(api.failures(account).await?.is_empty(), "a call failed");
    Ok(())
}

/// Has account A wait for the site inside of its call while the version changes, and says
/// what came of it: the stamp of that call, of A's next event, which waits for its turn,
/// and of B's, which is answered meanwhile.
async fn over(
    host: &Host,
    site: &Site,
    change: impl Future<Output = Result<Value>>,
) -> Result<[String; 3]> {
    site.hold();
    let (a, b) = (host.wehub("wxid_a")?, host.wehub("wxid_b")?);
    let twin = a.twin();
    let before = site.asked();
    let [next, other] = ["next", "other"].map(|what| format!("{what} {before}"));
    let slow = format!("wait {}", site.url(&format!("/wait/{before}")));
    let meanwhile = async {
        let under_way = poll::until("the call is under way", SOON, async || {
            Ok((site.asked() > before).then_some(()))
        });
        under_way.await?;
        change.await?;
        let other = async {
            let other = ask(&b, &other).await?;
            site.release();
            Ok(other)
        };
        tokio::try_join!(ask(&twin, &next), other)
    };
    let (slow, (next, other)) = tokio::try_join!(ask(&a, &slow), meanwhile)?;
    // On both versions it would have asked twice.
    assert_eq!(site.asked(), before + 1);
    Ok([slow, next, other])
}

#[tokio::test]
async fn a_call_under_way_ends_on_the_version_that_it_began_with() -> Result<()> {
    let (host, site) = (host().await?, Site::start().await?);
    let options = json!({"manifest": {"allowed_hosts": [site.origin()]}});
    deploy(&host, 1, &options).await?;
    deploy(&host, 2, &options).await?;
    host.bind("*", "bot").await?;
    host.wehub("wxid_a")?.login().await?;
    host.wehub("wxid_b")?.login().await?;

    let rolled_back = over(&host, &site, change(&host, "rollback")).await?;
    assert_eq!(rolled_back, [stamp(2), stamp(1), stamp(1)]);
    let deployed = over(&host, &site, deploy(&host, 2, &options)).await?;
    assert_eq!(deployed, [stamp(1), stamp(2), stamp(2)]);
    // For the account that is in a call, and no other.
    let mut some = options.clone();
    some["rollout"] = json!({"accounts": ["wxid_a"]});
    let rolled_out = over(&host, &site, deploy(&host, 1, &some)).await?;
    assert_eq!(rolled_out, [stamp(2), stamp(1), stamp(2)]);
    let promoted = over(&host, &site, change(&host, "promote")).await?;
    assert_eq!(promoted, [stamp(1), stamp(1), stamp(1)]);
    for account in ["wxid_a", "wxid_b"] {
        check!(
            host.api()?.failures(account).await?.is_empty(),
            "{account}: a call failed"
        );
    }
    host.end().await
}

/// How long one deployment of what serves no more takes on this machine, the first after a
/// start. The build 1 serves before and after it.
async fn deployment(host: &mut Host) -> Result<Duration> {
    host.kill9().await?;
    host.start_again().await?;
    let began = Instant::now();
    deploy(host, 0, &json!({})).await?;
    let took = began.elapsed();
    deploy(host, 1, &json!({})).await?;
    Ok(took)
}

/// A deployment and a message at the same time, and the process killed somewhere in between.
#[tokio::test]
async fn a_kill_amid_a_deployment_leaves_each_event_one_answer_of_one_version() -> Result<()> {
    let mut host = host().await?;
    deploy(&host, 0, &json!({})).await?;
    host.bind("*", "bot").await?;
    // Compiled before, so that a deployment is quick enough to be hit anywhere.
    deploy(&host, 1, &json!({})).await?;
    let mut a = host.wehub("wxid_a")?.login().await?;
    let took = deployment(&mut host).await?;
    a = a.moved_to(&host.callback_url()?)?;
    let mut told = Told::new();
    for round in 0..KILLS {
        let text = format!("message {round}");
        let message = a.text("wxid_bob", &text);
        let api = host.api()?;
        let bytes = stamped(round % 2)?;
        let changing = tokio::spawn(async move { api.deploy("bot", bytes).await });
        let (client, sent) = (a.twin(), message.clone());
        let asking = tokio::spawn(async move { client.deliver(&sent).await });
        // Before, within and after both of them.
        tokio::time::sleep(took * round / KILLS_WITHIN).await;
        host.kill9().await?;
        let (changed, answered) = (changing.await?, asking.await?);
        host.start_again().await?;
        a = a.moved_to(&host.callback_url()?)?;

        // The client did not hear of it, or forgot, and says it again.
        let again = a.deliver(&message).await?;
        let stamp = stamp_of(again.ok()?.texts(), &text)?;
        if let Ok(answered) = answered {
            assert_eq!(stamp_of(answered.ok()?.texts(), &text)?, stamp);
        }
        told.push((message, stamp));
        // What was said to be deployed is, and if it was not said it may be.
        let serving = ask(&a, &format!("after {round}")).await?;
        if let Ok(changed) = changed {
            changed.ok()?;
            assert_eq!(serving, self::stamp(round % 2), "round {round}");
        }
    }
    let api = host.api()?;
    for (round, (message, _)) in told.iter().enumerate() {
        let path = format!("/accounts/wxid_a/events/{}", message.event_key());
        let event = api.get(&path).await?;
        assert_eq!(event["outcome"], "handled", "{event}");
        assert_eq!(event["tasks"].as_array().map(Vec::len), Some(1), "{event}");
        let key = format!("message {round}");
        let count = api.value("wxid_a", "bot", &key).await?;
        assert_eq!(count.as_deref(), Some("1"), "{key}");
    }
    host.end().await
}
