//! Timers and schedules, with a clock that the test sets.

use super::*;
use crate::domain::{
    HandlerName, Millis, Timer,
    handler::{Manifest, Schedule, Share, VersionNumber},
    ports::Commit,
    timer::ScheduleDue,
};

const HOUR_MS: u64 = 3_600_000;

fn id(text: &str) -> AccountId {
    text.try_into().unwrap()
}

fn bot() -> HandlerName {
    "bot".try_into().unwrap()
}

fn put(name: &str, due_ms: Millis) -> TimerChange {
    TimerChange::Put {
        timer: Timer {
            handler: bot(),
            id: name.to_owned(),
            due_ms,
            payload: "p".to_owned(),
        },
        instead_of_ms: None,
    }
}

impl Rig {
    /// The bot sets these timers while it handles a message of `wxid_a`.
    async fn set(&self, message: &str, timers: &[(&str, Millis)]) {
        let changes = timers.iter().map(|(name, due)| put(name, *due)).collect();
        *self.bot.timers.lock().unwrap() = changes;
        self.service.deliver(said(message)).await.unwrap();
    }

    fn now(&self) -> Millis {
        self.clock.load(Ordering::SeqCst)
    }

    /// The timers that fired since this was asked last: for whom and which.
    fn fired(&self) -> Vec<(String, String)> {
        let fired = std::mem::take(&mut *self.bot.fired.lock().unwrap());
        let mut fired: Vec<_> = fired.into_iter().map(|(whom, id, _)| (whom, id)).collect();
        fired.sort();
        fired
    }

    async fn deploy(&self, component: &'static [u8], schedules: &[&str], to: Option<(Share, u8)>) {
        let schedules = schedules.iter().map(|text| Schedule::parse(text).unwrap());
        let manifest = Manifest {
            schedules: schedules.collect(),
            ..Manifest::default()
        };
        let deploy = Deploy {
            manifest: Some(manifest),
            to,
            ..Deploy::of(bot(), Bytes::from_static(component))
        };
        self.service.deploy(deploy).await.unwrap();
    }

    /// The host ends, and another begins on the same data, in a moment.
    pub(super) async fn restart(self) -> Self {
        let Inner {
            store,
            runtime,
            blobs,
            native,
            vault,
            check,
            policies,
            ..
        } = &*self.service.0;
        let service = Service::start(
            Arc::clone(store),
            Arc::clone(runtime),
            Arc::clone(blobs),
            Arc::clone(native),
            Arc::clone(vault),
            *check,
            policies.clone(),
        );
        let service = service.await.unwrap();
        Self { service, ..self }
    }
}

fn for_a(name: &str) -> (String, String) {
    ("wxid_a".to_owned(), name.to_owned())
}

#[tokio::test]
async fn timers_fire_once_each_when_they_are_due() {
    let rig = rig(None).await;
    let now_ms = rig.now();
    rig.set("1", &[("soon", now_ms + 10), ("late", now_ms + 20)])
        .await;
    rig.pass(9).await;
    assert_eq!(rig.fired(), []);
    rig.pass(1).await;
    assert_eq!(rig.fired(), [for_a("soon")]);
    let rig = rig.restart().await;
    rig.pass(1_000).await;
    assert_eq!(rig.fired(), [for_a("late")]);
    rig.pass(1_000).await;
    assert_eq!(rig.fired(), []);
    let left = rig.service.timers(&id("wxid_a"), None, 9).await.unwrap();
    assert_eq!(left.items, []);
    // What it asked for waits in the queue.
    assert!(pull(&rig, &id("wxid_a")).await.is_some());
}

#[tokio::test]
async fn a_timer_that_sets_itself_anew_fires_again() {
    let rig = rig(None).await;
    rig.set("1", &[("tick", rig.now() + 10)]).await;
    *rig.bot.timers.lock().unwrap() = vec![put("tick", rig.now() + 20)];
    rig.pass(10).await;
    rig.pass(10).await;
    assert_eq!(rig.fired(), [for_a("tick"), for_a("tick")]);
}

