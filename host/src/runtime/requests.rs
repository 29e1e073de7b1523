//! What a guest may write into the first line of a `wasi:http` request. The crate
//! keeps these texts as they are, one set for each handle: without a bound some guests
//! with a thousand handles each would take all of the host's memory.

use wasmtime::{
    StoreContextMut,
    component::{Linker, Resource},
};
use wasmtime_wasi_http::{
    WasiHttpView,
    p2::bindings::http::types::{HostOutgoingRequest, Method, OutgoingRequest, Scheme},
};

use super::state::CallState;

/// The interface, as the crate links it.
const TYPES: &str = "wasi:http/types@0.2.12";
/// The longest method or scheme, in bytes. Those in use have at most 17.
const WORD_MAX_BYTES: usize = 64;
/// The longest authority: a name of 253 bytes, a port, and room for what is refused
/// later on with a better reason.
const AUTHORITY_MAX_BYTES: usize = 1024;

/// What the setters answer.
type Set = wasmtime::Result<(Result<(), ()>,)>;
type Request = Resource<OutgoingRequest>;
type Store<'a> = StoreContextMut<'a, CallState>;

/// Puts bounds before the setters that have none.
pub fn bound(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let mut types = linker.instance(TYPES)?;
    types.func_wrap("[method]outgoing-request.set-method", set_method)?;
    types.func_wrap("[method]outgoing-request.set-scheme", set_scheme)?;
    types.func_wrap("[method]outgoing-request.set-authority", set_authority)?;
    linker.allow_shadowing(false);
    Ok(())
}

fn set_method(mut store: Store<'_>, (request, method): (Request, Method)) -> Set {
    if matches!(&method, Method::Other(word) if word.len() > WORD_MAX_BYTES) {
        return Ok((Err(()),));
    }
    Ok((store.data_mut().http().set_method(request, method)?,))
}

fn set_scheme(mut store: Store<'_>, (request, scheme): (Request, Option<Scheme>)) -> Set {
    if matches!(&scheme, Some(Scheme::Other(word)) if word.len() > WORD_MAX_BYTES) {
        return Ok((Err(()),));
    }
    Ok((store.data_mut().http().set_scheme(request, scheme)?,))
}

fn set_authority(mut store: Store<'_>, (request, authority): (Request, Option<String>)) -> Set {
    if authority
        .as_ref()
        .is_some_and(|text| text.len() > AUTHORITY_MAX_BYTES)
    {
        return Ok((Err(()),));
    }
    Ok((store.data_mut().http().set_authority(request, authority)?,))
}
