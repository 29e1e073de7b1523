//! What people write for Spin: the SDK's macro, types and requests.

use anyhow::Context;
use spin_sdk::{
    http::{self, IntoResponse, Params, Request, Response, Router},
    http_component,
};

#[http_component]
async fn serve(request: Request) -> anyhow::Result<impl IntoResponse> {
    let mut router = Router::new();
    router.get_async("/fetch", fetched);
    router.get("/fails", fails);
    router.any("/*", seen);
    Ok(router.handle_async(request).await)
}

fn seen(request: Request, params: Params) -> anyhow::Result<Response> {
    println!("asked for {}", request.path());
    let own = request.header("x-own").and_then(|value| value.as_str());
    let seen = format!(
        "{} {} {:?} {:?} {own:?} {}",
        request.method(),
        request.path(),
        request.query(),
        params.wildcard(),
        String::from_utf8_lossy(request.body())
    );
    let response = Response::builder()
        .status(200)
        .header("content-type", "text/plain")
        .body(seen)
        .build();
    Ok(response)
}

fn fails(_: Request, _: Params) -> anyhow::Result<Response> {
    anyhow::bail!("asked to fail")
}

async fn fetched(request: Request, _: Params) -> anyhow::Result<Response> {
    let url = request
        .query()
        .strip_prefix("url=")
        .context("?url= is missing")?;
    let answered: Result<Response, _> = http::send(Request::get(url)).await;
    Ok(match answered {
        Ok(answered) => Response::new(200, answered.into_body()),
        Err(error) => Response::new(502, format!("{error}")),
    })
}
