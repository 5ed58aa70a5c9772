//! The database goes away while people like: likes of what is known in memory go on being acknowledged, everything else
//! is told "later", and when it is back everything drains, exactly.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use ovation_schema::{UserId, VideoId};

use crate::harness::crowd;
use crate::harness::mariadb::Instance;
use crate::harness::{Kind, Persona, Video, World, at_once, eventually};

/// How long a like takes at most while the database does not answer: the look at the token and the look at the pair
/// each give up after a moment.
const QUICK: Duration = Duration::from_secs(4);
const BACK_WITHIN: Duration = Duration::from_secs(40);
const CONNECTIONS: u32 = 6;

fn settings(config: &mut ovation::config::Config) {
    config.flush_interval = Duration::from_millis(200);
    config.db_connections = CONNECTIONS;
}

struct Scene {
    world: World,
    fans: Vec<Persona>,
    /// Liked by the first fan before anything happens, so that memory knows its author.
    known: Vec<Video>,
    /// Nobody has ever liked it.
    unknown: VideoId,
}

impl Scene {
    fn of(world: World) -> Self {
        let ann = world.register("ann");
        let known = vec![ann.publishes("sea"), ann.publishes("sky")];
        let unknown = crowd::videos(&world, ann.id, 1)[0];
        let fans: Vec<Persona> = (0..5).map(|number| world.register(&format!("fan{number}"))).collect();
        for video in &known {
            fans[0].favorites(video);
        }
        // Whoever has liked something is known by its token.
        for fan in &fans[1..] {
            fan.favorites(&known[0]);
        }
        world.flush();
        Self {
            world,
            fans,
            known,
            unknown,
        }
    }

    /// All fans act at once, each in time.
    fn everybody(&self, act: impl Fn(usize, &Persona) + Sync) {
        at_once(self.fans.len(), |number| {
            let started = Instant::now();
            act(number, &self.fans[number]);
            assert!(started.elapsed() < QUICK, "{number}: {:?}", started.elapsed());
        });
    }

    /// Likes of known videos go through; the first fan, who has liked the second one already, takes it back.
    fn goes_on_liking(&self) -> usize {
        self.everybody(|number, fan| {
            let action = if number == 0 { 2 } else { 1 };
            fan.favorite(self.known[1].id, action).done();
        });
        self.everybody(|_, fan| {
            let refused = fan.favorite(self.unknown.0, 1).refused();
            assert!(refused.msg.contains("again"), "{refused:?}");
        });
        self.everybody(|_, fan| fan.unfavorites(&self.known[0]));
        2 * self.fans.len()
    }

    /// The likes' part of what `/readyz` says, with the HTTP status.
    fn readiness(&self) -> (u16, serde_json::Value) {
        let reply = self.world.get("/readyz");
        (reply.status, reply_value(&reply.body)["likes"].take())
    }

    fn says_how_many_wait(&self, wanted: usize, status: u16) {
        eventually("it says how many wait, and why", QUICK * 5, || {
            let (seen, likes) = self.readiness();
            let fits = seen == status && likes["waiting"] == wanted && likes["problem"].is_string();
            (fits && likes["oldest_ms"].is_i64() && likes["failures"].as_u64()? > 0).then_some(())
        });
    }

    fn drains(&self) {
        eventually("everything drains", BACK_WITHIN, || {
            let (status, likes) = self.readiness();
            (status == 200 && likes["waiting"] == 0 && likes["problem"].is_null()).then_some(())
        });
        let wanted: BTreeSet<(i64, i64)> = self.fans[1..].iter().map(|fan| (fan.id, self.known[1].id)).collect();
        crowd::is_stored_exactly(&mut self.world.connection(), &wanted);
        let guest = self.world.guest();
        let fans = i64::try_from(self.fans.len()).unwrap();
        assert_eq!(guest.sees(&self.known[1]).favorite_count, fans - 1);
        assert_eq!(guest.sees(&self.known[0]).favorite_count, 0);
        self.fans[1].favorite(self.unknown.0, 1).done();
    }
}

/// `/readyz` has a null where there is no problem, which the contract's strict reading refuses.
fn reply_value(body: &[u8]) -> serde_json::Value {
    serde_json::from_slice(body).unwrap()
}

/// Connections of this process to a port, as the kernel counts them.
fn connections_to(port: u16) -> usize {
    let established = "01";
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let remote = format!(":{port:04X}");
    table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|columns| columns.len() > 3 && columns[2].ends_with(&remote) && columns[3] == established)
        .count()
}

