//! Reports of the clients (section 3).

use axum::Router;

use super::Openwx;

/// `POST /report/{client}`.
pub(super) fn routes() -> Router<Openwx> {
    Router::new()
}
