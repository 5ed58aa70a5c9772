//! From the ledger into the database: in time, exactly, in few statements, and who is told of it.

use std::collections::BTreeSet;
use std::time::Duration;

use ovation_schema::{UserId, VideoId, favorites};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::harness::crowd::{self, Told, Wish};
use crate::harness::mariadb::Instance;
use crate::harness::{Kind, World, eventually, on_both_stores};

on_both_stores!(
    what_was_acknowledged_is_stored_within_the_interval,
    an_author_is_told_once_of_each_liker,
    old_likers_count_as_told,
);

fn rarely(config: &mut ovation::config::Config) {
    config.flush_interval = Duration::from_mins(1);
}

fn what_was_acknowledged_is_stored_within_the_interval(kind: Kind) {
    let world = World::with(kind, |config| {
        config.flush_interval = Duration::from_millis(500);
        config.flush_max = 300;
    });
    let (ann, ben) = (world.register("ann"), world.register("ben"));
    let mut videos = crowd::videos(&world, ann.id, 8);
    videos.extend(crowd::videos(&world, ben.id, 4));
    let mut people = crowd::people(&world, 30);
    people.extend([UserId(ann.id), UserId(ben.id)]);
    let mut random = StdRng::seed_from_u64(7);
    let mut pairs = BTreeSet::new();
    let mut connection = world.connection();
    for _ in 0..10 {
        let wishes: Vec<Wish> = (0..200)
            .map(|_| {
                let user = people[random.random_range(0..people.len())];
                let video = videos[random.random_range(0..videos.len())];
                (user, video, random.random_range(0..3) > 0)
            })
            .collect();
        crowd::like(&world, &wishes);
        pairs = crowd::wanted(&pairs, &wishes);
        // Half a second of the interval, and the rest for a busy machine.
        eventually("all of it is in the database", Duration::from_secs(5), || {
            (crowd::stored(&mut connection) == pairs).then_some(())
        });
    }
    world.flush();
    crowd::is_stored_exactly(&mut connection, &pairs);
}

fn told(video: VideoId, count: i64, likers: &[UserId]) -> Told {
    Told {
        video: video.0,
        count,
        likers: likers.iter().map(|user| user.0).collect(),
    }
}

fn an_author_is_told_once_of_each_liker(kind: Kind) {
    let world = World::with(kind, rarely);
    let (ann, ben) = (world.register("ann"), world.register("ben"));
    let of_ann = crowd::videos(&world, ann.id, 2);
    let of_ben = crowd::videos(&world, ben.id, 1);
    let fans = crowd::people(&world, 6);
    let mut connection = world.connection();
    // Apart in time, so that who is the latest is no matter of chance.
    let like = |wishes: &[Wish]| {
        for wish in wishes {
            crowd::like(&world, &[*wish]);
            std::thread::sleep(Duration::from_millis(3));
        }
        world.flush();
    };
    like(&[
        (fans[0], of_ann[0], true),
        (fans[1], of_ann[0], true),
        (fans[2], of_ann[0], true),
        (fans[3], of_ann[0], true),
        (fans[1], of_ann[0], false),
        (fans[1], of_ann[0], true),
        (UserId(ann.id), of_ann[0], true),
        (fans[0], of_ann[1], true),
        (fans[4], of_ann[1], true),
        (fans[4], of_ann[1], false),
        (UserId(ann.id), of_ben[0], true),
    ]);
    let first = [
        told(of_ann[0], 4, &[fans[1], fans[3], fans[2]]),
        told(of_ann[1], 1, &[fans[0]]),
    ];
    let streams = crowd::told(&mut connection);
    assert_eq!(streams[&ann.id], first);
    assert_eq!(streams[&ben.id], [told(of_ben[0], 1, &[UserId(ann.id)])]);
    assert_eq!(streams.len(), 2);

    like(&[(fans[0], of_ann[0], false), (UserId(ann.id), of_ann[0], false)]);
    like(&[(fans[0], of_ann[0], true), (UserId(ann.id), of_ann[0], true)]);
    assert_eq!(
        crowd::told(&mut connection),
        streams,
        "nothing is told of the same likers again"
    );
    like(&[
        (fans[0], of_ann[0], false),
        (fans[5], of_ann[0], true),
        (fans[0], of_ann[0], true),
    ]);
    let streams = crowd::told(&mut connection);
    assert_eq!(streams[&ann.id][2..], [told(of_ann[0], 1, &[fans[5]])]);
    // Whose like never reached the database is new with the next one.
    like(&[(fans[4], of_ann[1], true)]);
    assert_eq!(
        crowd::told(&mut connection)[&ann.id][3..],
        [told(of_ann[1], 1, &[fans[4]])]
    );
}

/// Likes of the time before there were streams, of the demo and of a seeded world.
fn old_likers_count_as_told(kind: Kind) {
    let world = World::with(kind, rarely);
    let ann = world.register("ann");
    let video = crowd::videos(&world, ann.id, 1)[0];
    let fans = crowd::people(&world, 2);
    let old = fans[0];
    world.fill(move |connection| favorites::set(connection, old, video, true, 1_700_000_000_000).map(drop));
    for on in [false, true] {
        crowd::like(&world, &[(old, video, on)]);
        world.flush();
    }
    let mut connection = world.connection();
    assert!(crowd::told(&mut connection).is_empty());
    crowd::like(&world, &[(fans[1], video, true)]);
    world.flush();
    assert_eq!(crowd::told(&mut connection)[&ann.id], [told(video, 1, &fans[1..])]);
    crowd::is_stored_exactly(&mut connection, &fans.iter().map(|fan| (fan.0, video.0)).collect());
}

/// On a MariaDB of its own, whose log tells every statement.
#[test]
fn a_storm_on_one_video_is_one_update_of_it() {
    const FANS: usize = 700;
    let instance = Instance::start();
    let world = World::on_instance(&instance, rarely);
    let ann = world.register("ann");
    let video = crowd::videos(&world, ann.id, 1)[0];
    let fans = crowd::people(&world, FANS);
    let wishes: Vec<Wish> = fans.iter().map(|fan| (*fan, video, true)).collect();
    crowd::like(&world, &wishes);
    instance.sql("SET GLOBAL log_output = 'TABLE'; SET GLOBAL general_log = ON");
    let (statements, ()) = world.statements_of(|| world.flush());
    instance.sql("SET GLOBAL general_log = OFF");
    assert!(statements <= 20, "{statements} statements");
    let sent = |start: &str| -> Vec<String> {
        let query = format!(
            "SELECT CONVERT(argument USING utf8mb4) FROM mysql.general_log \
             WHERE command_type IN ('Query', 'Execute') AND argument LIKE '{start}%'"
        );
        instance.sql(&query).lines().map(str::to_owned).collect()
    };
    assert_eq!(sent("UPDATE videos").len(), 1);
    let inserts = sent("INSERT INTO favorites");
    assert_eq!(inserts.len(), 1, "all rows in one statement");
    assert_eq!(inserts[0].matches("),(").count() + 1, FANS);
    let mut rows: Vec<i64> = fans.iter().map(|fan| fan.0).collect();
    rows.sort_unstable();
    let mut at = 0;
    for row in rows {
        let found = inserts[0][at..].find(&format!("({row},")).expect("in key order");
        at += found + 1;
    }
    assert!(
        sent("UPDATE users").len() <= 3,
        "the likers', the author's, and where the stream goes on"
    );
    let pairs = fans.iter().map(|fan| (fan.0, video.0)).collect();
    crowd::is_stored_exactly(&mut world.connection(), &pairs);
}
