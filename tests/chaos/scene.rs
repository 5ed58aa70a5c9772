//! The run: people and devices, and what happens to the server and its database while they chat.

use std::process::Command;
use std::time::{Duration, Instant};

use ovation::config::Config;
use ovation::server::store_options;
use ovation_schema::Options;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use tempfile::TempDir;

use crate::compare::violations;
use crate::device::Device;
use crate::harness::mariadb::Instance;
use crate::harness::process::{self, Process, serve_command};
use crate::harness::{Persona, folders};
use crate::plan::Plan;
use crate::record::Record;
use crate::stage::{Stage, Watch};
use crate::stored::{Stored, newest};
use crate::{pollers, visitors};

/// People, each with two devices; a user's peers are the two next to them on either side of the circle.
const PEOPLE: usize = 12;
const DEVICES: usize = 2;
const VIDEOS: usize = 4;
const VISITORS: usize = 2;
/// Kills of each run, where the environment does not say otherwise.
const KILLS: u64 = 10;
/// How long the last answers and events may need once everybody is silent, on a machine that is busy with other things.
const SILENCE: Duration = Duration::from_secs(30);
/// Two flushes later nothing is left to be told.
const FLUSH: Duration = Duration::from_millis(200);
/// For whatever a storm waits for.
const STANDSTILL: Duration = Duration::from_mins(1);

#[test]
fn sqlite() {
    run("chaos-sqlite", None);
}

#[test]
fn mariadb() {
    run("chaos-mariadb", Some(&Instance::start()));
}

/// A server, its store, and the plan.
struct Scene<'a> {
    plan: Plan,
    folder: TempDir,
    url: Option<String>,
    instance: Option<&'a Instance>,
}

fn run(name: &str, instance: Option<&Instance>) {
    let scene = Scene {
        plan: Plan::of(name, KILLS),
        folder: folders::fresh("chaos"),
        url: instance.map(|instance| instance.new_database().url),
        instance,
    };
    let began = Instant::now();
    let mut process = Process::launch(scene.command());
    let site = process.site.clone();
    let people: Vec<Persona> = (0..PEOPLE)
        .map(|place| site.register(&format!("person{place}")))
        .collect();
    let videos = people[..VIDEOS]
        .iter()
        .map(|author| author.publishes("a work").id)
        .collect();
    let users: Vec<i64> = people.iter().map(|person| person.id).collect();
    let stage = Stage::new(site, users, videos, places(&people));
    let records = std::thread::scope(|scope| {
        let acting: Vec<_> = (0..stage.places.len())
            .map(|place| {
                let (stage, people, random) = (&stage, &people, scene.plan.random(u64::MAX, place as u64));
                scope.spawn(move || {
                    let _watch = Watch(stage, stage.places[place].name.clone());
                    take_part(stage, place, people, random)
                })
            })
            .collect();
        let end = End(&stage);
        scene.storm(&stage, &mut process);
        drop(end);
        acting
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect::<Vec<Record>>()
    });
    scene.judge(&stage, &people, &records, process);
    tell(name, &records, began);
}

/// Lets everybody go, also when the director panics; the scope would wait for them.
struct End<'a>(&'a Stage);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// First the devices, then the two that poll, then the visitors.
fn places(people: &[Persona]) -> Vec<(String, Option<i64>)> {
    let device = |at: usize| {
        let user = people[at / DEVICES].id;
        (format!("user{user}/{}", at % DEVICES), Some(user))
    };
    let mut places: Vec<_> = (0..PEOPLE * DEVICES).map(device).collect();
    places.push(("long-poll".to_owned(), Some(people[0].id)));
    places.push(("app".to_owned(), None));
    places.extend((0..VISITORS).map(|visitor| (format!("visitor{visitor}"), None)));
    places
}

fn take_part(stage: &Stage, place: usize, people: &[Persona], random: ChaCha8Rng) -> Record {
    const LONG_POLL: usize = PEOPLE * DEVICES;
    const APP: usize = LONG_POLL + 1;
    let peers = |user: usize| {
        let steps = [1, 2, PEOPLE - 2, PEOPLE - 1].into_iter();
        steps.map(|step| people[(user + step) % PEOPLE].id).collect::<Vec<_>>()
    };
    match place {
        LONG_POLL => pollers::events(stage, place, &people[0], random),
        APP => pollers::chats(stage, place, &people[1], &peers(1), random),
        _ if place > APP => visitors::run(stage, place, people, random),
        _ => {
            let user = place / DEVICES;
            Device::new(stage, place, &people[user], peers(user), random).run()
        }
    }
}

