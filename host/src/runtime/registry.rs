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
    time::{Duration, Instant},
};

use bytes::Bytes;
use dashmap::DashMap;
use rayon::{ThreadPool, ThreadPoolBuilder};
use tokio::sync::Semaphore;
use wasmtime::component::{Component as WasmComponent, Linker};
use wasmtime_wasi_http::p2::bindings::ProxyPre;

use super::{
    Limits,
    bindings::{BotPre, callback::CallbackPre},
    endpoint::EndpointErrand,
    engine::Engine,
    slow::step_back,
    state::{CallState, CallbackErrand},
    unfit,
};
use crate::{
    domain::{
        Digest,
        handler::{BOT_WORLD, CALLBACK_WORLD, ENDPOINT_WORLD},
        ports::{Component, ComponentError, InUse},
    },
    files,
};

/// The export that makes a component a bot.
const BOT_EXPORT: &str = "wxhost:bot/handler@0.1.";
/// The export that makes it a callback component.
const CALLBACK_EXPORT: &str = "wxhost:callback/handler@0.1.";

/// The export that makes it an endpoint, if it has none of those.
const ENDPOINT_EXPORT: &str = "wasi:http/incoming-handler@0.2.";

/// A bot that is ready to be instantiated.
pub type Bot = Arc<BotPre<CallState>>;
/// A callback component that is ready to be instantiated.
pub type Callback = Arc<CallbackPre<CallState<CallbackErrand>>>;

/// An endpoint that is ready to be instantiated.
pub type Endpoint = Arc<ProxyPre<CallState<EndpointErrand>>>;

/// A component that is ready to be instantiated, by its world.
#[derive(Clone)]
pub enum Guest {
    /// It serves accounts.
    Bot(Bot),
    /// It decides about the callback.
    Callback(Callback),
    /// It answers HTTP requests.
    Endpoint(Endpoint),
}

impl Guest {
    /// The name of its world in answers and listings.
    fn world(&self) -> &'static str {
        match self {
            Self::Bot(_) => BOT_WORLD,
            Self::Callback(_) => CALLBACK_WORLD,
            Self::Endpoint(_) => ENDPOINT_WORLD,
        }
    }
}

/// Components that are of no use.
#[derive(Debug, Clone, Default)]
struct Unused {
    in_memory: HashSet<Digest>,
    on_disk: HashSet<Digest>,
}

