//! The file that a run leaves behind, schema `ovation-bench/1` (described in the README of this package).
//!
//! Owns the fields; `figures` makes them of rounds. A reader refuses another major schema; fields may be added, none changes its meaning.

mod figures;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ceilings::{Ceiling, CeilingRound};
use crate::environment::Environment;
use crate::scenario::{Check, Goal, Unit};
use crate::stats::{Point, Spread, UNANSWERED};
use crate::units::grouped;

pub use figures::{figures, measures};

/// The schema's name and version.
pub const SCHEMA: &str = "ovation-bench/1";

/// A run of one scenario.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Outcome {
    /// [`SCHEMA`].
    pub schema: String,
    /// The scenario's name.
    pub scenario: String,
    /// Its workload in a sentence.
    pub about: String,
    /// When it began, RFC 3339.
    pub started_at: String,
    /// What was asked for.
    pub settings: Value,
    /// Where it ran.
    pub environment: Environment,
    /// One or two targets, in the order in which they took turns.
    pub peers: Vec<PeerOutcome>,
    /// What the machine could do in the same minutes.
    pub ceilings: Vec<CeilingOutcome>,
    /// Whether every check of every target holds.
    pub passed: bool,
}

/// What one target did.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct PeerOutcome {
    /// What it is called here.
    pub name: String,
    /// Where it was.
    pub url: String,
    /// What it says about itself.
    pub version: Option<Value>,
    /// Lane by lane.
    pub figures: Vec<FigureOutcome>,
    /// Figures that are no operations.
    #[serde(default)]
    pub measures: Vec<MeasureOutcome>,
    /// What had to be true.
    pub checks: Vec<Check>,
    /// The first failures, as they came.
    pub failures: Vec<String>,
}

/// A figure that is neither a throughput nor a latency.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MeasureOutcome {
    /// What it is.
    pub name: String,
    /// The phase of the rounds in which it was seen.
    pub phase: String,
    /// How it reads: bytes, microseconds, a share of 1, times a second.
    pub unit: Unit,
    /// Over all rounds.
    pub value: Spread,
    /// What it is measured against.
    pub ceiling: Option<Ceiling>,
    /// Its value by the ceiling's of the same kind, round by round: memory for a connection, processor time for an
    /// operation, or operations in a second of a processor.
    pub to_ceiling: Option<Spread>,
    /// The aim.
    #[serde(default)]
    pub goal: Option<Goal>,
    /// Whether more of it is better.
    pub more_is_better: bool,
}

/// One kind of operation over all rounds. Times are microseconds, rates a second, memory bytes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FigureOutcome {
    /// What the operation is called.
    pub lane: String,
    /// The phase of the rounds in which it was seen.
    pub phase: String,
    /// The open loop's rate of its phase; `null` for a closed one.
    pub open_rate: Option<f64>,
    /// Successes a second.
    pub rate: Spread,
    /// What a unit is called, where an operation answers several.
    pub unit: Option<String>,
    /// Units a second.
    pub unit_rate: Option<Spread>,
    /// Latency.
    pub p50: Spread,
    /// Latency.
    pub p90: Spread,
    /// Latency.
    pub p99: Spread,
    /// Latency; of the rounds that had a thousand operations.
    pub p999: Option<Spread>,
    /// Latency.
    pub max: Spread,
    /// Errors by kind, of all rounds, warm-ups included.
    pub errors: BTreeMap<String, u64>,
    /// The server's processor time for an operation of the phase, whatever its lane.
    pub cpu_micros: Option<Spread>,
    /// Cores that the server used.
    pub server_cores: Option<Spread>,
    /// Cores that the bench used: near the number of its threads, the bench was the limit.
    pub client_cores: Option<Spread>,
    /// How late the bench itself sent what was due, 99th percentile.
    pub lateness_p99: Option<Spread>,
    /// The server's largest resident memory.
    pub rss_peak: Option<u64>,
    /// The percentile curve of all rounds together.
    pub curve: Vec<Point>,
    /// Second by second, all rounds behind each other.
    pub timeline: Vec<TimelinePoint>,
    /// What it is measured against.
    pub ceiling: Option<Ceiling>,
    /// Throughput by the ceiling's throughput, round by round; closed loops only.
    pub to_ceiling: Option<Spread>,
    /// The 99th percentile by the ceiling's, round by round.
    pub p99_to_ceiling: Option<Spread>,
    /// The aim.
    pub goal: Option<Goal>,
    /// What the aim speaks of, round by round, where that is neither a rate nor a ratio of rates.
    #[serde(default)]
    pub to_goal: Option<Spread>,
    /// The most operations a second that the load's own pace allowed, where it had one.
    #[serde(default)]
    pub pace_limit: Option<f64>,
}

