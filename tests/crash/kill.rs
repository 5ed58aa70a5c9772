//! `kill -9` in the middle of everything: of the server, of a server that is still starting, of MariaDB, of both. And, as
//! a database elsewhere allows it, power cuts of the server's machine alone.

use std::time::Duration;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::disk::{Disk, Manner, Unsynced};
use crate::harness::eventually;
use crate::harness::mariadb::Instance;
use crate::harness::process::Process;
use crate::plan::Plan;
use crate::scene::{Progress, Scene, kill};

/// What dies in a cycle.
#[derive(Debug, Clone, Copy)]
enum Victim {
    Server,
    /// The database first; the server a moment later, with whatever it has not written.
    Both,
    /// The database, which comes back while the server and its clients go on; then the server.
    DatabaseThenServer,
}

#[test]
fn sqlite_survives_kills() {
    let plan = Plan::of("kill-sqlite", 8);
    let mut scene = Scene::new("kill-sqlite", plan, None);
    let disk = Disk::under(scene.folder.path());
    scene.environment(disk.environment(Manner::Sound));
    let mut process = scene.start();
    for cycle in 0..plan.cycles {
        let mut random = plan.random(cycle, 0);
        scene.storm(cycle, |progress| {
            progress.some_more(&mut random);
            kill(&mut process, &mut random);
        });
        if random.random_bool(0.3) {
            scene.stillbirth(&mut random);
        }
        disk.settle();
        scene.environment(manner(&disk, cycle));
        process = scene.start();
        scene.agrees(cycle, &process);
    }
    scene.ends_in_peace(process);
}

#[test]
fn mariadb_survives_kills() {
    let plan = Plan::of("kill-mariadb", 6);
    let instance = Instance::start();
    let database = instance.new_database();
    let mut scene = Scene::new("kill-mariadb", plan, Some(&database.url));
    let disk = Disk::under(scene.folder.path());
    scene.environment(disk.environment(Manner::Sound));
    let mut process = scene.start();
    for cycle in 0..plan.cycles {
        let mut random = plan.random(cycle, 0);
        let victim = [Victim::Server, Victim::Both, Victim::DatabaseThenServer][usize::try_from(cycle % 3).unwrap()];
        scene.storm(cycle, |progress| {
            progress.some_more(&mut random);
            strike(victim, &instance, &mut process, progress, &mut random);
        });
        if matches!(victim, Victim::Both) {
            instance.launch();
        }
        let left = connections(&instance);
        lose_power_or_not(&disk, &mut random);
        if random.random_bool(0.3) {
            scene.stillbirth(&mut random);
            lose_power_or_not(&disk, &mut random);
        }
        scene.environment(manner(&disk, cycle));
        process = scene.start();
        // A commit that was sent before the kill may still be on its way through MariaDB; while it is, two looks could
        // see two truths.
        eventually(
            "the dead server's connections are gone",
            Duration::from_secs(10),
            || {
                let now = connections(&instance);
                left.iter().all(|old| !now.contains(old)).then_some(())
            },
        );
        scene.agrees(cycle, &process);
    }
    scene.ends_in_peace(process);
}

/// Every other server writes to a late disk.
fn manner(disk: &Disk, cycle: u64) -> Vec<(String, String)> {
    disk.environment(if cycle.is_multiple_of(2) {
        Manner::Late
    } else {
        Manner::Sound
    })
}

/// The server's machine may go down while the database's stays up: then the ledger goes back to what was synced, and the
/// store does not.
fn lose_power_or_not(disk: &Disk, random: &mut ChaCha8Rng) {
    match random.random_range(0..3) {
        0 => disk.settle(),
        1 => disk.cut(Unsynced::Lost, random),
        _ => disk.cut(Unsynced::Torn, random),
    }
}

fn strike(victim: Victim, instance: &Instance, process: &mut Process, progress: &Progress, random: &mut ChaCha8Rng) {
    match victim {
        Victim::Server => {}
        Victim::Both => {
            instance.crash();
            // Long enough for some answers about a database that is gone.
            std::thread::sleep(Duration::from_millis(random.random_range(0..200)));
        }
        Victim::DatabaseThenServer => {
            instance.crash();
            instance.launch();
            progress.some_more(random);
        }
    }
    kill(process, random);
}

/// The ids of the server's connections as MariaDB knows them.
fn connections(instance: &Instance) -> Vec<String> {
    let rows = instance.sql("SELECT id FROM information_schema.processlist WHERE user = 'ovation'");
    rows.lines().map(str::to_owned).collect()
}
