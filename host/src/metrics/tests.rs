#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::BTreeSet, fs, path::Path};

use super::*;

/// Of everything one.
fn touched() -> Metrics {
    let metrics = Metrics::new();
    count(&metrics);
    metrics.handlers().request("echo", 1, "answered");
    metrics.task_ended("send", "done");
    metrics.fired("timer");
    metrics.deployed("deploy");
    metrics.batch(3, Duration::from_millis(2));
    metrics.shown(&Shown {
        tasks_queued: 4,
        accounts_online: vec![("wehub", 5)],
        clients: vec![("running", 6)],
    });
    metrics
}

/// What an event with an answer counts.
fn count(metrics: &Metrics) {
    let (_waiting, _running) = (metrics.waiting(), metrics.running());
    let took = Some(Duration::from_micros(30));
    metrics.handlers().call("echo", 1, "ok", took);
    metrics.event("wehub", "handled");
    metrics.task_made("send");
    metrics.task_ended("send", "unknown");
    metrics.committed(Instant::now());
}

/// Names and types, as Prometheus knows them.
fn shown(text: &str) -> BTreeSet<(String, String)> {
    let types = text.lines().filter_map(|it| it.strip_prefix("# TYPE "));
    let parts = types.map(|it| it.split_once(' ').unwrap());
    let named = parts.map(|(name, kind)| {
        let suffix = match kind {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        (format!("{name}{suffix}"), kind.to_owned())
    });
    named.collect()
}

#[test]
fn the_readme_has_every_metric_and_no_other() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let table = readme.split("| metric | type |").nth(1).unwrap();
    let rows = table.lines().skip(2).take_while(|it| it.starts_with('|'));
    let cells = rows.map(|row| {
        let cells: Vec<_> = row
            .split('|')
            .map(|it| it.trim().replace('`', ""))
            .collect();
        (cells.get(1).unwrap().clone(), cells.get(2).unwrap().clone())
    });
    let documented: BTreeSet<_> = cells.collect();
    assert_eq!(documented, shown(&touched().render().unwrap()));
}

#[test]
fn what_was_counted_is_shown() {
    let text = touched().render().unwrap();
    for line in [
        "wxhost_calls_total{handler=\"echo\",version=\"1\",outcome=\"ok\"} 1",
        "wxhost_call_seconds_bucket{le=\"0.00005\",handler=\"echo\",version=\"1\"} 1",
        "wxhost_call_seconds_count{handler=\"echo\",version=\"1\"} 1",
        "wxhost_egress_requests_total{handler=\"echo\",version=\"1\",outcome=\"answered\"} 1",
        "wxhost_events_total{client=\"wehub\",outcome=\"handled\"} 1",
        "wxhost_tasks_ended_total{action=\"send\",state=\"done\"} 1",
        "wxhost_calls_running 0",
        "wxhost_tasks_queued 4",
        "wxhost_store_batch_jobs_bucket{le=\"4.0\"} 1",
        "wxhost_openwx_clients{phase=\"running\"} 6",
        "# EOF",
    ] {
        assert!(text.lines().any(|it| it == line), "{line}\n{text}");
    }
}

#[test]
fn versions_that_are_gone_are_dropped_once_they_were_shown() {
    let handlers = Handlers::default();
    let numbers = || {
        let all = handlers.all().into_iter();
        all.map(|(_, it)| it.number()).collect::<Vec<_>>()
    };
    handlers.call("faq", 1, "ok", None);
    handlers.call("faq", 2, "ok", None);
    let serving = [("faq", 2)].into();
    handlers.retain(&serving);
    assert_eq!(numbers(), [1, 2], "called since the last time");
    handlers.retain(&serving);
    assert_eq!(numbers(), [2]);
    handlers.retain(&[].into());
    assert!(numbers().is_empty());
}

#[test]
fn counting_an_event_costs_little() {
    let metrics = Metrics::new();
    count(&metrics);
    // The quickest of several: others use this machine too.
    let tries = (0..20).map(|_| {
        let began = Instant::now();
        (0..1_000).for_each(|_| count(&metrics));
        began.elapsed() / 1_000
    });
    let each = tries.min().unwrap();
    println!("counting an event takes {each:?} without optimisation");
    // Some 1.2 µs; the bound is a guard against what grows with time, on busy machines.
    assert!(each < Duration::from_micros(20), "{each:?}");
}
