//! The edge to Openwx clients: the controller API for people's scripts, the reports
//! of the clients, and what carries out the tasks of their accounts.
//!
//! "Section" in these docs means a section of the protocol page for Openwx, "seed"
//! the document of the controller API.

mod driver;
mod report;

use std::{path::Path, sync::Arc};

use axum::Router;

use super::auth::AdminToken;
use crate::{
    domain::client::{ClientPolicy, Places},
    service::Service,
};

/// What Openwx speaks to. A cheap handle.
#[derive(Debug, Clone)]
pub(crate) struct Openwx(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    policy: ClientPolicy,
    places: Places,
    service: Service,
}

impl Openwx {
    /// Serves with these settings.
    pub(crate) fn new(
        policy: &ClientPolicy,
        data: &Path,
        service: Service,
        token: AdminToken,
    ) -> Self {
        let _ = token;
        Self(Arc::new(Inner {
            policy: policy.clone(),
            places: policy.places(data),
            service,
        }))
    }

    /// The settings.
    fn policy(&self) -> &ClientPolicy {
        &self.0.policy
    }

    /// Where the clients' files lie.
    fn places(&self) -> &Places {
        &self.0.places
    }

    /// The use cases.
    fn service(&self) -> &Service {
        &self.0.service
    }

    /// The routes below `/openwx`.
    pub(crate) fn router(&self) -> Router {
        let _ = (self.policy(), self.places());
        report::routes().with_state(self.clone())
    }

    /// Looks after the accounts of clients until the host ends.
    pub(crate) async fn drive(self) {
        driver::drive(self).await;
    }

    /// Asks `openwx.poll_api` what to do until the host ends.
    pub(crate) async fn heartbeat(self) {}
}
