//! The real process: start, drain, locks, schemas it does not know, and what its log says.

use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use diesel::Connection as _;
use diesel::connection::SimpleConnection;
use tempfile::TempDir;

use crate::harness::clip::{CLIP, Multipart};
use crate::harness::folders;
use crate::harness::mariadb::{Database, shared};
use crate::harness::process::{self, Process};
use crate::harness::raw::{Wire, head};
use crate::harness::{Kind, World, at_once, eventually, on_both_stores};

on_both_stores!(
    a_signal_lets_what_is_in_flight_finish,
    a_second_process_is_refused_and_harms_nothing,
    migrations_can_be_looked_at,
    a_newer_schema_is_refused,
    a_command_beside_a_server_never_migrates,
    tokens_of_a_wiped_store_die,
    a_new_password_ends_every_login,
    the_log_is_json_and_keeps_secrets,
);

/// A data folder and a database for processes.
pub struct Ground {
    pub folder: TempDir,
    pub database: Option<Database>,
}

impl Ground {
    pub fn new(kind: Kind) -> Self {
        Self {
            folder: folders::fresh("process"),
            database: (kind == Kind::Mariadb).then(|| shared().new_database()),
        }
    }

    pub fn url(&self) -> Option<&str> {
        self.database.as_ref().map(|database| database.url.as_str())
    }

    pub fn serve(&self) -> Process {
        Process::serve(self.folder.path(), self.url())
    }

    /// The options of any other command.
    pub fn arguments<'a>(&'a self, command: &[&'a str]) -> Vec<&'a str> {
        let mut arguments = command.to_vec();
        arguments.extend(["--data-dir", self.folder.path().to_str().unwrap()]);
        if let Some(url) = self.url() {
            arguments.extend(["--database-url", url]);
        }
        arguments
    }
}

fn a_signal_lets_what_is_in_flight_finish(kind: Kind) {
    let ground = Ground::new(kind);
    let mut process = ground.serve();
    let ann = process.site.register("ann");
    let body = Multipart::default()
        .field("token", &ann.token)
        .field("title", "in flight")
        .file(CLIP)
        .end();
    let length = body.len().to_string();
    let headers = [
        ("Content-Type", &*Multipart::content_type()),
        ("Content-Length", &length),
        ("Expect", "100-continue"),
    ];
    let mut wire = Wire::to(process.site.address());
    wire.put(head("POST", "/douyin/publish/action/", &headers)).unwrap();
    // Only what the server knows of is in flight.
    wire.invited();
    wire.put(&body[..500]).unwrap();
    // Somebody who came later is answered: so the first one is in flight, and not in the kernel's queue any more.
    let mut later = Wire::to(process.site.address());
    later.put(head("GET", "/ping", &[])).unwrap();
    assert_eq!(later.answer().unwrap().status, 200);

    process.signal("TERM");
    eventually("it says that it stops", Duration::from_secs(5), || {
        process.log().contains("stops").then_some(())
    });
    wire.put(&body[500..]).unwrap();
    wire.answer().expect("what was in flight is answered").done();
    let status = process.ended(Duration::from_secs(20));
    assert!(status.success(), "{status:?} {}", process.log());
    let left_open: Vec<_> = std::fs::read_dir(ground.folder.path())
        .unwrap()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().ends_with("-wal"))
        .filter(|entry| entry.metadata().unwrap().len() > 0)
        .collect();
    assert_eq!(left_open.len(), 0, "the store is left clean: {left_open:?}");

    let again = ground.serve();
    let works = again.site.guest().works_of(ann.id);
    assert_eq!(works.len(), 1);
    assert_eq!(again.site.get(&works[0].play_url).body, CLIP);
}

fn a_second_process_is_refused_and_harms_nothing(kind: Kind) {
    let ground = Ground::new(kind);
    let first = ground.serve();
    let ann = first.site.register("ann");
    let said = Process::refuses_to_serve(ground.folder.path(), ground.url());
    assert!(
        !said.contains("panicked") && said.to_lowercase().contains("another"),
        "{said}"
    );
    if ground.database.is_some() {
        let other = folders::fresh("other");
        let said = Process::refuses_to_serve(other.path(), ground.url());
        assert!(
            said.contains("another ovation process"),
            "the database is claimed as well: {said}"
        );
    }
    ann.publishes("still here");
    drop(first);
    assert_eq!(
        ground.serve().site.feed().len(),
        1,
        "a killed owner leaves no lock behind"
    );
}

