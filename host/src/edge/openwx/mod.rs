//! The edge to Openwx clients: the controller API for people's scripts, the reports
//! of the clients, and what carries out the tasks of their accounts.
//!
//! "Section" in these docs means a section of the protocol page for Openwx, "seed"
//! the document of the controller API.

mod codes;
mod controller;
mod driver;
mod errands;
mod keeper;
mod report;
mod tee;
#[cfg(test)]
mod tests;
pub(crate) mod wire;

use std::sync::Arc;

use axum::Router;

pub(crate) use self::controller::Door;
use self::{codes::Codes, controller::Controller, tee::Tee};
use super::{body::BodyReader, gallery::Gallery};
use crate::{domain::client::ClientPolicy, service::Service};

/// What Openwx speaks to. A cheap handle.
#[derive(Debug, Clone)]
pub(crate) struct Openwx(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    policy: ClientPolicy,
    service: Service,
    bodies: BodyReader,
    gallery: Gallery,
    codes: Codes,
    tee: Tee,
    controller: Controller,
}

impl Openwx {
    /// Serves with these settings, to whom the door lets in.
    pub(crate) fn new(policy: &ClientPolicy, service: Service, door: impl Into<Door>) -> Self {
        Self(Arc::new(Inner {
            policy: policy.clone(),
            service,
            bodies: report::bodies(),
            gallery: Gallery::default(),
            codes: Codes::default(),
            tee: match policy.tee {
                true => Tee::new(),
                false => Tee::default(),
            },
            controller: Controller::new(door.into()),
        }))
    }

    /// The settings.
    fn policy(&self) -> &ClientPolicy {
        &self.0.policy
    }

    /// The use cases.
    fn service(&self) -> &Service {
        &self.0.service
    }

    /// What bounds the reports.
    fn bodies(&self) -> &BodyReader {
        &self.0.bodies
    }

    /// What looks at codes.
    fn gallery(&self) -> &Gallery {
        &self.0.gallery
    }

    /// The codes that reports brought.
    fn codes(&self) -> &Codes {
        &self.0.codes
    }

    /// What passes reports on.
    fn tee(&self) -> &Tee {
        &self.0.tee
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