impl Scene<'_> {
    fn command(&self) -> Command {
        let mut command = serve_command(self.folder.path(), self.url.as_deref());
        command
            .env("OVATION_FLUSH_INTERVAL", format!("{}ms", FLUSH.as_millis()))
            // A caller gives up within the time that a database stays frozen, and what it asked for goes on.
            .env("OVATION_DB_ACQUIRE_TIMEOUT", "500ms")
            .env("OVATION_DB_STATEMENT_TIMEOUT", "1s")
            .env("OVATION_LOG", "info,ovation::net=warn");
        command
    }

    fn options(&self) -> Options {
        let mut config = Config::for_test(self.folder.path());
        config.database_url = self.url.as_ref().map(|url| url.parse().unwrap());
        store_options(&config, self.folder.path())
    }

    fn storm(&self, stage: &Stage, process: &mut Process) {
        for kill in 0..self.plan.cycles {
            let mut random = self.plan.random(kill, 0);
            let random = &mut random;
            self.some_more(stage, process, random);
            if let Some(instance) = self.instance {
                trouble(instance, random);
                self.perhaps_silence(stage, process, random);
                self.some_more(stage, process, random);
            }
            self.perhaps_silence(stage, process, random);
            if kill % 4 == 2 {
                // The first one always in peace: it is to be seen what devices are told then.
                self.stop(process, kill > 2 && random.random_bool(0.5), random);
                self.start(stage, process, random);
                self.some_more(stage, process, random);
            }
            kill_at_once(process);
            self.start(stage, process, random);
            self.perhaps_silence(stage, process, random);
        }
        let mut random = self.plan.random(self.plan.cycles, 0);
        self.some_more(stage, process, &mut random);
        self.silence(stage, process, 3 * FLUSH);
    }

    /// Right after something has happened there is nothing newer yet that would bring what was forgotten.
    fn perhaps_silence(&self, stage: &Stage, process: &Process, random: &mut ChaCha8Rng) {
        if random.random_bool(0.4) {
            self.silence(stage, process, Duration::ZERO);
        }
    }

    /// Lets the storm go on for some acknowledgements.
    fn some_more(&self, stage: &Stage, process: &Process, random: &mut ChaCha8Rng) {
        let wanted = stage.acknowledged() + random.random_range(20..200);
        let end = Instant::now() + STANDSTILL;
        while stage.acknowledged() < wanted {
            self.nothing_found(stage, process);
            let in_time = Instant::now() < end;
            self.require(in_time, process, || {
                format!("no {wanted} acknowledgements: {:#?}", stage.behind(&[]))
            });
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Nobody asks for anything new until everybody has heard everything, and that has been so for a while.
    fn silence(&self, stage: &Stage, process: &Process, steady: Duration) {
        stage.next_act();
        let end = Instant::now() + SILENCE;
        let mut since: Option<(Instant, Vec<(i64, i64)>)> = None;
        loop {
            self.nothing_found(stage, process);
            let newest = newest(&self.options(), &stage.users);
            let behind = stage.behind(&newest);
            match &since {
                _ if !behind.is_empty() => since = None,
                Some((at, then)) if *then == newest && at.elapsed() >= steady => break,
                Some((_, then)) if *then == newest => {}
                _ => since = Some((Instant::now(), newest)),
            }
            let in_time = Instant::now() < end;
            self.require(in_time, process, || format!("not within {SILENCE:?}: {behind:#?}"));
            std::thread::sleep(Duration::from_millis(20));
        }
        stage.next_act();
    }

    /// A stop in peace, or one that is cut short.
    fn stop(&self, process: &mut Process, cut_short: bool, random: &mut ChaCha8Rng) {
        process.signal("TERM");
        if cut_short {
            // The moment is the test's random choice, not a wait for anything. It may well have ended by then.
            std::thread::sleep(Duration::from_millis(random.random_range(0..400)));
            kill_at_once(process);
            return;
        }
        let status = process.ended(Duration::from_secs(30));
        self.require(status.success(), process, || format!("the stop in peace: {status}"));
    }

    /// A server over what is there, sometimes after one that dies before it is ready.
    fn start(&self, stage: &Stage, process: &mut Process, random: &mut ChaCha8Rng) {
        if random.random_bool(0.2) {
            let mut child = self.command().spawn().expect("it starts");
            // The moment is the test's random choice, not a wait for anything.
            std::thread::sleep(Duration::from_millis(random.random_range(0..150)));
            child.kill().unwrap();
            child.wait().unwrap();
        }
        *process = Process::launch(self.command());
        stage.site.moved_to(process.site.address());
    }

    /// The end: everything is compared, then the server stops in peace and `verify` counts again.
    fn judge(&self, stage: &Stage, people: &[Persona], records: &[Record], mut process: Process) {
        let stored = Stored::read(&self.options(), &stage.users);
        let mut found = stage.violations();
        found.extend(violations(records, &stored));
        found.extend(shown(people, &stored));
        for kind in [
            "message.new",
            "message.read",
            "follow.new",
            "comment.new",
            "favorite.new",
        ] {
            if !stored.streams.values().flatten().any(|told| told.t == kind) {
                found.push(format!("the chaos brought no {kind}, so it shows nothing about them"));
            }
        }
        if self.plan.cycles > 2 && records.iter().all(|record| record.restarts == 0) {
            found.push("nobody was told that the server restarts".to_owned());
        }
        self.require(found.is_empty(), &process, || {
            format!("{} violations: {found:#?}", found.len())
        });
        process.signal("TERM");
        let status = process.ended(Duration::from_secs(30));
        self.require(status.success(), &process, || format!("the last stop: {status}"));
        let mut arguments = vec!["verify", "--data-dir", self.folder.path().to_str().unwrap()];
        if let Some(url) = &self.url {
            arguments.extend(["--database-url", url]);
        }
        let output = process::run(&arguments);
        self.require(output.status.success(), &process, || {
            format!("verify disagrees: {output:?}")
        });
    }

    fn nothing_found(&self, stage: &Stage, process: &Process) {
        let found = stage.violations();
        self.require(found.is_empty(), process, || format!("{found:#?}"));
    }

    fn require(&self, good: bool, process: &Process, what: impl FnOnce() -> String) {
        assert!(
            good,
            "OVATION_TEST_SEED={}: {}\nthe server's log:\n{}",
            self.plan.seed,
            what(),
            process.log()
        );
    }
}

/// The counts that a client is shown are those of the rows.
fn shown(people: &[Persona], stored: &Stored) -> Vec<String> {
    let mut found = Vec::new();
    for person in people {
        let (mut socket, welcome) = person.resume("", 0);
        let own = || stored.sides.iter().filter(|side| side.user == person.id);
        let unread: i64 = own().map(|side| side.unread).sum();
        if welcome["unread"] != unread {
            found.push(format!("{unread} unread of {}, and {welcome}", person.id));
        }
        for side in own() {
            let page = socket.done("message.history", &json!({"with_user_id": side.peer, "limit": 1}));
            let peers = stored
                .sides
                .iter()
                .find(|other| (other.user, other.peer) == (side.peer, side.user));
            let marks = (side.read_id, peers.map_or(0, |peers| peers.read_id), side.unread);
            let shown = |name: &str| page[name].as_i64().unwrap_or(-1);
            if marks != (shown("read_message_id"), shown("peer_read_message_id"), shown("unread")) {
                found.push(format!("{side:?}, and {page}"));
            }
        }
    }
    found
}

/// Something happens to the database while the server and everybody else go on.
fn trouble(instance: &Instance, random: &mut ChaCha8Rng) {
    let pause = Duration::from_millis(if random.random_bool(0.4) {
        random.random_range(1_000..2_800)
    } else {
        random.random_range(0..300)
    });
    // The moments are the test's random choice, not a wait for anything.
    match random.random_range(0..10) {
        0..4 => {
            instance.crash();
            std::thread::sleep(pause);
            instance.launch();
        }
        4..8 => {
            instance.freeze();
            std::thread::sleep(pause);
            instance.thaw();
        }
        _ => {}
    }
}

/// Ends a server without warning. One that has ended already, and was not waited for, bears it.
fn kill_at_once(process: &mut Process) {
    process.signal("KILL");
    process.ended(Duration::from_secs(5));
}

fn tell(name: &str, records: &[Record], began: Instant) {
    let sum = |count: fn(&Record) -> usize| records.iter().map(count).sum::<usize>();
    println!(
        "{name}: {} messages sent, {} again, {} known already; {} events heard over {} connections, in {:?}",
        sum(|record| record.sent.values().map(Vec::len).sum()),
        sum(|record| record.resends),
        sum(|record| record.dups),
        sum(|record| record.received.len()),
        sum(|record| record.connects),
        began.elapsed()
    );
}
