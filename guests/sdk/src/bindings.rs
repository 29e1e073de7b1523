//! What `wit_bindgen` makes of the package `wxhost:bot`. The other modules of
//! this crate re-export it under shorter names.
#![allow(
    unsafe_code,
    missing_docs,
    clippy::all,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "generated: calls across the sandbox's border are raw pointers and numbers"
)]

wit_bindgen::generate!({
    path: "../../wit",
    world: "bot",
    generate_all,
    generate_unused_types: true,
    pub_export_macro: true,
    export_macro_name: "export_handler",
    default_bindings_module: "wxhost_sdk::bindings",
});

#[doc(hidden)]
pub use export_handler as __export_handler;
