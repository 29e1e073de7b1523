//! Fresh instances against those that are kept for their account, per language, each
//! beside the bare handler.

use serde_json::{Value, json};
use wxhost_tests::{Host, Result, guests, host::Settings, http::Target};

use crate::{
    Plan,
    native::Native,
    speed::{CONNECTIONS, Contender, in_turns, log_in, messages},
    table::Table,
};

/// A language's bot: its language, the guest, and its configuration. All three answer
/// with one text; those in JavaScript and Python count it too.
struct Bot {
    language: &'static str,
    names: [&'static str; 2],
    guest: &'static str,
    config: Value,
}

fn bots() -> [Bot; 3] {
    [
        Bot {
            language: "Rust",
            names: ["Rust, fresh", "Rust, kept"],
            guest: "echo",
            config: json!({}),
        },
        Bot {
            language: "JavaScript",
            names: ["JavaScript, fresh", "JavaScript, kept"],
            guest: "faq",
            config: json!({"faq.price": "A tea is 12 yuan.", "fallback": "Pardon?"}),
        },
        Bot {
            language: "Python",
            names: ["Python, fresh", "Python, kept"],
            guest: "concierge",
            config: json!({"answer.price": "A tea is 12 yuan."}),
        },
    ]
}

/// Measures those that were built.
pub async fn measure(plan: Plan, table: &mut Table) -> Result<()> {
    let native = Native::start().await?;
    let bare = messages(native.target.clone(), 0, CONNECTIONS);
    let mut contenders = vec![Contender::new("bare handler", bare)];
    // Each connection's account has an instance, of three bots.
    let settings = Settings::default()
        .unpaced()
        .limit("warm_instances", u64::from(CONNECTIONS) * 3);
    let host = Host::with(settings).await?;
    let target = Target::parse(&host.callback_url()?)?;
    let mut first_account = 0;
    for bot in bots() {
        if guests::path(bot.guest).is_err() {
            eprintln!("left out: {} was not built", bot.guest);
            continue;
        }
        for (name, instances) in bot.names.into_iter().zip(["fresh", "per-account"]) {
            let handler = format!("{}-{instances}", bot.guest);
            let options = json!({"manifest": {"instances": instances}});
            let api = host.api()?;
            let component = guests::bytes(bot.guest)?;
            api.deploy_with(&handler, component, &options).await?.ok()?;
            host.configure(&handler, bot.config.clone()).await?;
            for number in 0..CONNECTIONS {
                let account = format!("wxid_load{:06}", first_account + number);
                host.bind(&account, &handler).await?;
            }
            log_in(target.clone(), first_account, CONNECTIONS).await?;
            let load = messages(target.clone(), first_account, CONNECTIONS);
            contenders.push(Contender::new(name, load));
            first_account += CONNECTIONS;
        }
    }
    in_turns(plan, &mut contenders).await?;
    let bare = contenders.first().map_or(0.0, Contender::per_second);
    for contender in &contenders {
        let (name, rate) = (contender.name(), contender.per_second());
        table.row(format!("{name}: messages"), rate, "/s", None);
        if name != "bare handler" {
            table.row(
                format!("{name}: of the bare handler"),
                rate / bare,
                "",
                None,
            );
        }
    }
    let rate = |name: &str| {
        let found = contenders.iter().find(|it| it.name() == name);
        found.map(Contender::per_second)
    };
    for bot in bots() {
        if let (Some(fresh), Some(kept)) = (rate(bot.names[0]), rate(bot.names[1])) {
            let name = format!("{}: kept, of fresh", bot.language);
            table.row(name, kept / fresh, "", None);
        }
    }
    host.end().await
}
