//! The bench against servers that are made to be wrong: what it must not miss.

mod fake;
mod fake_socket;
mod lies;
mod reports;
mod stalls;

use std::time::Duration;

use tokio::sync::mpsc;

use crate::display::Display;
use crate::drive::Driver;
use crate::http::Target;
use crate::peer::Peer;
use crate::scenario::{Phase, Scenario, Stage};
use crate::settings::Settings;

/// Short, with a few users, and everything counts.
fn settings() -> Settings {
    Settings {
        users: Some(6),
        connections: Some(3),
        warm_up: Duration::ZERO,
        duration: Duration::from_millis(250),
        rounds: 1,
        rate: None,
        stalled: 0.0,
        seed: 1,
        threads: 1,
        hash_threads: 1,
        world: None,
    }
}

fn driver() -> Driver {
    Driver {
        threads: 1,
        ticks: mpsc::unbounded_channel().0,
    }
}

/// What a scenario finds wrong with a server: kinds of errors, names of failed checks, or the error of the preparation.
/// Empty for a server that tells the truth.
async fn findings(scenario: &dyn Scenario, target: Target, settings: &Settings) -> (Vec<String>, Vec<Phase>) {
    let out = tempfile::tempdir().unwrap();
    let (peer, driver, display) = (
        Peer::running("fake".to_owned(), target, None, 1, out.path()),
        driver(),
        Display::new(false),
    );
    let stage = Stage {
        peer: &peer,
        settings,
        driver: &driver,
        display: &display,
    };
    let mut prepared = match scenario.prepare(&stage).await {
        Ok(prepared) => prepared,
        Err(error) => return (vec![format!("preparation: {error}")], Vec::new()),
    };
    let phases = prepared.round(&stage).await.unwrap();
    let lanes = phases.iter().flat_map(|phase| &phase.lanes);
    let mut found: Vec<_> = lanes
        .flat_map(|lane| lane.errors.keys().map(|kind| (*kind).to_owned()))
        .collect();
    match prepared.verify(&stage).await {
        Ok(checks) => found.extend(checks.into_iter().filter(|check| !check.passed).map(|check| check.name)),
        Err(error) => found.push(format!("verification: {error}")),
    }
    (found, phases)
}
