//! Keeps something in Spin's own store, which is not there.

use spin_sdk::{
    http::{IntoResponse, Request, Response},
    http_component,
    key_value::Store,
};

#[http_component]
fn serve(request: Request) -> anyhow::Result<impl IntoResponse> {
    Store::open_default()?.set("asked", request.path().as_bytes())?;
    Ok(Response::new(200, "kept"))
}
