//! Two results side by side, and what can honestly be said about the difference.
//!
//! Owns the verdict: better or worse is claimed only where the rounds of one lie wholly on one side of the other's, in at
//! least four rounds each (by chance alone that happens to one pair in thirty-five), and the medians differ by more than
//! two per cent. Everything else is "no difference shown", which does not mean that there is none.

use anyhow::ensure;
use serde::Serialize;

use crate::outcome::{FigureOutcome, MeasureOutcome, Outcome, PeerOutcome};
use crate::scenario::Unit;
use crate::stats::Spread;
use crate::units::{ratio, show_micros, show_percent, show_rate};

/// Rounds that a verdict needs on both sides.
const ROUNDS: usize = 4;
/// Differences of medians up to this share are never called one.
const NEGLIGIBLE: f64 = 0.02;

/// What can be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// B is better.
    Better,
    /// B is worse.
    Worse,
    /// The rounds overlap, or differ by next to nothing.
    NoDifferenceShown,
    /// Not enough rounds.
    TooFewRounds,
}

/// One figure on both sides.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// Of which lane.
    pub lane: String,
    /// Which figure.
    pub figure: String,
    /// Median, smallest, largest.
    pub a: Spread,
    /// Median, smallest, largest.
    pub b: Spread,
    /// The median of B by that of A.
    pub b_to_a: f64,
    /// What can be said.
    pub verdict: Verdict,
    #[serde(skip)]
    show: Show,
}

/// How a figure reads.
#[derive(Debug, Clone, Copy)]
enum Show {
    By(fn(f64) -> String),
    As(Unit),
}

impl Show {
    fn show(self, value: f64) -> String {
        match self {
            Self::By(show) => show(value),
            Self::As(unit) => unit.show(value),
        }
    }
}

/// All figures that both sides have.
#[derive(Debug, Clone, Serialize)]
pub struct Comparison {
    /// The event's name in JSON lines.
    pub event: &'static str,
    /// The scenario.
    pub scenario: String,
    /// Figure by figure.
    pub rows: Vec<Row>,
    /// What makes the sides less comparable than they look.
    pub cautions: Vec<String>,
}

/// The verdict on two spreads; `more_is_better` says which way is up.
pub fn verdict(a: &Spread, b: &Spread, more_is_better: bool) -> Verdict {
    if a.rounds.len() < ROUNDS || b.rounds.len() < ROUNDS {
        return Verdict::TooFewRounds;
    }
    if (b.median - a.median).abs() <= NEGLIGIBLE * a.median.abs() {
        return Verdict::NoDifferenceShown;
    }
    if b.min > a.max {
        if more_is_better {
            Verdict::Better
        } else {
            Verdict::Worse
        }
    } else if b.max < a.min {
        if more_is_better {
            Verdict::Worse
        } else {
            Verdict::Better
        }
    } else {
        Verdict::NoDifferenceShown
    }
}

/// Compares the first targets of two files of one scenario.
pub fn compare(a: &Outcome, b: &Outcome) -> anyhow::Result<Comparison> {
    ensure!(
        a.scenario == b.scenario,
        "{} and {} are different scenarios",
        a.scenario,
        b.scenario
    );
    let ([one, ..], [other, ..]) = (&a.peers[..], &b.peers[..]) else {
        anyhow::bail!("a result without a target")
    };
    let mut cautions = Vec::new();
    if a.environment.cpu != b.environment.cpu || a.environment.kernel != b.environment.kernel {
        cautions.push("different machines: only what is measured by the ceiling of its own run compares".to_owned());
    } else {
        cautions.push("two runs, not one: rates by their ceilings compare better than rates".to_owned());
    }
    if a.settings != b.settings {
        cautions.push("the settings differ".to_owned());
    }
    if a.environment.debug_build || b.environment.debug_build {
        cautions.push("a debug build of the bench is among them".to_owned());
    }
    for (name, outcome) in [("A", a), ("B", b)] {
        if !outcome.passed {
            cautions.push(format!("{name} failed a check: its figures are those of wrong answers"));
        }
    }
    Ok(Comparison {
        event: "comparison",
        scenario: a.scenario.clone(),
        rows: rows(one, other),
        cautions,
    })
}

/// Compares the two targets of one run, which took turns.
pub fn targets(outcome: &Outcome) -> Comparison {
    let rows = match &outcome.peers[..] {
        [a, b, ..] => rows(a, b),
        _ => Vec::new(),
    };
    let failed = outcome
        .peers
        .iter()
        .filter(|peer| peer.checks.iter().any(|check| !check.passed));
    let cautions = failed.map(|peer| format!("{} failed a check: its figures are those of wrong answers", peer.name));
    let cautions = cautions.collect();
    Comparison {
        event: "comparison",
        scenario: outcome.scenario.clone(),
        rows,
        cautions,
    }
}

