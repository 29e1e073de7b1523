//! Components on disk and in memory, by digest.
//!
//! `DATA/components/DIGEST.wasm` is what was deployed, `DIGEST-ENGINE.cwasm`
//! beside it what came out of compiling it with this engine and settings. The
//! second kind is a cache: it can be deleted at any time.

use std::{
    collections::HashSet,
    hash::{BuildHasher, Hash, Hasher},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use dashmap::DashMap;
use tokio::sync::Semaphore;
use wasmtime::component::Component as WasmComponent;

use super::{Limits, bindings::BotPre, engine::Engine, state::CallState};
use crate::{
    domain::{
        Digest,
        ports::{Component, ComponentError},
    },
    files,
};

/// The export that makes a component a bot.
const HANDLER_EXPORT: &str = "wxhost:bot/handler@0.1.";
/// The name of the world in answers and listings.
const BOT_WORLD: &str = "wxhost:bot/bot@0.1.0";

/// A bot that is ready to be instantiated.
pub type Bot = Arc<BotPre<CallState>>;

/// All components that this host knows.
pub struct Registry {
    engine: wasmtime::Engine,
    linker: wasmtime::component::Linker<CallState>,
    dir: PathBuf,
    ready: DashMap<Digest, Bot>,
    /// What was of no use when `retain` was last called. It goes next time: an
    /// event may have chosen its bot just before that changed.
    unused: Mutex<HashSet<Digest>>,
    /// Compiling uses every core it gets: one at a time leaves some for calls.
    compiling: Arc<Semaphore>,
    component_bytes: u64,
    compile_time: Duration,
}

impl Registry {
    /// Opens the directory, making it when it is missing.
    pub fn open(engine: &Engine, limits: &Limits, data_dir: &Path) -> Result<Self, ComponentError> {
        let dir = data_dir.join("components");
        files::private_dir(&dir).map_err(|error| disk(&dir, &error))?;
        files::remove_leftovers(&dir);
        Ok(Self {
            engine: engine.wasm.clone(),
            linker: engine.linker.clone(),
            dir,
            ready: DashMap::new(),
            unused: Mutex::default(),
            compiling: Arc::new(Semaphore::new(1)),
            component_bytes: limits.component_bytes,
            compile_time: Duration::from_millis(limits.compile_ms),
        })
    }

    /// A bot that is in memory.
    pub fn get(&self, digest: Digest) -> Option<Bot> {
        self.ready.get(&digest).map(|bot| Arc::clone(&bot))
    }

    /// Compiles a component and checks that it is a bot and links. It is kept
    /// on disk, so that compiling is never done twice, but not yet in memory.
    pub async fn take_in(&self, bytes: Bytes) -> Result<(Component, Bot), ComponentError> {
        check_preamble(&bytes, self.component_bytes)?;
        let digest = Digest::of(&bytes);
        let size_bytes = bytes.len() as u64;
        let wasm = self.compiled(digest, bytes.clone()).await?;
        let imports = self.imports(&wasm);
        let world = self.world(&wasm)?;
        let bot = self.link(&wasm)?;
        let path = self.source_path(digest);
        files::write_durably(&path, bytes)
            .await
            .map_err(|error| disk(&path, &error))?;
        Ok((
            Component {
                digest,
                size_bytes,
                world,
                imports,
            },
            bot,
        ))
    }

    /// Keeps a bot in memory, ready to be called.
    pub fn keep(&self, component: &Component, bot: Bot) {
        self.ready.insert(component.digest, bot);
    }

    /// Loads a component that was deployed before, from the cache where it can.
    pub async fn prepare(&self, digest: Digest) -> Result<(), ComponentError> {
        if self.ready.contains_key(&digest) {
            return Ok(());
        }
        let path = self.source_path(digest);
        let bytes = tokio::fs::read(&path)
            .await
            .map_err(|error| disk(&path, &error))?;
        let bytes = Bytes::from(bytes);
        if Digest::of(&bytes) != digest {
            let problem = format!("{} is damaged: deploy the handler again", path.display());
            return Err(ComponentError::Host(problem));
        }
        let wasm = self.compiled(digest, bytes).await?;
        self.ready.insert(digest, self.link(&wasm)?);
        Ok(())
    }

    /// Drops what is none of these, and was none of those of the call before,
    /// from memory and disk.
    pub async fn retain(&self, in_use: &[Digest]) {
        let in_use: HashSet<_> = in_use.iter().copied().collect();
        let files = self.files().await;
        let held = self.ready.iter().map(|bot| *bot.key());
        let unused: HashSet<_> = held
            .chain(files.iter().map(|(digest, _)| *digest))
            .filter(|digest| !in_use.contains(digest))
            .collect();
        let former = {
            let mut kept = self.unused.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *kept, unused.clone())
        };
        let goes = |digest: &Digest| unused.contains(digest) && former.contains(digest);
        self.ready.retain(|digest, _| !goes(digest));
        for (_, path) in files.iter().filter(|(digest, _)| goes(digest)) {
            // What stays is tried again next time.
            let _ = tokio::fs::remove_file(path).await;
        }
    }

    /// The files of components, compiled ones included.
    async fn files(&self) -> Vec<(Digest, PathBuf)> {
        let mut files = Vec::new();
        let Ok(mut entries) = tokio::fs::read_dir(&self.dir).await else {
            return files;
        };
        while let Ok(Some(entry)) = entries.next_entry().await {
            let name = entry.file_name().to_string_lossy().into_owned();
            let digest = name
                .get(..64)
                .and_then(|hex| Digest::try_from(hex.to_owned()).ok());
            files.extend(digest.map(|digest| (digest, entry.path())));
        }
        files
    }

    async fn compiled(
        &self,
        digest: Digest,
        bytes: Bytes,
    ) -> Result<WasmComponent, ComponentError> {
        let cached = self.compiled_path(digest);
        if let Some(component) = load(&self.engine, &cached) {
            return Ok(component);
        }
        let component = self.compile(bytes).await?;
        let compiled = component
            .serialize()
            .map_err(|error| ComponentError::Host(chain(&error)))?;
        // A cache that can't be written costs time, no more.
        if let Err(error) = write_cache(&cached, compiled.into()).await {
            tracing::warn!(path = %cached.display(), %error, "the compiled component is not cached");
        }
        Ok(component)
    }

    /// Compiles off the request path. Cranelift can't be interrupted: past the
    /// time limit the caller gets its answer, and the next component waits.
    async fn compile(&self, bytes: Bytes) -> Result<WasmComponent, ComponentError> {
        let late = || {
            let seconds = self.compile_time.as_secs();
            ComponentError::Unfit(format!(
                "compiling it takes more than {seconds} s (limits.compile_ms)"
            ))
        };
        let work = async {
            let permit = Arc::clone(&self.compiling).acquire_owned().await;
            let engine = self.engine.clone();
            let compiling = tokio::task::spawn_blocking(move || {
                let _permit = permit;
                WasmComponent::from_binary(&engine, &bytes)
            });
            compiling
                .await
                .map_err(|error| ComponentError::Host(error.to_string()))
        };
        match tokio::time::timeout(self.compile_time, work).await {
            Ok(compiled) => compiled?.map_err(|error| {
                ComponentError::Unfit(format!(
                    "it is no component that can be run: {}",
                    chain(&error)
                ))
            }),
            Err(_) => Err(late()),
        }
    }

    fn imports(&self, component: &WasmComponent) -> Vec<String> {
        let kind = component.component_type();
        let mut names: Vec<_> = kind
            .imports(&self.engine)
            .map(|(name, _)| name.to_owned())
            .collect();
        names.sort();
        names
    }

    fn world(&self, component: &WasmComponent) -> Result<String, ComponentError> {
        let kind = component.component_type();
        let exports: Vec<_> = kind.exports(&self.engine).map(|(name, _)| name).collect();
        if exports.iter().any(|name| name.starts_with(HANDLER_EXPORT)) {
            return Ok(BOT_WORLD.to_owned());
        }
        let found = if exports.is_empty() {
            "nothing".to_owned()
        } else {
            exports.join(", ")
        };
        Err(ComponentError::Unfit(format!(
            "it has another world: a bot exports wxhost:bot/handler@0.1.0, this exports {found}"
        )))
    }

    fn link(&self, component: &WasmComponent) -> Result<Bot, ComponentError> {
        let unfit = |error: wasmtime::Error| {
            ComponentError::Unfit(format!("it does not link: {}", chain(&error)))
        };
        let linked = self.linker.instantiate_pre(component).map_err(unfit)?;
        BotPre::new(linked).map(Arc::new).map_err(unfit)
    }

    fn source_path(&self, digest: Digest) -> PathBuf {
        self.dir.join(format!("{digest}.wasm"))
    }

    fn compiled_path(&self, digest: Digest) -> PathBuf {
        // Not kept secret and not attacked: any stable hash does.
        let mut hasher = foldhash();
        self.engine
            .precompile_compatibility_hash()
            .hash(&mut hasher);
        self.dir
            .join(format!("{digest}-{:016x}.cwasm", hasher.finish()))
    }
}