#[tokio::test]
async fn a_firing_that_was_settled_before_is_not_run_again() {
    let rig = rig(None).await;
    let due_ms = rig.now() + 10;
    rig.set("1", &[("t", due_ms)]).await;
    rig.pass(10).await;
    // As if the host had died before it wrote that the alarm was answered.
    rig.service
        .timer_due(&id("wxid_a"), &bot(), "t")
        .await
        .unwrap();
    rig.set("2", &[("t", due_ms)]).await;
    rig.pass(1).await;
    assert_eq!(rig.fired(), [for_a("t")]);
    let left = rig.service.timers(&id("wxid_a"), None, 9).await.unwrap();
    assert_eq!(left.items, []);
}

#[tokio::test]
async fn a_bot_without_room_is_called_later() {
    let rig = rig(None).await;
    rig.set("1", &[("t", rig.now() + 10)]).await;
    rig.bot.busy.store(true, Ordering::SeqCst);
    rig.pass(10).await;
    assert_eq!(rig.fired(), []);
    rig.bot.busy.store(false, Ordering::SeqCst);
    rig.pass(30_000).await;
    assert_eq!(rig.fired(), [for_a("t")]);
}

#[tokio::test]
async fn a_bot_that_fails_at_a_timer_has_had_it() {
    let failure = CallFailure::new(FailureKind::Trap, "boom".to_owned());
    let rig = rig(Some(CallError::Failed(failure.into()))).await;
    rig.log_in("wxid_a", None).await.unwrap();
    let set = Commit {
        timers: vec![put("t", rig.now() + 10)],
        ..Commit::default()
    };
    let turn = rig.service.turn(&id("wxid_a")).await.unwrap();
    rig.service
        .commit(&turn, &id("wxid_a"), set.into())
        .await
        .unwrap();
    drop(turn);
    rig.pass(10).await;
    rig.pass(60_000).await;
    assert_eq!(rig.fired(), [for_a("t")]);
    let failures = rig.service.failures(&id("wxid_a"), 9).await.unwrap();
    let timers = failures
        .iter()
        .filter(|it| it.event.starts_with("timer-bot:t-"));
    assert_eq!(timers.count(), 1);
    let left = rig.service.timers(&id("wxid_a"), None, 9).await.unwrap();
    assert_eq!(left.items, []);
}

#[tokio::test]
async fn a_timer_of_a_bot_that_no_longer_serves_is_dropped() {
    let rig = rig(None).await;
    rig.set("1", &[("t", rig.now() + 10)]).await;
    rig.service.unbind(Scope::All).await.unwrap();
    rig.pass(10).await;
    rig.service.bind(Scope::All, bot()).await.unwrap();
    rig.pass(60_000).await;
    assert_eq!(rig.fired(), []);
    let left = rig.service.timers(&id("wxid_a"), None, 9).await.unwrap();
    assert_eq!(left.items, []);
}

#[tokio::test]
async fn a_timer_waits_until_its_account_logs_in_again() {
    let rig = rig(None).await;
    rig.log_in("wxid_a", None).await.unwrap();
    let due_ms = rig.now() + 10;
    rig.set("1", &[("soon", due_ms), ("late", due_ms + HOUR_MS)])
        .await;
    rig.log_out("wxid_a").await;
    rig.pass(60_000).await;
    assert_eq!(rig.fired(), []);
    let left = rig.service.timers(&id("wxid_a"), None, 9).await.unwrap();
    assert_eq!(left.items.len(), 2);
    let fire = rig.service.fire_timer(&id("wxid_a"), &bot(), "late").await;
    assert!(matches!(fire, Err(Error::Conflict(_))));
    let rig = rig.restart().await;
    rig.pass(1_000).await;
    assert_eq!(rig.fired(), []);
    rig.log_in("wxid_a", None).await.unwrap();
    rig.pass(0).await;
    assert_eq!(rig.fired(), [for_a("soon")]);
    rig.pass(1_000).await;
    assert_eq!(rig.fired(), []);
    rig.pass(HOUR_MS).await;
    assert_eq!(rig.fired(), [for_a("late")]);
}

