//! `wxhost build`: makes a project's component with the tool of its language, whose
//! output is shown as it comes.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};

use clap::Args;
use serde::Deserialize;
use tokio::process::Command;

use super::{
    FILE, Project, World,
    language::Language,
    tools::{self, JsTool},
};
use crate::cli::{
    failure::Failure,
    output::{Printed, size},
};

/// `wxhost build`.
#[derive(Args)]
pub struct BuildArgs {
    /// The project: its handler.toml or the folder with it [default: the nearest handler.toml,
    /// here or above]
    #[arg(long, value_name = "PATH")]
    manifest: Option<PathBuf>,
}

/// A component that was made.
#[derive(Debug)]
pub struct Built {
    /// Where it lies.
    pub path: PathBuf,
    /// What is in it.
    pub component: Vec<u8>,
    /// How long that took.
    pub took: Duration,
}

impl Built {
    /// In a line.
    pub fn told(&self) -> String {
        format!(
            "built {} ({}) in {:.1} s",
            self.path.display(),
            size(self.component.len() as u64),
            self.took.as_secs_f64()
        )
    }
}

impl BuildArgs {
    /// Builds the project.
    pub async fn run(self) -> Result<Printed, Failure> {
        let project = Project::open(self.manifest.as_deref())?;
        Ok(Printed::ok(build(&project).await?.told()))
    }
}

/// Builds a project, and checks that a component of its world came of it.
pub async fn build(project: &Project) -> Result<Built, Failure> {
    let start = Instant::now();
    let dir = &project.dir;
    match (&project.toml.build.command, Language::of(dir)) {
        (Some(line), _) => shell(dir, line).await?,
        (None, Some(Language::Rust)) => cargo(project).await?,
        (None, Some(Language::Js)) => npm(project).await?,
        (None, Some(Language::Python)) => componentize_py(project).await?,
        (None, None) => {
            return Err(Failure::Usage(format!(
                "{} has neither Cargo.toml, package.json, src/bot.py nor src/serve.py: say with \
                 `command` in [build] of {FILE} how it is built",
                dir.display()
            )));
        }
    }
    Ok(Built {
        path: project.component(),
        component: project.read_component()?,
        took: start.elapsed(),
    })
}

async fn shell(dir: &Path, line: &str) -> Result<(), Failure> {
    let mut shell = command("sh", dir);
    shell.args(["-c", line]);
    finished(
        line,
        shell
            .status()
            .await
            .map_err(tools::run("sh", "it comes with the system"))?,
    )
}

/// Fails when a script builds bots and the project is none.
fn check_script(tool: Option<JsTool>, world: World) -> Result<(), Failure> {
    match tool {
        Some(JsTool::ComponentizeQjs) if world != World::Bot => Err(Failure::Usage(format!(
            "{FILE} says `world = {:?}`, and `build` in package.json runs {}, which is for bots: \
             endpoints are built by {} (`wxhost new NAME --lang js --world endpoint` begins one), \
             callback components in Rust",
            world.as_str(),
            JsTool::ComponentizeQjs.as_str(),
            JsTool::Jco.as_str(),
        ))),
        _ => Ok(()),
    }
}

async fn npm(project: &Project) -> Result<(), Failure> {
    let dir = &project.dir;
    let package = dir.join("package.json");
    let text = fs::read_to_string(&package);
    let text = text.map_err(|error| Failure::local(package.display(), error))?;
    let tool = JsTool::of(&text);
    check_script(tool, project.toml.world)?;
    tools::check_npm_packages(dir, tool)?;
    let mut npm = command("npm", dir);
    npm.args(["run", "--silent", "build"]);
    let status = npm.status().await;
    finished(
        "npm run build",
        status.map_err(tools::run("npm", tools::NPM_CURE))?,
    )
}

/// What componentize-py is told of a project of this world.
fn python_arguments(world: World) -> Result<&'static [&'static str], Failure> {
    match world {
        World::Bot => Ok(&[
            "-d",
            "wxhost/wit",
            "-w",
            "bot",
            "componentize",
            "bot",
            "-p",
            "src",
            "-p",
            "wxhost/sdk-python",
        ]),
        // Without the SDK, which imports what endpoints do not have.
        World::Endpoint => Ok(&[
            "-d",
            "wxhost/wit/endpoint",
            "-w",
            "endpoint",
            "componentize",
            "serve",
            "-p",
            "src",
        ]),
        World::Callback => Err(Failure::Usage(format!(
            "{FILE} says `world = \"callback\"`, and there is no SDK in Python for those: write it \
             in Rust, or say with `command` in [build] how it is built"
        ))),
    }
}

