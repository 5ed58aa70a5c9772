//! A database that forgets its last transactions, as one does after a failover or with a weak flush setting: whatever went
//! straight into it is lost with them, but the likes are in the ledger and come again, each once.

use crate::harness::mariadb::Instance;
use crate::plan::Plan;
use crate::scene::{Scene, kill};

#[test]
fn mariadb_gets_the_likes_it_forgot_again() {
    let plan = Plan::of("forgetful-mariadb", 2);
    let instance = Instance::start();
    let database = instance.new_database();
    let mut scene = Scene::new("forgetful-mariadb", plan, Some(&database.url));
    let mut process = scene.start();
    for cycle in 0..plan.cycles {
        let mut random = plan.random(cycle, 0);
        scene.storm(cycle, |progress| {
            // Logs are written once a second from here on, so about that much is lost with a crash.
            instance.sql("SET GLOBAL innodb_flush_log_at_trx_commit = 0");
            progress.some_more(&mut random);
            instance.crash();
            instance.launch();
            if cycle.is_multiple_of(2) {
                // The server that knows more than its database lives on.
                progress.some_more(&mut random);
            }
            kill(&mut process, &mut random);
        });
        process = scene.start();
        let found = scene.look_for(is_of_likes_or_counts);
        assert!(
            found.is_empty(),
            "cycle {cycle} of OVATION_TEST_SEED={}: {found:#?}\n{}",
            plan.seed,
            process.log()
        );
    }
    scene.stop(process);
}

/// Counts agree with lists even where the lists are shorter than what was acknowledged.
fn is_of_likes_or_counts(violation: &str) -> bool {
    violation.starts_with("likes of") || violation.contains("_count of") || violation.contains("total_favorited of")
}
