//! A MariaDB of the tests' own: in a temporary folder, on a free port, gone with the test process.
//!
//! A shell stands guard: it starts the server for every line it reads and, when its input ends because the test process
//! is gone, kills it and removes the folder.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use crate::world::eventually;

const GUARD: &str = r#"
trap '' PIPE # an answer that nobody waits for any more must not end the guard before it has cleaned up
dir=$1; shift
while read -r _; do
  mariadbd "$@" </dev/null >>"$dir/log" 2>&1 &
  pid=$!
  echo "$pid"
done
kill -9 "$pid"; wait; rm -rf "$dir"
"#;

/// One running MariaDB.
pub struct MariaDb {
    folder: PathBuf,
    pub port: u16,
    guard: Mutex<(ChildStdin, BufReader<ChildStdout>, String)>,
    _shell: Child,
    next: AtomicU32,
}

/// The one that all tests share.
pub fn shared() -> &'static MariaDb {
    static SHARED: OnceLock<MariaDb> = OnceLock::new();
    SHARED.get_or_init(|| MariaDb::start(&[]))
}

impl MariaDb {
    /// Starts one of its own, for tests that stop, freeze or fill it. `{dir}` in an argument is its folder.
    pub fn start(arguments: &[&str]) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("ovation-schema-mariadb-{}-{number}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        install(&folder);
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let at = |name: &str| folder.join(name).display().to_string();
        let mut shell = Command::new("sh")
            .args(["-c", GUARD, "guard"])
            .arg(&folder)
            .args([
                "--no-defaults",
                "--user=root",
                "--bind-address=127.0.0.1",
                "--skip-name-resolve",
            ])
            .arg(format!("--port={port}"))
            .arg(format!("--datadir={}", at("data")))
            .arg(format!("--socket={}", at("socket")))
            .arg(format!("--tmpdir={}", folder.display()))
            .args([
                "--innodb-buffer-pool-size=64M",
                "--innodb-log-file-size=16M",
                "--max-connections=500",
            ])
            .args(
                arguments
                    .iter()
                    .map(|argument| argument.replace("{dir}", &folder.display().to_string())),
            )
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let ends = (
            shell.stdin.take().unwrap(),
            BufReader::new(shell.stdout.take().unwrap()),
            String::new(),
        );
        let server = Self {
            port,
            folder,
            guard: Mutex::new(ends),
            _shell: shell,
            next: AtomicU32::new(1),
        };
        server.launch();
        server.sql("CREATE USER 'ovation'@'%' IDENTIFIED BY 'secret'; GRANT ALL ON `t\\_%`.* TO 'ovation'@'%'");
        server
    }

    /// Starts the server, again where it was killed, and waits until it answers.
    pub fn launch(&self) {
        let mut guard = self.guard.lock().unwrap();
        writeln!(guard.0, "launch").unwrap();
        let mut pid = String::new();
        guard.1.read_line(&mut pid).unwrap();
        pid.trim().clone_into(&mut guard.2);
        drop(guard);
        eventually("MariaDB answers", Duration::from_mins(1), || {
            self.client("SELECT 1").output().unwrap().status.success()
        });
    }

    /// Makes an empty database and gives its name.
    pub fn new_database(&self) -> String {
        let name = format!("t_{}", self.next.fetch_add(1, Ordering::Relaxed));
        self.sql(&format!("CREATE DATABASE {name}"));
        name
    }

    pub fn url(&self, database: &str) -> String {
        format!("mysql://ovation:secret@127.0.0.1:{}/{database}", self.port)
    }

    /// Runs statements as the administrator; rows as lines, columns between tabs.
    pub fn sql(&self, statements: &str) -> String {
        let output = self.client(statements).output().unwrap();
        assert!(
            output.status.success(),
            "{statements}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    fn client(&self, statements: &str) -> Command {
        let mut client = Command::new("mariadb");
        client
            .args([
                "--no-defaults",
                "--user=root",
                "--batch",
                "--skip-column-names",
                "--connect-timeout=2",
            ])
            .arg("--default-character-set=utf8mb4")
            .arg(format!("--socket={}", self.folder.join("socket").display()))
            .arg(format!("--execute={statements}"));
        client
    }

    /// `STOP` freezes it, `CONT` ends that.
    pub fn signal(&self, signal: &str) {
        let pid = self.guard.lock().unwrap().2.clone();
        assert!(
            Command::new("kill")
                .args(["-s", signal, &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Ends it as a power cut would.
    pub fn crash(&self) {
        self.signal("KILL");
        let stat = format!("/proc/{}/stat", self.guard.lock().unwrap().2);
        eventually("a killed MariaDB is gone", Duration::from_secs(10), || {
            std::fs::read_to_string(&stat).map_or(true, |state| state.contains(") Z"))
        });
    }
}

fn install(folder: &Path) {
    let output = Command::new("mariadb-install-db")
        .args([
            "--no-defaults",
            "--user=root",
            "--skip-test-db",
            "--auth-root-authentication-method=normal",
        ])
        .args(["--innodb-log-file-size=16M"])
        .arg(format!("--datadir={}", folder.join("data").display()))
        // Two that install at once take each other's temporary tables away.
        .arg(format!("--tmpdir={}", folder.display()))
        .output()
        .unwrap_or_else(|error| panic!("MariaDB is not installed ({error}); no test is skipped without it"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
