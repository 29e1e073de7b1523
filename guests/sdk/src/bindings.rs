//! What `wit_bindgen` makes of the packages `wxhost:bot` and `wxhost:callback`. The other modules of
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

/// World `endpoint`. What acts for an account is the same as for bots.
pub mod endpoint {
    wit_bindgen::generate!({
        path: "../../wit/endpoint",
        world: "endpoint",
        generate_all,
        with: {
            "wxhost:bot/model@0.1.0": crate::bindings::wxhost::bot::model,
            "wxhost:bot/chat@0.1.0": crate::bindings::wxhost::bot::chat,
            "wxhost:bot/groups@0.1.0": crate::bindings::wxhost::bot::groups,
            "wxhost:bot/friends@0.1.0": crate::bindings::wxhost::bot::friends,
            "wxhost:bot/tags@0.1.0": crate::bindings::wxhost::bot::tags,
            "wxhost:bot/contacts@0.1.0": crate::bindings::wxhost::bot::contacts,
            "wxhost:bot/web@0.1.0": crate::bindings::wxhost::bot::web,
            "wasi:keyvalue/store@0.2.0-draft": crate::bindings::wasi::keyvalue::store,
            "wasi:keyvalue/atomics@0.2.0-draft": crate::bindings::wasi::keyvalue::atomics,
            "wasi:keyvalue/batch@0.2.0-draft": crate::bindings::wasi::keyvalue::batch,
            "wasi:config/store@0.2.0-rc.1": crate::bindings::wasi::config::store,
            "wasi:logging/logging@0.1.0-draft": crate::bindings::wasi::logging::logging,
            "wasi:clocks/wall-clock@0.2.12": crate::bindings::wasi::clocks::wall_clock,
            "wasi:random/random@0.2.12": crate::bindings::wasi::random::random,
        },
        pub_export_macro: true,
        export_macro_name: "export_endpoint",
        default_bindings_module: "wxhost_sdk::bindings::endpoint",
    });

    #[doc(hidden)]
    pub use export_endpoint as __export_endpoint;
}

/// World `callback`. What it imports is the same as for bots.
pub mod callback {
    wit_bindgen::generate!({
        path: "../../wit/callback",
        world: "callback",
        with: {
            "wasi:keyvalue/store@0.2.0-draft": crate::bindings::wasi::keyvalue::store,
            "wasi:keyvalue/atomics@0.2.0-draft": crate::bindings::wasi::keyvalue::atomics,
            "wasi:keyvalue/batch@0.2.0-draft": crate::bindings::wasi::keyvalue::batch,
            "wasi:config/store@0.2.0-rc.1": crate::bindings::wasi::config::store,
            "wasi:logging/logging@0.1.0-draft": crate::bindings::wasi::logging::logging,
            "wasi:clocks/wall-clock@0.2.12": crate::bindings::wasi::clocks::wall_clock,
            "wasi:random/random@0.2.12": crate::bindings::wasi::random::random,
        },
        pub_export_macro: true,
        export_macro_name: "export_callback",
        default_bindings_module: "wxhost_sdk::bindings::callback",
    });

    #[doc(hidden)]
    pub use export_callback as __export_callback;
}
