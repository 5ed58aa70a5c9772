//! A full disk under the ledger: no like is acknowledged that is not kept, none that was refused appears later, and
//! service returns by itself.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use ovation_schema::{UserId, VideoId};

use super::disk_full::SmallDisk;
use crate::harness::crowd::{self, Wish};
use crate::harness::{Kind, World, eventually, on_both_stores};

on_both_stores!(a_full_disk_acknowledges_no_like_that_is_lost);

/// Fills the disk to the last byte.
fn fill(ballast: &Path) {
    let mut file = std::fs::File::create(ballast).unwrap();
    for piece in [1 << 16, 1 << 10, 1] {
        let room = vec![0; piece];
        while std::io::Write::write_all(&mut file, &room).is_ok() {}
    }
}

fn a_full_disk_acknowledges_no_like_that_is_lost(kind: Kind) {
    let mut disk = None;
    let mut world = World::with(kind, |config| {
        disk = SmallDisk::over(&config.data_dir);
        config.flush_interval = Duration::from_millis(200);
    });
    let Some(_disk) = disk else {
        println!("not shown: a small disk can't be mounted here (that needs root and permission to mount)");
        return;
    };
    let ann = world.register("ann");
    let video = ann.publishes("sea");
    let videos = [VideoId(video.id), crowd::videos(&world, ann.id, 1)[0]];
    let people: Vec<UserId> = crowd::people(&world, 600);
    let ballast = world.data_dir().join("ballast");
    let (mut kept, mut refused) = (BTreeSet::new(), 0);
    let mut take = |world: &World, wishes: &[Wish]| {
        let mut now = 0;
        for (wish, answer) in wishes.iter().zip(crowd::answers(world, wishes)) {
            if answer.is_ok() {
                kept = crowd::wanted(&kept, &[*wish]);
            } else {
                now += 1;
            }
        }
        refused += now;
        let own: Vec<_> = kept.iter().filter(|(_, liked)| *liked == video.id).collect();
        let seen = world.guest().sees(&video).favorite_count;
        assert_eq!(
            seen,
            i64::try_from(own.len()).unwrap(),
            "everybody sees what was acknowledged, no more"
        );
        now
    };
    let wishes = |from: usize, to: usize, on: bool| -> Vec<Wish> {
        let people = people[from..to].iter();
        people.flat_map(|user| videos.map(|video| (*user, video, on))).collect()
    };
    take(&world, &wishes(0, 50, true));
    for round in 0..3 {
        fill(&ballast);
        let from = 50 + round * 150;
        let mut refused_now = 0;
        for step in 0..15 {
            let from = from + step * 10;
            refused_now += take(&world, &wishes(from, from + 10, true));
            refused_now += take(&world, &wishes(step, step + 1, round % 2 == 1));
        }
        assert!(refused_now > 0, "the disk was full in round {round}");
        std::fs::remove_file(&ballast).unwrap();
        eventually("likes are taken again", Duration::from_secs(10), || {
            let wish = [(people[599], videos[0], round % 2 == 0)];
            (take(&world, &wish) == 0).then_some(())
        });
    }
    assert!(refused > 0);
    let service = eventually("service is back", Duration::from_secs(10), || {
        let reply = ann.comment(video.id, "after");
        reply.text().contains("\"status_code\":0").then_some(reply)
    });
    service.success();
    world.stop();
    world.start_again();
    world.flush();
    crowd::is_stored_exactly(&mut world.connection(), &kept);
}
