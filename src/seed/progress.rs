//! How far a load is: a bar on a terminal, a line a section elsewhere. Both on standard error.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Instant;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The progress of one load.
pub struct Progress {
    /// Hidden where there is no terminal.
    bar: ProgressBar,
    lines: bool,
    section: &'static str,
    rows: u64,
    since: Instant,
}

impl Progress {
    /// For `rows` rows in all.
    pub fn new(rows: u64) -> Self {
        let terminal = io::stderr().is_terminal();
        Self::on(terminal.then(ProgressDrawTarget::stderr), !terminal, rows)
    }

    /// Shows nothing, for tests.
    #[cfg(test)]
    pub fn silent() -> Self {
        Self::on(None, false, 0)
    }

    fn on(target: Option<ProgressDrawTarget>, lines: bool, rows: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(rows), target.unwrap_or_else(ProgressDrawTarget::hidden));
        let template = "{msg:14} {wide_bar} {human_pos} of {human_len} rows, {per_sec}, {eta} left";
        // The template is fixed; a default bar is no reason to fail.
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self {
            bar,
            lines,
            section: "",
            rows: 0,
            since: Instant::now(),
        }
    }

    /// What comes next.
    pub fn section(&mut self, name: &'static str) {
        self.end_section();
        self.section = name;
        self.bar.set_message(name);
    }

    /// Rows written.
    pub fn add(&mut self, rows: usize) {
        self.rows += rows as u64;
        self.bar.inc(rows as u64);
    }

    /// All is done, or given up.
    pub fn end(mut self) {
        self.end_section();
        self.bar.finish_and_clear();
    }

    fn end_section(&mut self) {
        if self.lines && !self.section.is_empty() {
            let (section, rows, seconds) = (self.section, self.rows, self.since.elapsed().as_secs_f64());
            // Not `eprintln!`: it panics where standard error is closed.
            let _ = writeln!(io::stderr(), "{section}: {rows} rows in {seconds:.1} s");
        }
        (self.section, self.rows, self.since) = ("", 0, Instant::now());
    }
}
