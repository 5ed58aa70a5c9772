//! Runs one helper process over one video and waits no longer than it must.
//!
//! Owns the parent's side of the cage: a deadline after which the process is killed, a bound on what it may answer, an
//! empty environment (no secret of the server reaches a decoder) and a look at whether the answer is a picture.

use std::ffi::OsStr;
use std::fs::File;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStdout, Command};

use super::cover_child::NOT_STARTED;
use super::picture::jpeg_size;

/// The largest JPEG taken from a helper. A 720 by 720 cover of pure noise has about 500 KiB.
const MAX_JPEG: u64 = 1024 * 1024;

/// How one attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Attempt {
    /// A JPEG of the size asked for.
    Picture(Vec<u8>),
    /// The helper gave up, crashed, hit one of its limits or answered nonsense: it would again.
    Undecodable,
    /// The deadline passed. The file or the machine is too slow; nobody knows which.
    TimedOut,
    /// The helper could not even be started: says nothing about the file.
    NotStarted,
}

/// Starts `program`, gives it `video` as standard input and takes a JPEG of `size` from its standard output. Dropping
/// the future kills the process.
pub(super) async fn run<I, A>(
    program: &OsStr,
    arguments: I,
    video: File,
    size: (u16, u16),
    deadline: Duration,
) -> Attempt
where
    I: IntoIterator<Item = A>,
    A: AsRef<OsStr>,
{
    let mut command = Command::new(program);
    command.args(arguments).env_clear().stdin(Stdio::from(video));
    let Some((mut child, output)) = start(command) else {
        return Attempt::NotStarted;
    };
    let mut answer = Vec::new();
    let finished = tokio::time::timeout(deadline, async {
        output.take(MAX_JPEG + 1).read_to_end(&mut answer).await?;
        if answer.len() as u64 > MAX_JPEG {
            child.start_kill()?;
        }
        child.wait().await
    });
    match finished.await {
        Err(_) => {
            // Reaped here and not at some later time, so that a row of hanging files can't pile up processes.
            let _ = child.kill().await;
            Attempt::TimedOut
        }
        Ok(Err(_)) => Attempt::NotStarted,
        Ok(Ok(status)) => judge(status, answer, size),
    }
}

fn start(mut command: Command) -> Option<(Child, ChildStdout)> {
    match command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
    {
        Ok(mut child) => child.stdout.take().map(|output| (child, output)),
        Err(error) => {
            tracing::warn!(error = ?error.kind(), "a cover helper could not be started");
            None
        }
    }
}

fn judge(status: ExitStatus, answer: Vec<u8>, size: (u16, u16)) -> Attempt {
    if status.code() == Some(NOT_STARTED) {
        return Attempt::NotStarted;
    }
    if status.success() && jpeg_size(&answer) == Some(size) {
        return Attempt::Picture(answer);
    }
    Attempt::Undecodable
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::media::picture;

    async fn script(text: &str, deadline: Duration) -> Attempt {
        let jpeg = picture::encode(&[90; 3 * 12], (4, 3)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cover.jpg");
        std::fs::write(&path, jpeg).unwrap();
        let video = File::open(&path).unwrap();
        run(OsStr::new("/bin/sh"), ["-c", text], video, (4, 3), deadline).await
    }

    const LONG: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn a_picture_of_the_right_size_is_taken_and_nothing_else() {
        assert!(matches!(script("exec cat", LONG).await, Attempt::Picture(_)));
        for text in [
            "cat; exit 3",
            "cat; kill -SEGV $$",
            "true",
            "echo no picture",
            "cat; echo tail",
            "cat /dev/zero",
        ] {
            assert_eq!(script(text, LONG).await, Attempt::Undecodable, "{text}");
        }
        assert_eq!(script("exit 4", LONG).await, Attempt::NotStarted);
    }

    #[tokio::test]
    async fn a_hanging_helper_is_killed_at_the_deadline() {
        let start = Instant::now();
        assert_eq!(
            script("exec sleep 60", Duration::from_millis(100)).await,
            Attempt::TimedOut
        );
        assert!(start.elapsed() < Duration::from_secs(20));
    }

    #[tokio::test]
    async fn a_helper_sees_nothing_of_the_environment() {
        let text = "test -z \"$CARGO_MANIFEST_DIR$HOME\" && exec cat";
        assert!(matches!(script(text, LONG).await, Attempt::Picture(_)));
    }

    #[tokio::test]
    async fn a_missing_helper_says_nothing_about_the_file() {
        let video = tempfile::tempfile().unwrap();
        let attempt = run(OsStr::new("/nonexistent/helper"), [""; 0], video, (1, 1), LONG).await;
        assert_eq!(attempt, Attempt::NotStarted);
    }
}
