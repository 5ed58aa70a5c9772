//! `ovation verify` and `ovation ledger`, as a person runs them.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use ovation::config::Config;
use ovation::likes::LEDGER_FILE;
use ovation::server::store_options;
use ovation_schema::DbConnection;

use super::life_cycle::Ground;
use crate::harness::folders;
use crate::harness::process::{self, Process};
use crate::harness::{Kind, Persona, Video, crowd, on_both_stores};

on_both_stores!(
    verify_tells_and_mends,
    verify_brings_in_what_a_killed_server_left,
    a_damaged_ledger_is_refused_until_it_is_repaired,
    an_unreadable_ledger_is_refused,
);

struct Scene {
    ground: Ground,
    ann: Persona,
    fans: Vec<Persona>,
    video: Video,
    settings: PathBuf,
}

impl Scene {
    /// A world with one video, and a server that flushes when it stops, no sooner.
    fn new(kind: Kind) -> (Self, Process) {
        let ground = Ground::new(kind);
        let settings = ground.folder.path().join("settings.toml");
        std::fs::write(&settings, "flush_interval = '1m'").unwrap();
        let process = serve(&ground, &settings);
        let site = &process.site;
        let ann = site.register("ann");
        let fans: Vec<Persona> = (0..4).map(|number| site.register(&format!("fan{number}"))).collect();
        let video = ann.publishes("sea");
        let scene = Self {
            ground,
            ann,
            fans,
            video,
            settings,
        };
        (scene, process)
    }

    fn serve(&self) -> Process {
        let process = serve(&self.ground, &self.settings);
        self.ann.site().moved_to(process.site.address());
        process
    }

    fn ledger(&self) -> PathBuf {
        self.ground.folder.path().join(LEDGER_FILE)
    }

    fn connection(&self) -> DbConnection {
        let mut config = Config::for_test(self.ground.folder.path());
        config.database_url = self.ground.url().map(|url| url.parse().unwrap());
        ovation_schema::connect(&store_options(&config, self.ground.folder.path())).unwrap()
    }

    /// Exit code, standard output, standard error.
    fn run(&self, command: &[&str]) -> (i32, String, String) {
        let Output { status, stdout, stderr } = process::run(&self.ground.arguments(command));
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (status.code().unwrap(), text(stdout), text(stderr))
    }

    fn is_exact(&self) {
        let (code, said, complaint) = self.run(&["verify"]);
        assert_eq!((code, said.trim()), (0, "every counter is exact"), "{complaint}");
    }

    /// One number of `ledger stat`.
    fn stat(&self, name: &str) -> String {
        let (code, said, complaint) = self.run(&["ledger", "stat"]);
        assert_eq!(code, 0, "{complaint}");
        let line = said.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name}: {said}")).trim().to_owned()
    }

    /// The fans like one after the other, a group each, and the server is killed before it flushes.
    fn is_killed_with_likes(&self, mut process: Process) {
        for fan in &self.fans {
            fan.favorites(&self.video);
        }
        process.signal("KILL");
        process.ended(Duration::from_secs(5));
    }

    fn liked(&self) -> Vec<i64> {
        let stored = crowd::stored(&mut self.connection());
        stored.into_iter().map(|(user, _)| user).collect()
    }
}

fn serve(ground: &Ground, settings: &Path) -> Process {
    let settings = settings.to_str().unwrap();
    Process::serve_with(ground.folder.path(), ground.url(), &["--config", settings])
}

