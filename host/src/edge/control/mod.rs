//! The control API, version 1: handlers, bindings, accounts and tasks.
//!
//! One file per resource. Each reads the request, asks the service, and shows
//! the answer; there are no rules in here. Whatever goes wrong leaves as a
//! problem document, unknown paths and wrong methods included.

pub mod actions;
pub mod input;
pub mod wire;

mod accounts;
mod bindings;
mod handlers;
mod tasks;
#[cfg(test)]
mod tests;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::{Method, Uri},
    middleware,
    routing::{get, put},
};

use crate::{
    edge::{
        auth::{self, AdminToken},
        error::{Kind, Problem},
    },
    service::Service,
};

/// The largest component taken. JavaScript and Python bots carry their whole
/// language runtime: 10 to 40 MiB.
pub const COMPONENT_MAX_BYTES: usize = 64 * 1024 * 1024;
/// The largest configuration of a handler. It is kept in memory and handed to
/// every call.
pub const CONFIG_MAX_BYTES: usize = 256 * 1024;
/// The largest body of any other request: sixty texts of full length with their
/// JSON.
pub const BODY_MAX_BYTES: usize = 1024 * 1024;

/// The control API without its prefix: the caller nests it at `/api/v1`.
pub fn router(service: Service, token: AdminToken) -> Router {
    handler_routes()
        .merge(account_routes())
        .route("/bindings", get(bindings::list))
        .route(
            "/bindings/{account}",
            put(bindings::put).delete(bindings::remove),
        )
        .route("/tasks/{id}", get(tasks::show))
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(BODY_MAX_BYTES))
        .layer(middleware::from_fn_with_state(token, auth::require))
        .with_state(service)
}

fn handler_routes() -> Router<Service> {
    let deploy = put(handlers::deploy).layer(DefaultBodyLimit::max(COMPONENT_MAX_BYTES));
    let configure = put(handlers::configure).layer(DefaultBodyLimit::max(CONFIG_MAX_BYTES));
    Router::new()
        .route("/handlers", get(handlers::list))
        .route(
            "/handlers/{name}",
            deploy.get(handlers::show).delete(handlers::remove),
        )
        .route("/handlers/{name}/config", configure)
}

fn account_routes() -> Router<Service> {
    Router::new()
        .route("/accounts", get(accounts::list))
        .route("/accounts/{account}", get(accounts::show))
        .route(
            "/accounts/{account}/tasks",
            get(tasks::list).post(tasks::submit),
        )
        .route("/accounts/{account}/events", get(accounts::events))
        .route("/accounts/{account}/events/{event}", get(accounts::event))
        .route("/accounts/{account}/failures", get(accounts::failures))
        .route("/accounts/{account}/contacts", get(accounts::contacts))
        .route(
            "/accounts/{account}/groups/{group}/members",
            get(accounts::members),
        )
        .route(
            "/accounts/{account}/kv/{handler}",
            get(accounts::key_values),
        )
}

async fn unknown_path(uri: Uri) -> Problem {
    Problem::new(
        Kind::NotFound,
        format!("there is nothing at {}", uri.path()),
    )
}

async fn wrong_method(method: Method, uri: Uri) -> Problem {
    Problem::new(
        Kind::MethodNotAllowed,
        format!("{} does not take {method}", uri.path()),
    )
}
