//! How long a large contact report takes, and what others notice of it.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;
use wxhost_tests::{
    Context, Host, Result, WehubClient, check,
    http::Target,
    load::{Measured, Stop},
};

use crate::{
    Plan, speed,
    table::{Aim, Table},
};

/// How many contacts a large account has.
const CONTACTS: usize = 20_000;
/// How long its report is at the least, in bytes.
const REPORT_BYTES: usize = 10_000_000;
/// How long the report may take, in ms.
const REPORT_AIM: Aim = Aim::AtMost(2_000.0);
/// By how much the others' p99 may grow.
const DELAY_AIM: Aim = Aim::AtMost(2.0);
/// How many others there are. They do not keep the machine busy: then whatever is
/// added delays all.
const OTHERS: u32 = 4;

/// Measures rounds with a report beside rounds without one.
pub async fn measure(plan: Plan, table: &mut Table) -> Result<()> {
    let host = Host::unpaced().await?;
    host.serve_guest("*", "echo").await?;
    let target = Target::parse(&host.callback_url()?)?;
    speed::log_in(target.clone(), 0, OTHERS).await?;
    let mut load = speed::messages(target, 0, OTHERS);
    load.connections = OTHERS;
    load.stop = Stop::After(plan.warm_up);
    load.run().await?.flawless()?;
    load.stop = Stop::After(plan.round);
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    let mut longest = Duration::ZERO;
    for round in 0..plan.rounds {
        eprintln!("round {}: others alone, then beside a report", round + 1);
        alone.push(load.run().await?.flawless()?);
        let client = host.wehub(&format!("wxid_large{round}"))?.login().await?;
        let (measured, took) = tokio::try_join!(load.run(), report(&client))?;
        beside.push(measured.flawless()?);
        longest = longest.max(took);
    }
    let name = format!("report of {CONTACTS} contacts in 10 MB, the slowest");
    table.row(name, longest.as_secs_f64() * 1000.0, "ms", Some(REPORT_AIM));
    let (alone, beside) = (p99(alone)?, p99(beside)?);
    table.row("others meanwhile: p99".to_owned(), beside, "ms", None);
    let name = "others meanwhile: p99 of that without".to_owned();
    table.row(name, beside / alone, "", Some(DELAY_AIM));
    host.end().await
}

fn p99(rounds: Vec<Measured>) -> Result<f64> {
    let mut rounds = rounds.into_iter();
    let mut all = rounds.next().context("no round was measured")?;
    rounds.try_for_each(|round| all.add(round))?;
    Ok(all.latency_ms(0.99))
}

/// Sends the report and waits for its answer.
async fn report(client: &WehubClient) -> Result<Duration> {
    let body = client
        .identity()
        .envelope("report_contact", contacts())
        .to_string();
    check!(body.len() >= REPORT_BYTES, "only {} bytes", body.len());
    let began = Instant::now();
    let answer = client.send_raw(body.as_bytes()).await?;
    answer.ack("report_contact")?.ok()?;
    Ok(began.elapsed())
}

/// As an account has them that has long names and addresses.
fn contacts() -> Value {
    let friend = |number: usize| {
        json!({
            "wxid": format!("wxid_friend{number:08}"), "wx_alias": format!("alias_{number}"),
            "nickname": format!("好友 {number}"), "remark_name": format!("客户 {number} {}", "杭州".repeat(10)),
            "head_img": format!("http://wx.qlogo.cn/mmhead/ver_1/{number:0>220}/0"),
            "sex": number % 3, "country": "CN", "province": "Zhejiang", "city": "Hangzhou",
        })
    };
    let friends: Vec<_> = (0..CONTACTS).map(friend).collect();
    json!({"friend_list": friends, "group_list": [], "public_list": []})
}