fn verify_tells_and_mends(kind: Kind) {
    let (scene, mut process) = Scene::new(kind);
    let (ann, ben, video) = (&scene.ann, &scene.fans[0], &scene.video);
    ben.favorites(video);
    ben.comments(video, "nice");
    ben.follows(ann);
    scene.is_exact();
    assert_eq!(
        scene.liked(),
        [ben.id],
        "beside a running server: with what the ledger held"
    );
    let spoil = format!(
        "UPDATE videos SET favorite_count = favorite_count + 5, comment_count = 0 WHERE id = {}; \
         UPDATE users SET follow_count = 7, total_favorited = 8 WHERE id = {}",
        video.id, ann.id
    );
    scene.connection().batch_execute(&spoil).unwrap();
    let wrong = [
        format!("videos.favorite_count of {}: says 6, its rows say 1", video.id),
        format!("videos.comment_count of {}: says 0, its rows say 1", video.id),
        format!("users.total_favorited of {}: says 8, its rows say 1", ann.id),
        format!("users.follow_count of {}: says 7, its rows say 0", ann.id),
    ];
    let tells = |command: &[&str]| {
        let (code, said, _) = scene.run(command);
        assert_eq!(code, 3, "{said}");
        assert_eq!(said.lines().collect::<Vec<_>>(), wrong);
    };
    tells(&["verify"]);
    let (code, _, complaint) = scene.run(&["verify", "--repair"]);
    assert!(
        code == 1 && complaint.contains("stop it"),
        "not beside a server: {complaint}"
    );
    tells(&["verify"]);
    process.signal("TERM");
    assert!(process.ended(Duration::from_secs(20)).success());
    tells(&["verify"]);
    tells(&["verify", "--repair"]);
    scene.is_exact();
    let _process = scene.serve();
    assert_eq!(ben.sees(video).favorite_count, 1);
    assert_eq!((ann.profile().total_favorited, ann.profile().follow_count), (1, 0));
}

fn verify_brings_in_what_a_killed_server_left(kind: Kind) {
    let (scene, process) = Scene::new(kind);
    let (code, _, complaint) = scene.run(&["ledger", "stat"]);
    assert!(
        code == 1 && complaint.contains("in use"),
        "not beside a server: {complaint}"
    );
    scene.is_killed_with_likes(process);
    assert_eq!(scene.liked(), [0_i64; 0]);
    assert_eq!(
        (scene.stat("entries"), scene.stat("unflushed")),
        ("4".into(), "4".into())
    );
    let (code, dumped, _) = scene.run(&["ledger", "dump"]);
    assert_eq!((code, dumped.lines().count()), (0, 4));
    for (line, fan) in dumped.lines().zip(&scene.fans) {
        let entry: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(
            (&entry["user"], &entry["video"]),
            (&fan.id.into(), &scene.video.id.into())
        );
        assert_eq!((&entry["on"], &entry["author"]), (&true.into(), &scene.ann.id.into()));
    }
    scene.is_exact();
    assert_eq!(scene.liked().len(), 4);
    assert_eq!(scene.stat("unflushed"), "0");
    let mut process = scene.serve();
    assert_eq!(scene.ann.sees(&scene.video).favorite_count, 4);
    scene.fans[0].unfavorites(&scene.video);
    process.signal("TERM");
    assert!(process.ended(Duration::from_secs(20)).success());
    assert_eq!(scene.liked().len(), 3, "a stop flushes");
}

/// Overwrites bytes of the ledger's file: `length` of them where `find` is first found.
fn damage(ledger: &Path, find: &[u8], length: usize) {
    let mut bytes = std::fs::read(ledger).unwrap();
    let at = bytes
        .windows(find.len())
        .position(|seen| seen == find)
        .expect("it is in the file");
    for byte in &mut bytes[at..at + length] {
        *byte ^= 0x5a;
    }
    std::fs::write(ledger, bytes).unwrap();
}

