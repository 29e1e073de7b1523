//! The terminal: lines as they come, and a prompt where somebody types.

use std::{
    io::{self, BufRead, IsTerminal, Write},
    thread,
};

use tokio::sync::mpsc;

use crate::cli::output::{Style, harmless};

/// Lines that were typed and not looked at yet: a pasted page.
const TYPED_MAX: usize = 1000;
/// The longest line taken: a fixture on one line.
const LINE_MAX_BYTES: usize = 1024 * 1024;

/// Where everything is shown. The prompt stays the last line.
#[derive(Debug)]
pub struct Screen {
    prompt: Option<String>,
    colours: bool,
}

/// How a line is set off.
#[derive(Debug, Clone, Copy)]
pub enum Tone {
    /// What the bot does.
    Bot,
    /// What it logs, and what is said about the host.
    Dim,
    /// What went wrong.
    Bad,
}

impl Screen {
    /// Stdout; with a prompt if somebody types and reads at a terminal.
    pub fn new() -> Self {
        let is_typed = io::stdin().is_terminal() && io::stdout().is_terminal();
        Self {
            prompt: is_typed.then(String::new),
            colours: Style::of_stdout().colours(),
        }
    }

    /// Who speaks from now on, and where.
    pub fn set_prompt(&mut self, text: &str) {
        if let Some(prompt) = &mut self.prompt {
            *prompt = format!("{}> ", harmless(text));
        }
    }

    /// Shows the prompt, in place of the one that is there.
    pub fn ask(&self) {
        if let Some(prompt) = &self.prompt {
            print(&format!("\r\u{1b}[K{prompt}"));
        }
    }

    /// Shows text, line by line. What is in it does not steer the terminal.
    pub fn say(&self, tone: Tone, text: &str) {
        let mut shown = String::new();
        for line in text.lines() {
            let line = harmless(line);
            let code = match tone {
                Tone::Bot => "36",
                Tone::Dim => "2",
                Tone::Bad => "31",
            };
            match self.colours {
                true => shown.push_str(&format!("\u{1b}[{code}m{line}\u{1b}[0m\n")),
                false => shown.push_str(&format!("{line}\n")),
            }
        }
        match &self.prompt {
            // What is typed already stays in the terminal's own line.
            Some(prompt) => print(&format!("\r\u{1b}[K{shown}{prompt}")),
            None => print(&shown),
        }
    }
}

fn print(text: &str) {
    let mut out = io::stdout().lock();
    // Whoever closed the other end has seen enough; stdin's end follows.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Lines of stdin, read by a thread of its own, which nobody needs to wait for at the end.
pub fn typed() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(TYPED_MAX);
    thread::spawn(move || {
        let mut stdin = io::stdin().lock();
        loop {
            let mut line = Vec::new();
            let mut some = io::Read::take(&mut stdin, LINE_MAX_BYTES as u64);
            match some.read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) => {
                    let text = String::from_utf8_lossy(&line).into_owned();
                    if sender.blocking_send(text).is_err() {
                        return;
                    }
                }
            }
        }
    });
    receiver
}
