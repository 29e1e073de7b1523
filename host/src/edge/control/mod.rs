//! The control API, version 1: handlers, bindings, accounts, tasks, QR logins and
//! Openwx clients.
//!
//! One file per resource. Each reads the request, asks the service, and shows
//! the answer; there are no rules in here. Whatever goes wrong leaves as a
//! problem document, unknown paths and wrong methods included.

pub mod actions;
pub mod input;
pub mod wire;

mod accounts;
mod bindings;
mod buckets;
pub mod clients;
mod config;
mod deploy;
mod failures;
mod files;
mod handlers;
mod labels;
mod logins;
pub mod logs;
mod pauses;
mod schedules;
mod tasks;
#[cfg(test)]
mod tests;

use axum::{
    Extension, Router,
    extract::DefaultBodyLimit,
    http::{Method, Uri},
    middleware,
    routing::{MethodRouter, delete, get, post, put},
};
use tokio_util::sync::CancellationToken;

use crate::{
    domain::handler::{CONFIG_MAX_BYTES, SECRET_MAX_BYTES},
    edge::{
        auth::{self, AdminToken},
        error::{Kind, Problem},
    },
    service::Service,
};

/// The largest body with a handler's configuration: twice what its keys and
/// values may have, for quotes and escapes.
const CONFIG_BODY_MAX_BYTES: usize = 2 * CONFIG_MAX_BYTES;
/// What a form with a component may have beside it: its options, and its own lines.
const DEPLOY_OPTIONS_MAX_BYTES: usize = 256 * 1024;
/// The largest body of any other request: sixty texts of full length with their
/// JSON.
const BODY_MAX_BYTES: usize = 1024 * 1024;

/// The control API without its prefix: the caller nests it at `/api/v1`.
/// `component_bytes` is the largest component taken; with `ending`, whatever goes on
/// without end is over.
pub(crate) fn router(
    service: Service,
    token: AdminToken,
    component_bytes: u64,
    ending: CancellationToken,
) -> Router {
    handler_routes(component_bytes)
        .merge(account_routes())
        .merge(login_routes())
        .merge(seeing_routes(ending.clone()))
        .merge(client_routes(ending))
        .route("/bindings", get(bindings::list))
        .route(
            "/bindings/{account}",
            put(bindings::put).delete(bindings::remove),
        )
        .route("/tasks/{id}", get(tasks::show).delete(tasks::cancel))
        .route("/files/{digest}", get(files::content))
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(BODY_MAX_BYTES))
        .layer(middleware::from_fn_with_state(token, auth::require))
        .with_state(service)
}

fn handler_routes(component_bytes: u64) -> Router<Service> {
    let component_bytes = usize::try_from(component_bytes).unwrap_or(usize::MAX);
    let deploy_bytes = component_bytes.saturating_add(DEPLOY_OPTIONS_MAX_BYTES);
    let deploy = put(handlers::deploy).layer(DefaultBodyLimit::max(deploy_bytes));
    let configure = put(config::replace)
        .patch(config::change)
        .layer(DefaultBodyLimit::max(CONFIG_BODY_MAX_BYTES));
    let secret = put(config::put_secret).layer(DefaultBodyLimit::max(SECRET_MAX_BYTES));
    Router::new()
        .route("/handlers", get(handlers::list))
        .route(
            "/handlers/{name}",
            deploy.get(handlers::show).delete(handlers::remove),
        )
        .route("/handlers/{name}/config", configure.get(config::list))
        .route(
            "/handlers/{name}/secrets/{key}",
            secret.delete(config::remove_secret),
        )
        .route("/handlers/{name}/schedules", get(schedules::list))
        .route(
            "/handlers/{name}/schedules/{schedule}/fire",
            post(schedules::fire),
        )
        .route("/handlers/{name}/invoke", post(handlers::invoke))
        .route("/handlers/{name}/replay", post(handlers::replay))
        .route("/handlers/{name}/pauses", get(handlers::pauses))
        .route(
            "/handlers/{name}/pauses/{account}",
            delete(handlers::resume),
        )
        .route("/handlers/{name}/versions", get(handlers::versions))
        .route("/handlers/{name}/reaches", get(handlers::reaches))
        .route("/handlers/{name}/token", post(handlers::token))
        .route("/handlers/{name}/rollback", post(handlers::rollback))
        .route("/handlers/{name}/promote", post(handlers::promote))
        .route("/handlers/{name}/rollout", put(handlers::rollout))
        .route("/handlers/{name}/shared", bucket_methods())
        .route("/handlers/{name}/shared/{key}", key_methods())
}

/// What handlers say, and how they fail.
fn seeing_routes(ending: CancellationToken) -> Router<Service> {
    let followers = clients::Followers::until(ending);
    Router::new()
        .route(
            "/handlers/{name}/logs",
            get(logs::log).layer(Extension(followers)),
        )
        .route("/handlers/{name}/failures", get(failures::list))
        .route("/handlers/{name}/failures/{failure}", get(failures::show))
}

fn account_routes() -> Router<Service> {
    Router::new()
        .route("/accounts", get(accounts::list))
        .route("/accounts/{account}", get(accounts::show))
        .route(
            "/accounts/{account}/labels",
            get(labels::show).put(labels::replace).patch(labels::change),
        )
        .route(
            "/accounts/{account}/tasks",
            get(tasks::list).post(tasks::submit),
        )
        .route("/accounts/{account}/events", get(accounts::events))
        .route("/accounts/{account}/events/{event}", get(accounts::event))
        .route("/accounts/{account}/files/{file}", get(files::request))
        .route("/accounts/{account}/failures", get(accounts::failures))
        .route("/accounts/{account}/contacts", get(accounts::contacts))
        .route("/accounts/{account}/groups", get(accounts::groups))
        .route(
            "/accounts/{account}/groups/{group}/members",
            get(accounts::members),
        )
        .route("/accounts/{account}/kv/{handler}", bucket_methods())
        .route("/accounts/{account}/kv/{handler}/{key}", key_methods())
        .route("/accounts/{account}/timers", get(schedules::timers))
        .route(
            "/accounts/{account}/timers/fire",
            post(schedules::fire_timer),
        )
        .route("/accounts/{account}/pauses", get(pauses::list))
        .route(
            "/accounts/{account}/pauses/{conversation}",
            delete(pauses::lift),
        )
}

fn bucket_methods() -> MethodRouter<Service> {
    get(buckets::list).delete(buckets::empty)
}

fn key_methods() -> MethodRouter<Service> {
    get(buckets::show).put(buckets::put).delete(buckets::remove)
}

fn login_routes() -> Router<Service> {
    Router::new()
        .route("/logins", get(logins::list).post(logins::start))
        .route("/logins/{login}", get(logins::show).delete(logins::cancel))
        .route("/logins/{login}/qr", get(logins::code))
}

fn client_routes(ending: CancellationToken) -> Router<Service> {
    let followers = clients::Followers::until(ending);
    Router::new()
        .route("/clients", get(clients::list).post(clients::start))
        .route(
            "/clients/{client}",
            get(clients::show).delete(clients::stop),
        )
        .route("/clients/{client}/restart", post(clients::restart))
        .route("/clients/{client}/clear", post(clients::clear))
        .route(
            "/clients/{client}/log",
            get(clients::log).layer(Extension(followers)),
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
