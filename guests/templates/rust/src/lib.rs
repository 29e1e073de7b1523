//! Answers "hello" with the configured greeting, and counts how often it was pinged.
use wxhost_sdk::prelude::*;

wxhost_sdk::bot!(on_event);

fn on_event(event: Event) -> Result<(), Error> {
    let Some(text) = event.text() else {
        return Ok(());
    };
    match asked(text) {
        Some(Asked::Greeting) => {
            let greeting = config::get("greeting")?;
            chat::reply(greeting.as_deref().unwrap_or("Hello!"))?;
        }
        Some(Asked::Ping) => {
            let count = kv::increment("pings", 1)?;
            log::info(format_args!("ping {count}"));
            chat::reply(&format!("pong {count}"))?;
        }
        None => {}
    }
    Ok(())
}

#[derive(Debug, PartialEq)]
enum Asked {
    Greeting,
    Ping,
}

/// What somebody wants. Needs no host, so that a test can call it.
fn asked(text: &str) -> Option<Asked> {
    match text.trim().to_lowercase().as_str() {
        "hello" => Some(Asked::Greeting),
        "ping" => Some(Asked::Ping),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_understood_however_they_are_written() {
        assert_eq!(asked(" Hello "), Some(Asked::Greeting));
        assert_eq!(asked("PING"), Some(Asked::Ping));
        assert_eq!(asked("what?"), None);
    }
}