#[tokio::test]
async fn who_logs_in_soon_after_a_schedule_gets_it_and_once() {
    let rig = rig(None).await;
    // On the hour.
    rig.pass(HOUR_MS - rig.now() % HOUR_MS).await;
    for account in ["wxid_a", "wxid_b"] {
        rig.log_in(account, None).await.unwrap();
    }
    rig.deploy(b"hourly", &["hourly=0 * * * *"], None).await;
    rig.log_out("wxid_a").await;
    rig.pass(HOUR_MS).await;
    let named = |whom: &str| (whom.to_owned(), "schedule:hourly".to_owned());
    assert_eq!(rig.fired(), [named("wxid_b")]);
    rig.log_in("wxid_a", None).await.unwrap();
    // Again, though it was told already.
    rig.log_out("wxid_b").await;
    rig.log_in("wxid_b", None).await.unwrap();
    rig.pass(0).await;
    assert_eq!(rig.fired(), [named("wxid_a")]);
    // The host is down for hours, and its clients log in a while after its start.
    rig.log_out("wxid_a").await;
    rig.clock
        .fetch_add(5 * HOUR_MS + HOUR_MS / 2, Ordering::SeqCst);
    let rig = rig.restart().await;
    rig.pass(60_000).await;
    assert_eq!(rig.fired(), [named("wxid_b")]);
    rig.pass(60_000).await;
    rig.log_in("wxid_a", None).await.unwrap();
    rig.pass(0).await;
    assert_eq!(rig.fired(), [named("wxid_a")]);
    // Who comes later is left out.
    rig.log_out("wxid_a").await;
    rig.pass(HOUR_MS).await;
    assert_eq!(rig.fired(), [named("wxid_b")]);
    rig.pass(10 * 60_000).await;
    rig.log_in("wxid_a", None).await.unwrap();
    rig.pass(0).await;
    assert_eq!(rig.fired(), []);
    // Also when the host was started again since: nothing came due meanwhile.
    rig.log_out("wxid_a").await;
    let rig = rig.restart().await;
    rig.log_in("wxid_a", None).await.unwrap();
    rig.pass(0).await;
    assert_eq!(rig.fired(), []);
}

#[tokio::test]
async fn a_schedule_fires_for_every_account_and_what_was_missed_once() {
    let rig = rig(None).await;
    for account in ["wxid_a", "wxid_b", "wxid_c"] {
        rig.log_in(account, None).await.unwrap();
    }
    let other: HandlerName = "other".try_into().unwrap();
    let deploy = Deploy::of(other.clone(), Bytes::from_static(b"other"));
    rig.service.deploy(deploy).await.unwrap();
    let scope = Scope::Account(id("wxid_c"));
    rig.service.bind(scope, other).await.unwrap();
    rig.deploy(b"hourly", &["hourly=0 * * * *"], None).await;
    let next = rig.service.schedules(&bot()).await.unwrap();
    let next_ms = next.first().and_then(|it| it.next_ms).unwrap();
    assert_eq!(next_ms % HOUR_MS, 0);
    rig.pass(next_ms - rig.now() - 1).await;
    assert_eq!(rig.fired(), []);
    rig.pass(1).await;
    let each = ["wxid_a", "wxid_b"].map(|it| (it.to_owned(), "schedule:hourly".to_owned()));
    assert_eq!(rig.fired(), each);
    rig.clock.fetch_add(5 * HOUR_MS, Ordering::SeqCst);
    let rig = rig.restart().await;
    rig.pass(0).await;
    assert_eq!(rig.fired(), each);
    let view = rig.service.schedules(&bot()).await.unwrap();
    let view = view.first().unwrap();
    assert_eq!(view.last_ms, Some(next_ms + HOUR_MS));
    assert_eq!(view.next_ms, Some(next_ms + 6 * HOUR_MS));
    rig.pass(1_000).await;
    assert_eq!(rig.fired(), []);
}

