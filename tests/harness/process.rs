//! The real binary as a process, for stories about signals, power cuts and locks.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::site::Site;
use super::together::eventually;

/// A running `ovation serve`.
pub struct Process {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    /// How to talk to it.
    pub site: Site,
}

/// A command of the binary that dies with the thread (the test) that starts it.
pub fn ovation(arguments: &[&str]) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", env!("CARGO_BIN_EXE_ovation")])
        .args(arguments);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    // Nothing of the person's own settings may reach a test.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("OVATION_")) {
        command.env_remove(name);
    }
    command
}

/// Runs a command of the binary to its end.
pub fn run(arguments: &[&str]) -> Output {
    ovation(arguments).output().expect("setpriv and the binary run")
}

/// `serve` on a free port, not started yet.
pub fn serve_command(data_dir: &Path, database_url: Option<&str>) -> Command {
    let mut arguments = vec![
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--data-dir",
        data_dir.to_str().unwrap(),
    ];
    if let Some(url) = database_url {
        arguments.extend(["--database-url", url]);
    }
    ovation(&arguments)
}

impl Process {
    /// Starts `serve` and waits until its log names the address.
    pub fn serve(data_dir: &Path, database_url: Option<&str>) -> Self {
        Self::launch(serve_command(data_dir, database_url))
    }

    /// Like [`Process::serve`], with more arguments.
    pub fn serve_with(data_dir: &Path, database_url: Option<&str>, more: &[&str]) -> Self {
        let mut command = serve_command(data_dir, database_url);
        command.args(more);
        Self::launch(command)
    }

    /// Starts a [`serve_command`], changed or not, and waits until its log names the address.
    pub fn launch(mut command: Command) -> Self {
        let mut child = command.spawn().expect("it starts");
        let log = Arc::new(Mutex::new(Vec::new()));
        collect(child.stdout.take().unwrap(), &log);
        collect(child.stderr.take().unwrap(), &log);
        let address = eventually("the log names the address", Duration::from_secs(30), || {
            let lines = log.lock().unwrap();
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none(), "it ended with {ended:?}: {lines:#?}");
            lines.iter().find_map(|line| address_in(line))
        });
        Self {
            child,
            log,
            site: Site::at(address),
        }
    }

    /// Runs a `serve` that is expected to refuse; what it said.
    pub fn refuses_to_serve(data_dir: &Path, database_url: Option<&str>) -> String {
        let mut child = serve_command(data_dir, database_url).spawn().expect("it starts");
        let log = Arc::new(Mutex::new(Vec::new()));
        collect(child.stdout.take().unwrap(), &log);
        collect(child.stderr.take().unwrap(), &log);
        let status = eventually("it gives up", Duration::from_secs(20), || child.try_wait().unwrap());
        // The two readers end with the process; their last lines may still be under way.
        let said = eventually("it says why", Duration::from_secs(5), || {
            let said = log.lock().unwrap().join("\n");
            (!said.is_empty()).then_some(said)
        });
        assert!(!status.success(), "a refusal is an exit code of its own: {said}");
        said
    }

    /// Everything it wrote so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    /// Its resident memory in KiB.
    pub fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Sends a signal by name.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args(["-s", name, &self.child.id().to_string()])
            .status();
        assert!(sent.unwrap().success());
    }

    /// Waits for its end.
    pub fn ended(&mut self, limit: Duration) -> ExitStatus {
        let child = &mut self.child;
        eventually("the process ends", limit, || child.try_wait().unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn collect(stream: impl Read + Send + 'static, log: &Arc<Mutex<Vec<String>>>) {
    let log = Arc::clone(log);
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            log.lock().unwrap().push(line);
        }
    });
}

/// The first `127.0.0.1:port` of a line, wherever a log format puts it.
fn address_in(line: &str) -> Option<SocketAddr> {
    let start = line.find("127.0.0.1:")?;
    let end = line[start + 10..]
        .find(|letter: char| !letter.is_ascii_digit())
        .map_or(line.len(), |length| start + 10 + length);
    line[start..end]
        .parse()
        .ok()
        .filter(|address: &SocketAddr| address.port() != 0)
}
