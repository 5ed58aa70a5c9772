//! A ledger that is empty because everything in it was flushed and has become old: positions must go on after it, or the
//! store's mark would take the next likes for flushed ones.

use ovation::config::Config;
use ovation::likes::LEDGER_FILE;
use ovation::server::store_options;
use ovation_actors::ledger::{Ledger, OpenOptions, SqliteLedger};
use ovation_schema::{Store, likes};

use crate::plan::Plan;
use crate::scene::{Scene, kill_at_once};

#[test]
fn likes_after_a_trim_to_empty_survive_a_kill() {
    let plan = Plan::of("trimmed", 1);
    let mut scene = Scene::new("trimmed", plan, None);
    let mut random = plan.random(0, 0);
    let mut process = scene.start();
    scene.storm(0, |progress| {
        progress.some_more(&mut random);
        kill_at_once(&mut process);
    });
    process = scene.start();
    scene.stop(process);
    trim_to_empty(&scene);

    process = scene.start();
    scene.agrees(0, &process);
    // Few enough to end before the positions of the first storm, if they began anew.
    scene.storm(1, |progress| {
        progress.more(20, &mut random);
        kill_at_once(&mut process);
    });
    process = scene.start();
    scene.agrees(1, &process);
    scene.ends_in_peace(process);
}

/// As an hour later, without the hour.
fn trim_to_empty(scene: &Scene) {
    let folder = scene.folder.path();
    let options = store_options(&Config::for_test(folder), folder);
    let mut connection = ovation_schema::connect(&options).unwrap();
    let mark = likes::mark(&mut connection).unwrap().expect("the store has a ledger");
    drop(connection);
    let options = OpenOptions {
        keep_flushed_ms: 0,
        ..OpenOptions::new(Store::open(&options).unwrap().store_id())
    };
    let mut ledger = SqliteLedger::open(&folder.join(LEDGER_FILE), options).unwrap();
    let before = ledger.stat().unwrap();
    assert!(before.entries > 0, "{before:?}");
    assert_eq!(mark.position, before.last, "a stop in peace flushes everything");
    ledger.trim(mark.position, i64::MAX).unwrap();
    let after = ledger.stat().unwrap();
    assert_eq!((after.entries, after.last), (0, before.last), "{after:?}");
}
