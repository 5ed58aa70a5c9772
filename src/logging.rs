//! Where log lines and panics go.
//!
//! Owns the one subscriber of the process: standard error, pretty or JSON. Never decides what is
//! logged elsewhere, and never writes to standard output, which belongs to what a command was asked for.

mod json;
mod lines;

use std::io::{self, IsTerminal};
use std::sync::OnceLock;

use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, fmt};

use crate::config::LogFormat;
use json::{JsonLines, SpanFields};
use lines::Lines;

/// Logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// Not reached with a checked configuration.
    #[error("the log filter is not usable")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// A second call in one process.
    #[error("logging was set up before")]
    Again(#[from] tracing_subscriber::util::TryInitError),
}

/// Sends everything `filter` lets through to standard error, and panics too. Call it once, before threads start.
pub fn init(filter: &str, format: LogFormat) -> Result<(), LoggingError> {
    let terminal = io::stderr().is_terminal();
    let json = match format {
        LogFormat::Auto => !terminal,
        LogFormat::Pretty => false,
        LogFormat::Json => true,
    };
    let colours = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let lines = Lines::new(io::stderr(), |dropped| {
        tracing::warn!(
            dropped,
            "lines of requests were dropped: the log is not taken fast enough"
        );
    });
    subscriber(filter, json, colours, lines.clone())?.try_init()?;
    // The first call has succeeded, or there would be a subscriber.
    let _ = LINES.set(lines);
    crate::net::install_panic_hook();
    Ok(())
}

/// Of the one subscriber, which is the process's as well.
static LINES: OnceLock<Lines> = OnceLock::new();

/// Writes what a moment ago was left to the thread that writes the lines of requests. Before the process ends.
pub fn flush() {
    if let Some(lines) = LINES.get() {
        // Where standard error is gone there is nobody to tell.
        let _ = lines.flush();
    }
}

/// Ends the process, after `say` has logged why; a second later at the latest. Whoever should read standard error may not,
/// and a process that must not go on can't wait for them.
pub fn end_process(say: impl FnOnce()) -> ! {
    // Where there is no thread to be had, the words go before the haste.
    let _ = std::thread::Builder::new().spawn(|| {
        std::thread::sleep(std::time::Duration::from_secs(1));
        std::process::exit(1)
    });
    say();
    flush();
    std::process::exit(1)
}

fn subscriber<W>(filter: &str, json: bool, colours: bool, writer: W) -> Result<tracing::Dispatch, LoggingError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = EnvFilter::builder().parse(filter)?;
    // A line that can't be written would be reported with `eprintln!`, which panics once standard error is closed.
    let builder = fmt()
        .with_env_filter(filter)
        .log_internal_errors(false)
        .with_writer(writer);
    Ok(if json {
        builder
            .with_ansi(false)
            .fmt_fields(SpanFields)
            .event_format(JsonLines::new())
            .into()
    } else {
        builder.compact().with_ansi(colours).into()
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::Command;
    use std::sync::{Arc, Mutex};
    use std::thread;

    use tracing::dispatcher;

    use super::*;

    #[derive(Clone, Default)]
    pub(super) struct Captured(Arc<Mutex<Vec<u8>>>);

    impl Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Captured {
        pub(super) fn make(&self) -> impl Fn() -> Self + Send + Sync + use<> {
            let captured = self.clone();
            move || captured.clone()
        }

        /// What was written, a JSON object a line.
        pub(super) fn lines(&self) -> Vec<serde_json::Value> {
            let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        }

        /// What one line of `info` and one of `debug` leave behind.
        fn of(filter: &str, json: bool) -> String {
            let captured = Self::default();
            let writer = captured.clone();
            let subscriber = subscriber(filter, json, false, move || writer.clone()).unwrap();
            dispatcher::with_default(&subscriber, || {
                let _span = tracing::info_span!("request", id = 7).entered();
                tracing::info!(videos = 3, "served\u{1b}[31m\nagain");
                tracing::debug!("detail");
            });
            String::from_utf8(captured.0.lock().unwrap().clone()).unwrap()
        }
    }

    #[test]
    fn json_is_one_object_a_line_with_the_span() {
        let text = Captured::of("info", true);
        assert_eq!(text.lines().count(), 1, "{text}");
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (&line["level"], &line["videos"], &line["span"]["id"]),
            (&"INFO".into(), &3.into(), &7.into())
        );
    }

    #[test]
    fn pretty_lines_carry_no_escapes_of_others() {
        let text = Captured::of("debug", false);
        assert!(
            text.contains("videos=3") && text.contains("detail") && !text.contains('\u{1b}'),
            "{text:?}"
        );
    }

    #[test]
    fn the_filter_decides() {
        assert_eq!(Captured::of("warn,other=trace", true), "");
        assert!(Captured::of("off,ovation=debug", true).contains("detail"));
    }

    /// Runs as a process of its own: hook and subscriber belong to a whole process.
    #[test]
    #[ignore = "only as the child of the next test"]
    fn child_that_panics() {
        init("info", LogFormat::Json).unwrap();
        let worker = thread::Builder::new()
            .name("worker-9".to_owned())
            .spawn(|| panic!("it broke: {}", 42))
            .unwrap();
        assert!(worker.join().is_err());
        init("info", LogFormat::Json).unwrap_err();
    }

    #[test]
    fn a_panic_is_one_json_line() {
        let output = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "logging::tests::child_that_panics",
                "--ignored",
                "--nocapture",
            ])
            .env_remove("RUST_BACKTRACE")
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(text.matches("it broke: 42").count(), 1, "{text}");
        let line = text.lines().find(|line| line.contains("it broke: 42")).unwrap();
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!((&line["level"], &line["thread"]), (&"ERROR".into(), &"worker-9".into()));
        assert!(line["location"].as_str().unwrap().contains("logging.rs"), "{line}");
    }
}
