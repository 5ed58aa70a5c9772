//! The database goes away: a clear "try later" within seconds, and service again by itself when it is back.

use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use serde_json::json;

use crate::harness::clip::CLIP;
use crate::harness::mariadb::Instance;
use crate::harness::{Kind, Persona, Reply, Site, Video, World, at_once, eventually};

/// How long anybody waits for "try later" at most, under the settings below.
const PATIENCE: Duration = Duration::from_secs(8);
const BACK_WITHIN: Duration = Duration::from_secs(15);

struct Scene {
    ann: Persona,
    ben: Persona,
    video: Video,
}

impl Scene {
    fn of(site: &Site) -> Self {
        let (ann, ben) = (site.register("ann"), site.register("ben"));
        let video = ann.publishes("sea");
        ben.comments(&video, "before");
        Self { ann, ben, video }
    }

    /// Everything is refused in time, by everybody at once, and none of it looks like a wrong password or token.
    fn says_try_later(&self, site: &Site) {
        let started = Instant::now();
        let wrong_password = 1003;
        let bad_token = 1001;
        at_once(7, |number| {
            let reply: Reply = match number {
                0 => site.get("/douyin/feed/"),
                1 => self.ben.favorite(self.video.id, 1),
                2 => self.ben.comment(self.video.id, "lost"),
                3 => self.ben.message(self.ann.id, "lost"),
                4 => site.call(
                    "POST",
                    "/douyin/user/login/",
                    &[("username", &"ann"), ("password", &"123456")],
                ),
                5 => self.ben.uploads("lost", CLIP),
                _ => self.ben.get("/douyin/relation/friend/list/", &[]),
            };
            let refusal = reply.refused();
            assert!(
                ![wrong_password, bad_token].contains(&refusal.code),
                "{number}: {refusal:?}"
            );
            assert!(refusal.msg.contains("again"), "{number}: {refusal:?}");
        });
        assert!(started.elapsed() < PATIENCE, "{:?}", started.elapsed());
        assert_eq!(site.get("/healthz").status, 200, "the process is well");
        assert_eq!(site.get("/readyz").status, 503, "but can't serve");
    }

    /// Serves again by itself, with everything from before, and exact.
    fn is_back(&self, site: &Site) {
        eventually("service is back", BACK_WITHIN, || {
            (site.get("/readyz").status == 200).then_some(())
        });
        self.ben.favorites(&self.video);
        self.ben.tells(&self.ann, "after");
        let seen = self.ben.sees(&self.video);
        let comments = self.ben.comments_of(&self.video);
        assert_eq!(seen.comment_count, i64::try_from(comments.len()).unwrap());
        assert!(comments.iter().any(|comment| comment.content == "before"));
        assert_eq!((seen.favorite_count, seen.is_favorite), (1, true));
        assert_eq!(self.ann.chat(&self.ben, &0).last().unwrap().content, "after");
        let works = self.ben.works_of(self.ben.id);
        assert_eq!(self.ben.profile().work_count, i64::try_from(works.len()).unwrap());
        site.login("ann");
    }
}

fn impatient(config: &mut ovation::config::Config) {
    config.db_statement_timeout = Duration::from_secs(2);
    config.db_acquire_timeout = Duration::from_secs(1);
}

#[test]
fn mariadb_that_hangs_is_waited_for_in_vain_only_shortly() {
    let instance = Instance::start();
    let world = World::on_instance(&instance, impatient);
    let scene = Scene::of(&world);
    instance.freeze();
    scene.says_try_later(&world);
    scene.says_try_later(&world);
    instance.thaw();
    scene.is_back(&world);
}

#[test]
fn mariadb_that_crashes_is_found_again() {
    let instance = Instance::start();
    let world = World::on_instance(&instance, impatient);
    let scene = Scene::of(&world);
    instance.crash();
    scene.says_try_later(&world);
    instance.launch();
    scene.is_back(&world);
}

