//! What a component is, by what it exports: enough to tell worlds apart before anything
//! is sent. Whether it links, the host finds out.

use clap::ValueEnum;
use serde::Deserialize;
use wasmparser::{Encoding, Parser, Payload};

/// What a handler is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum World {
    /// It is called with what happens to accounts.
    #[default]
    Bot,
    /// It decides about the WeHub callback.
    Callback,
    /// It answers requests over HTTP.
    Endpoint,
}

/// Every world with how the names of what it must export begin.
const EXPORTS: [(World, &[&str]); 3] = [
    (World::Bot, &["wxhost:bot/handler@"]),
    (World::Callback, &["wxhost:callback/handler@"]),
    (
        World::Endpoint,
        &["wxhost:endpoint/", "wasi:http/incoming-handler@"],
    ),
];

impl World {
    /// Its name in `handler.toml`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bot => "bot",
            Self::Callback => "callback",
            Self::Endpoint => "endpoint",
        }
    }

    /// Says why these bytes are no component of this world.
    pub fn check(self, bytes: &[u8]) -> Result<(), String> {
        match world_of(bytes)? {
            Some(world) if world == self => Ok(()),
            Some(world) => Err(format!(
                "it is a component of the world {}, and handler.toml says `world = {:?}`",
                world.as_str(),
                self.as_str()
            )),
            None => Err(format!(
                "it exports nothing that makes it a component of the world {}: `wxhost new` shows \
                 how one begins",
                self.as_str()
            )),
        }
    }
}

/// Which world a component is of; none when it exports nothing of ours. An error when
/// it is no component.
pub fn world_of(bytes: &[u8]) -> Result<Option<World>, String> {
    let mut world = None;
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(|error| format!("it is no WebAssembly: {error}"))? {
            Payload::Version {
                encoding: Encoding::Module,
                ..
            } if depth == 0 => {
                let hint = "it is a module, no component: build it for wasm32-wasip2, or make a \
                            component of it with wit-component";
                return Err(hint.to_owned());
            }
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            // One for each section entered, and one for the whole.
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentExportSection(exports) if depth == 0 => {
                for export in exports {
                    let export = export.map_err(|error| error.to_string())?;
                    world = world.or(named(export.name.name));
                }
            }
            _ => {}
        }
    }
    Ok(world)
}

fn named(export: &str) -> Option<World> {
    let begins = |begins: &[&str]| begins.iter().any(|it| export.starts_with(it));
    let found = EXPORTS.iter().find(|(_, names)| begins(names));
    found.map(|(world, _)| *world)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn component(export: &str) -> Vec<u8> {
        let text =
            format!("(component (component) (instance $i) (export {export:?} (instance $i)))");
        wat::parse_str(text).unwrap()
    }

    #[test]
    fn worlds_are_told_by_what_is_exported() {
        for (export, world) in [
            ("wxhost:bot/handler@0.1.0", Some(World::Bot)),
            ("wxhost:callback/handler@0.1.2", Some(World::Callback)),
            ("wasi:http/incoming-handler@0.2.0", Some(World::Endpoint)),
            ("init", None),
        ] {
            assert_eq!(world_of(&component(export)).unwrap(), world, "{export}");
        }
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let bot = component("wxhost:bot/handler@0.1.0");
        assert_eq!(World::Bot.check(&bot), Ok(()));
        let problem = World::Callback.check(&bot).unwrap_err();
        assert!(problem.contains("world bot"), "{problem}");
        let module = wat::parse_str("(module)").unwrap();
        let problem = World::Bot.check(&module).unwrap_err();
        assert!(problem.contains("wasm32-wasip2"), "{problem}");
        assert!(World::Bot.check(b"no wasm").is_err());
    }
}
