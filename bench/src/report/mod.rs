//! What a person looks at: a table in the terminal, and one HTML file that needs nothing else.
//!
//! Owns words and pictures over [`Outcome`]s; measures and judges nothing by itself. The HTML holds no script, no font and
//! no address of another place; its charts are SVG made here, and follow the reader's light or dark.

mod chart;
mod html;
mod page;
mod pictures;
mod summary;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

use crate::outcome::{CeilingOutcome, FigureOutcome, MeasureOutcome, Outcome};
use crate::scenario::{Goal, all};
use crate::stats::Spread;
use crate::units::{show_bytes, show_micros, show_percent, show_rate, whole};

/// Draws the report of all results in a folder, in the order of the scenarios. Gives back the file.
pub fn write(out: &Path) -> anyhow::Result<PathBuf> {
    let mut outcomes = Vec::new();
    for scenario in all() {
        let file = out.join(format!("{}.json", scenario.name()));
        if file.exists() {
            outcomes.push(Outcome::read(&file)?);
        }
    }
    ensure!(!outcomes.is_empty(), "{} holds no results", out.display());
    let file = out.join("report.html");
    std::fs::write(&file, page::page(&outcomes)).with_context(|| format!("{} can't be written", file.display()))?;
    Ok(file)
}

/// From this share of its own pace on, a load says nothing about the server's limit.
const NEAR_PACE: f64 = 0.9;

/// Median, smallest and largest.
fn spread(spread: &Spread, show: fn(f64) -> String) -> String {
    if spread.rounds.len() < 2 {
        return show(spread.median);
    }
    format!("{} ({} … {})", show(spread.median), show(spread.min), show(spread.max))
}

/// An aim in words, and whether it was met. Aims never fail a run.
struct Aim {
    text: String,
    is_met: bool,
}

impl Aim {
    fn of(goal: Goal, value: f64, show: impl Fn(f64) -> String) -> Self {
        let mut text = goal.aim(show);
        if let Some(reached) = goal.reached(value) {
            let _ = write!(text, " ({reached})");
        }
        Self {
            text,
            is_met: goal.is_met(value),
        }
    }

    fn of_figure(figure: &FigureOutcome) -> Option<Self> {
        let goal = figure.goal?;
        let reached = match goal {
            Goal::OfCeiling(_) => figure.to_ceiling.as_ref()?,
            // Neither an open loop nor one whose own pace is below the aim can say anything about it.
            Goal::UnitsASecond(wanted)
                if figure.open_rate.is_some() || figure.pace_limit.is_some_and(|limit| limit < wanted) =>
            {
                return None;
            }
            Goal::UnitsASecond(_) => figure.unit_rate.as_ref().unwrap_or(&figure.rate),
            _ => figure.to_goal.as_ref()?,
        };
        Some(Self::of(goal, reached.median, show_micros))
    }

    fn of_measure(measure: &MeasureOutcome) -> Option<Self> {
        let goal = measure.goal?;
        let reached = match goal {
            Goal::OfCeiling(_) | Goal::CeilingAtMost(_) => measure.to_ceiling.as_ref()?,
            _ => &measure.value,
        };
        Some(Self::of(goal, reached.median, |value| measure.unit.show(value)))
    }

    /// For a terminal.
    fn line(&self) -> String {
        format!("aim {} {}", self.text, if self.is_met { "met" } else { "not met" })
    }
}

/// What a load's own pace has to do with its rate; nothing where it has none.
fn pace(figure: &FigureOutcome) -> Option<String> {
    let limit = figure.pace_limit?;
    let most = show_rate(limit);
    Some(if figure.rate.median >= NEAR_PACE * limit {
        format!("the load's own pace was the bound, at most {most}/s: give it more connections")
    } else {
        format!("the load's own pace allows {most}/s")
    })
}

