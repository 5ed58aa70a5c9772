//! The file that a run leaves behind, schema `ovation-bench/1` (described in the README of this package).
//!
//! Owns how rounds become figures. A reader refuses another major schema; fields may be added, none changes its meaning.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ceilings::{Ceiling, CeilingRound};
use crate::environment::Environment;
use crate::scenario::{Check, Figure, Goal, Phase, Scenario};
use crate::stats::{Lane, Point, Spread, UNANSWERED, percentiles};
use crate::units::{float, grouped, micros, ratio};

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
    /// What had to be true.
    pub checks: Vec<Check>,
    /// The first failures, as they came.
    pub failures: Vec<String>,
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
}

impl CeilingOutcome {
    /// Of its rounds; `None` where there were none.
    pub fn of(ceiling: Ceiling, rounds: &[CeilingRound]) -> Option<Self> {
        Some(Self {
            ceiling,
            rate: Spread::of(rounds.iter().map(|round| round.per_second))?,
            p50: Spread::of(rounds.iter().map(|round| round.p50))?,
            p99: Spread::of(rounds.iter().map(|round| round.p99))?,
            cpu_micros: Spread::of(rounds.iter().filter_map(|round| round.cpu_micros)),
        })
    }
}

/// Turns the rounds of one target into figures, a lane after the other.
pub fn figures(
    scenario: &dyn Scenario,
    rounds: &[Vec<Phase>],
    ceilings: &BTreeMap<Ceiling, Vec<CeilingRound>>,
) -> Vec<FigureOutcome> {
    let Some(first) = rounds.first() else { return Vec::new() };
    let mut figures = Vec::new();
    for (at, phase) in first.iter().enumerate() {
        for lane in 0..phase.lanes.len() {
            // Every round has the phases and lanes of the first.
            let phases: Vec<_> = rounds.iter().filter_map(|round| round.get(at)).collect();
            let figure = scenario
                .figures()
                .iter()
                .find(|figure| figure.lane == phase.lanes[lane].name);
            figures.extend(one_figure(&phases, lane, figure, ceilings));
        }
    }
    figures
}

fn one_figure(
    phases: &[&Phase],
    lane: usize,
    figure: Option<&Figure>,
    ceilings: &BTreeMap<Ceiling, Vec<CeilingRound>>,
) -> Option<FigureOutcome> {
    let pairs: Vec<(&Phase, &Lane)> = phases.iter().map(|phase| (*phase, &phase.lanes[lane])).collect();
    let (first, one) = *pairs.first()?;
    let rate = Spread::of(pairs.iter().map(|(phase, lane)| float(lane.operations) / phase.seconds))?;
    let quantile = |quantile: f64| {
        Spread::of(
            pairs
                .iter()
                .map(|(_, lane)| micros(lane.latency.value_at_quantile(quantile))),
        )
    };
    let p99 = quantile(0.99)?;
    let mut merged = one.latency.clone();
    let mut errors = BTreeMap::<String, u64>::new();
    for (round, (_, lane)) in pairs.iter().enumerate() {
        if round > 0 {
            // Made with the same bounds.
            let _ = merged.add(&lane.latency);
        }
        for (kind, count) in &lane.errors {
            *errors.entry((*kind).to_owned()).or_default() += count;
        }
    }
    let unit = figure.and_then(|figure| figure.unit);
    let ceiling = figure.and_then(|figure| figure.ceiling);
    let against = ceiling.and_then(|ceiling| ceilings.get(&ceiling));
    let by_ceiling = |own: &Spread, of: fn(&CeilingRound) -> f64| {
        Spread::of(
            own.rounds
                .iter()
                .zip(against?)
                .map(|(own, ceiling)| ratio(*own, of(ceiling))),
        )
    };
    // Operations of all lanes: the processor does not say for whom it worked.
    let cpu = |(phase, _): &(&Phase, &Lane)| {
        let operations = phase.lanes.iter().map(|lane| lane.operations).sum();
        Some(ratio(float(phase.server.as_ref()?.cpu_micros), float(operations)))
    };
    let cores = |usage: &crate::procfs::Usage, phase: &Phase| float(usage.cpu_micros) / 1e6 / phase.seconds;
    Some(FigureOutcome {
        lane: one.name.to_owned(),
        phase: first.name.to_owned(),
        open_rate: first.per_second.filter(|_| one.name != "login"),
        unit: unit.map(str::to_owned),
        unit_rate: unit.and_then(|_| Spread::of(pairs.iter().map(|(phase, lane)| float(lane.units) / phase.seconds))),
        p50: quantile(0.5)?,
        p90: quantile(0.9)?,
        p999: pairs
            .iter()
            .all(|(_, lane)| lane.latency.len() >= 1_000)
            .then(|| quantile(0.999))
            .flatten(),
        max: quantile(1.0)?,
        errors,
        cpu_micros: Spread::of(pairs.iter().filter_map(cpu)),
        server_cores: Spread::of(
            pairs
                .iter()
                .filter_map(|(phase, _)| Some(cores(phase.server.as_ref()?, phase))),
        ),
        client_cores: Spread::of(
            pairs
                .iter()
                .filter_map(|(phase, _)| Some(cores(phase.client.as_ref()?, phase))),
        ),
        lateness_p99: Spread::of(pairs.iter().filter_map(|(phase, _)| phase.lateness_p99)),
        rss_peak: pairs
            .iter()
            .filter_map(|(phase, _)| Some(phase.server.as_ref()?.rss_peak))
            .max(),
        curve: percentiles(&merged),
        timeline: timeline(&pairs),
        ceiling: ceiling.filter(|_| against.is_some()),
        to_ceiling: by_ceiling(&rate, |ceiling| ceiling.per_second)
            .filter(|_| first.per_second.is_none() || one.name == "login"),
        p99_to_ceiling: by_ceiling(&p99, |ceiling| ceiling.p99),
        goal: figure.and_then(|figure| figure.goal),
        rate,
        p99,
    })
}

fn timeline(pairs: &[(&Phase, &Lane)]) -> Vec<TimelinePoint> {
    let mut points = Vec::new();
    for (round, (phase, lane)) in pairs.iter().enumerate() {
        for (at, second) in lane.seconds.iter().enumerate() {
            let server = phase.server.as_ref();
            points.push(TimelinePoint {
                round,
                second: at,
                operations: second.operations,
                errors: second.errors,
                p50: micros(second.latency.value_at_quantile(0.5)),
                p99: micros(second.latency.value_at_quantile(0.99)),
                cores: server.and_then(|usage| usage.cores.get(at).copied()),
                rss: server.and_then(|usage| usage.rss.get(at).copied()),
            });
        }
    }
    points
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