fn foldhash() -> impl Hasher {
    std::hash::BuildHasherDefault::<std::hash::DefaultHasher>::default().build_hasher()
}

/// Says at once what a file is that is no component: people upload the wrong
/// one more often than a broken one.
fn check_preamble(bytes: &[u8], max_bytes: u64) -> Result<(), ComponentError> {
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

/// Writes compiled code and beside it its digest, which is there only when the
/// code is there in full.
async fn write_cache(path: &Path, compiled: Bytes) -> io::Result<()> {
    let digest = Digest::of(&compiled).to_string();
    files::write_durably(path, compiled).await?;
    files::write_durably(&digest_path(path), digest.into()).await
}

fn digest_path(path: &Path) -> PathBuf {
    path.with_extension("cwasm-b3")
}

/// Compiled code is run as it is: a disk that lost a bit of it must not crash
/// the host. wasmtime checks its version and settings only.
fn is_as_written(path: &Path) -> bool {
    match (
        std::fs::read(path),
        std::fs::read_to_string(digest_path(path)),
    ) {
        (Ok(bytes), Ok(digest)) => Digest::of(&bytes).to_string() == digest,
        _ => false,
    }
}

#[expect(
    unsafe_code,
    reason = "wasmtime trusts what it loads: see the comment below"
)]
fn load(engine: &wasmtime::Engine, path: &Path) -> Option<WasmComponent> {
    if !is_as_written(path) {
        return None;
    }
    // SAFETY: the file was written by `compiled` into a directory that only this
    // user can write to; whoever can change it can change this program as well.
    // wasmtime itself refuses files of another version or with other settings.
    match unsafe { WasmComponent::deserialize_file(engine, path) } {
        Ok(component) => Some(component),
        Err(error) => {
            tracing::warn!(path = %path.display(), error = %chain(&error), "compiling again");
            None
        }
    }
}

fn disk(path: &Path, error: &io::Error) -> ComponentError {
    ComponentError::Host(format!("{}: {error}", path.display()))
}

/// The error and its causes in one line.
pub fn chain(error: &wasmtime::Error) -> String {
    format!("{error:#}")
}