fn migrations_can_be_looked_at(kind: Kind) {
    let ground = Ground::new(kind);
    let process = ground.serve();
    process.site.register("ann");
    let run = |command: &[&str]| {
        let output = process::run(&ground.arguments(command));
        (
            output.status.success(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
        )
    };
    let (fine, said) = run(&["migrate", "status"]);
    assert!(
        fine && said.contains("applied") && said.contains("initial") && !said.contains("pending"),
        "{said}"
    );
    let (fine, said) = run(&["migrate", "revert"]);
    assert!(!fine, "not while it is being served: {said}");
    drop(process);

    let (fine, said) = run(&["migrate", "revert"]);
    assert!(fine && said.contains("_streams"), "it says the name: {said}");
    let (fine, said) = run(&["migrate", "status"]);
    assert!(fine && said.contains("pending"), "{said}");
    let (fine, said) = run(&["migrate", "run"]);
    assert!(fine && said.contains("_streams"), "it says the name: {said}");
    let (_, said) = run(&["migrate", "status"]);
    assert!(!said.contains("pending"), "{said}");
    assert_eq!(ground.serve().site.feed(), [], "an empty store that works");
}

fn a_newer_schema_is_refused(kind: Kind) {
    let mut world = World::new(kind);
    world.register("ann");
    world.stop();
    world
        .connection()
        .batch_execute("INSERT INTO __diesel_schema_migrations (version) VALUES ('99991231235959')")
        .unwrap();
    let url = world.database.as_ref().map(|database| database.url.as_str());
    let said = Process::refuses_to_serve(world.data_dir(), url);
    assert!(said.to_lowercase().contains("newer"), "it says why: {said}");
}

fn a_command_beside_a_server_never_migrates(kind: Kind) {
    let ground = Ground::new(kind);
    let told = |command: &[&str]| {
        let mut child = process::ovation(&ground.arguments(command))
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(b"a new one 9\n").unwrap();
        let output = child.wait_with_output().unwrap();
        (
            output.status.success(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let (fine, said) = told(&["user", "create", "ann"]);
    assert!(fine, "a store of its own may be made: {said}");
    let server = ground.serve();
    let (fine, said) = told(&["user", "create", "ben"]);
    assert!(fine, "{said}");

    // As a newer version would find it that is tried beside the old one.
    let forget = "DELETE FROM __diesel_schema_migrations";
    if let Some(database) = &ground.database {
        shared().sql(&format!("USE {}; {forget}", database.name));
    } else {
        let store = ground.folder.path().join(ovation::server::STORE_FILE);
        let mut beside = diesel::SqliteConnection::establish(store.to_str().unwrap()).unwrap();
        beside.batch_execute(forget).unwrap();
    }
    for action in ["create", "passwd"] {
        let (fine, said) = told(&["user", action, "ann"]);
        assert!(!fine && said.contains("is in use by process"), "{said}");
        assert!(said.contains("schema is behind this version"), "{said}");
    }
    assert!(server.site.feed().is_empty(), "the server goes on");
}

/// A database file with what SQLite keeps beside it.
fn remove(folder: &std::path::Path, name: &str) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        if entry.file_name().to_string_lossy().starts_with(name) {
            std::fs::remove_file(entry.path()).unwrap();
        }
    }
}

fn tokens_of_a_wiped_store_die(kind: Kind) {
    let mut world = World::new(kind);
    let (ann, ben) = (world.register("ann"), world.register("ben"));
    ann.follows(&ben);
    world.stop();
    // The data folder with its key stays; only the store is new.
    match &world.database {
        Some(database) => {
            let name = &database.name;
            shared().sql(&format!("DROP DATABASE {name}; CREATE DATABASE {name}"));
        }
        None => remove(world.data_dir(), ovation::server::STORE_FILE),
    }
    let refused = world.try_start_again().unwrap_err();
    assert!(
        refused.contains("this ledger belongs to the store"),
        "likes of another store: {refused}"
    );
    remove(world.data_dir(), ovation::likes::LEDGER_FILE);
    world.start_again();
    let eve = world.register("eve");
    assert_eq!(eve.id, ann.id, "ids begin anew, which is why old tokens must die");
    ann.get("/douyin/relation/friend/list/", &[]).refused();
    ann.message(world.register("fay").id, "as eve?").refused();
    assert_eq!(eve.friends(), []);
}

fn a_new_password_ends_every_login(kind: Kind) {
    let ground = Ground::new(kind);
    let process = ground.serve();
    let ann = process.site.register("ann");
    assert_eq!(ann.friends(), []);
    let mut passwd = process::ovation(&ground.arguments(&["user", "passwd", "ann"]))
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    passwd.stdin.take().unwrap().write_all(b"a new one 9\n").unwrap();
    let output = passwd.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    ann.get("/douyin/relation/friend/list/", &[]).refused();
    let login = |password: &str| {
        process.site.call(
            "POST",
            "/douyin/user/login/",
            &[("username", &"ann"), ("password", &password)],
        )
    };
    login("123456").refused();
    login("a new one 9").success();
}

fn the_log_is_json_and_keeps_secrets(kind: Kind) {
    let ground = Ground::new(kind);
    let mut process = ground.serve();
    let (ann, ben) = (process.site.register("ann"), process.site.register("ben"));
    let secret = "sesame-open-9";
    process
        .site
        .call(
            "POST",
            "/douyin/user/login/",
            &[("username", &"ann"), ("password", &secret)],
        )
        .refused();
    ann.tells(&ben, "meet-me-at-noon");
    ann.with_token("forged-token-77").favorite(1, 1).refused();
    process.signal("TERM");
    process.ended(Duration::from_secs(20));
    let log = eventually("the log ends", Duration::from_secs(5), || {
        let log = process.log();
        log.contains("has stopped").then_some(log)
    });
    for line in log.lines() {
        let value: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(
            value.get("timestamp").is_some() && value.get("level").is_some(),
            "{line}"
        );
    }
    let url = ground.url().unwrap_or("no password here");
    let hidden = [
        secret,
        "123456",
        "meet-me-at-noon",
        "forged-token-77",
        ann.token.as_str(),
        url,
    ];
    for secret in hidden {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}

/// A hash takes 19 MiB for 20 ms; what a storm of logins leaves behind must not be a multiple of that.
#[test]
fn logins_leave_no_memory_behind() {
    let ground = Ground::new(Kind::Sqlite);
    let process = ground.serve();
    process.site.register("ann");
    let before = process.resident_kib();
    for _ in 0..5 {
        at_once(16, |_| process.site.login("ann"));
    }
    let after = process.resident_kib();
    assert!(after < before + (64 << 10), "{before} KiB before, {after} KiB after");
}