fn rows(a: &PeerOutcome, b: &PeerOutcome) -> Vec<Row> {
    let mut rows = Vec::new();
    for one in &a.figures {
        let Some(other) = b
            .figures
            .iter()
            .find(|other| (&other.lane, &other.phase) == (&one.lane, &one.phase))
        else {
            continue;
        };
        let mut row = |figure: &str, pick: fn(&FigureOutcome) -> Option<&Spread>, more_is_better, show| {
            if let (Some(a), Some(b)) = (pick(one), pick(other)) {
                rows.push(Row {
                    lane: one.lane.clone(),
                    figure: figure.to_owned(),
                    a: a.clone(),
                    b: b.clone(),
                    b_to_a: ratio(b.median, a.median),
                    verdict: verdict(a, b, more_is_better),
                    show: Show::By(show),
                });
            }
        };
        row(
            "a second",
            |figure| figure.open_rate.is_none().then_some(&figure.rate),
            true,
            show_rate,
        );
        row(
            "of the ceiling",
            |figure| figure.to_ceiling.as_ref(),
            true,
            show_percent,
        );
        row("p50", |figure| Some(&figure.p50), false, show_micros);
        row("p99", |figure| Some(&figure.p99), false, show_micros);
        row("p99.9", |figure| figure.p999.as_ref(), false, show_micros);
        row(
            "CPU an operation",
            |figure| figure.cpu_micros.as_ref(),
            false,
            show_micros,
        );
    }
    for one in &a.measures {
        let same = |other: &&MeasureOutcome| (&other.name, &other.phase) == (&one.name, &one.phase);
        if let Some(other) = b.measures.iter().find(same) {
            rows.push(Row {
                lane: one.phase.clone(),
                figure: one.name.clone(),
                a: one.value.clone(),
                b: other.value.clone(),
                b_to_a: ratio(other.value.median, one.value.median),
                verdict: verdict(&one.value, &other.value, one.more_is_better),
                show: Show::As(one.unit),
            });
        }
    }
    rows
}

impl Comparison {
    /// Whether anything is certainly worse.
    pub fn is_worse(&self) -> bool {
        self.rows.iter().any(|row| row.verdict == Verdict::Worse)
    }

    /// For people.
    pub fn table(&self) -> String {
        use std::fmt::Write as _;
        let mut text = format!("{}: A and B, median (smallest … largest)\n", self.scenario);
        for row in &self.rows {
            let side = |spread: &Spread| {
                format!(
                    "{} ({} … {})",
                    row.show.show(spread.median),
                    row.show.show(spread.min),
                    row.show.show(spread.max)
                )
            };
            let verdict = match row.verdict {
                Verdict::Better => "B is better",
                Verdict::Worse => "B is worse",
                Verdict::NoDifferenceShown => "no difference shown",
                Verdict::TooFewRounds => "too few rounds to tell",
            };
            // Writing to a String can't fail.
            let _ = writeln!(
                text,
                "  {:26} {:17} {:36} {:36} ×{:.2}  {verdict}",
                row.lane,
                row.figure,
                side(&row.a),
                side(&row.b),
                row.b_to_a
            );
        }
        for caution in &self.cautions {
            let _ = writeln!(text, "  note: {caution}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread<const N: usize>(rounds: [f64; N]) -> Spread {
        Spread::of(rounds).unwrap()
    }

    #[test]
    fn a_difference_is_claimed_only_beyond_the_spread() {
        let a = spread([100.0, 104.0, 98.0, 101.0, 99.0]);
        assert_eq!(
            verdict(&a, &spread([120.0, 125.0, 118.0, 121.0, 122.0]), true),
            Verdict::Better
        );
        assert_eq!(
            verdict(&a, &spread([120.0, 125.0, 118.0, 121.0, 122.0]), false),
            Verdict::Worse
        );
        assert_eq!(
            verdict(&a, &spread([80.0, 90.0, 70.0, 85.0, 97.0]), true),
            Verdict::Worse
        );
        // One round among the others', and nothing is shown, however far the medians are apart.
        assert_eq!(
            verdict(&a, &spread([120.0, 125.0, 103.0, 121.0, 122.0]), true),
            Verdict::NoDifferenceShown
        );
        assert_eq!(verdict(&a, &a, true), Verdict::NoDifferenceShown);
    }

    #[test]
    fn few_rounds_and_tiny_differences_prove_nothing() {
        let few = (spread([100.0, 101.0, 102.0]), spread([200.0, 201.0, 202.0]));
        assert_eq!(verdict(&few.0, &few.1, true), Verdict::TooFewRounds);
        let tiny = (
            spread([100.0, 100.1, 100.2, 100.1]),
            spread([101.0, 101.1, 101.2, 101.1]),
        );
        assert_eq!(verdict(&tiny.0, &tiny.1, true), Verdict::NoDifferenceShown);
    }
}
