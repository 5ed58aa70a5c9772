//! Power cuts on SQLite: after each, the data folder holds what was synced, and at most a random part of what was not.

use std::time::Duration;

use rand::RngExt;

use crate::disk::{Disk, Unsynced};
use crate::plan::Plan;
use crate::scene::Scene;

#[test]
fn sqlite_survives_power_cuts() {
    let plan = Plan::of("power-cut", 6);
    let mut scene = Scene::new("power-cut", plan, None);
    let disk = Disk::under(scene.folder.path());
    // Recovery runs on the same disk: what it repairs must be durable before it is built upon.
    scene.environment(disk.environment(false));
    let mut process = scene.start();
    for cycle in 0..plan.cycles {
        let mut random = plan.random(cycle, 0);
        scene.storm(cycle, |progress| {
            progress.more(random.random_range(20..600), &mut random);
            process.signal("KILL");
            process.ended(Duration::from_secs(5));
        });
        let unsynced = [Unsynced::Lost, Unsynced::Torn][usize::try_from(cycle % 2).unwrap()];
        disk.cut(unsynced, &mut random);
        if random.random_bool(0.3) {
            scene.stillbirth(&mut random);
            disk.cut(unsynced, &mut random);
        }
        process = scene.start();
        scene.agrees(cycle, &process);
    }
    scene.ends_in_peace(process);
}

/// That this test can fail: a disk that only says "synced" loses acknowledged work, and the comparison says so.
#[test]
fn a_lying_disk_is_found_out() {
    let plan = Plan::of("lying-disk", 1);
    let mut scene = Scene::new("lying-disk", plan, None);
    let disk = Disk::under(scene.folder.path());
    let mut random = plan.random(0, 0);
    scene.environment(disk.environment(false));
    for (cycle, lying) in [(0, false), (1, true)] {
        let mut process = scene.start();
        scene.storm(cycle, |progress| {
            progress.more(200, &mut random);
            process.signal("KILL");
            process.ended(Duration::from_secs(5));
        });
        disk.cut(Unsynced::Lost, &mut random);
        scene.environment(disk.environment(true));
        let process = scene.start();
        if lying {
            let found = scene.look();
            assert!(
                found.iter().any(|violation| violation.contains("was acknowledged")),
                "200 acknowledgements were lost and nobody saw it: {found:#?}"
            );
        } else {
            scene.agrees(cycle, &process);
        }
    }
}
