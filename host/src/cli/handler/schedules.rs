//! `wxhost handler schedules` and `fire`: when a bot is called by itself.

use clap::Args;
use serde_json::json;

use crate::{
    cli::{
        client::Client,
        failure::Failure,
        output::{Printed, Style, Table},
        parse,
    },
    domain::{
        AccountId, HandlerName,
        handler::{Fired, ScheduleView},
    },
    edge::control::wire::List,
};

/// `wxhost handler fire`.
#[derive(Args)]
pub struct FireArgs {
    /// Whose schedule
    #[arg(value_parser = parse::handler_name)]
    name: HandlerName,
    /// Which, by its name
    schedule: String,
    /// For this account only
    #[arg(long, value_name = "ID", value_parser = parse::account)]
    account: Option<AccountId>,
}

impl FireArgs {
    /// Fires it.
    pub async fn run(self, client: &Client, json: bool) -> Result<Printed, Failure> {
        let path = [
            "handlers",
            self.name.as_str(),
            "schedules",
            &self.schedule,
            "fire",
        ];
        let body = match &self.account {
            Some(account) => json!({ "account": account }),
            None => json!({}),
        };
        let reply = client.post(&path, &[], body.to_string(), None).await?;
        if json {
            return Ok(Printed::ok(reply.text));
        }
        let fired: Fired = reply.read()?;
        let accounts = match fired.accounts {
            1 => "1 account".to_owned(),
            count => format!("{count} accounts"),
        };
        Ok(Printed::ok(format!(
            "{} fires for {accounts}",
            self.schedule
        )))
    }
}

/// Lists the schedules of a handler.
pub async fn schedules(
    client: &Client,
    style: &Style,
    json: bool,
    name: &HandlerName,
) -> Result<Printed, Failure> {
    let reply = client
        .get(&["handlers", name.as_str(), "schedules"], &[])
        .await?;
    if json {
        return Ok(Printed::ok(reply.text));
    }
    Ok(Printed::ok(table(&reply.read()?, name, style)))
}

fn table(list: &List<ScheduleView>, name: &HandlerName, style: &Style) -> String {
    if list.items.is_empty() {
        return format!(
            "{name} has no schedules: `wxhost handler deploy {name} FILE --schedule \
             'NAME=CRON[@ZONE]'`"
        );
    }
    let mut table = Table::new(["NAME", "VERSION", "CRON", "ZONE", "NEXT", "LAST"]);
    let when = |at_ms: Option<_>| at_ms.map_or_else(|| "never".to_owned(), |at| style.when(at));
    for it in &list.items {
        table.row([
            it.schedule.name.as_str().into(),
            it.version.to_string().into(),
            it.schedule.cron.as_str().into(),
            it.schedule.zone.as_str().into(),
            when(it.next_ms).into(),
            when(it.last_ms).into(),
        ]);
    }
    table.show(style)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::domain::handler::{Schedule, VersionNumber};

    #[test]
    fn schedules_are_shown_with_their_times() {
        let view = ScheduleView {
            schedule: Schedule::parse("daily=0 8 * * *").unwrap(),
            version: VersionNumber(2),
            next_ms: Some(8 * 3_600_000),
            last_ms: None,
        };
        let faq = "faq".try_into().unwrap();
        let shown = table(&List::whole([view]), &faq, &Style::plain(0));
        assert_eq!(
            shown,
            "NAME   VERSION  CRON       ZONE  NEXT                           LAST\n\
             daily  2        0 8 * * *  UTC   in 8 h (1970-01-01T08:00:00Z)  never\n"
        );
        let none = table(&List::whole([]), &faq, &Style::plain(0));
        assert!(
            none.contains("wxhost handler deploy faq FILE --schedule"),
            "{none}"
        );
    }
}
