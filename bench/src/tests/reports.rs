//! The report holds what was seen, and nothing that could do harm.

use std::collections::BTreeMap;
use std::time::Duration;

use super::fake::{Lie, start};
use super::{findings, settings};
use crate::ceilings::{Ceiling, CeilingRound};
use crate::compare;
use crate::environment::Environment;
use crate::outcome::{CeilingOutcome, Outcome, PeerOutcome, SCHEMA, figures, measures};
use crate::report;
use crate::scenario::{Check, Goal, Measure, Phase, Unit, find};
use crate::stats::{Lane, Window};

const HOSTILE: &str = "<script>alert('x')</script>";

/// An outcome from a real run against the fake, with texts that would like to be HTML.
async fn outcome() -> Outcome {
    let scenario = find("user-info").unwrap()[0];
    let (target, server) = start(Lie::None);
    let mut settings = settings();
    settings.duration = Duration::from_millis(1_200);
    let (_, phases) = findings(scenario, target, &settings).await;
    server.stop(false).await;
    let round = CeilingRound {
        per_second: 1e9,
        p50: 14.25,
        p99: 33.5,
        cpu_micros: Some(7.5),
        rss: Some(1 << 20),
        bytes: Some(20_512),
        rss_each: None,
    };
    let ceilings = BTreeMap::from([(Ceiling::BareGet, vec![round])]);
    let mut peer = PeerOutcome {
        name: HOSTILE.to_owned(),
        url: "http://127.0.0.1:1".to_owned(),
        figures: figures(scenario, &[phases], &ceilings),
        failures: vec![HOSTILE.to_owned()],
        checks: vec![Check::new(HOSTILE, false, HOSTILE)],
        ..PeerOutcome::default()
    };
    peer.check_errors();
    Outcome {
        schema: SCHEMA.to_owned(),
        scenario: "user-info".to_owned(),
        about: HOSTILE.to_owned(),
        started_at: "2026-01-02T03:04:05Z".to_owned(),
        settings: serde_json::to_value(&settings).unwrap(),
        environment: Environment::read(vec![HOSTILE.to_owned()], vec![(HOSTILE.to_owned(), HOSTILE.to_owned())]),
        peers: vec![peer],
        ceilings: CeilingOutcome::of(Ceiling::BareGet, &[round]).into_iter().collect(),
        passed: false,
    }
}

#[actix::test]
async fn a_result_is_kept_read_drawn_and_harmless() {
    let (outcome, out) = (outcome().await, tempfile::tempdir().unwrap());
    let file = out.path().join("user-info.json");
    outcome.write(&file).unwrap();
    let again = Outcome::read(&file).unwrap();
    // Floats may lose their last bit on the way; everything else is the same text.
    let figure = |outcome: &Outcome| serde_json::to_value(&outcome.peers[0].figures[0].timeline).unwrap();
    assert_eq!(figure(&again), figure(&outcome));
    assert_eq!(
        (&again.environment, &again.peers[0].checks),
        (&outcome.environment, &outcome.peers[0].checks)
    );
    assert_eq!(
        (again.started_at, again.passed),
        (outcome.started_at.clone(), outcome.passed)
    );

    let html = std::fs::read_to_string(report::write(out.path()).unwrap()).unwrap();
    let figure = &outcome.peers[0].figures[0];
    for number in [
        crate::units::show_rate(figure.rate.median),
        crate::units::show_micros(figure.p99.median),
        "14.2 µs".to_owned(),
        "33.5 µs".to_owned(),
        "1,000,000,000".to_owned(),
        "2026-01-02 03:04 UTC".to_owned(),
    ] {
        assert!(html.contains(&number), "{number}");
    }
    assert!(
        html.matches("<svg").count() >= 3 && html.contains("class=\"line c0\""),
        "it has curves"
    );
    assert!(html.contains("one scenario failed a check"));
    assert!(
        !html.contains("<script") && html.contains("&lt;script&gt;"),
        "texts stay texts"
    );
    for outside in ["src=", "@import", "url(", "<link", "javascript:", "NaN"] {
        assert!(!html.contains(outside), "{outside}");
    }
    let plain = report::text(&outcome);
    assert!(plain.contains("FAILED") && plain.contains("bare GET"), "{plain}");
}

#[actix::test]
async fn results_of_other_schemas_and_scenarios_are_not_mixed_up() {
    let (mut outcome, out) = (outcome().await, tempfile::tempdir().unwrap());
    let file = out.path().join("user-info.json");
    let same = compare::compare(&outcome, &outcome).unwrap();
    assert!(
        !same.is_worse() && same.table().contains("too few rounds to tell"),
        "{}",
        same.table()
    );
    assert!(
        same.table().contains("failed a check"),
        "wrong answers are no comparison"
    );
    let other = Outcome {
        scenario: "feed".to_owned(),
        ..outcome.clone()
    };
    assert!(compare::compare(&outcome, &other).is_err());
    outcome.schema = "ovation-bench/2".to_owned();
    outcome.write(&file).unwrap();
    assert!(
        Outcome::read(&file)
            .unwrap_err()
            .to_string()
            .contains("ovation-bench/2")
    );
    assert!(report::write(&out.path().join("nowhere")).is_err());
}

const CEILING: CeilingRound = CeilingRound {
    per_second: 100.0,
    p50: 300.0,
    p99: 1_000.0,
    cpu_micros: Some(20_000.0),
    rss: None,
    bytes: None,
    rss_each: Some(10_000.0),
};

