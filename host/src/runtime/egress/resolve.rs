//! Looking up names.

use std::{
    net::{IpAddr, ToSocketAddrs},
    sync::Arc,
};

use super::{Place, Refusal, policy::Target};
use crate::domain::handler::Host;

/// How many addresses of a name are tried.
const ADDRESSES_MAX: usize = 4;

/// The addresses of this host that may be connected to.
///
/// The system's own look-up can't be called off, and takes a thread for as long as it
/// pleases: it keeps the request's place until it ends, so that names that nobody
/// answers for can't take more threads than there are places.
pub async fn addresses(target: &Target, place: &Arc<Place>) -> Result<Vec<IpAddr>, Refusal> {
    let found = match &target.origin.host {
        Host::Address(address) => vec![*address],
        Host::Name(name) => look_up(name.clone(), target.origin.port, Arc::clone(place)).await?,
    };
    let mut allowed = target.allowed(found)?;
    allowed.truncate(ADDRESSES_MAX);
    Ok(allowed)
}

async fn look_up(name: String, port: u16, place: Arc<Place>) -> Result<Vec<IpAddr>, Refusal> {
    let asked = tokio::task::spawn_blocking(move || {
        let found = (name.as_str(), port).to_socket_addrs();
        drop(place);
        // What the system says names its files and servers: for the log only.
        found.map_err(|error| {
            tracing::debug!(name, %error, "a name can't be looked up");
            Refusal::Unreachable(format!("{name} can't be looked up"))
        })
    });
    let found = asked
        .await
        .map_err(|_| Refusal::Unreachable("the look-up was cut off".to_owned()))??;
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in found.map(|it| it.ip()) {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    Ok(addresses)
}
