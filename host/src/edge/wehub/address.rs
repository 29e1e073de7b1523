//! The address of an endpoint below `/wehub`: with the secret word in its path, if
//! one is set. Who guesses wrong finds nothing there.

use std::{future::Future, sync::Arc};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Path, Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};

use crate::{domain::Secret, edge::linger};

/// What WeHub posts to.
pub(super) trait Endpoint: Clone + Send + Sync + 'static {
    /// The last part of its path.
    const NAME: &'static str;
    /// What a person sees who opens the address in a browser.
    const HELLO: &'static str;

    /// Answers what was posted. Bounds its body by itself.
    fn answer(&self, request: Request) -> impl Future<Output = Response> + Send;
}

/// An endpoint behind its address.
#[derive(Debug, Clone)]
struct Place<E> {
    endpoint: E,
    secret: Option<Arc<Secret>>,
}

/// The routes of an endpoint.
pub(super) fn router<E: Endpoint>(endpoint: E, secret: Option<Secret>) -> Router {
    let path = match &secret {
        None => format!("/{}", E::NAME),
        Some(_) => format!("/{{secret}}/{}", E::NAME),
    };
    let secret = secret.map(Arc::new);
    Router::new()
        .route(&path, get(hello::<E>).post(answer::<E>))
        .layer(DefaultBodyLimit::disable())
        .with_state(Place { endpoint, secret })
}

impl<E> Place<E> {
    fn is_at(&self, guess: Option<Path<String>>) -> bool {
        match (&self.secret, guess) {
            (None, _) => true,
            (Some(secret), Some(Path(guess))) => secret.is(&guess),
            (Some(_), None) => false,
        }
    }
}

async fn hello<E: Endpoint>(
    State(place): State<Place<E>>,
    guess: Option<Path<String>>,
) -> Response {
    match place.is_at(guess) {
        true => E::HELLO.into_response(),
        false => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn answer<E: Endpoint>(
    State(place): State<Place<E>>,
    guess: Option<Path<String>>,
    request: Request,
) -> Response {
    if place.is_at(guess) {
        return place.endpoint.answer(request).await;
    }
    linger::throw_away(request.into_body()).await;
    StatusCode::NOT_FOUND.into_response()
}
