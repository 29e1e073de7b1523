//! The edge to Openwx clients: the controller API for people's scripts, the reports
//! of the clients, and what carries out the tasks of their accounts.
//!
//! "Section" in these docs means a section of the protocol page for Openwx, "seed"
//! the document of the controller API.

mod codes;
mod driver;
mod errands;
mod keeper;
mod report;
mod tee;
#[cfg(test)]
mod tests;
pub(crate) mod wire;

use std::{path::Path, sync::Arc};

use axum::Router;

use self::{codes::Codes, tee::Tee};
use super::{auth::AdminToken, body::BodyReader, gallery::Gallery};
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
    bodies: BodyReader,
    gallery: Gallery,
    codes: Codes,
    tee: Tee,
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
            bodies: report::bodies(),
            gallery: Gallery::default(),
            codes: Codes::default(),
            tee: match policy.tee {
                true => Tee::new(),
                false => Tee::default(),
            },
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
