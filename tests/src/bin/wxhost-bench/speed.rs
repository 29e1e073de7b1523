//! How many messages per second: the bare handler, the host with the Rust bot,
//! the host with the JavaScript bot. Each in turns, so that what else the
//! machine does hits all of them.

use std::time::Duration;

use serde_json::json;
use wxhost_tests::{
    Context, Host, Result, guests,
    host::{APPID, Settings},
    http::Target,
    load::{ACCOUNT, Load, MESSAGE_ID, Measured, Stop},
};

use crate::{
    Plan,
    native::Native,
    table::{Aim, Table},
};

/// How many connections there are.
pub const CONNECTIONS: u32 = 32;
/// How long a request's body is, in bytes.
const BODY_BYTES: usize = 300;
/// The accounts that the JavaScript bot serves begin here.
const FIRST_FAQ_ACCOUNT: u32 = 1000;
/// What every answer must contain.
const ANSWERED: &str = r#""task_type":1"#;

/// What one contender reached.
pub struct Contender {
    name: &'static str,
    load: Load,
    rounds: Vec<Measured>,
}

impl Contender {
    /// One to be measured.
    pub fn new(name: &'static str, load: Load) -> Self {
        let rounds = Vec::new();
        Self { name, load, rounds }
    }

    /// What it is called.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Answers per second, the median of the rounds.
    pub fn per_second(&self) -> f64 {
        let mut all: Vec<_> = self.rounds.iter().map(Measured::per_second).collect();
        all.sort_by(f64::total_cmp);
        all.get(all.len() / 2).copied().unwrap_or_default()
    }

    /// The latency that this share of all answers did not exceed, in ms: the
    /// median of the rounds.
    pub fn latency_ms(&self, share: f64) -> f64 {
        let rounds = self.rounds.iter();
        let mut all: Vec<_> = rounds.map(|round| round.latency_ms(share)).collect();
        all.sort_by(f64::total_cmp);
        all.get(all.len() / 2).copied().unwrap_or_default()
    }
}

/// A message of the usual size to one of these accounts.
pub fn messages(target: Target, first_account: u32, accounts: u32) -> Load {
    let with = |text: &str| {
        format!(
            r#"{{"action":"report_new_msg","appid":"{APPID}","wxid":"wxid_load{ACCOUNT}","data":{{"msg":{{"msg_id":"{MESSAGE_ID}","msg_timestamp":1574064000124,"msg_type":1,"room_wxid":"","wxid_from":"wxid_friend01","wxid_to":"wxid_load{ACCOUNT}","atUserList":[],"msg":"price? {text}"}}}}}}"#
        )
    };
    let padding = BODY_BYTES.saturating_sub(with("").len());
    Load {
        target,
        body: with(&"x".repeat(padding)),
        connections: CONNECTIONS,
        accounts,
        first_account,
        stop: Stop::After(Duration::ZERO),
        expect: ANSWERED,
    }
}

/// Logs these accounts in.
pub async fn log_in(target: Target, first_account: u32, accounts: u32) -> Result<Measured> {
    let body = format!(
        r#"{{"action":"login","appid":"{APPID}","wxid":"wxid_load{ACCOUNT}","client_session":"cs-{ACCOUNT}","data":{{"nickname":"Nick {ACCOUNT}","wx_alias":"","head_img":"http://img.example/{ACCOUNT}.jpg","client_version":"0.4.26","nonce":"n-{ACCOUNT}","local_ip":"192.168.0.104","machine_id":"DESKTOP_{ACCOUNT}"}}}}"#
    );
    let load = Load {
        target,
        body,
        connections: CONNECTIONS.min(accounts),
        accounts,
        first_account,
        stop: Stop::OncePerAccount,
        expect: r#""error_code":0"#,
    };
    load.run().await?.flawless()
}

