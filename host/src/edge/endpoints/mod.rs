//! Endpoints: what comes to `/x/NAME/…` goes to the handler NAME.
//!
//! Nothing is held back: bodies stream in both directions. A client that leaves ends the
//! call, and one that does not read is cut off.

mod inward;
mod outward;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Request, State},
    middleware,
    response::Response,
    routing::any,
};

use self::inward::Path;
use super::{
    auth::HostTokens,
    error::{Kind, Problem},
    linger::linger,
    server::Cut,
};
use crate::{
    domain::endpoint::EndpointPolicy,
    service::{Entrance, Service},
};

/// What every request needs.
#[derive(Debug, Clone)]
struct Endpoints {
    service: Service,
    /// Which are never a guest's.
    tokens: HostTokens,
    /// What the paths of this host begin with outside, without a slash at the end.
    base_path: Arc<str>,
    /// How long a client may keep still that has to read.
    idle: Duration,
}

/// What answers at `/x/…`. `base_url` is this host's address for its clients.
pub(crate) fn router(
    service: Service,
    tokens: HostTokens,
    base_url: &str,
    policy: &EndpointPolicy,
) -> Router {
    let endpoints = Endpoints {
        service,
        tokens,
        base_path: base_path(base_url).into(),
        idle: Duration::from_millis(policy.idle_ms),
    };
    Router::new()
        .route("/x/{name}", any(serve))
        .route("/x/{name}/", any(serve))
        .route("/x/{name}/{*path}", any(serve))
        .layer(middleware::from_fn(linger))
        .with_state(endpoints)
}

fn base_path(base_url: &str) -> &str {
    let rest = base_url
        .split_once("://")
        .map_or(base_url, |(_, rest)| rest);
    rest.find('/')
        .and_then(|slash| rest.get(slash..))
        .unwrap_or_default()
}

async fn serve(
    State(endpoints): State<Endpoints>,
    mut request: Request,
) -> Result<Response, Problem> {
    let Some(path) = Path::of(request.uri().path()) else {
        let problem = format!("there is no endpoint at {}", request.uri().path());
        return Err(Problem::new(Kind::NotFound, problem));
    };
    let entrance = endpoints.service.endpoint(&path.name)?;
    let query = admitted(&entrance, &mut request, &endpoints.tokens)?;
    let cut = request.extensions_mut().remove::<Cut>().unwrap_or_default();
    let method = request.method().clone();
    let request = inward::request(request, &path, query, &endpoints.base_path)?;
    let response = endpoints.service.visit(&entrance, request).await?;
    Ok(outward::response(&method, response, cut, endpoints.idle))
}

/// Lets in whoever may ask, and gives the query as the guest gets it. What lets somebody
/// in here is not for the guest.
fn admitted(
    entrance: &Entrance,
    request: &mut Request,
    tokens_of_host: &HostTokens,
) -> Result<Option<String>, Problem> {
    let query = request.uri().query().map(str::to_owned);
    if entrance.is_public() {
        inward::drop_tokens_of_this_host(request.headers_mut(), tokens_of_host);
        return Ok(query.and_then(|it| inward::without_tokens_of_this_host(&it, tokens_of_host)));
    }
    let (tokens, query) = inward::split_tokens(query.as_deref());
    let by_header = inward::take_token(request.headers_mut(), |token| entrance.admits(token));
    inward::drop_tokens_of_this_host(request.headers_mut(), tokens_of_host);
    if by_header || tokens.iter().any(|token| entrance.admits(token)) {
        return Ok(query);
    }
    Err(Problem::new(
        Kind::Unauthorized,
        "send the endpoint's token as `Authorization: Bearer TOKEN`, or with ?token=TOKEN",
    ))
}
