//! The one place where host bindings are made from `wit/`. The names below it
//! are the package's own; those of the callback's package are in [`callback`].

wasmtime::component::bindgen!({
    path: "../wit",
    world: "wxhost:bot/bot",
    imports: {
        // These read from the store, which may have to wait for the disk.
        "wxhost:bot/contacts": async | trappable,
        "wxhost:bot/timers": async | trappable,
        // And this one waits for other systems.
        "wxhost:bot/web": async | trappable,
        "wasi:keyvalue": async | trappable,
        default: trappable,
    },
    exports: { default: async },
    with: {
        "wasi:clocks": wasmtime_wasi::p2::bindings::clocks,
        "wasi:random": wasmtime_wasi::p2::bindings::random,
        "wasi:keyvalue/store.bucket": super::imports::keyvalue::Bucket,
    },
});

/// Of world `endpoint` what bots don't have. What it exports is `wasi:http`'s.
pub mod endpoint {
    wasmtime::component::bindgen!({
        inline: "
            package wxhost:host;
            world acting { import wxhost:endpoint/acting@0.1.0; }
        ",
        path: "../wit/endpoint",
        world: "wxhost:host/acting",
        imports: {
            // It reads from the store whether there is such an account.
            "wxhost:endpoint/acting": async | trappable,
            default: trappable,
        },
        with: {
            "wxhost:bot": super::wxhost::bot,
        },
    });
}

/// World `callback`. What it imports is the same as for bots.
pub mod callback {
    wasmtime::component::bindgen!({
        path: "../wit/callback",
        world: "wxhost:callback/callback",
        exports: { default: async },
        with: {
            "wasi:clocks": wasmtime_wasi::p2::bindings::clocks,
            "wasi:random": wasmtime_wasi::p2::bindings::random,
            "wasi:keyvalue": super::wasi::keyvalue,
            "wasi:config": super::wasi::config,
            "wasi:logging": super::wasi::logging,
        },
    });

    pub use exports::wxhost::callback::handler as wit;
}
