//! What the system says about this process, under the names that all Prometheus clients
//! use.

use std::{fmt, fs};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
};
use rustix::{
    process::{Resource, getrlimit},
    time::{ClockId, clock_gettime},
};

/// Asks the system when somebody asks it.
#[derive(Debug)]
pub struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let mut gauge = |name: &str, help: &str, value: Option<u64>| {
            let value = value.and_then(|it| i64::try_from(it).ok());
            let Some(gauge) = value.map(ConstGauge::new) else {
                return Ok(());
            };
            let kind = gauge.metric_type();
            gauge.encode(encoder.encode_descriptor(name, help, None, kind)?)
        };
        gauge("resident_memory_bytes", "Memory in use", resident_bytes())?;
        gauge("open_fds", "Files and connections open", open_fds())?;
        let most = getrlimit(Resource::Nofile).current;
        gauge("max_fds", "How many may be open", most)?;
        let seconds = ConstCounter::new(cpu_seconds());
        let kind = seconds.metric_type();
        let help = "Time on processors";
        seconds.encode(encoder.encode_descriptor("cpu_seconds", help, None, kind)?)
    }
}

fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// None where there is no `/proc`.
fn open_fds() -> Option<u64> {
    // The directory itself is one of them.
    let count = fs::read_dir("/proc/self/fd").ok()?.count();
    Some(count.saturating_sub(1) as u64)
}

fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|it| it.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib.saturating_mul(1024))
}
