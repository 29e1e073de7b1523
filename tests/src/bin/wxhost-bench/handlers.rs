//! What handlers cost: deploying, and many of them.

use serde_json::json;
use tokio::time::Instant;
use wxhost_tests::{Context, Host, Result, component::with_module, guests};

use crate::{
    Plan,
    table::{Aim, Table},
};

/// From the request to deploy to the new version's first answer, in ms.
const DEPLOY_AIM: Aim = Aim::AtMost(100.0);

/// Measures both.
pub async fn measure(plan: Plan, table: &mut Table) -> Result<()> {
    deploys(plan, table).await?;
    many(plan, table).await
}

/// The same component again and again as another version: it is compiled once.
async fn deploys(plan: Plan, table: &mut Table) -> Result<()> {
    let host = Host::unpaced().await?;
    host.serve_guest("*", "echo").await?;
    let client = host.wehub("wxid_a")?.login().await?;
    let (api, echo) = (host.api()?, guests::bytes("echo")?);
    let mut took = Vec::new();
    for number in 0..plan.deploys {
        let options = json!({"manifest": {"own_messages": number % 2 == 0}});
        let began = Instant::now();
        let deploy = api.deploy_with("echo", echo.clone(), &options).await?;
        client.text_from("wxid_bob", "hello").await?.says("hello")?;
        took.push(began.elapsed().as_secs_f64() * 1000.0);
        wxhost_tests::check!(deploy.ok()?["change"] == "replaced", "no new version");
    }
    took.sort_by(f64::total_cmp);
    let median = took.get(took.len() / 2).context("no deployment")?;
    let name = "deploying what is compiled, to its first answer".to_owned();
    table.row(name, *median, "ms", Some(DEPLOY_AIM));
    host.end().await
}

/// Many handlers, each with a component of its own.
async fn many(plan: Plan, table: &mut Table) -> Result<()> {
    let mut host = Host::unpaced().await?;
    host.serve_guest("*", "echo").await?;
    let empty_bytes = restarted(&mut host).await?;
    let (api, echo, count) = (host.api()?, guests::bytes("echo")?, plan.handlers);
    eprintln!("deploying {count} handlers");
    let began = Instant::now();
    for number in 0..count {
        let module = format!("(module (func (result i32) i32.const {number}))");
        let module = wat::parse_str(module).context("the module")?;
        let component = with_module(&echo, &module, 0)?;
        api.deploy(&format!("bench-{number}"), component)
            .await?
            .ok()?;
    }
    let each_ms = began.elapsed().as_secs_f64() * 1000.0 / f64::from(count);
    table.row(
        format!("{count} handlers: deploying each"),
        each_ms,
        "ms",
        None,
    );
    let full_bytes = restarted(&mut host).await?;
    let start_s = host.started_in()?.as_secs_f64();
    table.row(format!("{count} handlers: start"), start_s, "s", None);
    let each_kib = (full_bytes as f64 - empty_bytes as f64) / f64::from(count) / 1024.0;
    table.row(
        format!("{count} handlers: memory of each"),
        each_kib,
        "KiB",
        None,
    );
    host.end().await
}

/// Starts it again, and gives the memory that it has then.
async fn restarted(host: &mut Host) -> Result<u64> {
    wxhost_tests::check!(host.terminate().await?.success(), "the host ended badly");
    host.start_again().await?;
    host.memory_bytes()
}