/// Warms all of them up, then measures them in turns.
pub async fn in_turns(plan: Plan, contenders: &mut [Contender]) -> Result<()> {
    for contender in contenders.iter_mut() {
        eprintln!("warming up: {}", contender.name);
        contender.load.stop = Stop::After(plan.warm_up);
        contender.load.run().await?.flawless()?;
        contender.load.stop = Stop::After(plan.round);
    }
    for round in 1..=plan.rounds {
        for contender in contenders.iter_mut() {
            let measured = contender.load.run().await?.flawless()?;
            let per_second = measured.per_second();
            eprintln!("round {round}: {}: {per_second:.0}/s", contender.name);
            contender.rounds.push(measured);
        }
    }
    Ok(())
}

/// Keeps a host with this bot busy and says what it reached.
pub async fn busy(guest: &str, time: Duration, settings: &[String]) -> Result<()> {
    let mut all = Settings::default().unpaced();
    for setting in settings {
        let (key, value) = setting.split_once('=').context("KEY=VALUE")?;
        let name = format!("WXHOST_{}", key.to_uppercase().replace('.', "__"));
        all = all.env(&name, value);
    }
    let host = Host::with(all).await?;
    let target = Target::parse(&host.callback_url()?)?;
    host.serve_guest("*", guest).await?;
    if guest == "faq" {
        host.configure("faq", json!({"fallback": "Pardon?"}))
            .await?;
    }
    log_in(target.clone(), 0, CONNECTIONS).await?;
    let mut load = messages(target, 0, CONNECTIONS);
    load.stop = Stop::After(time);
    let measured = load.run().await?.flawless()?;
    let (p50, p99) = (measured.latency_ms(0.50), measured.latency_ms(0.99));
    println!(
        "{:.0}/s, p50 {p50:.2} ms, p99 {p99:.2} ms",
        measured.per_second()
    );
    host.end().await
}

/// Measures the three.
pub async fn measure(plan: Plan, table: &mut Table) -> Result<()> {
    let native = Native::start().await?;
    let host = Host::unpaced().await?;
    let target = Target::parse(&host.callback_url()?)?;
    host.serve_guest("*", "echo").await?;
    log_in(target.clone(), 0, CONNECTIONS).await?;
    let mut contenders = vec![
        Contender::new(
            "bare handler",
            messages(native.target.clone(), 0, CONNECTIONS),
        ),
        Contender::new("host, Rust bot", messages(target.clone(), 0, CONNECTIONS)),
    ];
    if serve_javascript(&host, &target).await? {
        let load = messages(target, FIRST_FAQ_ACCOUNT, CONNECTIONS);
        contenders.push(Contender::new("host, JavaScript bot", load));
    }
    in_turns(plan, &mut contenders).await?;
    let aims = [None, Some(0.40), Some(0.12)];
    let bare = contenders.first().map_or(0.0, Contender::per_second);
    for (contender, aim) in contenders.iter().zip(aims) {
        report(table, contender, bare, aim);
    }
    host.end().await
}

fn report(table: &mut Table, contender: &Contender, bare: f64, aim: Option<f64>) {
    let name = contender.name;
    let per_second = contender.per_second();
    table.row(format!("{name}: messages"), per_second, "/s", None);
    if let Some(aim) = aim {
        let ratio = per_second / bare;
        table.row(
            format!("{name}: of the bare handler"),
            ratio,
            "",
            Some(Aim::AtLeast(aim)),
        );
    }
    table.row(
        format!("{name}: p50"),
        contender.latency_ms(0.50),
        "ms",
        None,
    );
    let aim = (aim == Some(0.40)).then_some(Aim::AtMost(10.0));
    table.row(
        format!("{name}: p99"),
        contender.latency_ms(0.99),
        "ms",
        aim,
    );
}

/// Has the JavaScript bot serve accounts of its own, if it was built.
async fn serve_javascript(host: &Host, target: &Target) -> Result<bool> {
    let Some(faq) = guests::javascript("faq")? else {
        return Ok(false);
    };
    host.deploy("faq", &faq).await?;
    let config = json!({"faq.price": "A tea is 12 yuan.", "fallback": "Pardon?"});
    host.configure("faq", config).await?;
    for number in 0..CONNECTIONS {
        let account = format!("wxid_load{:06}", FIRST_FAQ_ACCOUNT + number);
        host.bind(&account, "faq").await?;
    }
    log_in(target.clone(), FIRST_FAQ_ACCOUNT, CONNECTIONS).await?;
    Ok(true)
}
