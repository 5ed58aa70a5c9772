//! The ground a crash happens on: a data folder, perhaps a database, people with their records, and the storm of requests
//! in which something is killed.

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use tempfile::TempDir;

use crate::client::Client;
use crate::compare::{settle, violations};
use crate::harness::process::{self, Process, serve_command};
use crate::harness::{Persona, Site, folders};
use crate::plan::Plan;
use crate::record::{Journal, Record};
use crate::seen::Seen;

/// People who act, each on a connection of their own.
const CLIENTS: usize = 8;
/// People who only publish.
const AUTHORS: usize = 2;
/// Videos of each author.
const WORKS: usize = 2;
/// How often and how many likes are flushed differs from start to start: a crash is to meet batches under way as well as
/// a ledger that nobody has flushed.
const INTERVALS: [&str; 3] = ["100ms", "300ms", "3s"];
const SIZES: [&str; 3] = ["10", "100", "2000"];
/// The part of a plan's randomness that decides it.
const FLUSHES: u64 = 1_000;

/// Who and what there is, and where.
pub struct Scene {
    pub folder: TempDir,
    url: Option<String>,
    environment: Vec<(String, String)>,
    plan: Plan,
    starts: u64,
    journal: Option<Journal>,
    site: Option<Site>,
    people: Vec<Persona>,
    records: Vec<Record>,
    videos: Vec<i64>,
}

impl Scene {
    /// An empty one; [`Scene::start`] fills it.
    pub fn new(mode: &str, plan: Plan, url: Option<&str>) -> Self {
        Self {
            folder: folders::fresh("crash"),
            url: url.map(str::to_owned),
            environment: Vec::new(),
            plan,
            starts: 0,
            journal: Journal::of(mode),
            site: None,
            people: Vec::new(),
            records: Vec::new(),
            videos: Vec::new(),
        }
    }

    /// What the servers of this scene are to find in their environment from now on.
    pub fn environment(&mut self, environment: Vec<(String, String)>) {
        self.environment = environment;
    }

    fn command(&self) -> Command {
        let mut command = serve_command(self.folder.path(), self.url.as_deref());
        let settings = std::env::vars().filter(|(name, _)| {
            ["OVATION_FLUSH_", "OVATION_LEDGER_"]
                .iter()
                .any(|prefix| name.starts_with(prefix))
        });
        let mut random = self.plan.random(self.starts, FLUSHES);
        command
            .env(
                "OVATION_FLUSH_INTERVAL",
                INTERVALS[random.random_range(0..INTERVALS.len())],
            )
            .env("OVATION_FLUSH_MAX", SIZES[random.random_range(0..SIZES.len())])
            .envs(settings)
            .envs(self.environment.iter().cloned());
        command
    }

    /// A server over what is there; the first one meets nothing and gets its people and videos.
    pub fn start(&mut self) -> Process {
        let process = Process::launch(self.command());
        self.starts += 1;
        if let Some(site) = &self.site {
            site.moved_to(process.site.address());
            return process;
        }
        let site = process.site.clone();
        let authors: Vec<Persona> = (0..AUTHORS)
            .map(|place| site.register(&format!("author{place}")))
            .collect();
        for work in 0..WORKS {
            let published = authors
                .iter()
                .map(|author| author.publishes(&format!("work {work}")).id);
            self.videos.extend(published);
        }
        self.people = (0..CLIENTS)
            .map(|place| site.register(&format!("client{place}")))
            .collect();
        let records = self.people.iter();
        self.records = records
            .map(|person| Record::of(person.id, self.journal.clone()))
            .collect();
        self.people.extend(authors);
        self.site = Some(site);
        process
    }