/// Runs `work` while somebody counts connections; the most there were.
fn most_connections(instance: &Instance, work: impl FnOnce()) -> usize {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let counting = scope.spawn(|| {
            let mut most = 0;
            while !over.load(Ordering::Relaxed) {
                most = most.max(connections_to(instance.port()));
                std::thread::sleep(Duration::from_millis(20));
            }
            most
        });
        work();
        over.store(true, Ordering::Relaxed);
        counting.join().unwrap()
    })
}

#[test]
fn likes_go_on_while_mariadb_hangs() {
    let instance = Instance::start();
    let scene = Scene::of(World::on_instance(&instance, settings));
    let most = most_connections(&instance, || {
        instance.freeze();
        let waiting = scene.goes_on_liking();
        scene.says_how_many_wait(waiting, 503);
        instance.thaw();
    });
    // The claim on the database has a connection of its own, what is done from time to time two.
    assert!(most <= CONNECTIONS as usize + 3, "{most} connections");
    scene.drains();
}

#[test]
fn likes_go_on_while_mariadb_is_dead() {
    let instance = Instance::start();
    let scene = Scene::of(World::on_instance(&instance, settings));
    instance.crash();
    let waiting = scene.goes_on_liking();
    scene.says_how_many_wait(waiting, 503);
    instance.launch();
    scene.drains();
}

#[test]
fn likes_go_on_while_somebody_holds_sqlite() {
    let scene = Scene::of(World::with(Kind::Sqlite, settings));
    let mut other = scene.world.connection();
    other.batch_execute("BEGIN IMMEDIATE").unwrap();
    scene.everybody(|number, fan| {
        let action = if number == 0 { 2 } else { 1 };
        fan.favorite(scene.known[1].id, action).done();
    });
    scene.everybody(|_, fan| fan.unfavorites(&scene.known[0]));
    let guest = scene.world.guest();
    let fans = i64::try_from(scene.fans.len()).unwrap();
    assert_eq!(
        guest.sees(&scene.known[1]).favorite_count,
        fans - 1,
        "everybody sees it"
    );
    assert_eq!(guest.sees(&scene.known[0]).favorite_count, 0);
    scene.says_how_many_wait(2 * scene.fans.len(), 200);
    other.batch_execute("COMMIT").unwrap();
    scene.drains();
}

/// The server answers, and a table does not: longer than any deadline of a like.
#[test]
fn likes_go_on_while_a_table_hangs() {
    let instance = Instance::start();
    let scene = Scene::of(World::on_instance(&instance, settings));
    let mut other = scene.world.connection();
    for table in ["users", "favorites"] {
        other.batch_execute(&format!("LOCK TABLES {table} WRITE")).unwrap();
        // Past the second for which a token needs no look.
        std::thread::sleep(Duration::from_millis(1_100));
        let action = if table == "users" { 1 } else { 2 };
        scene.everybody(|number, fan| {
            if number > 0 {
                fan.favorite(scene.known[1].id, action).done();
            }
        });
        other.batch_execute("UNLOCK TABLES").unwrap();
        eventually("everything drains", BACK_WITHIN, || {
            let (status, likes) = scene.readiness();
            (status == 200 && likes["waiting"] == 0).then_some(())
        });
    }
    let first: BTreeSet<(i64, i64)> = [(scene.fans[0].id, scene.known[1].id)].into();
    let others = scene.fans.iter().map(|fan| (fan.id, scene.known[0].id));
    crowd::is_stored_exactly(
        &mut scene.world.connection(),
        &first.into_iter().chain(others).collect(),
    );
}

/// A server that is stopped while its database is away ends in time and leaves its likes to the next start.
#[test]
fn a_stop_while_mariadb_is_away_keeps_the_likes() {
    let instance = Instance::start();
    let mut scene = Scene::of(World::on_instance(&instance, |config| {
        settings(config);
        config.shutdown_timeout = Duration::from_secs(2);
    }));
    for frozen in [true, false] {
        let action = if frozen { 1 } else { 2 };
        if frozen {
            instance.freeze();
        } else {
            instance.crash();
        }
        scene.everybody(|number, fan| {
            if number > 0 {
                fan.favorite(scene.known[1].id, action).done();
            }
        });
        let started = Instant::now();
        scene.world.stop();
        assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
        if frozen {
            instance.thaw();
        } else {
            instance.launch();
        }
        scene.world.start_again();
        let likers = if frozen { scene.fans.len() } else { 1 };
        let seen = scene.world.guest().sees(&scene.known[1]).favorite_count;
        assert_eq!(usize::try_from(seen).unwrap(), likers);
        // Memory is new, and so is what it knows of tokens and videos.
        for fan in &scene.fans {
            fan.favorites(&scene.known[0]);
        }
    }
    scene.world.flush();
    let others = scene.fans.iter().map(|fan| (fan.id, scene.known[0].id));
    let first = [(scene.fans[0].id, scene.known[1].id)].into_iter();
    crowd::is_stored_exactly(&mut scene.world.connection(), &first.chain(others).collect());
}

