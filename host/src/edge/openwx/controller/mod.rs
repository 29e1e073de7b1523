//! The controller API (section 1): for people's scripts, and a drop-in for
//! Mojo-Weixin's controller.
//!
//! Four paths are answered here, all others are passed on to the client that they
//! name.

mod answer;
mod asked;
mod door;
mod ferry;
mod heartbeat;
mod own;
mod pass;
mod seats;
mod standing;
#[cfg(test)]
mod tests;
mod watched;
mod wires;

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    http::Method,
    middleware,
    response::{IntoResponse, Response},
    routing::any,
};

pub(crate) use self::door::Door;
use self::{
    answer::Answer,
    asked::{Asked, FORM_MAX_BYTES, STRANGER_MAX_BYTES},
    own::Api,
    pass::Courier,
};
use super::Openwx;
use crate::edge::{body::BodyReader, linger};

/// What all paths begin with.
const PREFIX: &str = "/openwx";
/// The same with nothing behind it, which a nested router does not get.
const NOTHING: &str = "/openwx/";

/// What the controller API needs beside the use cases.
#[derive(Debug)]
pub(super) struct Controller {
    door: Door,
    courier: Courier,
    /// Reads forms to find their client.
    forms: BodyReader,
    /// The same, of those who have shown no token yet.
    strangers: BodyReader,
}

impl Controller {
    /// For those whom the door lets in.
    pub(super) fn new(door: Door) -> Self {
        Self {
            door,
            courier: Courier::new(),
            forms: BodyReader::new(FORM_MAX_BYTES),
            strangers: BodyReader::new(STRANGER_MAX_BYTES),
        }
    }
}

/// Whatever is asked for below `/openwx` that has no route of its own.
pub(super) fn routes() -> Router<Openwx> {
    Router::new()
        .fallback(enter)
        .layer(DefaultBodyLimit::disable())
        .layer(middleware::from_fn(linger::linger))
}

/// The same with `/openwx` before it.
pub(super) fn under_prefix(below: Router) -> Router {
    Router::new()
        .nest(PREFIX, below)
        .route(NOTHING, any(|| async { Answer::no_api() }))
}

/// That, and nothing else.
pub(super) fn alone(below: Router) -> Router {
    under_prefix(below).fallback(|| async { Answer::no_api() })
}

async fn enter(State(openwx): State<Openwx>, request: Request) -> Response {
    let mut asked = Asked::of(request, &openwx);
    match asked.admit().await {
        Ok(()) => openwx.carry_out(asked).await,
        Err(refusal) => refusal.into_response(),
    }
}

impl Openwx {
    /// Answers whoever has been let in.
    async fn carry_out(&self, asked: Asked<'_>) -> Response {
        let api = match asked.path() {
            "" => Err(Answer::no_api()),
            _ if asked.parts().method == Method::CONNECT => Err(Answer::wrong_method("GET, POST")),
            path => Api::of(&asked.parts().method, path),
        };
        let answered = match api {
            Ok(Some(api)) => self.control(api, asked).await,
            Ok(None) => self.pass(asked).await,
            Err(refusal) => Err(refusal),
        };
        answered.unwrap_or_else(IntoResponse::into_response)
    }
}
