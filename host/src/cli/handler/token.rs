//! `wxhost handler token`.

use crate::{
    cli::{client::Client, failure::Failure, output::Printed},
    domain::HandlerName,
    edge::control::wire::TokenView,
};

/// Makes a new token for the callers of an endpoint.
pub async fn renew(client: &Client, json: bool, name: &HandlerName) -> Result<Printed, Failure> {
    let path = ["handlers", name.as_str(), "token"];
    let reply = client.post(&path, &[], String::new(), None).await?;
    if json {
        return Ok(Printed::ok(reply.text));
    }
    let made: TokenView = reply.read()?;
    Ok(Printed::ok(shown(&made.token)))
}

/// A token with what there is to know about it.
pub fn shown(token: &str) -> String {
    format!(
        "token: {token}\n\
         It is not shown again. Callers send it as `Authorization: Bearer TOKEN`, or with \
         ?token=TOKEN.\n"
    )
}
