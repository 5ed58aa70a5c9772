//! How the rounds of a target become figures: spreads, ratios round by round, curves and seconds.
//!
//! Owns the arithmetic. Never looks at a file or a clock.

use std::collections::BTreeMap;

use super::{FigureOutcome, MeasureOutcome, TimelinePoint};
use crate::ceilings::{Ceiling, CeilingRound};
use crate::procfs::Usage;
use crate::scenario::{Figure, Goal, Measure, Phase, Scenario, Unit};
use crate::stats::{Lane, Point, Spread, percentiles};
use crate::units::{float, micros, ratio};

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
                sync: ceilings.get(&Ceiling::Fdatasync).map(Vec::as_slice),
                alone: rounds.iter().filter_map(|round| round.first()?.lanes.first()).collect(),
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
        let pairs = rounds.iter().map(same).zip(against.into_iter().flatten());
        let pairs = pairs.filter_map(|(own, ceiling)| Some((own?, ceiling)));
        Some(MeasureOutcome {
            name: first.name.to_owned(),
            phase: phase.to_owned(),
            unit: first.unit,
            to_ceiling: Spread::of(pairs.filter_map(|(own, ceiling)| by_ceiling(first.unit, own, ceiling))),
            value,
            ceiling: first.ceiling,
            goal: first.goal,
            more_is_better: first.more_is_better,
        })
    };
    named.filter_map(outcome).collect()
}

fn by_ceiling(unit: Unit, own: f64, ceiling: &CeilingRound) -> Option<f64> {
    match unit {
        Unit::Bytes => Some(ratio(own, ceiling.rss_each?)),
        Unit::Micros => Some(ratio(own, ceiling.cpu_micros?)),
        Unit::PerSecond => Some(own * ceiling.cpu_micros? / 1e6),
        Unit::Share => None,
    }
}

/// One lane in all rounds.
struct Seen<'a> {
    pairs: Vec<(&'a Phase, &'a Lane)>,
    figure: Option<&'a Figure>,
    against: Option<&'a [CeilingRound]>,
    sync: Option<&'a [CeilingRound]>,
    /// The first lane of each round.
    alone: Vec<&'a Lane>,
}

impl Seen<'_> {
    fn outcome(&self) -> Option<FigureOutcome> {
        let (phase, lane) = *self.pairs.first()?;
        let rate = self.spread(|phase, lane| Some(float(lane.operations) / phase.seconds))?;
        let (p50, p99) = (self.quantile(0.5)?, self.quantile(0.99)?);
        let unit = self.figure.and_then(|figure| figure.unit);
        let goal = self
            .figure
            .and_then(|figure| figure.goal)
            .filter(|_| self.pairs.iter().all(|(_, lane)| lane.is_aimed));
        let is_full = self.pairs.iter().all(|(_, lane)| lane.latency.len() >= 1_000);
        Some(FigureOutcome {
            lane: lane.name.to_owned(),
            phase: phase.name.to_owned(),
            open_rate: lane.open_rate,
            unit: unit.map(str::to_owned),
            unit_rate: self.spread(|phase, lane| unit.map(|_| float(lane.units) / phase.seconds)),
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
            to_goal: goal.and_then(|goal| self.to_goal(goal, &p50, &p99)),
            goal,
            pace_limit: lane.pace_limit,
            rate,
            p50,
            p99,
        })
    }

    /// What an aim speaks of, where that is no rate.
    fn to_goal(&self, goal: Goal, p50: &Spread, p99: &Spread) -> Option<Spread> {
        // A latency of nothing is 0, which would meet any aim.
        let is_seen = |lane: &Lane| !lane.latency.is_empty();
        if !self.pairs.iter().all(|(_, lane)| is_seen(lane)) || !self.alone.iter().all(|lane| is_seen(lane)) {
            return None;
        }
        let beyond = |own: &Spread, of: fn(&CeilingRound) -> f64| {
            let pairs = own.rounds.iter().zip(self.sync?);
            Spread::of(pairs.map(|(own, sync)| own - of(sync)))
        };
        match goal {
            Goal::P50BeyondSync(_) => beyond(p50, |sync| sync.p50),
            Goal::P99BeyondSync(_) => beyond(p99, |sync| sync.p99),
            Goal::P99AtMost(_) => Some(p99.clone()),
            Goal::P99OfAlone(_) => {
                let alone = self
                    .alone
                    .iter()
                    .map(|lane| micros(lane.latency.value_at_quantile(0.99)));
                Spread::of(p99.rounds.iter().zip(alone).map(|(own, alone)| ratio(*own, alone)))
            }
            _ => None,
        }
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