/// Folds the log of a killed ledger into its file.
fn fold(ledger: &Path) -> diesel::SqliteConnection {
    use diesel::Connection as _;
    let mut connection = diesel::SqliteConnection::establish(ledger.to_str().unwrap()).unwrap();
    connection.batch_execute("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    connection
}

fn a_damaged_ledger_is_refused_until_it_is_repaired(kind: Kind) {
    use diesel::RunQueryDsl as _;
    #[derive(diesel::QueryableByName)]
    struct Checksum {
        #[diesel(sql_type = diesel::sql_types::Binary)]
        checksum: Vec<u8>,
    }
    let (scene, process) = Scene::new(kind);
    scene.is_killed_with_likes(process);
    let groups: Vec<Checksum> = {
        let mut connection = fold(&scene.ledger());
        diesel::sql_query("SELECT checksum FROM groups ORDER BY last")
            .load(&mut connection)
            .unwrap()
    };
    assert_eq!(groups.len(), 4);
    damage(&scene.ledger(), &groups[2].checksum, 1);
    for _ in 0..2 {
        let said = Process::refuses_to_serve(scene.ground.folder.path(), scene.ground.url());
        assert!(
            said.contains("ovation ledger repair") && said.contains("damaged"),
            "{said}"
        );
        let (code, _, complaint) = scene.run(&["verify"]);
        assert!(code == 1 && complaint.contains("ovation ledger repair"), "{complaint}");
    }
    let (code, said, complaint) = scene.run(&["ledger", "repair"]);
    assert_eq!(code, 0, "{complaint}");
    assert!(said.contains("sound: 2 entries, up to position 2"), "{said}");
    assert!(said.contains("set aside: positions 3 to 3"), "{said}");
    assert_eq!(scene.stat("rejected_groups"), "2");
    scene.is_exact();
    let _process = scene.serve();
    assert_eq!(
        scene.ann.sees(&scene.video).favorite_count,
        2,
        "what was sound is there"
    );
    scene.fans[3].favorites(&scene.video);
    assert_eq!(scene.ann.sees(&scene.video).favorite_count, 3, "and on it goes");
}

fn an_unreadable_ledger_is_refused(kind: Kind) {
    let (scene, process) = Scene::new(kind);
    scene.is_killed_with_likes(process);
    drop(fold(&scene.ledger()));
    damage(&scene.ledger(), b"SQLite format 3", 200);
    let said = Process::refuses_to_serve(scene.ground.folder.path(), scene.ground.url());
    assert!(said.contains("ledger") && !said.contains("panicked"), "{said}");
    let (code, _, complaint) = scene.run(&["ledger", "repair"]);
    assert!(
        code == 1 && complaint.contains("move them out of the data folder"),
        "{complaint}"
    );
    for file in ["", "-wal", "-shm"] {
        let file = scene.ground.folder.path().join(format!("{LEDGER_FILE}{file}"));
        if file.exists() {
            std::fs::rename(&file, file.with_extension("away")).unwrap();
        }
    }
    let said = Process::refuses_to_serve(scene.ground.folder.path(), scene.ground.url());
    assert!(said.contains("ovation ledger begin"), "{said}");
    let (code, said, complaint) = scene.run(&["ledger", "begin"]);
    assert_eq!(code, 0, "{complaint}");
    assert!(said.contains("new ledger"), "{said}");
    let (code, _, complaint) = scene.run(&["ledger", "begin"]);
    assert!(code == 1 && complaint.contains("nothing to begin"), "{complaint}");
    let process = scene.serve();
    assert_eq!(
        scene.ann.sees(&scene.video).favorite_count,
        0,
        "the old ledger's likes went with it"
    );
    scene.fans[0].favorites(&scene.video);
    scene.is_killed_with_likes(process);
    scene.is_exact();
    assert_eq!(scene.liked().len(), 4);
}

/// Neither command makes a store or a folder out of a mistyped path.
#[test]
fn a_mistyped_folder_is_no_exact_store() {
    let folder = folders::fresh("mistyped");
    let nowhere = folder.path().join("nowhere");
    for folder in [folder.path(), &nowhere] {
        for command in [["verify", "--data-dir"].as_slice(), &["ledger", "stat", "--data-dir"]] {
            let mut command = command.to_vec();
            command.push(folder.to_str().unwrap());
            let output = process::run(&command);
            let complaint = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{complaint}");
            assert!(
                complaint.contains("there is no") || complaint.contains("does not exist"),
                "{complaint}"
            );
        }
    }
    assert!(!nowhere.exists());
    assert!(!folder.path().join(ovation::server::STORE_FILE).exists());
}

/// A socket's address holds 108 bytes; a path may be longer.
#[test]
fn a_long_folder_can_be_served_and_verified() {
    let folder = folders::fresh("long");
    let long = folder.path().join("l".repeat(120));
    let process = Process::serve(&long, None);
    process.site.register("ann");
    let output = process::run(&["verify", "--data-dir", long.to_str().unwrap()]);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Whoever may open the socket can't hurt the server with it.
#[test]
fn the_control_socket_takes_nonsense() {
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;
    let (scene, _process) = Scene::new(Kind::Sqlite);
    let socket = scene.ground.folder.path().join(ovation::control::SOCKET);
    for nonsense in [
        b"".as_slice(),
        b"\n",
        b"verify it all\n",
        &[b'x'; 10_000],
        b"\xff\xfe\n",
    ] {
        let mut stream = UnixStream::connect(&socket).unwrap();
        // It may hang up before it has taken everything.
        let _ = stream.write_all(nonsense);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.is_empty() || answer.contains("unknown question"), "{answer}");
    }
    let _silent = UnixStream::connect(&socket).unwrap();
    scene.is_exact();
}
