//! What accounts cost that are known and idle: throughput, memory, start time.

use wxhost_tests::{Host, Result, check, http::Target};

use crate::{
    Plan,
    speed::{Contender, in_turns, log_in, messages},
    table::{Aim, Table},
};

/// How many accounts are few.
const FEW: u32 = 100;

/// A host that knows this many accounts and was started anew since.
struct Known {
    host: Host,
    accounts: u32,
    rested_bytes: u64,
}

impl Known {
    async fn prepare(accounts: u32, table: &mut Table) -> Result<Self> {
        let mut host = Host::unpaced().await?;
        host.serve_guest("*", "echo").await?;
        let target = Target::parse(&host.callback_url()?)?;
        let logins = log_in(target, 0, accounts).await?;
        let rate = logins.per_second();
        table.row(format!("{accounts} accounts: logins"), rate, "/s", None);
        check!(host.terminate().await?.success(), "the host ended badly");
        host.start_again().await?;
        let rested_bytes = host.memory_bytes()?;
        Ok(Self {
            host,
            accounts,
            rested_bytes,
        })
    }

    /// Messages to all the accounts that it knows.
    fn contender(&self, name: &'static str) -> Result<Contender> {
        let target = Target::parse(&self.host.callback_url()?)?;
        Ok(Contender::new(name, messages(target, 0, self.accounts)))
    }
}

/// Measures few against many.
pub async fn measure(plan: Plan, table: &mut Table) -> Result<()> {
    let few = Known::prepare(FEW, table).await?;
    let many = Known::prepare(plan.many_accounts, table).await?;
    let start_s = many.host.started_in()?.as_secs_f64();
    let mut contenders = [
        few.contender("few accounts")?,
        many.contender("many accounts")?,
    ];
    in_turns(plan, &mut contenders).await?;
    report_speed(table, &contenders, plan.many_accounts);
    let n = plan.many_accounts;
    table.row(
        format!("{n} accounts: start"),
        start_s,
        "s",
        Some(Aim::AtMost(2.0)),
    );
    let aim = Some(Aim::AtMost(2.0));
    let rested = each_kib(few.rested_bytes, many.rested_bytes, n);
    table.row(
        "memory of an idle account, after a start".to_owned(),
        rested,
        "KiB",
        aim,
    );
    let loaded = each_kib(few.host.memory_bytes()?, many.host.memory_bytes()?, n);
    table.row(
        "memory of an account, after the load".to_owned(),
        loaded,
        "KiB",
        aim,
    );
    few.host.end().await?;
    many.host.end().await
}

fn report_speed(table: &mut Table, contenders: &[Contender; 2], many_accounts: u32) {
    let [few, many] = contenders;
    for (contender, accounts) in [(few, FEW), (many, many_accounts)] {
        let name = format!("{accounts} accounts: messages");
        table.row(name, contender.per_second(), "/s", None);
        let name = format!("{accounts} accounts: p99");
        table.row(name, contender.latency_ms(0.99), "ms", None);
    }
    let ratio = many.per_second() / few.per_second();
    let name = format!("{many_accounts} accounts: of {FEW}");
    table.row(name, ratio, "", Some(Aim::AtLeast(0.90)));
}

/// What each further account costs, in KiB.
fn each_kib(few_bytes: u64, many_bytes: u64, many_accounts: u32) -> f64 {
    let more = many_bytes as f64 - few_bytes as f64;
    more / f64::from(many_accounts - FEW) / 1024.0
}