/// A phase of a second whose lanes had so many operations, of so many microseconds each.
fn phase(lanes: &[(&'static str, u32, u64)], measures: Vec<Measure>) -> Phase {
    let window = Window::after(Duration::ZERO, Duration::from_secs(1), Duration::ZERO);
    let lane = |(name, count, micros): &(&'static str, u32, u64)| {
        let mut lane = Lane::new(name, &window);
        for _ in 0..*count {
            let done = window.start + Duration::from_micros(*micros);
            lane.success(&window, window.start, window.start, done, 1);
        }
        lane
    };
    Phase {
        name: "phase",
        lanes: lanes.iter().map(lane).collect(),
        seconds: 1.0,
        server: None,
        client: None,
        lateness_p99: None,
        measures,
    }
}

/// What the report says of rounds of a scenario, in words and as a page.
async fn reported(scenario: &str, rounds: &[Vec<Phase>]) -> String {
    let ceilings = [Ceiling::Fdatasync, Ceiling::SocketIdle, Ceiling::Hash];
    let ceilings = ceilings.map(|ceiling| (ceiling, vec![CEILING; rounds.len()])).into();
    let scenario = find(scenario).unwrap()[0];
    let mut outcome = outcome().await;
    outcome.scenario = scenario.name().to_owned();
    outcome.peers[0].figures = figures(scenario, rounds, &ceilings);
    outcome.peers[0].measures = measures(rounds, &ceilings);
    let out = tempfile::tempdir().unwrap();
    let file = out.path().join(format!("{}.json", scenario.name()));
    outcome.write(&file).unwrap();
    let again = Outcome::read(&file).unwrap();
    let html = std::fs::read_to_string(report::write(out.path()).unwrap()).unwrap();
    report::text(&again) + &html
}

fn assert_says(report: &str, all: &[&str]) {
    for text in all {
        assert!(report.contains(text), "{text}: {report}");
    }
}

#[actix::test]
async fn aims_of_latencies_are_compared_with_what_they_speak_of() {
    let lanes = [("send to ack", 200, 2_500), ("send to receive", 200, 1_200)];
    let chat = reported("chat", &[vec![phase(&lanes, Vec::new())]]).await;
    assert_says(
        &chat,
        &[
            "aim p99 ≤ fdatasync's + 2.00 ms (fdatasync's + 1.50 ms) met",
            "aim p50 ≤ fdatasync's + 75.0 µs (fdatasync's + 900 µs) not met",
            "<small class=\"bad\">p50 ≤ fdatasync&#39;s + 75.0 µs (fdatasync&#39;s + 900 µs) ✗</small>",
        ],
    );
    let mut crowded = phase(&lanes, Vec::new());
    for lane in &mut crowded.lanes {
        lane.is_aimed = false;
    }
    let chat = reported("chat", &[vec![crowded]]).await;
    assert!(!chat.contains("aim p"), "no aim for what it was not meant for: {chat}");
    let alone = phase(&[("user info alone", 200, 100)], Vec::new());
    let beside = phase(&[("user info beside logins", 200, 250)], Vec::new());
    let logins = reported("login-storm", &[vec![alone, beside]]).await;
    assert_says(&logins, &["aim p99 ≤ 2× alone (×2.50) not met"]);
}

#[actix::test]
async fn aims_of_measures_stand_beside_them() {
    let measure = |name, unit, value, ceiling, goal| Measure {
        name,
        unit,
        value,
        ceiling,
        goal: Some(goal),
        more_is_better: false,
    };
    let idle = measure(
        "memory a connection",
        Unit::Bytes,
        13_000.0,
        Some(Ceiling::SocketIdle),
        Goal::CeilingAtMost(1.2),
    );
    let cpu = measure("CPU", Unit::Micros, 1.5, None, Goal::AtMost(2.0));
    // 48 where the bare hash does 50 in a second of a processor.
    let hash = measure(
        "logins",
        Unit::PerSecond,
        48.0,
        Some(Ceiling::Hash),
        Goal::OfCeiling(0.95),
    );
    let report = reported("idle", &[vec![phase(&[], vec![idle, cpu, hash])]]).await;
    assert_says(
        &report,
        &[
            "×1.30 of bare socket, idle, aim ≤ ×1.2 not met",
            "1.50 µs, aim ≤ 2.00 µs met",
            "×0.96 of Argon2id 19 MiB, aim ≥ 95.0 % met",
            "<small class=\"good\">≤ 2.00 µs ✓</small>",
        ],
    );
}

#[actix::test]
async fn a_load_that_its_own_pace_bounds_says_so_and_judges_nobody() {
    let paced = |limit| {
        let mut phase = phase(&[("delivery", 200, 100)], Vec::new());
        phase.lanes[0].pace_limit = Some(limit);
        vec![phase]
    };
    let bound = reported("fan-out", &[paced(210.0)]).await;
    assert_says(&bound, &["the load&#39;s own pace was the bound, at most 210/s"]);
    assert!(!bound.contains("≥ 500,000/s"), "{bound}");
    let free = reported("fan-out", &[paced(1e6)]).await;
    assert_says(
        &free,
        &["aim ≥ 500,000/s not met", "the load's own pace allows 1,000,000/s"],
    );
}