#[tokio::test]
async fn a_run_that_was_told_and_not_noted_fires_once() {
    let rig = rig(None).await;
    rig.log_in("wxid_a", None).await.unwrap();
    rig.deploy(b"hourly", &["hourly=0 * * * *"], None).await;
    let due = ScheduleDue {
        account: id("wxid_a"),
        handler: bot(),
        schedule: "hourly".to_owned(),
        due_ms: HOUR_MS,
    };
    rig.service.schedule_due(&due).await.unwrap();
    rig.service.schedule_due(&due).await.unwrap();
    assert_eq!(rig.fired(), [for_a("schedule:hourly")]);
}

#[tokio::test]
async fn a_newer_version_s_schedules_run_for_whom_it_serves() {
    let rig = rig(None).await;
    // One minute before the hour.
    rig.pass(HOUR_MS - 60_000 - rig.now()).await;
    for account in ["wxid_a", "wxid_b"] {
        rig.log_in(account, None).await.unwrap();
    }
    rig.deploy(b"one", &["old=0 * * * *", "both=30 * * * *"], None)
        .await;
    let some = Share::Accounts([id("wxid_b")].into());
    let newer = &["new=0 * * * *", "both=45 * * * *"];
    rig.deploy(b"two", newer, Some((some, 20))).await;
    let named = |whom: &str, name: &str| (whom.to_owned(), format!("schedule:{name}"));
    rig.pass(60_000).await;
    let hour = [named("wxid_a", "old"), named("wxid_b", "new")];
    assert_eq!(rig.fired(), hour);
    rig.pass(30 * 60_000).await;
    assert_eq!(rig.fired(), [named("wxid_a", "both")]);
    rig.pass(15 * 60_000).await;
    assert_eq!(rig.fired(), [named("wxid_b", "both")]);
    // Back at once, and what stayed the same goes on.
    rig.service.roll_back(&bot(), None).await.unwrap();
    rig.pass(15 * 60_000).await;
    assert_eq!(
        rig.fired(),
        [named("wxid_a", "old"), named("wxid_b", "old")]
    );
    let views = rig.service.schedules(&bot()).await.unwrap();
    let versions: Vec<_> = views.iter().map(|it| it.version).collect();
    assert_eq!(versions, [VersionNumber(2); 2]);
    assert!(views.iter().all(|it| it.last_ms.is_some()));
}

#[tokio::test]
async fn many_accounts_come_a_few_at_a_time() {
    let (rig, bot) = (rig(None).await, bot());
    for number in 0..150 {
        rig.log_in(&format!("wxid_{number:03}"), None)
            .await
            .unwrap();
    }
    rig.deploy(b"hourly", &["hourly=0 * * * *"], None).await;
    let fired = rig
        .service
        .fire_schedule(&bot, "hourly", None)
        .await
        .unwrap();
    assert_eq!(fired.accounts, 150);
    let mut counts = Vec::new();
    for _ in 0..3 {
        rig.pass(if counts.is_empty() { 0 } else { 250 }).await;
        counts.push(rig.fired().len());
    }
    assert_eq!(counts, [64, 64, 22]);
    rig.pass(HOUR_MS / 4).await;
    assert_eq!(rig.fired(), []);
    let one = rig
        .service
        .fire_schedule(&bot, "hourly", Some(id("wxid_007")));
    assert_eq!(one.await.unwrap().accounts, 1);
    let stranger = rig
        .service
        .fire_schedule(&bot, "hourly", Some(id("nobody")));
    assert!(matches!(stranger.await, Err(Error::NotFound { .. })));
    let unknown = rig.service.fire_schedule(&bot, "daily", None);
    assert!(matches!(unknown.await, Err(Error::NotFound { .. })));
}

#[tokio::test]
async fn what_a_removed_handler_had_is_gone() {
    let rig = rig(None).await;
    rig.log_in("wxid_a", None).await.unwrap();
    rig.deploy(b"hourly", &["hourly=0 * * * *"], None).await;
    rig.service.unbind(Scope::All).await.unwrap();
    rig.service.remove_handler(&bot()).await.unwrap();
    assert_eq!(rig.service.0.store.runs().await.unwrap(), []);
    rig.pass(2 * HOUR_MS).await;
    assert_eq!(rig.fired(), []);
}