/// A second of a round.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct TimelinePoint {
    /// The round, from 0.
    pub round: usize,
    /// The second of the window, from 0.
    pub second: usize,
    /// Successes.
    pub operations: u64,
    /// Failures.
    pub errors: u64,
    /// Latency.
    pub p50: f64,
    /// Latency.
    pub p99: f64,
    /// Cores that the server used.
    pub cores: Option<f64>,
    /// The server's memory.
    pub rss: Option<u64>,
}

/// A ceiling over all rounds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CeilingOutcome {
    /// Which.
    pub ceiling: Ceiling,
    /// Operations a second.
    pub rate: Spread,
    /// Latency.
    pub p50: Spread,
    /// Latency.
    pub p99: Spread,
    /// The bare server's processor time for an operation.
    pub cpu_micros: Option<Spread>,
    /// Bytes of an answer, where the ceiling was given the size of the target's.
    #[serde(default)]
    pub bytes: Option<usize>,
    /// Bytes of the bare server's memory for a connection.
    #[serde(default)]
    pub rss_each: Option<Spread>,
}

impl CeilingOutcome {
    /// For people, with the size of its answers where that is of this run.
    pub fn title(&self) -> String {
        let title = self.ceiling.title();
        self.bytes.map_or(title.to_owned(), |bytes| {
            format!("{title}, {} B", grouped(bytes as u64))
        })
    }

    /// Of its rounds; `None` where there were none.
    pub fn of(ceiling: Ceiling, rounds: &[CeilingRound]) -> Option<Self> {
        Some(Self {
            ceiling,
            rate: Spread::of(rounds.iter().map(|round| round.per_second))?,
            p50: Spread::of(rounds.iter().map(|round| round.p50))?,
            p99: Spread::of(rounds.iter().map(|round| round.p99))?,
            cpu_micros: Spread::of(rounds.iter().filter_map(|round| round.cpu_micros)),
            bytes: rounds.iter().find_map(|round| round.bytes),
            rss_each: Spread::of(rounds.iter().filter_map(|round| round.rss_each)),
        })
    }
}

impl PeerOutcome {
    /// Adds the check that nothing went wrong while it was measured. What was never answered in time is no wrong answer: it
    /// is shown, and stands in the latencies as what it took at least.
    pub fn check_errors(&mut self) {
        let mut kinds = BTreeMap::<&str, u64>::new();
        for (kind, count) in self.figures.iter().flat_map(|figure| &figure.errors) {
            if kind != UNANSWERED {
                *kinds.entry(kind).or_default() += count;
            }
        }
        let list: Vec<_> = kinds.iter().map(|(kind, count)| format!("{count} × {kind}")).collect();
        let operations = self
            .figures
            .iter()
            .flat_map(|figure| &figure.timeline)
            .map(|point| point.operations)
            .sum();
        let (passed, detail) = if list.is_empty() {
            (
                true,
                format!("{} answers of the measurement read and right", grouped(operations)),
            )
        } else {
            (false, list.join(", "))
        };
        self.checks.insert(0, Check::new("no errors", passed, detail));
        if operations == 0 {
            self.checks
                .push(Check::new("anything at all", false, "not one operation succeeded"));
        }
    }
}

impl Outcome {
    /// Reads a file of this schema.
    pub fn read(file: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read(file).with_context(|| format!("{} can't be read", file.display()))?;
        let schema: Value = serde_json::from_slice(&text).with_context(|| format!("{} is no JSON", file.display()))?;
        ensure!(
            schema["schema"] == SCHEMA,
            "{} has the schema {}, and this bench reads {SCHEMA}",
            file.display(),
            schema["schema"]
        );
        serde_json::from_value(schema).with_context(|| format!("{} is damaged", file.display()))
    }

    /// Writes it, whole or not at all.
    pub fn write(&self, file: &Path) -> anyhow::Result<()> {
        let folder = file.parent().context("a file without a folder")?;
        let mut temporary = tempfile::NamedTempFile::new_in(folder)?;
        serde_json::to_writer_pretty(&mut temporary, self)?;
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        std::fs::set_permissions(temporary.path(), permissions)?;
        temporary
            .persist(file)
            .with_context(|| format!("{} can't be written", file.display()))?;
        Ok(())
    }
}
