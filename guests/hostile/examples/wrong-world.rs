//! A sound component, but no bot: it has no handler.
#![allow(unsafe_code, reason = "generated bindings")]

wit_bindgen::generate!({ path: "wit-unknown", world: "stranger" });

struct Oracle;

impl exports::elsewhere::unknown::oracle::Guest for Oracle {
    fn ask(question: String) -> String {
        question
    }
}

// Other systems' linkers don't take the name that it is exported under.
#[cfg(target_family = "wasm")]
export!(Oracle);