#[test]
fn a_mariadb_restart_between_two_requests_is_hardly_noticed() {
    let instance = Instance::start();
    let world = World::on_instance(&instance, impatient);
    let scene = Scene::of(&world);
    instance.crash();
    instance.launch();
    // Every pooled connection is dead; nobody has asked for one in the meantime.
    let answered = eventually("the first good answer", Duration::from_secs(3), || {
        let reply = world.get("/douyin/feed/");
        reply.text().contains("\"status_code\":0").then_some(reply)
    });
    assert_eq!(answered.success()["video_list"].as_array().unwrap().len(), 1);
    scene.is_back(&world);
}

/// A table that answers nobody takes every connection; the rest of the site says "busy" instead of queueing.
#[test]
fn a_full_pool_says_busy_fast() {
    let world = World::with(Kind::Mariadb, |config| {
        impatient(config);
        config.db_connections = 2;
    });
    let scene = Scene::of(&world);
    let mut other = world.connection();
    other.batch_execute("LOCK TABLES videos WRITE").unwrap();
    let started = Instant::now();
    let refusals = at_once(60, |_| world.get("/douyin/feed/").refused());
    assert!(started.elapsed() < PATIENCE, "{:?}", started.elapsed());
    assert!(
        refusals.iter().all(|refusal| refusal.msg.contains("again")),
        "{refusals:?}"
    );
    assert_eq!(world.get("/healthz").status, 200);
    other.batch_execute("UNLOCK TABLES").unwrap();
    scene.is_back(&world);
}

#[test]
fn a_locked_sqlite_says_try_later() {
    let world = World::with(Kind::Sqlite, impatient);
    let scene = Scene::of(&world);
    let mut other = world.connection();
    other.batch_execute("BEGIN IMMEDIATE").unwrap();
    let started = Instant::now();
    let refusals = at_once(3, |number| match number {
        0 => scene.ben.message(scene.ann.id, "lost").refused(),
        1 => scene.ben.comment(scene.video.id, "lost").refused(),
        _ => scene.ben.uploads("lost", CLIP).refused(),
    });
    assert!(
        refusals.iter().all(|refusal| refusal.msg.contains("again")),
        "{refusals:?}"
    );
    assert!(started.elapsed() < PATIENCE, "{:?}", started.elapsed());
    assert_eq!(world.feed().len(), 1, "reading goes on");
    scene.ben.favorites(&scene.video);
    assert_eq!(
        world.feed()[0].favorite_count,
        1,
        "and so do likes, which the ledger takes"
    );
    other.batch_execute("COMMIT").unwrap();
    eventually("writing goes on", BACK_WITHIN, || {
        let reply = scene.ben.message(scene.ann.id, "after");
        reply.text().contains("\"status_code\":0").then_some(())
    });
    scene.is_back(&world);
}

/// A caller waits for a bounded time and the transaction goes on: whoever is online hears of what it commits later.
#[test]
fn a_commit_after_its_caller_gave_up_is_told() {
    let world = World::with(Kind::Mariadb, |config| {
        config.db_acquire_timeout = Duration::from_millis(10);
        config.db_statement_timeout = Duration::from_secs(3);
    });
    let (ann, ben) = (world.register("ann"), world.register("ben"));
    ann.tells(&ben, "first");
    let (mut sender, mut receiver) = (ann.socket(), ben.socket());
    // Two waits that are each shorter than a statement may take, and together longer than anybody waits for an answer.
    let (mut first, mut second) = (world.connection(), world.connection());
    first
        .batch_execute("BEGIN; UPDATE conversations SET unread = unread")
        .unwrap();
    second
        .batch_execute("BEGIN; UPDATE streams SET next_seq = next_seq")
        .unwrap();
    let message = json!({ "to_user_id": ben.id, "content": "late", "key": "late-0123456789abcdef" });
    let began = Instant::now();
    let id = sender.send("message.send", &message);
    let until = |time: Duration| std::thread::sleep(time.saturating_sub(began.elapsed()));
    until(Duration::from_secs(2));
    first.batch_execute("ROLLBACK").unwrap();
    let answer = sender.answer(&id);
    assert_eq!(answer["code"], json!("try_later"), "{answer}");
    // Whoever looked for it meanwhile has found nothing.
    until(Duration::from_millis(4_300));
    second.batch_execute("ROLLBACK").unwrap();
    let event = receiver.next_of("message.new");
    assert_eq!(event["d"]["content"], json!("late"));
    assert_eq!(sender.done("message.send", &message)["dup"], json!(true));
}
