//! The configuration file of a host under test.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    Result,
    openwx::{Ports, binary},
};

/// The customer id of the usual app. The fixtures have it too.
pub const APPID: &str = "app-7f3a";
/// The secret key of the usual app. Long enough to be found in a log for sure.
pub const SECRET_KEY: &str = "key-0b6d51c4e8f7";
/// How long a component of a whole Python runtime is compiled at the most, in ms: without
/// optimisation, on a busy machine.
pub const COMPILE_MS: u64 = 600_000;

/// What a host is started with.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    apps: Vec<App>,
    limits: Vec<(String, u64)>,
    environment: Vec<(String, String)>,
    report_contact: Option<u8>,
    pub(super) path_secret: Option<String>,
    pub(super) ports: Option<Arc<Ports>>,
    pub(super) bears_full_disks: bool,
    /// Command lines by the names of their templates.
    templates: BTreeMap<String, Vec<String>>,
}

#[derive(Debug, Clone)]
struct App {
    appid: String,
    secret_key: String,
    accounts: Vec<String>,
    /// Further lines of its table.
    more: String,
}

impl Settings {
    /// One more app. Without any, the usual one admits every account.
    pub fn app(self, appid: &str, secret_key: &str, accounts: &[&str]) -> Self {
        self.app_with(appid, secret_key, accounts, "")
    }

    /// The same with further lines in its table.
    pub fn app_with(
        mut self,
        appid: &str,
        secret_key: &str,
        accounts: &[&str],
        more: &str,
    ) -> Self {
        self.apps.push(App {
            more: more.to_owned(),
            appid: appid.to_owned(),
            secret_key: secret_key.to_owned(),
            accounts: accounts.iter().map(|id| (*id).to_owned()).collect(),
        });
        self
    }

    /// The usual app, for these accounts only.
    pub fn accounts(self, accounts: &[&str]) -> Self {
        self.app(APPID, SECRET_KEY, accounts)
    }

    /// A limit of a call, by its name under `[limits]`.
    pub fn limit(mut self, name: &str, value: u64) -> Self {
        self.limits.push((name.to_owned(), value));
        self
    }

    /// No pace, and as much time as there can be for a call that waits for its site as long
    /// as the test wants: the two together are at most 15 s. There is room for all calls.
    pub fn patient() -> Self {
        Self::default()
            .unpaced()
            .limit("call_wall_ms", 13_000)
            .limit("queue_wait_ms", 2_000)
            .set("egress.request_ms", 30_000)
    }

    /// What `report_contact` uploads.
    pub fn report_contact(mut self, bits: u8) -> Self {
        self.report_contact = Some(bits);
        self
    }

    /// The part of the callback's path that can't be guessed.
    pub fn path_secret(mut self, secret: &str) -> Self {
        self.path_secret = Some(secret.to_owned());
        self
    }

    /// Openwx clients, which are stubs: this many ports, no token, and short waits.
    pub fn clients(mut self, count: u16) -> Result<Self> {
        let ports = Ports::block(count)?;
        let range = (ports.first, ports.last);
        self.ports = Some(Arc::new(ports));
        self.set("openwx.backend_start_port", range.0)
            .set("openwx.backend_end_port", range.1)
            .set("openwx.max_clients", count)
            .set("openwx.auth", "none")
            .set("openwx.check_interval", 1)
            .set("openwx.stop_ms", 1_500)
            .set("openwx.restart.wait_min_ms", 100)
            .template("default", &[])
    }

    /// A template that starts the stub with these arguments.
    pub fn template(self, name: &str, arguments: &[&str]) -> Result<Self> {
        let stub = binary()?.display().to_string();
        let command: Vec<_> = [stub.as_str()].iter().chain(arguments).copied().collect();
        Ok(self.command(name, &command))
    }

    /// A template with this command line.
    pub fn command(mut self, name: &str, command: &[&str]) -> Self {
        let command = command.iter().map(|word| (*word).to_owned()).collect();
        self.templates.insert(name.to_owned(), command);
        self
    }

