//! Whom a handler reaches, in words, and a warning where that is nobody: what serves nobody
//! looks deployed all the same.

use super::versions::share;
use crate::{
    cli::output::harmless,
    domain::handler::{Reached, Scope, Share},
    edge::control::wire::HandlerView,
};

/// What a handler is bound to, a line each, with how many accounts that is where it was
/// counted.
pub fn bindings(handler: &HandlerView) -> String {
    let line = |scope: &Scope| {
        let name = harmless(&String::from(scope.clone()));
        let reaches = handler.reaches.as_ref();
        match reaches.and_then(|reaches| reaches.by(scope)) {
            Some(reached) => format!("{name} ({})", of_scope(scope, reached)),
            None => name,
        }
    };
    let lines: Vec<String> = handler.bindings.iter().map(line).collect();
    lines.join("\n")
}

/// How many accounts a binding reaches.
pub fn of_scope(scope: &Scope, reached: Reached) -> String {
    match scope {
        Scope::Account(_) => one(reached).to_owned(),
        _ => accounts(reached),
    }
}

fn one(reached: Reached) -> &'static str {
    match (reached.known, reached.logged_in) {
        _ if reached.or_more => "not looked up",
        (0, _) => "not known yet",
        (_, 0) => "not logged in",
        _ => "logged in",
    }
}

/// A number of accounts, and how many of them are logged in.
fn accounts(reached: Reached) -> String {
    let Reached {
        known, logged_in, ..
    } = reached;
    if reached.is_nobody() {
        return "no account that is known".to_owned();
    }
    let (more, accounts) = match (reached.or_more, known) {
        (true, _) => (" or more", "accounts"),
        (false, 1) => ("", "account"),
        (false, _) => ("", "accounts"),
    };
    format!("{known}{more} {accounts}, {logged_in}{more} logged in")
}

/// The same of accounts whose number was said before.
pub fn known(reached: Reached) -> String {
    let Reached {
        known, logged_in, ..
    } = reached;
    match (reached.is_nobody(), reached.or_more) {
        (true, _) => "none that is known".to_owned(),
        (false, true) => format!("{known} or more known, {logged_in} or more logged in"),
        (false, false) => format!("{known} known, {logged_in} logged in"),
    }
}

/// What to say where nobody is reached: a line each.
pub fn warnings(handler: &HandlerView) -> Vec<String> {
    let Some(reaches) = &handler.reaches else {
        return Vec::new();
    };
    let nobody = reaches.scopes.iter().filter(|it| it.reached.is_nobody());
    let mut lines: Vec<String> = nobody.map(|it| unreached(&it.account)).collect();
    if let (Some(rollout), Some(reached)) = (&handler.rollout, reaches.rollout) {
        let version = rollout.version;
        let name = &handler.name;
        match &rollout.to {
            Share::Accounts(ids) if ids.len() == 1 && reached.known == 0 => lines.push(format!(
                "version {version} serves nobody yet: the account that is listed is not known, \
                 or not served by {name}"
            )),
            Share::Accounts(ids) if reached.known < ids.len() => lines.push(format!(
                "version {version} serves {} of the {} accounts that are listed: the others are \
                 not known, or not served by {name}",
                reached.known,
                ids.len()
            )),
            _ if reached.is_nobody() => lines.push(format!(
                "version {version} serves nobody yet: it is for {} that {name} serves, and none \
                 that is known is among them",
                share(rollout)
            )),
            _ => {}
        }
    }
    lines
}

/// Nobody is served by this binding.
pub fn unreached(scope: &Scope) -> String {
    match scope {
        Scope::Account(id) => {
            let id = harmless(id.as_str());
            format!("{id} is not known yet: no account of this id has ever logged in")
        }
        Scope::Label(label) => format!(
            "no account that is known has the label {label} and no binding of its own: \
             `wxhost account label ID +{label}` gives it one"
        ),
        Scope::All => "* reaches nobody yet: no account is known that has no binding of its own \
                       or by a label"
            .to_owned(),
        Scope::Callback => "the callback is no account".to_owned(),
    }
}

