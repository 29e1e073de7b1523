//! What a client's process uses: memory and time on a processor.

use std::{fs, io, sync::Arc, time::Instant};

use tokio::{task::spawn_blocking, time::sleep};

use super::{
    Shared,
    slot::{Order, Slot},
};
use crate::domain::client::ProcessUsage;

/// How the system counts time on a processor for programs: ticks per second, the same
/// on every Linux that we run on.
const TICKS_PER_SECOND: u64 = 100;

/// Tells the slot of what a process uses, for ever, and has it killed when it uses
/// more memory than it may.
pub async fn sample(shared: Arc<Shared>, slot: Arc<Slot>, pid: u32) {
    let max_bytes = shared.setup.policy.memory_bytes_max;
    let mut before: Option<(Instant, u64)> = None;
    loop {
        sleep(shared.setup.check_interval()).await;
        let Ok(Ok((rss_bytes, ticks))) = spawn_blocking(move || read(pid)).await else {
            continue;
        };
        let now = Instant::now();
        let cpu_permille = before.map_or(0, |(then, earlier)| {
            let ms = now.duration_since(then).as_millis() as u64;
            permille(ticks.saturating_sub(earlier), ms)
        });
        before = Some((now, ticks));
        slot.uses(ProcessUsage {
            rss_bytes,
            cpu_permille,
            at_ms: shared.now(),
        });
        if max_bytes > 0 && rss_bytes > max_bytes {
            let reason = format!(
                "it used {rss_bytes} bytes of memory: openwx.memory_bytes_max is {max_bytes}"
            );
            slot.order(Order::Kill(reason));
        }
    }
}

/// Ticks within so many ms, in thousandths of one processor.
fn permille(ticks: u64, ms: u64) -> u32 {
    let used_ms = ticks * 1000 / TICKS_PER_SECOND;
    u32::try_from(used_ms * 1000 / ms.max(1)).unwrap_or(u32::MAX)
}

/// Bytes of memory, and ticks on a processor since the start. Blocks.
fn read(pid: u32) -> io::Result<(u64, u64)> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let odd = || io::Error::other("the system's word about a process is not understood");
    let rss_bytes = rss_bytes(&status).ok_or_else(odd)?;
    Ok((rss_bytes, ticks(&stat).ok_or_else(odd)?))
}

fn rss_bytes(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// The program's name stands in brackets, and may hold some itself.
fn ticks(stat: &str) -> Option<u64> {
    let (_, behind) = stat.rsplit_once(") ")?;
    let mut fields = behind.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    user.checked_add(system)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn the_systems_words_are_read() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194304 99 0 0 0 120 30 5 5 20 0 1 0 9 8 7";
        assert_eq!(ticks(stat), Some(150));
        let status = "Name:\tx\nVmRSS:\t    42 kB\nRssAnon:\t 7 kB\n";
        assert_eq!(rss_bytes(status), Some(42 * 1024));
        for odd in ["", "7 (a", "7 (a) S 1"] {
            assert_eq!(ticks(odd), None);
            assert_eq!(rss_bytes(odd), None);
        }
    }

    #[test]
    fn our_own_process_uses_something() {
        let (rss_bytes, _) = read(std::process::id()).unwrap();
        assert!(rss_bytes > 100_000, "{rss_bytes}");
        assert!(read(u32::MAX).is_err());
    }

    #[test]
    fn time_on_a_processor_is_a_share_of_one() {
        assert_eq!(permille(TICKS_PER_SECOND, 1000), 1000);
        assert_eq!(permille(TICKS_PER_SECOND / 2, 5000), 100);
        assert_eq!(permille(0, 0), 0);
    }
}