async fn componentize_py(project: &Project) -> Result<(), Failure> {
    let arguments = python_arguments(project.toml.world)?;
    let program = tools::componentize_py(&project.dir).await?;
    let mut componentize = command(program, &project.dir);
    componentize
        .args(arguments)
        .arg("-o")
        .arg(&project.toml.component);
    let status = componentize.status().await;
    let cure = "it went away meanwhile";
    finished(
        "componentize-py",
        status.map_err(tools::run("componentize-py", cure))?,
    )
}

async fn cargo(project: &Project) -> Result<(), Failure> {
    tools::check_rust_target().await?;
    let mut cargo = command("cargo", &project.dir);
    cargo
        .args(["build", "--release", "--target", tools::TARGET])
        // Where it puts the component is its affair, and CARGO_TARGET_DIR's: it tells.
        .arg("--message-format=json-render-diagnostics")
        .stdout(Stdio::piped());
    let running = cargo
        .spawn()
        .map_err(tools::run("cargo", tools::CARGO_CURE))?;
    let output = running.wait_with_output().await;
    let output = output.map_err(|error| Failure::local("cargo", error))?;
    finished("cargo build", output.status)?;
    let manifest = project.dir.join("Cargo.toml").canonicalize();
    let manifest = manifest.map_err(|error| Failure::local("Cargo.toml", error))?;
    let made = artifact(&String::from_utf8_lossy(&output.stdout), &manifest);
    let made = made.ok_or_else(|| {
        Failure::local(
            "cargo build",
            "made no component: Cargo.toml needs [lib] with crate-type = [\"cdylib\"]",
        )
    })?;
    place(&made, &project.component())
}

fn command(program: impl AsRef<std::ffi::OsStr>, dir: &Path) -> Command {
    let mut command = Command::new(program);
    // What tools print goes to stderr, so that stdout has what came of it.
    command
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(io::stderr())
        .kill_on_drop(true);
    command
}

fn finished(what: &str, status: ExitStatus) -> Result<(), Failure> {
    match status.success() {
        true => Ok(()),
        false => Err(Failure::local(what, format!("failed ({status})"))),
    }
}

/// What cargo tells of something that it made.
#[derive(Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    manifest_path: PathBuf,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

/// The component among all that cargo made: the one of this package.
fn artifact(messages: &str, manifest: &Path) -> Option<PathBuf> {
    let parsed = messages.lines();
    let parsed = parsed.filter_map(|line| serde_json::from_str::<Message>(line).ok());
    let own = parsed.filter(|it| it.reason == "compiler-artifact" && it.manifest_path == manifest);
    let files = own.flat_map(|it| it.filenames);
    let mut wasm = files.filter(|file| file.extension().is_some_and(|it| it == "wasm"));
    wasm.next_back()
}

/// Puts a component where it is looked for. Whoever reads the file there never sees a
/// half of it.
fn place(made: &Path, wanted: &Path) -> Result<(), Failure> {
    if wanted.canonicalize().is_ok_and(|it| it == made) {
        return Ok(());
    }
    let failed = |error| Failure::local(wanted.display(), error);
    if let Some(parent) = wanted.parent() {
        fs::create_dir_all(parent).map_err(failed)?;
    }
    let half = wanted.with_extension("wasm.new");
    fs::copy(made, &half).map_err(failed)?;
    fs::rename(&half, wanted).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_builds_bots_builds_nothing_else() {
        let qjs = Some(JsTool::ComponentizeQjs);
        assert!(check_script(qjs, World::Bot).is_ok());
        assert!(check_script(Some(JsTool::Jco), World::Endpoint).is_ok());
        assert!(check_script(None, World::Endpoint).is_ok());
        let refused = check_script(qjs, World::Endpoint).map_err(|it| it.to_string());
        let why = refused.err().unwrap_or_default();
        assert!(
            why.contains("jco") && why.contains("--world endpoint"),
            "{why}"
        );
    }

    #[test]
    fn python_is_for_bots_and_endpoints() {
        for world in [World::Bot, World::Endpoint] {
            assert!(python_arguments(world).is_ok(), "{world:?}");
        }
        let refused = python_arguments(World::Callback).map_err(|it| it.to_string());
        let why = refused.err().unwrap_or_default();
        assert!(why.contains("callback") && why.contains("Rust"), "{why}");
    }

    #[test]
    fn the_component_of_the_package_is_found_among_all_that_cargo_made() {
        let messages = r#"{"reason":"compiler-artifact","manifest_path":"/sdk/Cargo.toml","filenames":["/t/sdk.wasm"]}
{"reason":"compiler-artifact","manifest_path":"/p/Cargo.toml","filenames":["/t/libp.rlib","/t/p.wasm"]}
{"reason":"build-finished","success":true}
no json"#;
        let found = artifact(messages, Path::new("/p/Cargo.toml"));
        assert_eq!(found.as_deref(), Some(Path::new("/t/p.wasm")));
        assert_eq!(artifact(messages, Path::new("/q/Cargo.toml")), None);
    }
}