/// All components that this host knows.
pub struct Registry {
    engine: wasmtime::Engine,
    linker: Linker<CallState>,
    callback_linker: Linker<CallState<CallbackErrand>>,
    endpoint_linker: Linker<CallState<EndpointErrand>>,
    dir: PathBuf,
    ready: DashMap<Digest, Guest>,
    /// What was of no use when `retain` was last called. It goes next time: an
    /// event may have chosen its bot just before that changed.
    unused: Mutex<Unused>,
    /// Compiling uses every core it gets: one at a time leaves some for calls.
    compiling: Arc<Semaphore>,
    /// Where it is done.
    compilers: Arc<ThreadPool>,
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
            callback_linker: engine.callback_linker.clone(),
            endpoint_linker: engine.endpoint_linker.clone(),
            dir,
            ready: DashMap::new(),
            unused: Mutex::default(),
            compiling: Arc::new(Semaphore::new(1)),
            compilers: Arc::new(compilers()?),
            component_bytes: limits.component_bytes,
            compile_time: Duration::from_millis(limits.compile_ms),
        })
    }

    /// A component that is in memory.
    pub fn get(&self, digest: Digest) -> Option<Guest> {
        self.ready.get(&digest).map(|guest| guest.clone())
    }

    /// Compiles a component and checks that it has a world of ours and links. It is kept
    /// on disk, so that compiling is never done twice, but not yet in memory.
    pub async fn take_in(&self, bytes: Bytes) -> Result<(Component, Guest), ComponentError> {
        unfit::check_preamble(&bytes, self.component_bytes)?;
        let digest = Digest::of(&bytes);
        let size_bytes = bytes.len() as u64;
        let (wasm, compile_ms) = self.compiled(digest, bytes.clone()).await?;
        let imports = self.imports(&wasm);
        let guest = self.link(&wasm)?;
        let path = self.source_path(digest);
        files::write_durably(&path, bytes)
            .await
            .map_err(|error| disk(&path, &error))?;
        Ok((
            Component {
                digest,
                size_bytes,
                world: guest.world().to_owned(),
                imports,
                compile_ms,
            },
            guest,
        ))
    }

    /// Keeps a component in memory, ready to be called.
    pub fn keep(&self, component: &Component, guest: Guest) {
        self.ready.insert(component.digest, guest);
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
        let (wasm, _) = self.compiled(digest, bytes).await?;
        self.ready.insert(digest, self.link(&wasm)?);
        Ok(())
    }

    /// Drops what does not serve from memory, and what is not kept from disk, if it
    /// was so at the call before as well.
    pub async fn retain(&self, components: &InUse) {
        let files = self.files().await;
        let held = self.ready.iter().map(|guest| *guest.key());
        let unused = Unused {
            in_memory: held
                .filter(|digest| !components.serving.contains(digest))
                .collect(),
            on_disk: files
                .iter()
                .map(|(digest, _)| *digest)
                .filter(|digest| !components.kept.contains(digest))
                .collect(),
        };
        let former = {
            let mut kept = self.unused.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *kept, unused.clone())
        };
        let idle = |digest: &Digest| {
            unused.in_memory.contains(digest) && former.in_memory.contains(digest)
        };
        self.ready.retain(|digest, _| !idle(digest));
        let goes =
            |digest: &Digest| unused.on_disk.contains(digest) && former.on_disk.contains(digest);
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

    /// The component, from the cache where it can, and how long compiling took in ms.
    async fn compiled(
        &self,
        digest: Digest,
        bytes: Bytes,
    ) -> Result<(WasmComponent, u64), ComponentError> {
        let cached = self.compiled_path(digest);
        if let Some(component) = load(&self.engine, &cached) {
            return Ok((component, 0));
        }
        let began = Instant::now();
        let component = self.compile(bytes).await?;
        let compile_ms = (began.elapsed().as_millis() as u64).max(1);
        let compiled = component
            .serialize()
            .map_err(|error| ComponentError::Host(chain(&error)))?;
        // A cache that can't be written costs time, no more.
        if let Err(error) = write_cache(&cached, compiled.into()).await {
            tracing::warn!(path = %cached.display(), %error, "the compiled component is not cached");
        }
        Ok((component, compile_ms))
    }

    /// Compiles off the request path. Cranelift can't be interrupted: past the
    /// time limit the caller gets its answer, and the next component waits, as long at
    /// most.
    async fn compile(&self, bytes: Bytes) -> Result<WasmComponent, ComponentError> {
        let late = || {
            let ms = self.compile_time.as_millis();
            ComponentError::Unfit(format!(
                "compiling it takes more than {ms} ms (limits.compile_ms)"
            ))
        };
        let permit = Arc::clone(&self.compiling).acquire_owned();
        let permit = match tokio::time::timeout(self.compile_time, permit).await {
            Ok(Ok(permit)) => permit,
            Ok(Err(_)) | Err(_) => {
                let problem = "other components are being compiled: try again later";
                return Err(ComponentError::Busy(problem.to_owned()));
            }
        };
        let work = async {
            let (engine, compilers) = (self.engine.clone(), Arc::clone(&self.compilers));
            let compiling = tokio::task::spawn_blocking(move || {
                let _permit = permit;
                compilers.install(|| WasmComponent::from_binary(&engine, &bytes))
            });
            compiling
                .await
                .map_err(|error| ComponentError::Host(error.to_string()))
        };
        match tokio::time::timeout(self.compile_time, work).await {
            Ok(compiled) => compiled?.map_err(|error| unfit::uncompiled(&error)),
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

    fn link(&self, component: &WasmComponent) -> Result<Guest, ComponentError> {
        let kind = component.component_type();
        let exports: Vec<_> = kind.exports(&self.engine).map(|(name, _)| name).collect();
        let has = |export: &str| exports.iter().any(|name| name.starts_with(export));
        match (has(BOT_EXPORT), has(CALLBACK_EXPORT)) {
            (true, false) => self
                .link_bot(component)
                .map(Guest::Bot)
                .map_err(unfit::unlinked),
            (false, true) => {
                let linked = self.link_callback(component);
                linked.map(Guest::Callback).map_err(unfit::unlinked)
            }
            (false, false) if has(ENDPOINT_EXPORT) => {
                let linked = self.link_endpoint(component);
                linked.map(Guest::Endpoint).map_err(unfit::unlinked)
            }
            _ => Err(unfit::of_no_world(&exports)),
        }
    }

    fn link_bot(&self, component: &WasmComponent) -> wasmtime::Result<Bot> {
        BotPre::new(self.linker.instantiate_pre(component)?).map(Arc::new)
    }

    fn link_callback(&self, component: &WasmComponent) -> wasmtime::Result<Callback> {
        CallbackPre::new(self.callback_linker.instantiate_pre(component)?).map(Arc::new)
    }

    fn link_endpoint(&self, component: &WasmComponent) -> wasmtime::Result<Endpoint> {
        ProxyPre::new(self.endpoint_linker.instantiate_pre(component)?).map(Arc::new)
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

/// Threads that compile, as many as there are cores, but with less of a claim to them than
/// those that answer.
fn compilers() -> Result<ThreadPool, ComponentError> {
    let threads = ThreadPoolBuilder::new()
        .thread_name(|_| "wasm-compiler".to_owned())
        .start_handler(|_| step_back());
    let started = threads.build();
    started.map_err(|error| ComponentError::Host(error.to_string()))
}

fn foldhash() -> impl Hasher {
    std::hash::BuildHasherDefault::<std::hash::DefaultHasher>::default().build_hasher()
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
