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

use super::state::{CallState, Errand};

/// The interface, as the crate links it.
pub const TYPES: &str = "wasi:http/types@0.2.12";
/// The longest method or scheme, in bytes. Those in use have at most 17.
const WORD_MAX_BYTES: usize = 64;
/// The longest authority: a name of 253 bytes, a port, and room for what is refused
/// later on with a better reason.
const AUTHORITY_MAX_BYTES: usize = 1024;

/// What the setters answer.
type Set = wasmtime::Result<(Result<(), ()>,)>;
type Request = Resource<OutgoingRequest>;
type Store<'a, E> = StoreContextMut<'a, CallState<E>>;

/// Puts bounds before the setters that have none.
pub fn bound<E: Errand>(linker: &mut Linker<CallState<E>>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let mut types = linker.instance(TYPES)?;
    types.func_wrap("[method]outgoing-request.set-method", set_method::<E>)?;
    types.func_wrap("[method]outgoing-request.set-scheme", set_scheme::<E>)?;
    types.func_wrap("[method]outgoing-request.set-authority", set_authority::<E>)?;
    linker.allow_shadowing(false);
    Ok(())
}

fn set_method<E: Errand>(mut store: Store<'_, E>, (request, method): (Request, Method)) -> Set {
    if matches!(&method, Method::Other(word) if word.len() > WORD_MAX_BYTES) {
        return Ok((Err(()),));
    }
    Ok((store.data_mut().http().set_method(request, method)?,))
}

fn set_scheme<E: Errand>(
    mut store: Store<'_, E>,
    (request, scheme): (Request, Option<Scheme>),
) -> Set {
    if matches!(&scheme, Some(Scheme::Other(word)) if word.len() > WORD_MAX_BYTES) {
        return Ok((Err(()),));
    }
    Ok((store.data_mut().http().set_scheme(request, scheme)?,))
}

fn set_authority<E: Errand>(
    mut store: Store<'_, E>,
    (request, authority): (Request, Option<String>),
) -> Set {
    if authority
        .as_ref()
        .is_some_and(|text| text.len() > AUTHORITY_MAX_BYTES)
    {
        return Ok((Err(()),));
    }
    Ok((store.data_mut().http().set_authority(request, authority)?,))
}