/// A result for a terminal.
pub fn text(outcome: &Outcome) -> String {
    let mut text = format!(
        "{}: {}\n",
        outcome.scenario,
        if outcome.passed { "passed" } else { "FAILED" }
    );
    for peer in &outcome.peers {
        // Writing to a String can't fail.
        let _ = writeln!(text, "  {} {}", peer.name, peer.url);
        for figure in &peer.figures {
            let _ = writeln!(text, "    {:26} {}/s", figure.lane, spread(&figure.rate, show_rate));
            if let (Some(unit), Some(rate)) = (&figure.unit, &figure.unit_rate) {
                let _ = writeln!(text, "    {:26} {}/s", unit, spread(rate, show_rate));
            }
            let _ = writeln!(text, "    {}", latencies(figure));
            let _ = writeln!(text, "    {}", resources(figure));
        }
        for measure in &peer.measures {
            let aim = Aim::of_measure(measure).map_or_else(String::new, |aim| format!(", {}", aim.line()));
            let _ = writeln!(text, "    {:26} {}{aim}", measure.name, self::measure(measure));
        }
        for check in &peer.checks {
            let mark = if check.passed { "ok    " } else { "FAILED" };
            let _ = writeln!(text, "    {mark} {}: {}", check.name, check.detail);
        }
        for failure in peer.failures.iter().take(3) {
            let _ = writeln!(text, "      {failure}");
        }
    }
    text + &ceilings_text(&outcome.ceilings)
}

/// A measure with its spread, and what it is of its ceiling.
fn measure(measure: &MeasureOutcome) -> String {
    let (value, show) = (&measure.value, |value| measure.unit.show(value));
    let mut text = show(value.median);
    if value.rounds.len() > 1 {
        let _ = write!(text, " ({} … {})", show(value.min), show(value.max));
    }
    if let (Some(share), Some(ceiling)) = (&measure.to_ceiling, measure.ceiling) {
        let _ = write!(text, ", ×{:.2} of {}", share.median, ceiling.title());
    }
    text
}

fn latencies(figure: &FigureOutcome) -> String {
    let from = figure.open_rate.map_or_else(
        || "closed loop".to_owned(),
        |rate| format!("open loop at {}/s", show_rate(rate)),
    );
    let mut text = format!(
        "  p50 {}, p99 {}",
        spread(&figure.p50, show_micros),
        spread(&figure.p99, show_micros)
    );
    if let Some(p999) = &figure.p999 {
        let _ = write!(text, ", p99.9 {}", spread(p999, show_micros));
    }
    let _ = write!(text, ", {from}");
    text
}

fn resources(figure: &FigureOutcome) -> String {
    let mut parts = Vec::new();
    if let (Some(share), Some(ceiling)) = (&figure.to_ceiling, figure.ceiling) {
        parts.push(format!("{} of {}", spread(share, show_percent), ceiling.title()));
    }
    parts.extend(Aim::of_figure(figure).map(|aim| aim.line()));
    parts.extend(pace(figure));
    if let Some(ratio) = &figure.p99_to_ceiling {
        parts.push(format!("p99 ×{:.1} of the ceiling's", ratio.median));
    }
    if let Some(cpu) = &figure.cpu_micros {
        parts.push(format!("server CPU {} an operation", spread(cpu, show_micros)));
    }
    if let Some(rss) = figure.rss_peak {
        parts.push(format!("RSS {}", show_bytes(rss)));
    }
    if let Some(cores) = &figure.client_cores {
        parts.push(format!("bench {:.2} cores", cores.median));
    }
    format!("  {}", parts.join(", "))
}

/// Ceilings for a terminal.
pub fn ceilings_text(ceilings: &[CeilingOutcome]) -> String {
    let mut text = String::new();
    for ceiling in ceilings {
        let _ = writeln!(
            text,
            "  ceiling {:26} {}/s, p50 {}, p99 {}",
            ceiling.title(),
            spread(&ceiling.rate, show_rate),
            show_micros(ceiling.p50.median),
            show_micros(ceiling.p99.median)
        );
        if let Some(each) = &ceiling.rss_each {
            let _ = writeln!(
                text,
                "          {:26} {} a connection",
                "",
                show_bytes(whole(each.median))
            );
        }
    }
    text
}
