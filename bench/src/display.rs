//! What is shown while a run goes on.
//!
//! Owns the three ways: a bar on a terminal, plain lines elsewhere, one JSON object a line for machines. People's lines go
//! to standard error, JSON to standard output. Never decides what is measured.

use std::cell::RefCell;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::drive::Tick;
use crate::units::{float, micros, show_micros, show_rate};

/// A second that the threads of users have told, before it is shown: they don't tick at the same moment.
#[derive(Debug, Default, Clone, Copy)]
struct Shown {
    operations: u64,
    errors: u64,
    p99: u64,
}

enum Mode {
    Bar(ProgressBar),
    Plain,
    Json,
}

/// Shows progress.
pub struct Display {
    mode: Mode,
    title: RefCell<String>,
}

impl Display {
    /// JSON when it was asked for; else a bar when somebody is looking, lines when nobody is.
    pub fn new(json: bool) -> Self {
        let mode = if json {
            Mode::Json
        } else if std::io::stderr().is_terminal() {
            let bar = ProgressBar::no_length();
            // The template is a constant that parses; a plain bar is no reason to stop.
            if let Ok(style) = ProgressStyle::with_template("{prefix:28} [{bar:30}] {elapsed:>4} {msg}") {
                bar.set_style(style.progress_chars("=> "));
            }
            Mode::Bar(bar)
        } else {
            Mode::Plain
        };
        Self {
            mode,
            title: RefCell::default(),
        }
    }

    /// A sentence for people; an event for machines.
    pub fn say(&self, text: &str) {
        match &self.mode {
            Mode::Bar(bar) => bar.suspend(|| eprintln!("{text}")),
            Mode::Plain => eprintln!("{text}"),
            Mode::Json => print_json(&json!({"event": "note", "text": text})),
        }
    }

    /// A table or verdict: the result that was asked for. Machines get `value` in its place.
    pub fn result(&self, text: &str, value: &Value) {
        match &self.mode {
            Mode::Bar(bar) => bar.suspend(|| print_text(text)),
            Mode::Plain => print_text(text),
            Mode::Json => print_json(value),
        }
    }

    /// Work of a known length begins.
    pub fn begin(&self, title: &str, length: Duration) {
        title.clone_into(&mut self.title.borrow_mut());
        match &self.mode {
            Mode::Bar(bar) => {
                bar.set_message("");
                bar.set_prefix(title.to_owned());
                bar.set_length(u64::try_from(length.as_millis()).unwrap_or(u64::MAX));
                bar.reset();
            }
            Mode::Plain => eprintln!("{title}: {:.1} s", length.as_secs_f64()),
            Mode::Json => print_json(&json!({"event": "begin", "what": title, "seconds": length.as_secs_f64()})),
        }
    }

    /// Work that is counted goes on.
    pub fn count(&self, what: &str, done: usize, of: usize) {
        match &self.mode {
            Mode::Bar(bar) => {
                bar.set_prefix(what.to_owned());
                bar.set_length(of as u64);
                bar.set_position(done as u64);
                bar.set_message(format!("{done} of {of}"));
            }
            Mode::Plain if Self::is_worth_a_line(done, of) => eprintln!("{what}: {done} of {of}"),
            Mode::Json if Self::is_worth_a_line(done, of) => {
                print_json(&json!({"event": "count", "what": what, "done": done, "of": of}));
            }
            Mode::Plain | Mode::Json => {}
        }
    }

    const fn is_worth_a_line(done: usize, of: usize) -> bool {
        done == of || done.is_multiple_of(if of < 400 { 100 } else { of / 4 })
    }

    /// Shows seconds until it is dropped. Several threads tell the same second; what has come is shown together.
    pub async fn watch(&self, mut ticks: mpsc::UnboundedReceiver<Tick>) {
        let mut seconds = tokio::time::interval(Duration::from_secs(1));
        let mut shown = Shown::default();
        loop {
            tokio::select! {
                tick = ticks.recv() => match tick {
                    Some(tick) => {
                        shown.operations += tick.operations;
                        shown.errors += tick.errors;
                        shown.p99 = shown.p99.max(tick.p99);
                    }
                    None => std::future::pending().await,
                },
                _ = seconds.tick() => self.second(std::mem::take(&mut shown)),
            }
        }
    }

    fn second(&self, shown: Shown) {
        if shown.operations + shown.errors == 0 {
            return;
        }
        let p99 = if shown.p99 == 0 {
            "warming up".to_owned()
        } else {
            format!("p99 {}", show_micros(micros(shown.p99)))
        };
        let mut text = format!("{}/s, {p99}", show_rate(float(shown.operations)));
        if shown.errors > 0 {
            text = format!("{text}, {} errors", shown.errors);
        }
        match &self.mode {
            Mode::Bar(bar) => {
                bar.set_position(u64::try_from(bar.elapsed().as_millis()).unwrap_or(u64::MAX));
                bar.set_message(text);
            }
            Mode::Plain => eprintln!("  {}: {text}", self.title.borrow()),
            Mode::Json => print_json(&json!({"event": "second", "what": *self.title.borrow(),
                "operations": shown.operations, "errors": shown.errors, "p99_us": micros(shown.p99)})),
        }
    }

    /// Nothing more comes.
    pub fn end(&self) {
        if let Mode::Bar(bar) = &self.mode {
            bar.finish_and_clear();
        }
    }
}

/// A reader that has gone (`| head`) is no error of ours.
fn print_json(value: &Value) {
    print_text(&value.to_string());
}

fn print_text(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
