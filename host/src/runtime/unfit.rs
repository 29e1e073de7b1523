//! Why a component is of no use here, and what would help.

use super::registry::chain;
use crate::domain::{
    handler::{BOT_WORLD, CALLBACK_WORLD, ENDPOINT_WORLD},
    ports::ComponentError,
};

const SPINS_OWN: &str = "it is Spin's own: of Spin's components those run here that need \
                         wasi:http and other interfaces of WASI only";
/// What other hosts have, by how the names begin, and what takes its place here. The first
/// that fits is told.
const ELSEWHERE: [(&str, &str); 9] = [
    (
        "fermyon:spin/key-value@",
        "it is Spin's own: keep things in wasi:keyvalue/store@0.2.0-draft",
    ),
    (
        "fermyon:spin/variables@",
        "it is Spin's own: read settings from wasi:config/store@0.2.0-rc.1",
    ),
    ("fermyon:spin/", SPINS_OWN),
    ("spin:", SPINS_OWN),
    (
        "wasi:keyvalue/",
        "stores are those of wasi:keyvalue@0.2.0-draft, no other version",
    ),
    (
        "wasi:config/",
        "settings are read from wasi:config/store@0.2.0-rc.1, no other version",
    ),
    (
        "wasi:sockets/",
        "nobody has sockets here: ask other systems by wasi:http/outgoing-handler@0.2 or \
         wxhost:bot/web",
    ),
    (
        "wxhost:endpoint/",
        "it is for components that export wasi:http/incoming-handler",
    ),
    (
        "wxhost:bot/",
        "it is for bots, or of another version of wxhost: `wxhost new --update` brings the \
         interfaces of this one",
    ),
];
/// For interfaces that nobody knows.
const OTHERS: &str = "build it without; wit/ of wxhost has what there is";
/// What the parser says of components for WASI 0.3.
const ASYNC_FEATURE: &str = "component model async feature";

/// Says at once what a file is that is no component: people upload the wrong
/// one more often than a broken one.
pub fn check_preamble(bytes: &[u8], max_bytes: u64) -> Result<(), ComponentError> {
    let unfit = |text: String| Err(ComponentError::Unfit(text));
    if bytes.len() as u64 > max_bytes {
        return unfit(format!(
            "it has {} bytes, at most {max_bytes} are taken (limits.component_bytes)",
            bytes.len()
        ));
    }
    match (bytes.get(..4), bytes.get(4..8)) {
        (Some(b"\0asm"), Some([0x0d, 0, 1, 0])) => Ok(()),
        (Some(b"\0asm"), Some([1, 0, 0, 0])) => {
            unfit("it is a core module, no component: build it for wasm32-wasip2".to_owned())
        }
        (Some(b"\0asm"), _) => unfit("it is WebAssembly of an unknown version".to_owned()),
        _ => unfit(
            "it is no component: the file does not begin with \\0asm, as WebAssembly does"
                .to_owned(),
        ),
    }
}

/// Why a component can't be compiled.
pub fn uncompiled(error: &wasmtime::Error) -> ComponentError {
    let problem = chain(error);
    let cure = match problem.contains(ASYNC_FEATURE) {
        true => {
            ". It is made for WASI 0.3, and this host runs 0.2: build it for that (Spin's SDK does \
             up to version 5, with `#[http_component]`)"
        }
        false => "",
    };
    ComponentError::Unfit(format!(
        "it is no component that can be run: {problem}{cure}"
    ))
}

/// Why a component can't be linked.
pub fn unlinked(error: wasmtime::Error) -> ComponentError {
    let problem = chain(&error);
    ComponentError::Unfit(match missing(&problem) {
        Some(import) => format!(
            "it does not link: it imports {import}, which this host does not have, or \
             not like this. {} ({problem})",
            capital(cure(import))
        ),
        None => format!("it does not link: {problem}"),
    })
}

/// The interface that the linker speaks of. wasmtime has no other way to tell.
fn missing(problem: &str) -> Option<&str> {
    let (_, rest) = problem.split_once("imports instance `")?;
    rest.split_once('`').map(|(import, _)| import)
}

fn cure(import: &str) -> &'static str {
    let found = ELSEWHERE
        .iter()
        .find(|(begin, _)| import.starts_with(begin));
    found.map_or(OTHERS, |(_, cure)| cure)
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

/// Says what each world wants and what is there instead.
pub fn of_no_world(exports: &[&str]) -> ComponentError {
    let found = match exports {
        [] => "nothing".to_owned(),
        exports => exports.join(", "),
    };
    ComponentError::Unfit(format!(
        "it has no world of this host, or two: a bot ({BOT_WORLD}) exports \
         wxhost:bot/handler@0.1.0, a callback component ({CALLBACK_WORLD}) exports \
         wxhost:callback/handler@0.1.0, an endpoint ({ENDPOINT_WORLD}, or wasi:http/proxy) \
         wasi:http/incoming-handler@0.2, this exports {found}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_what_takes_its_place() {
        for (import, wanted) in [
            (
                "fermyon:spin/key-value@2.0.0",
                "wasi:keyvalue/store@0.2.0-draft",
            ),
            ("fermyon:spin/llm@2.0.0", "Spin's own"),
            ("spin:postgres/postgres@3.0.0", "Spin's own"),
            ("wasi:keyvalue/store@0.2.0-draft2", "no other version"),
            ("acme:shop/orders", "build it without"),
        ] {
            let problem = format!("component imports instance `{import}`, but it was not found");
            let ComponentError::Unfit(told) = unlinked(wasmtime::Error::msg(problem)) else {
                unreachable!("it is the component's fault");
            };
            assert!(
                told.contains(&format!("it imports {import},"))
                    && told.to_lowercase().contains(&wanted.to_lowercase()),
                "{told}"
            );
        }
        let other = unlinked(wasmtime::Error::msg("it is odd"));
        assert!(other.to_string().contains("it is odd"));
    }
}
