//! What a template's command line can ask of the stub: how it logs in, how fast it
//! is, and what goes wrong.

use clap::Parser;

/// A native Openwx client without WeChat behind it: keeps the contract of the real
/// ones, and breaks it where it is told to.
#[derive(Debug, Clone, Parser)]
pub struct Arguments {
    /// Waits so long in each state on the way to `running`, in ms.
    #[arg(long, default_value_t = 20)]
    pub step_ms: u64,
    /// The code is scanned by itself after so long, in ms; else by `stub_scan`.
    #[arg(long)]
    pub scan_after_ms: Option<u64>,
    /// Logs in without a scan, as with a cookie.
    #[arg(long)]
    pub cookie_login: bool,
    /// Shows another code each so many ms; else by `stub_new_code`.
    #[arg(long)]
    pub code_ms: Option<u64>,
    /// Ends by itself when so many codes were not scanned, unless it is told another
    /// number (`qrcode_count_max`).
    #[arg(long, default_value_t = 10)]
    pub codes: usize,
    /// Sending a message takes so long, in ms. One is sent at a time.
    #[arg(long, default_value_t = 20)]
    pub send_ms: u64,
    /// Ends so long after `stop_client`, in ms.
    #[arg(long, default_value_t = 3_000)]
    pub farewell_ms: u64,
    /// Looks so often whether its parent is still the controller, in ms.
    #[arg(long, default_value_t = 5_000)]
    pub parent_check_ms: u64,

    /// Takes connections only after so long, in ms.
    #[arg(long, default_value_t = 0)]
    pub slow_bind_ms: u64,
    /// Never takes connections.
    #[arg(long)]
    pub no_bind: bool,
    /// Ends after so long without a word, in ms.
    #[arg(long)]
    pub crash_after_ms: Option<u64>,
    /// With this code.
    #[arg(long, default_value_t = 1)]
    pub exit_code: u8,
    /// Answers nothing more once it is `running`.
    #[arg(long)]
    pub hang: bool,
    /// The same only in the first process of its directory.
    #[arg(long)]
    pub hang_once: bool,
    /// Ends by itself without saying that it stops.
    #[arg(long)]
    pub silent_end: bool,
    /// Does not end when it is told to.
    #[arg(long)]
    pub ignore_term: bool,
    /// Starts a process in its group that does not end with it.
    #[arg(long)]
    pub leave_child: bool,
    /// The same in a group of its own.
    #[arg(long)]
    pub leave_escaped_child: bool,
    /// Finds a state file that an earlier process left, and leaves it as it is.
    #[arg(long)]
    pub stale_state: bool,
    /// Writes half of its state file.
    #[arg(long)]
    pub half_state: bool,
    /// Writes no state file.
    #[arg(long)]
    pub no_state: bool,
    /// Takes so much memory once it is `running`, in MiB.
    #[arg(long, default_value_t = 0)]
    pub leak_memory_mb: usize,
    /// Prints so many lines when it begins.
    #[arg(long, default_value_t = 0)]
    pub print_lines: u64,
    /// Goes on without a report being answered: posts nothing.
    #[arg(long)]
    pub no_reports: bool,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop")]
    use super::*;

    #[test]
    fn without_arguments_nothing_goes_wrong() {
        let plain = Arguments::try_parse_from(["openwx-stub"]).unwrap();
        assert!(!plain.no_bind && !plain.hang && !plain.ignore_term);
        assert_eq!((plain.codes, plain.crash_after_ms), (10, None));
    }

    #[test]
    fn faults_are_asked_for_by_name() {
        let words = ["openwx-stub", "--crash-after-ms", "5", "--exit-code", "7"];
        let asked = Arguments::try_parse_from(words).unwrap();
        assert_eq!((asked.crash_after_ms, asked.exit_code), (Some(5), 7));
        assert!(Arguments::try_parse_from(["openwx-stub", "--exit-code", "300"]).is_err());
    }
}
