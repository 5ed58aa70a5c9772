//! Every scenario against the real server, shortly: only correctness is asserted, never a speed.
//!
//! The bench must not depend on the server's package, so cargo does not build the server for this test: it is looked for
//! beside the bench's own program, where `cargo build` puts it.

#![allow(clippy::unwrap_used, reason = "a helper of a test is a test")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

const SCENARIOS: [&str; 10] = [
    "user-info",
    "feed",
    "like-storm",
    "mix",
    "login-storm",
    "chat",
    "fan-out",
    "followers",
    "live-counters",
    "idle",
];

fn ovation() -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_ovation-bench")).with_file_name("ovation");
    assert!(
        path.exists(),
        "there is no server at {}: run `cargo build --bin ovation` with the same profile first",
        path.display()
    );
    path
}

fn bench(arguments: &[&str], out: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ovation-bench"));
    command
        .args(arguments)
        .arg("--out")
        .arg(out)
        .env_remove("BENCH_DATABASE_URL");
    command.output().unwrap()
}

fn told(output: &Output) -> String {
    format!(
        "{}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

fn result(out: &Path, scenario: &str) -> Value {
    let text = std::fs::read(out.join(format!("{scenario}.json"))).unwrap();
    serde_json::from_slice(&text).unwrap()
}

/// A measure of a scenario's result.
fn measure(out: &Path, scenario: &str, name: &str) -> Value {
    let result = result(out, scenario);
    let measures = result["peers"][0]["measures"].as_array().unwrap();
    let found = measures.iter().find(|measure| measure["name"] == name);
    assert!(found.is_some(), "{scenario}: {name}");
    found.unwrap().clone()
}

/// What a scenario's result has beside each operation.
fn assert_sockets_are_told_of(out: &Path) {
    let followers = result(out, "followers");
    let figures = followers["peers"][0]["figures"].as_array().unwrap();
    for lane in ["delivery", "until the last has it", "publish"] {
        assert!(figures.iter().any(|figure| figure["lane"] == lane), "{lane}");
    }
    assert!(figures[1]["p99"]["median"].as_f64().unwrap() > 0.0);
    let aims: Vec<_> = figures.iter().map(|figure| &figure["goal"]).collect();
    assert!(aims.iter().all(|aim| aim.is_null()), "aims are for thousands: {aims:?}");
    let delivered = measure(out, "followers", "delivered")["value"]["median"]
        .as_f64()
        .unwrap();
    assert!(
        (delivered - 1.0).abs() < 1e-9,
        "of a closed loop nothing is lost: {delivered}"
    );
    assert!(
        figures[0]["pace_limit"].is_null(),
        "followers have no pace of their own"
    );
    let rooms = &result(out, "fan-out")["peers"][0]["figures"][0];
    let (rate, limit) = (&rooms["rate"]["median"], &rooms["pace_limit"]);
    assert!(
        rate.as_f64().unwrap() <= 1.2 * limit.as_f64().unwrap(),
        "{rate} of {limit}"
    );
    for (scenario, name, goal) in [
        ("idle", "memory a connection", "ceiling-at-most"),
        ("idle", "CPU a connection and second", "at-most"),
        ("idle", "until all are back", "at-most"),
        ("live-counters", "the storm beside watchers", "at-least"),
        ("login-storm", "logins in a second of hashing", "of-ceiling"),
    ] {
        let measure = measure(out, scenario, name);
        assert_eq!(measure["goal"]["kind"], goal, "{name}");
    }
    let hashing = measure(out, "login-storm", "logins in a second of hashing");
    assert!(hashing["to_ceiling"]["median"].as_f64().unwrap() > 0.0, "{hashing}");
}

#[test]
fn every_scenario_finds_the_server_right() {
    let (server, out) = (ovation(), tempfile::tempdir().unwrap());
    let spawn = server.to_str().unwrap();
    let run = [
        "run",
        "all",
        "--quick",
        "--spawn",
        spawn,
        "--rounds",
        "1",
        "--duration",
        "500ms",
        "--warm-up",
        "100ms",
        "--json",
    ];
    let output = bench(&run, out.path());
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let lines = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(
        lines.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()),
        "JSON lines only: {lines}"
    );

    for scenario in SCENARIOS {
        let result = result(out.path(), scenario);
        assert_eq!(
            (&result["schema"], &result["passed"]),
            (&"ovation-bench/1".into(), &true.into()),
            "{scenario}"
        );
        assert!(
            result["peers"][0]["version"]["version"].is_string(),
            "{scenario}: the target says what it is"
        );
        for figure in result["peers"][0]["figures"].as_array().unwrap() {
            assert!(figure["rate"]["median"].as_f64().unwrap() > 0.0, "{scenario}: {figure}");
            assert!(
                figure["rss_peak"].as_u64().unwrap() > 0,
                "{scenario}: the server's process was watched"
            );
        }
    }
    let storm = result(out.path(), "like-storm");
    let checks: Vec<_> = storm["peers"][0]["checks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|check| check["name"].as_str().unwrap())
        .collect();
    assert!(checks.contains(&"counts are exact, after a restart"), "{checks:?}");
    assert_sockets_are_told_of(out.path());
    let report = std::fs::read_to_string(out.path().join("report.html")).unwrap();
    assert!(report.contains("every check holds") && report.contains("login-storm"));

    // The same world again, an open loop, both in turn: two servers.
    let pair = [
        "run",
        "user-info",
        "--quick",
        "--spawn",
        spawn,
        "--spawn",
        spawn,
        "--rate",
        "50",
        "--rounds",
        "2",
        "--duration",
        "500ms",
        "--warm-up",
        "0ms",
    ];
    let output = bench(&pair, out.path());
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    assert!(
        !told(&output).contains("logins:"),
        "tokens are kept with the world: {}",
        told(&output)
    );
    let result = result(out.path(), "user-info");
    assert_eq!(result["peers"].as_array().unwrap().len(), 2);
    assert!((result["peers"][1]["figures"][0]["open_rate"].as_f64().unwrap() - 50.0).abs() < 1e-9);
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("too few rounds to tell"),
        "{}",
        told(&output)
    );
    let left: Vec<_> = std::fs::read_dir(out.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert!(
        !left.iter().any(|name| name.to_string_lossy().starts_with("served-")),
        "copies are removed: {left:?}"
    );
}

#[test]
fn exit_codes_tell_what_happened() {
    let out = tempfile::tempdir().unwrap();
    let code = |arguments: &[&str]| bench(arguments, out.path()).status.code();
    assert_eq!(code(&["run", "nothing", "--target", "http://127.0.0.1:1"]), Some(3));
    assert_eq!(code(&["run", "feed", "--rounds", "0"]), Some(2));
    // Nobody listens: a target that can't be reached is a target that fails.
    let refused = bench(
        &[
            "run",
            "feed",
            "--quick",
            "--rounds",
            "1",
            "--duration",
            "50ms",
            "--target",
            "http://127.0.0.1:1",
        ],
        out.path(),
    );
    assert_eq!(refused.status.code(), Some(1), "{}", told(&refused));
    assert_eq!(result(out.path(), "feed")["passed"], false);
}
