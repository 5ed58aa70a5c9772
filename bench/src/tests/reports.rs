//! The report holds what was seen, and nothing that could do harm.

use std::collections::BTreeMap;
use std::time::Duration;

use super::fake::{Lie, start};
use super::{findings, settings};
use crate::ceilings::{Ceiling, CeilingRound};
use crate::compare;
use crate::environment::Environment;
use crate::outcome::{CeilingOutcome, Outcome, PeerOutcome, SCHEMA, figures};
use crate::report;
use crate::scenario::{Check, find};

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
