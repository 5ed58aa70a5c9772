//! A MariaDB of the tests' own: in a temporary folder, on a free port, gone with the test process.
//!
//! A small shell stands guard over the server: it installs and starts it when told to and, when its input ends because
//! the test process is gone (also after a kill -9), kills it and removes the folder. Never touches a MariaDB that was
//! there before.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use super::folders;
use super::together::eventually;

const GUARD: &str = r#"
dir=$1; shift
# An answer that nobody waits for any more must not end the guard before it has cleaned up.
trap '' PIPE
# A MariaDB that starts removes the temporary tables of all others that share its folder for them.
mkdir "$dir/tmp"
while read -r order; do
  case $order in
  install)
    mariadb-install-db --no-defaults --user=root --skip-test-db --auth-root-authentication-method=normal \
      --innodb-log-file-size=16M --innodb-undo-tablespaces=0 \
      --datadir="$dir/data" --tmpdir="$dir/tmp" </dev/null >>"$dir/log" 2>&1
    echo "$?"
    ;;
  launch)
    mariadbd "$@" --tmpdir="$dir/tmp" </dev/null >>"$dir/log" 2>&1 &
    pid=$!
    echo "$pid"
    ;;
  esac
done
if [ -n "$pid" ]; then kill -9 "$pid"; wait; fi
rm -rf "$dir"
"#;

const PASSWORD: &str = "stories";

/// One running MariaDB.
pub struct Instance {
    folder: PathBuf,
    port: u16,
    guard: Mutex<Guard>,
    next_database: AtomicU32,
}

struct Guard {
    _shell: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    pid: Option<u32>,
}

/// The instance that all stories share, started by the first that needs it.
pub fn shared() -> &'static Instance {
    static SHARED: OnceLock<Instance> = OnceLock::new();
    SHARED.get_or_init(Instance::start)
}

impl Instance {
    /// Starts a server of its own; for stories that stop or kill it.
    pub fn start() -> Self {
        // The guard removes it, when everything in it has ended.
        let folder = folders::fresh("mariadb").keep();
        let port = free_port();
        let mut guard = Guard::over(&folder, port);
        guard.install(&folder);
        let instance = Self {
            port,
            guard: Mutex::new(guard),
            folder,
            next_database: AtomicU32::new(1),
        };
        instance.launch();
        instance.sql(&format!(
            "CREATE USER 'ovation'@'%' IDENTIFIED BY '{PASSWORD}'; GRANT ALL ON `story\\_%`.* TO 'ovation'@'%'"
        ));
        instance
    }

    /// Starts (or starts again) the server and waits until it answers.
    pub fn launch(&self) {
        self.guard.lock().unwrap().launch();
        eventually("MariaDB answers", Duration::from_secs(30), || {
            self.client("SELECT 1").output().unwrap().status.success().then_some(())
        });
    }

    /// Makes an empty database and gives the URL that reaches it.
    pub fn new_database(&self) -> Database {
        let name = format!("story_{}", self.next_database.fetch_add(1, Ordering::Relaxed));
        self.sql(&format!("CREATE DATABASE {name}"));
        let url = format!("mysql://ovation:{PASSWORD}@127.0.0.1:{}/{name}", self.port);
        Database { name, url }
    }

    /// Where it listens, on the loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Runs statements as the administrator; rows as lines, columns between tabs.
    pub fn sql(&self, statements: &str) -> String {
        let output = self.client(statements).output().expect("the MariaDB client runs");
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{statements}: {complaint}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn client(&self, statements: &str) -> Command {
        let mut client = program("mariadb");
        client
            .args(["--no-defaults", "--user=root", "--batch", "--skip-column-names"])
            .args(["--default-character-set=utf8mb4", "--connect-timeout=2"])
            .arg(format!("--socket={}", self.folder.join("socket").display()))
            .arg(format!("--execute={statements}"));
        client
    }

    /// Freezes the server: connections stay, nothing answers.
    pub fn freeze(&self) {
        self.signal("STOP");
        let pid = self.guard.lock().unwrap().pid.expect("a running MariaDB");
        eventually("every thread of MariaDB stands still", Duration::from_secs(10), || {
            let mut threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
            threads.all(|thread| state(&thread.path()) == 'T').then_some(())
        });
    }

    /// Ends a freeze.
    pub fn thaw(&self) {
        self.signal("CONT");
    }

    /// Kills the server as a power cut would. [`Instance::launch`] brings it back.
    pub fn crash(&self) {
        self.signal("KILL");
        let pid = self.guard.lock().unwrap().pid.take().expect("a running MariaDB");
        let process = PathBuf::from(format!("/proc/{pid}"));
        // The guard reaps it only with its next order; a zombie holds no port and no file.
        eventually("a killed MariaDB is gone", Duration::from_secs(10), || {
            (state(&process) == 'Z').then_some(())
        });
    }

    fn signal(&self, signal: &str) {
        let pid = self.guard.lock().unwrap().pid.expect("a running MariaDB");
        let sent = Command::new("kill").args(["-s", signal, &pid.to_string()]).status();
        assert!(sent.unwrap().success(), "kill -s {signal} {pid}");
    }
}

impl Guard {
    fn over(folder: &Path, port: u16) -> Self {
        let in_folder = |name: &str| folder.join(name).display().to_string();
        let mut shell = program("sh")
            .args(["-c", GUARD, "guard"])
            .arg(folder)
            .args([
                "--no-defaults",
                "--user=root",
                "--bind-address=127.0.0.1",
                "--skip-name-resolve",
            ])
            .arg(format!("--port={port}"))
            .arg(format!("--datadir={}", in_folder("data")))
            .arg(format!("--socket={}", in_folder("socket")))
            .arg(format!("--pid-file={}", in_folder("pid")))
            .args(["--innodb-buffer-pool-size=64M", "--innodb-flush-log-at-trx-commit=1"])
            .args(["--innodb-log-file-size=16M", "--max-connections=500"])
            // A group of its own: Ctrl-C must reach the tests and leave the guard to clean up behind them.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell");
        Self {
            orders: shell.stdin.take().unwrap(),
            answers: BufReader::new(shell.stdout.take().unwrap()),
            _shell: shell,
            pid: None,
        }
    }

    /// Gives an order and waits for its one line of answer.
    fn order(&mut self, word: &str) -> String {
        writeln!(self.orders, "{word}").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    fn install(&mut self, folder: &Path) {
        let status = self.order("install");
        let not_found = "127";
        assert_ne!(
            status, not_found,
            "MariaDB is not installed: run tests/setup once; no story is skipped without it"
        );
        let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
        assert_eq!(status, "0", "mariadb-install-db: {log}");
    }

    fn launch(&mut self) {
        assert!(self.pid.is_none(), "MariaDB runs already");
        let answer = self.order("launch");
        self.pid = Some(answer.parse().expect("the guard answers with a process id"));
    }
}

/// A database of one world, and how to reach it.
pub struct Database {
    /// Its name on the server.
    pub name: String,
    /// What `database_url` takes.
    pub url: String,
}

/// A program of the machine; Debian keeps servers in folders that a user's PATH often lacks.
fn program(name: &str) -> Command {
    let mut command = Command::new(name);
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin"));
    command
}

/// The state letter of a process or thread by its folder below `/proc`; Z as well when it is gone.
fn state(process: &Path) -> char {
    let stat = std::fs::read_to_string(process.join("stat")).unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    after_name.trim_start().chars().next().unwrap_or('Z')
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}