    /// Starts a server and kills it while it is still getting ready.
    pub fn stillbirth(&self, random: &mut ChaCha8Rng) {
        let mut child = self.command().spawn().expect("it starts");
        // The moment is the test's random choice, not a wait for anything.
        std::thread::sleep(Duration::from_micros(random.random_range(0..60_000)));
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Everybody acts until the server is gone. `disaster` runs beside them, can wait for acknowledgements, and must end
    /// the server.
    pub fn storm(&mut self, cycle: u64, disaster: impl FnOnce(&Progress)) {
        let began = Instant::now();
        let progress = Progress::default();
        let ids: Vec<i64> = self.people.iter().map(|person| person.id).collect();
        std::thread::scope(|scope| {
            for (place, record) in self.records.iter_mut().enumerate() {
                let (persona, videos, progress) = (&self.people[place], &self.videos[..], &progress);
                let mut users = ids.clone();
                users.rotate_left(place + 1);
                users.pop();
                let random = self.plan.random(cycle, u64::try_from(place).unwrap() + 1);
                scope.spawn(move || {
                    let client = Client {
                        persona,
                        record,
                        videos,
                        users: &users,
                        acknowledged: &progress.acknowledged,
                    };
                    client.act(random);
                });
            }
            disaster(&progress);
        });
        let acknowledged = progress.acknowledged.load(Ordering::Relaxed);
        let told = format!("cycle {cycle}: {acknowledged} acknowledged in {:?}", began.elapsed());
        println!("{told}");
        if let Some(journal) = &self.journal {
            journal.note(&told);
        }
    }

    /// What the running server shows that the records do not allow.
    pub fn look(&mut self) -> Vec<String> {
        self.look_for(|_| true)
    }

    /// Those violations that `matters` names; what does not matter is taken as it is from then on.
    pub fn look_for(&mut self, matters: impl Fn(&str) -> bool) -> Vec<String> {
        let seen = Seen::through(&self.people);
        let mut found = violations(&self.records, &seen);
        let all = found.len();
        found.retain(|violation| matters(violation));
        if all > 0 {
            println!("{all} violations, of which {} matter", found.len());
        }
        if found.is_empty() {
            settle(&mut self.records, &seen);
        }
        found
    }

    /// Fails the test when the running server lost or doubled anything.
    pub fn agrees(&mut self, cycle: u64, process: &Process) {
        let found = self.look();
        assert!(
            found.is_empty(),
            "cycle {cycle} of OVATION_TEST_SEED={}: {} violations: {found:#?}\nthe server's log:\n{}",
            self.plan.seed,
            found.len(),
            telling(&process.log())
        );
    }

    /// Stops the server in peace, and has `ovation verify` look at what it leaves.
    pub fn stop(&self, mut process: Process) {
        process.signal("TERM");
        let status = process.ended(Duration::from_secs(30));
        assert!(status.success(), "{status:?} {}", telling(&process.log()));
        self.verify();
    }

    /// Stops the server in peace and reads everything once more.
    pub fn ends_in_peace(&mut self, process: Process) {
        self.stop(process);
        let process = self.start();
        self.agrees(self.plan.cycles, &process);
    }

    fn verify(&self) {
        let help = process::run(&["--help"]);
        if !String::from_utf8_lossy(&help.stdout).contains("\n  verify") {
            println!("not shown: this binary has no `ovation verify`");
            return;
        }
        let mut arguments = vec!["verify", "--data-dir", self.folder.path().to_str().unwrap()];
        if let Some(url) = &self.url {
            arguments.extend(["--database-url", url]);
        }
        let output = process::run(&arguments);
        assert!(
            output.status.success(),
            "OVATION_TEST_SEED={}: verify disagrees: {}{}",
            self.plan.seed,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

/// A log without its lines about single requests, which say nothing of a start.
fn telling(log: &str) -> String {
    let lines = log.lines().filter(|line| !line.contains(r#""message":"answered""#));
    lines.collect::<Vec<_>>().join("\n")
}

/// Ends a server without warning, or while it stops in peace.
pub fn kill(process: &mut Process, random: &mut ChaCha8Rng) {
    if random.random_bool(0.2) {
        process.signal("TERM");
        // The moment is the test's random choice, not a wait for anything. It may well have ended by then.
        std::thread::sleep(Duration::from_micros(random.random_range(0..300_000)));
    }
    kill_at_once(process);
}

/// Ends a server without warning. One that has ended already, and was not waited for, bears it.
pub fn kill_at_once(process: &mut Process) {
    process.signal("KILL");
    process.ended(Duration::from_secs(5));
}

/// How far a storm is.
#[derive(Debug, Default)]
pub struct Progress {
    acknowledged: AtomicUsize,
}

impl Progress {
    /// Waits for some further acknowledgements, mostly few, and a random moment longer.
    pub fn some_more(&self, random: &mut ChaCha8Rng) {
        let most = if random.random_bool(0.1) { 3_000 } else { 500 };
        self.more(random.random_range(20..most), random);
    }

    /// Waits for this many further acknowledgements, and a random moment longer.
    pub fn more(&self, acknowledgements: usize, random: &mut ChaCha8Rng) {
        let wanted = self.acknowledged.load(Ordering::Relaxed) + acknowledgements;
        let end = Instant::now() + Duration::from_mins(1);
        while self.acknowledged.load(Ordering::Relaxed) < wanted {
            assert!(
                Instant::now() < end,
                "the storm stands still before {wanted} acknowledgements"
            );
            std::thread::sleep(Duration::from_micros(500));
        }
        std::thread::sleep(Duration::from_micros(random.random_range(0..5_000)));
    }
}