/// Warnings as the last lines of what is printed; to stderr where that is JSON.
pub fn warned(mut text: String, warnings: &[String], json: bool) -> String {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    for warning in warnings {
        match json {
            true => eprintln!("warning: {warning}"),
            false => text.push_str(&format!("warning: {warning}\n")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::domain::{
        Handler,
        handler::{Reaches, Rollout, ScopeReached, Version, VersionNumber},
    };

    fn reached(known: usize, logged_in: usize, or_more: bool) -> Reached {
        Reached {
            known,
            logged_in,
            or_more,
        }
    }

    fn view(scopes: &[(&str, Reached)], rollout: Option<(Share, Reached)>) -> HandlerView {
        let scope = |text: &str| Scope::try_from(text.to_owned()).unwrap();
        let to = rollout.as_ref().map(|(to, _)| Rollout {
            version: Version {
                number: VersionNumber(2),
                ..Version::example(b"new")
            },
            to: to.clone(),
            failures_percent: 20,
            began_ms: 0,
        });
        let handler = Handler {
            rollout: to,
            ..Handler::example("faq")
        };
        let bound = scopes.iter().map(|(text, _)| scope(text)).collect();
        let mut view = HandlerView::new(&handler, Vec::new(), bound, None);
        let scopes = scopes.iter().map(|(text, reached)| ScopeReached {
            account: scope(text),
            reached: *reached,
        });
        view.reaches = Some(Reaches {
            scopes: scopes.collect(),
            rollout: rollout.map(|(_, reached)| reached),
        });
        view
    }

    #[test]
    fn each_binding_has_the_number_of_its_accounts() {
        let view = view(
            &[
                ("*", reached(700, 9, true)),
                ("label:shop", reached(0, 0, false)),
                ("wxid_a", reached(1, 1, false)),
                ("wxid_b", reached(1, 0, false)),
                ("wxid_tpyo", reached(0, 0, false)),
            ],
            None,
        );
        assert_eq!(
            bindings(&view),
            "* (700 or more accounts, 9 or more logged in)\n\
             label:shop (no account that is known)\n\
             wxid_a (logged in)\nwxid_b (not logged in)\nwxid_tpyo (not known yet)"
        );
        let warnings = warnings(&view).join("\n");
        assert!(warnings.contains("the label shop"), "{warnings}");
        assert!(warnings.contains("wxid_tpyo is not known"), "{warnings}");
        assert_eq!(warnings.lines().count(), 2, "{warnings}");
    }

    #[test]
    fn a_share_of_nobody_is_told() {
        let scopes = [("*", reached(3, 3, false))];
        let none = (Share::Percent(1), reached(0, 0, false));
        let told = warnings(&view(&scopes, Some(none))).join("\n");
        assert!(told.contains("serves nobody yet"), "{told}");
        let some = (Share::Percent(1), reached(1, 0, false));
        assert!(warnings(&view(&scopes, Some(some))).is_empty());
        // Not all were looked at.
        let perhaps = (Share::Percent(1), reached(0, 0, true));
        assert!(warnings(&view(&scopes, Some(perhaps))).is_empty());
        let ids = ["wxid_a", "wxid_z"].map(|id| id.try_into().unwrap());
        let listed = (Share::Accounts(ids.into()), reached(1, 1, false));
        let told = warnings(&view(&scopes, Some(listed))).join("\n");
        assert!(told.contains("1 of the 2 accounts"), "{told}");
        let listed = (
            Share::Accounts(["wxid_z".try_into().unwrap()].into()),
            reached(0, 0, false),
        );
        let told = warnings(&view(&scopes, Some(listed))).join("\n");
        assert!(
            told.contains("the account that is listed is not known"),
            "{told}"
        );
    }
}
