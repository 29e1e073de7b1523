//! What clients use: memory and time on a processor, of all the processes in their
//! groups, so that neither a wrapper nor workers hide it.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use tokio::{task::spawn_blocking, time::sleep};

use super::{Shared, proc, slot::Slot};
use crate::domain::client::{ProcessUsage, StartId};

/// How the system counts time on a processor for programs: ticks per second, the same
/// on every Linux that we run on.
const TICKS_PER_SECOND: u64 = 100;

/// What a group uses: what several of its processes share counts for each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Used {
    rss_bytes: u64,
    ticks: u64,
}

/// A client's process that there is.
type Alive = (Arc<Slot>, StartId, u32);

/// What each start had used when it was looked at before.
type Before = HashMap<StartId, (Instant, u64)>;

/// Tells all clients of what they use, and has those killed that use more memory than
/// they may, until the host ends. One look at the system's processes serves them all.
pub async fn keep_sampling(shared: Weak<Shared>, every: Duration) {
    let mut before = Before::new();
    loop {
        sleep(every).await;
        let Some(shared) = shared.upgrade().filter(|it| !it.is_ending()) else {
            return;
        };
        let alive = shared.alive();
        let groups: Vec<u32> = alive.iter().map(|(_, _, pid)| *pid).collect();
        let Ok(used) = spawn_blocking(move || used(&groups)).await else {
            continue;
        };
        before = tell(&shared, &alive, &used, &before);
    }
}

fn tell(shared: &Shared, alive: &[Alive], used: &HashMap<u32, Used>, before: &Before) -> Before {
    let (now, at_ms) = (Instant::now(), shared.now());
    let max_bytes = shared.setup.policy.memory_bytes_max;
    let mut seen = Before::new();
    for (slot, start, pid) in alive {
        let Used { rss_bytes, ticks } = used.get(pid).copied().unwrap_or_default();
        let cpu_permille = before.get(start).map_or(0, |(then, earlier)| {
            let ms = now.duration_since(*then).as_millis() as u64;
            permille(ticks.saturating_sub(*earlier), ms)
        });
        seen.insert(start.clone(), (now, ticks));
        let usage = ProcessUsage {
            rss_bytes,
            cpu_permille,
            at_ms,
        };
        slot.uses(start, usage);
        if max_bytes > 0 && rss_bytes > max_bytes {
            let reason = format!(
                "it used {rss_bytes} bytes of memory: openwx.memory_bytes_max is {max_bytes}"
            );
            slot.kill(start, reason);
        }
    }
    seen
}

/// What each of these groups uses. Blocks.
fn used(groups: &[u32]) -> HashMap<u32, Used> {
    let mut used: HashMap<u32, Used> = groups.iter().map(|it| (*it, Used::default())).collect();
    if used.is_empty() {
        return used;
    }
    for process in proc::all() {
        if let Some(used) = used.get_mut(&process.group) {
            used.rss_bytes += proc::rss_bytes(process.pid);
            used.ticks += process.ticks;
        }
    }
    used
}

/// Ticks within so many ms, in thousandths of one processor.
fn permille(ticks: u64, ms: u64) -> u32 {
    let used_ms = ticks.saturating_mul(1000) / TICKS_PER_SECOND;
    u32::try_from(used_ms.saturating_mul(1000) / ms.max(1)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use std::{os::unix::process::CommandExt, process::Command};

    #[test]
    fn all_processes_of_a_group_count() {
        let mut command = Command::new("sh");
        let command = command
            .args(["-c", "sleep 60 & exec sleep 60"])
            .process_group(0);
        let mut child = command.spawn().unwrap();
        let group = child.id();
        let members = || proc::all().into_iter().filter(|it| it.group == group);
        while members().count() < 2 {
            std::thread::sleep(Duration::from_millis(5));
        }
        let alone: Vec<u64> = members().map(|it| proc::rss_bytes(it.pid)).collect();
        let sum = used(&[group, 0]).get(&group).unwrap().rss_bytes;
        rustix::process::kill_process_group(
            rustix::process::Pid::from_child(&child),
            rustix::process::Signal::KILL,
        )
        .unwrap();
        child.wait().unwrap();
        assert!(
            alone.iter().all(|it| *it > 0 && *it < sum),
            "{alone:?}, {sum}"
        );
    }

    #[test]
    fn time_on_a_processor_is_a_share_of_one() {
        assert_eq!(permille(TICKS_PER_SECOND, 1000), 1000);
        assert_eq!(permille(TICKS_PER_SECOND / 2, 5000), 100);
        assert_eq!(permille(0, 0), 0);
    }
}