/// A token that was never confirmed by a look, or for another password, helps nobody while the database is away.
#[test]
fn who_was_not_seen_before_is_told_later() {
    let instance = Instance::start();
    let scene = Scene::of(World::on_instance(&instance, settings));
    let late = scene.world.register("late");
    instance.crash();
    for stranger in [&late, &scene.fans[1].with_token(&late.token)] {
        let refused = stranger.favorite(scene.known[1].id, 1).refused();
        assert!(refused.msg.contains("again"), "{refused:?}");
    }
    let forged = scene.fans[1]
        .with_token("forged")
        .favorite(scene.known[1].id, 1)
        .refused();
    assert!(forged.msg.contains("log in"), "{forged:?}");
    instance.launch();
    eventually("it is back", BACK_WITHIN, || {
        let reply = late.favorite(scene.known[1].id, 1);
        reply.text().contains("\"status_code\":0").then_some(())
    });
}

/// Killed, restarted, frozen and continued under a storm of likes: what was acknowledged is there in the end, nothing is
/// that nobody asked for, and every count is exact.
#[test]
fn a_storm_survives_whatever_happens_to_mariadb() {
    const PEOPLE: usize = 400;
    let instance = Instance::start();
    let world = World::on_instance(&instance, |config| {
        settings(config);
        config.flush_interval = Duration::from_millis(100);
        config.flush_max = 50;
        config.db_statement_timeout = Duration::from_secs(2);
        config.db_acquire_timeout = Duration::from_secs(1);
    });
    let ann = world.register("ann");
    let videos = crowd::videos(&world, ann.id, 4);
    let people: Vec<UserId> = crowd::people(&world, PEOPLE);
    let warm: Vec<_> = videos.iter().map(|video| (people[0], *video, true)).collect();
    crowd::like(&world, &warm);
    let mut asked: BTreeSet<(i64, i64)> = crowd::wanted(&BTreeSet::new(), &warm);
    let mut acknowledged = asked.clone();
    let over = AtomicBool::new(false);
    let (told, wished) = std::thread::scope(|scope| {
        let storm = scope.spawn(|| {
            let (mut told, mut wished) = (BTreeSet::new(), BTreeSet::new());
            for people in people[1..].chunks(4) {
                for video in &videos {
                    let likes: Vec<_> = people.iter().map(|user| (*user, *video, true)).collect();
                    for ((user, video, _), answer) in likes.iter().zip(crowd::answers(&world, &likes)) {
                        wished.insert((user.0, video.0));
                        if answer.is_ok() {
                            told.insert((user.0, video.0));
                        }
                    }
                }
                std::thread::sleep(Duration::from_millis(60));
                if over.load(Ordering::Relaxed) {
                    break;
                }
            }
            (told, wished)
        });
        for _ in 0..3 {
            std::thread::sleep(Duration::from_millis(700));
            instance.crash();
            std::thread::sleep(Duration::from_millis(500));
            instance.launch();
            std::thread::sleep(Duration::from_millis(900));
            instance.freeze();
            std::thread::sleep(Duration::from_millis(600));
            instance.thaw();
        }
        over.store(true, Ordering::Relaxed);
        storm.join().unwrap()
    });
    acknowledged.extend(told);
    asked.extend(wished);
    assert!(acknowledged.len() > 200, "{} were acknowledged", acknowledged.len());
    eventually("everything drains", BACK_WITHIN, || {
        let status = world.server().counters().status();
        (status.waiting == 0 && status.problem.is_none()).then_some(())
    });
    let mut connection = world.connection();
    let stored = crowd::stored(&mut connection);
    assert_eq!(acknowledged.difference(&stored).count(), 0, "lost");
    assert_eq!(stored.difference(&asked).count(), 0, "never wanted");
    crowd::is_stored_exactly(&mut connection, &stored);
    let told: i64 = crowd::told(&mut connection)[&ann.id]
        .iter()
        .map(|told| told.count)
        .sum();
    assert_eq!(
        usize::try_from(told).unwrap(),
        stored.len(),
        "each liker is told of once"
    );
    let status = world.server().counters().status();
    assert_eq!(
        (status.quarantined, status.dropped),
        (0, 0),
        "nothing was blamed on a like"
    );
}
