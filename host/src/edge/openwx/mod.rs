//! The edge to Openwx clients: the controller API for people's scripts, the reports
//! of the clients, and what carries out the tasks of their accounts.
//!
//! "Section" in these docs means a section of the protocol page for Openwx, "seed"
//! the document of the controller API.

mod controller;
mod driver;
mod report;

use std::{path::Path, sync::Arc};

use axum::Router;

use self::controller::Controller;
pub(crate) use self::controller::Door;
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
    controller: Controller,
}

impl Openwx {
    /// Serves with these settings, to whom the door lets in.
    pub(crate) fn new(
        policy: &ClientPolicy,
        data: &Path,
        service: Service,
        door: impl Into<Door>,
    ) -> Self {
        let mut places = policy.places(data);
        // Clients may have another working directory.
        if let Ok(tmpdir) = std::path::absolute(&places.tmpdir) {
            places.tmpdir = tmpdir;
        }
        Self(Arc::new(Inner {
            policy: policy.clone(),
            places,
            service,
            controller: Controller::new(door.into()),
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

    /// What the controller API needs.
    fn controller(&self) -> &Controller {
        &self.0.controller
    }

    /// The routes below `/openwx`.
    fn router(&self) -> Router {
        report::routes()
            .merge(controller::routes())
            .with_state(self.clone())
    }

    /// All routes, for the host's own address.
    pub(crate) fn routes(&self) -> Router {
        controller::under_prefix(self.router())
    }

    /// The same for an address that serves nothing else.
    pub(crate) fn alone(&self) -> Router {
        controller::alone(self.router())
    }

    /// Looks after the accounts of clients until the host ends.
    pub(crate) async fn drive(self) {
        driver::drive(self).await;
    }
}
