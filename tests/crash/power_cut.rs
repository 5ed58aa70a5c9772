//! Power cuts on SQLite: after each, the data folder holds what was synced, and at most a random part of what was not.

use rand::RngExt;

use crate::disk::{Disk, Manner, Unsynced};
use crate::plan::Plan;
use crate::scene::{Scene, kill, kill_at_once};

#[test]
fn sqlite_survives_power_cuts() {
    let plan = Plan::of("power-cut", 6);
    let mut scene = Scene::new("power-cut", plan, None);
    let disk = Disk::under(scene.folder.path());
    // Recovery runs on the same disk: what it repairs must be durable before it is built upon.
    scene.environment(disk.environment(Manner::Sound));
    let mut process = scene.start();
    for cycle in 0..plan.cycles {
        let mut random = plan.random(cycle, 0);
        scene.storm(cycle, |progress| {
            progress.some_more(&mut random);
            kill(&mut process, &mut random);
        });
        let unsynced = [Unsynced::Lost, Unsynced::Torn][usize::try_from(cycle % 2).unwrap()];
        disk.cut(unsynced, &mut random);
        if random.random_bool(0.3) {
            scene.stillbirth(&mut random);
            disk.cut(unsynced, &mut random);
        }
        let late = random.random_bool(0.3);
        scene.environment(disk.environment(if late { Manner::Late } else { Manner::Sound }));
        process = scene.start();
        scene.agrees(cycle, &process);
    }
    scene.ends_in_peace(process);
}

/// That the cuts can fail: a disk that only says "synced" loses acknowledged work, and the comparison says so.
#[test]
fn a_lying_disk_is_found_out() {
    let found = violations_after_a_cut("lying-disk", |disk| disk.environment(Manner::Lying));
    for noun in ["likes", "follows", "messages", "comment"] {
        let lost = |violation: &String| violation.starts_with(noun) && violation.contains("was acknowledged");
        assert!(found.iter().any(lost), "no lost {noun} among {found:#?}");
    }
}

/// That a ledger which leaves syncing to the system loses likes in a cut, and only likes.
#[test]
fn a_ledger_that_does_not_sync_is_found_out() {
    let found = violations_after_a_cut("unsynced-ledger", |disk| {
        let mut environment = disk.environment(Manner::Sound);
        // A flush, which is synced, would save what the ledger loses.
        let settings = [("LEDGER_SYNC", "os"), ("FLUSH_INTERVAL", "1m"), ("FLUSH_MAX", "10000")];
        environment.extend(settings.map(|(name, value)| (format!("OVATION_{name}"), value.to_owned())));
        environment
    });
    assert!(!found.is_empty(), "likes were lost and nobody saw it");
    let likes = |violation: &String| violation.starts_with("likes of") && violation.contains("was acknowledged");
    assert!(found.iter().all(likes), "more than likes was lost: {found:#?}");
}

/// One cut on a sound disk, which must lose nothing; then one of servers with `environment`.
fn violations_after_a_cut(mode: &str, environment: impl Fn(&Disk) -> Vec<(String, String)>) -> Vec<String> {
    let plan = Plan::of(mode, 1);
    let mut scene = Scene::new(mode, plan, None);
    let disk = Disk::under(scene.folder.path());
    let mut random = plan.random(0, 0);
    let mut crash = |scene: &mut Scene, cycle| {
        let mut process = scene.start();
        scene.storm(cycle, |progress| {
            progress.more(300, &mut random);
            kill_at_once(&mut process);
        });
        disk.cut(Unsynced::Lost, &mut random);
    };
    scene.environment(disk.environment(Manner::Sound));
    crash(&mut scene, 0);
    let process = scene.start();
    scene.agrees(0, &process);
    drop(process);
    disk.settle();
    scene.environment(environment(&disk));
    crash(&mut scene, 1);
    let _process = scene.start();
    scene.look()
}
