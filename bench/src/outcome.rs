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
use crate::procfs::Usage;
use crate::scenario::{Check, Figure, Goal, Measure, Phase, Scenario, Unit};
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
    /// Its value by the ceiling's memory for a connection, round by round.
    pub to_ceiling: Option<Spread>,
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
            let figure = scenario
                .figures()
                .iter()
                .find(|figure| figure.lane == phase.lanes[lane].name);
            // Every round has the phases and lanes of the first.
            let phases = rounds.iter().filter_map(|round| round.get(at));
            let seen = Seen {
                pairs: phases.map(|phase| (phase, &phase.lanes[lane])).collect(),
                figure,
                against: figure
                    .and_then(|figure| ceilings.get(&figure.ceiling?))
                    .map(Vec::as_slice),
            };
            figures.extend(seen.outcome());
        }
    }
    figures
}

/// Turns the measures of the rounds into figures, as they stand in the first one.
pub fn measures(rounds: &[Vec<Phase>], ceilings: &BTreeMap<Ceiling, Vec<CeilingRound>>) -> Vec<MeasureOutcome> {
    let Some(first) = rounds.first() else { return Vec::new() };
    let named = first
        .iter()
        .flat_map(|phase| phase.measures.iter().map(|measure| (phase.name, measure)));
    let outcome = |(phase, first): (&'static str, &Measure)| {
        let same = |round: &Vec<Phase>| {
            let measures = round.iter().filter(|of| of.name == phase).flat_map(|of| &of.measures);
            measures.clone().find(|of| of.name == first.name).map(|of| of.value)
        };
        let value = Spread::of(rounds.iter().filter_map(same))?;
        let against = first.ceiling.and_then(|ceiling| ceilings.get(&ceiling));
        let pairs = value.rounds.iter().zip(against.into_iter().flatten());
        Some(MeasureOutcome {
            name: first.name.to_owned(),
            phase: phase.to_owned(),
            unit: first.unit,
            to_ceiling: Spread::of(pairs.filter_map(|(own, ceiling)| Some(ratio(*own, ceiling.rss_each?)))),
            value,
            ceiling: first.ceiling,
            more_is_better: first.more_is_better,
        })
    };
    named.filter_map(outcome).collect()
}

/// One lane in all rounds.
struct Seen<'a> {
    pairs: Vec<(&'a Phase, &'a Lane)>,
    figure: Option<&'a Figure>,
    against: Option<&'a [CeilingRound]>,
}

impl Seen<'_> {
    fn outcome(&self) -> Option<FigureOutcome> {
        let (phase, lane) = *self.pairs.first()?;
        let rate = self.spread(|phase, lane| Some(float(lane.operations) / phase.seconds))?;
        let (p99, unit) = (self.quantile(0.99)?, self.figure.and_then(|figure| figure.unit));
        let is_full = self.pairs.iter().all(|(_, lane)| lane.latency.len() >= 1_000);
        Some(FigureOutcome {
            lane: lane.name.to_owned(),
            phase: phase.name.to_owned(),
            open_rate: lane.open_rate,
            unit: unit.map(str::to_owned),
            unit_rate: self.spread(|phase, lane| unit.map(|_| float(lane.units) / phase.seconds)),
            p50: self.quantile(0.5)?,
            p90: self.quantile(0.9)?,
            p999: is_full.then(|| self.quantile(0.999)).flatten(),
            max: self.quantile(1.0)?,
            errors: self.errors(),
            // By operations of all lanes: the processor does not say for whom it worked.
            cpu_micros: self.spread(|phase, _| {
                let operations = phase.lanes.iter().map(|lane| lane.operations).sum();
                Some(ratio(float(phase.server.as_ref()?.cpu_micros), float(operations)))
            }),
            server_cores: self.spread(|phase, _| Some(cores(phase.server.as_ref()?, phase))),
            client_cores: self.spread(|phase, _| Some(cores(phase.client.as_ref()?, phase))),
            lateness_p99: self.spread(|phase, lane| phase.lateness_p99.filter(|_| lane.open_rate.is_some())),
            rss_peak: self
                .pairs
                .iter()
                .filter_map(|(phase, _)| Some(phase.server.as_ref()?.rss_peak))
                .max(),
            curve: self.curve(),
            timeline: timeline(&self.pairs),
            ceiling: self
                .figure
                .and_then(|figure| figure.ceiling)
                .filter(|_| self.against.is_some()),
            to_ceiling: self
                .by_ceiling(&rate, |ceiling| ceiling.per_second)
                .filter(|_| lane.open_rate.is_none()),
            p99_to_ceiling: self.by_ceiling(&p99, |ceiling| ceiling.p99),
            goal: self.figure.and_then(|figure| figure.goal),
            rate,
            p99,
        })
    }

    /// Of the rounds in which there is such a figure.
    fn spread(&self, figure: impl Fn(&Phase, &Lane) -> Option<f64>) -> Option<Spread> {
        Spread::of(self.pairs.iter().filter_map(|(phase, lane)| figure(phase, lane)))
    }

    fn quantile(&self, quantile: f64) -> Option<Spread> {
        self.spread(|_, lane| Some(micros(lane.latency.value_at_quantile(quantile))))
    }

    fn by_ceiling(&self, own: &Spread, of: fn(&CeilingRound) -> f64) -> Option<Spread> {
        let pairs = own.rounds.iter().zip(self.against?);
        Spread::of(pairs.map(|(own, ceiling)| ratio(*own, of(ceiling))))
    }

    fn errors(&self) -> BTreeMap<String, u64> {
        let mut errors = BTreeMap::<String, u64>::new();
        for (kind, count) in self.pairs.iter().flat_map(|(_, lane)| &lane.errors) {
            *errors.entry((*kind).to_owned()).or_default() += count;
        }
        errors
    }

    fn curve(&self) -> Vec<Point> {
        let mut lanes = self.pairs.iter().map(|(_, lane)| &lane.latency);
        let Some(mut all) = lanes.next().cloned() else {
            return Vec::new();
        };
        for latency in lanes {
            // Made with the same bounds, which is all that could be wrong.
            let _ = all.add(latency);
        }
        percentiles(&all)
    }
}

fn cores(usage: &Usage, phase: &Phase) -> f64 {
    float(usage.cpu_micros) / 1e6 / phase.seconds
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
