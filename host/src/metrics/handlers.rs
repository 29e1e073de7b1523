//! What is counted of single handlers and versions: looked up by name without an
//! allocation, and dropped some time after the version has served for the last time.

use std::{
    collections::HashSet,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use dashmap::DashMap;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter, histogram::Histogram},
};

use super::SECONDS;

/// What is counted of each handler's versions.
#[derive(Debug, Default)]
pub struct Handlers(DashMap<Box<str>, Vec<Arc<Version>>>);

/// What is counted of one version.
#[derive(Debug)]
pub(super) struct Version {
    number: u32,
    /// The number as text.
    label: String,
    calls: Counts,
    seconds: Histogram,
    requests: Counts,
    /// Whether anything was counted since somebody last looked.
    used: AtomicBool,
}

/// How often something ended in which way. The ways are a dozen words of ours.
#[derive(Debug, Default)]
struct Counts(Mutex<Vec<(&'static str, u64)>>);

impl Counts {
    fn add(&self, outcome: &'static str) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match counts.iter_mut().find(|(known, _)| *known == outcome) {
            Some((_, count)) => *count += 1,
            None => counts.push((outcome, 1)),
        }
    }

    fn all(&self) -> Vec<(&'static str, u64)> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.clone()
    }
}

impl Handlers {
    /// A call ended so, after so much time; none when the guest did not run.
    pub fn call(&self, handler: &str, version: u32, outcome: &'static str, took: Option<Duration>) {
        let version = self.version(handler, version);
        version.calls.add(outcome);
        if let Some(took) = took {
            version.seconds.observe(took.as_secs_f64());
        }
    }

    /// A request to another system ended so.
    pub fn request(&self, handler: &str, version: u32, outcome: &'static str) {
        self.version(handler, version).requests.add(outcome);
    }

    /// Drops what is counted of versions that do not serve, and were not called since
    /// the last time that this was asked for: by then it was shown.
    pub fn retain(&self, serving: &HashSet<(&str, u32)>) {
        self.0.retain(|handler, versions| {
            versions.retain(|version| {
                let used = version.used.swap(false, Ordering::Relaxed);
                used || serving.contains(&(handler.as_ref(), version.number))
            });
            !versions.is_empty()
        });
    }

    fn version(&self, handler: &str, number: u32) -> Arc<Version> {
        let find = |versions: &Vec<Arc<Version>>| {
            let known = versions.iter().find(|it| it.number == number);
            known.map(Arc::clone)
        };
        let known = self.0.get(handler).and_then(|versions| find(&versions));
        let version = known.unwrap_or_else(|| {
            let mut versions = self.0.entry(handler.into()).or_default();
            find(&versions).unwrap_or_else(|| {
                let version = Arc::new(Version::new(number));
                versions.push(Arc::clone(&version));
                version
            })
        });
        version.used.store(true, Ordering::Relaxed);
        version
    }

    /// Ordered, so that two renderings can be compared.
    pub(super) fn all(&self) -> Vec<(Box<str>, Arc<Version>)> {
        let mut all = Vec::new();
        for versions in &self.0 {
            let handler = versions.key();
            all.extend(versions.iter().map(|it| (handler.clone(), Arc::clone(it))));
        }
        all.sort_by(|(a, x), (b, y)| (a, x.number).cmp(&(b, y.number)));
        all
    }
}

impl Version {
    #[cfg(test)]
    pub fn number(&self) -> u32 {
        self.number
    }

    fn new(number: u32) -> Self {
        Self {
            number,
            label: number.to_string(),
            calls: Counts::default(),
            seconds: Histogram::new(SECONDS),
            requests: Counts::default(),
            used: AtomicBool::default(),
        }
    }
}

impl Collector for Handlers {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let all = self.all();
        encode_counts(&mut encoder, &all, "calls", "Calls of guests", |it| {
            &it.calls
        })?;
        encode_seconds(&mut encoder, &all)?;
        let help = "Requests of guests to other systems";
        encode_counts(&mut encoder, &all, "egress_requests", help, |it| {
            &it.requests
        })
    }
}

fn encode_counts(
    encoder: &mut DescriptorEncoder,
    all: &[(Box<str>, Arc<Version>)],
    name: &str,
    help: &str,
    counts: impl Fn(&Version) -> &Counts,
) -> Result<(), fmt::Error> {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (handler, version) in all {
        for (outcome, count) in counts(version).all() {
            let labels = [
                ("handler", handler.as_ref()),
                ("version", version.label.as_str()),
                ("outcome", outcome),
            ];
            ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

fn encode_seconds(
    encoder: &mut DescriptorEncoder,
    all: &[(Box<str>, Arc<Version>)],
) -> Result<(), fmt::Error> {
    let help = "From the beginning of a call to its end";
    let kind = MetricType::Histogram;
    let mut family = encoder.encode_descriptor("call_seconds", help, None, kind)?;
    for (handler, version) in all {
        let labels = [
            ("handler", handler.as_ref()),
            ("version", version.label.as_str()),
        ];
        version.seconds.encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}