    /// A setting by its whole name, such as `wehub.websocket`.
    pub fn set(self, name: &str, value: impl ToString) -> Self {
        let name = format!("WXHOST_{}", name.to_uppercase().replace('.', "__"));
        self.env(&name, &value.to_string())
    }

    /// No pace and no guard: for tests of other things that write a lot.
    pub fn unpaced(self) -> Self {
        self.set("pacing.account_per_minute", 0)
            .set("pacing.conversation_per_minute", 0)
            .set("pacing.guard_replies", 0)
    }

    /// A variable of the host's environment.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The host is not ended when a file of its becomes larger than it may: its writes
    /// fail, as on a full disk.
    pub fn bears_full_disks(mut self) -> Self {
        self.bears_full_disks = true;
        self
    }

    /// The file's text.
    pub fn to_toml(&self) -> String {
        let mut text = String::from("[wehub]\n");
        if let Some(secret) = &self.path_secret {
            text.push_str(&format!("path_secret = {secret:?}\n"));
        }
        if let Some(bits) = self.report_contact {
            text.push_str(&format!("report_contact = {bits}\n"));
        }
        self.all_apps()
            .iter()
            .for_each(|app| text.push_str(&app.to_toml()));
        if !self.limits.is_empty() {
            text.push_str("\n[limits]\n");
        }
        for (name, value) in &self.limits {
            text.push_str(&format!("{name} = {value}\n"));
        }
        for (name, command) in &self.templates {
            text.push_str(&format!(
                "\n[openwx.template.{name:?}]\ncommand = {command:?}\n"
            ));
        }
        text
    }

    pub(super) fn environment(&self) -> impl Iterator<Item = (&str, &str)> {
        let pairs = self.environment.iter();
        pairs.map(|(name, value)| (name.as_str(), value.as_str()))
    }

    pub(super) fn first_app(&self) -> (&str, &str) {
        let app = self.apps.first();
        app.map_or((APPID, SECRET_KEY), |app| (&app.appid, &app.secret_key))
    }

    /// What must never be in a log. Short ones could be there by chance.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &str> {
        let keys = self.apps.iter().map(|app| app.secret_key.as_str());
        keys.chain([SECRET_KEY])
            .chain(self.path_secret.as_deref())
            .filter(|secret| secret.len() >= 8)
    }

    fn all_apps(&self) -> Vec<App> {
        match self.apps.is_empty() {
            true => self.clone().accounts(&["*"]).apps,
            false => self.apps.clone(),
        }
    }
}

impl App {
    fn to_toml(&self) -> String {
        let Self {
            appid,
            secret_key,
            accounts,
            more,
        } = self;
        format!(
            "\n[[wehub.app]]\nappid = {appid:?}\nsecret_key = {secret_key:?}\naccounts = {accounts:?}\n{more}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_holds_what_was_set() {
        let text = Settings::default()
            .app("a", "k", &["wxid_a", "*"])
            .limit("call_cpu_ms", 200)
            .report_contact(7)
            .path_secret("s")
            .to_toml();
        let wanted = "[wehub]\npath_secret = \"s\"\nreport_contact = 7\n\n[[wehub.app]]\nappid = \"a\"\n\
                      secret_key = \"k\"\naccounts = [\"wxid_a\", \"*\"]\n\n[limits]\ncall_cpu_ms = 200\n";
        assert_eq!(text, wanted);
    }

    #[test]
    fn a_template_takes_the_place_of_one_before() {
        let text = Settings::default()
            .command("default", &["a"])
            .command("default", &["b", "--c \"d\""])
            .to_toml();
        let wanted = "\n[openwx.template.\"default\"]\ncommand = [\"b\", \"--c \\\"d\\\"\"]\n";
        assert!(text.ends_with(wanted), "{text}");
    }

    #[test]
    fn without_an_app_the_usual_one_admits_all() {
        let text = Settings::default().to_toml();
        assert!(text.contains(APPID) && text.contains("[\"*\"]"), "{text}");
    }
}
