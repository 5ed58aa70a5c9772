//! The charts of a scenario: latency by percentile and over time, throughput, errors, processor and memory.

use super::chart::{Axis, Scale, Series, TIME, lines, mebibytes, short, stretch};
use crate::outcome::{FigureOutcome, Outcome, TimelinePoint};
use crate::units::float;

const MICROS: Axis = Axis {
    title: "latency",
    scale: Scale::Log,
    show: tick_micros,
};

/// Short forms for axes: `100 µs`, `1 ms`.
fn tick_micros(micros: f64) -> String {
    if micros >= 1e6 {
        format!("{} s", short(micros / 1e6))
    } else if micros >= 1e3 {
        format!("{} ms", short(micros / 1e3))
    } else {
        format!("{} µs", short(micros))
    }
}

/// All lines of a scenario: target and lane.
fn named(outcome: &Outcome) -> Vec<(String, &FigureOutcome)> {
    let mut lines = Vec::new();
    for peer in &outcome.peers {
        for figure in &peer.figures {
            let name = if outcome.peers.len() > 1 {
                format!("{}: {}", peer.name, figure.lane)
            } else {
                figure.lane.clone()
            };
            lines.push((name, figure));
        }
    }
    lines
}

/// Writes the charts of a scenario.
pub fn charts(html: &mut String, outcome: &Outcome) {
    let figures = named(outcome);
    let quantiles = Axis {
        title: "percentile",
        scale: Scale::Nines,
        show: |quantile| format!("{}", (quantile * 1e7).round() / 1e5),
    };
    let curve = |(colour, (name, figure)): (usize, &(String, &FigureOutcome))| {
        let points = figure.curve.iter().filter(|point| point.quantile < 1.0);
        Series {
            name: name.clone(),
            colour,
            points: points.map(|point| (point.quantile, point.micros)).collect(),
            is_reference: false,
        }
    };
    let curves: Vec<_> = figures.iter().enumerate().map(curve).collect();
    html.push_str(&lines("Latency by percentile", &quantiles, &MICROS, &curves));
    html.push_str(&lines("Latency over time", &TIME, &MICROS, &latencies(&figures)));
    // The last second may be a part of one; it would look like a fall.
    let length = outcome.settings["duration"].as_f64().unwrap_or_default();
    let whole = crate::units::index(length.floor()).max(1);
    let rates = each(&figures, |point| {
        (point.second < whole).then_some(float(point.operations))
    });
    html.push_str(&lines("Throughput", &TIME, &count("operations a second"), &rates));
    if figures.iter().any(|(_, figure)| !figure.errors.is_empty()) {
        let errors = each(&figures, |point| Some(float(point.errors)));
        html.push_str(&lines("Errors", &TIME, &count("errors a second"), &errors));
    }
    usage(html, &figures);
}

const fn count(title: &'static str) -> Axis {
    Axis {
        title,
        scale: Scale::Linear,
        show: short,
    }
}

/// A line for each lane.
fn each(figures: &[(String, &FigureOutcome)], pick: impl Fn(&TimelinePoint) -> Option<f64>) -> Vec<Series> {
    let lines = figures.iter().enumerate();
    lines
        .map(|(colour, (name, figure))| series(name.clone(), colour, false, figure, &pick))
        .collect()
}

/// The 99th percentile, and the median below it, dashed.
fn latencies(figures: &[(String, &FigureOutcome)]) -> Vec<Series> {
    let mut lines = Vec::new();
    for (colour, (name, figure)) in figures.iter().enumerate() {
        let seen = |micros: fn(&TimelinePoint) -> f64| {
            move |point: &TimelinePoint| (point.operations > 0).then(|| micros(point))
        };
        lines.push(series(
            format!("{name}, p99"),
            colour,
            false,
            figure,
            seen(|point| point.p99),
        ));
        lines.push(series(
            format!("{name}, p50"),
            colour,
            true,
            figure,
            seen(|point| point.p50),
        ));
    }
    lines
}

fn usage(html: &mut String, figures: &[(String, &FigureOutcome)]) {
    // One line a phase: lanes of the same phase had the same server.
    let mut phases: Vec<&(String, &FigureOutcome)> = Vec::new();
    for one in figures.iter().filter(|(_, figure)| figure.server_cores.is_some()) {
        let target = |name: &str| name.split_once(": ").map(|(target, _)| target.to_owned());
        if !phases
            .iter()
            .any(|known| known.1.phase == one.1.phase && target(&known.0) == target(&one.0))
        {
            phases.push(one);
        }
    }
    if phases.is_empty() {
        return;
    }
    let cores = Axis {
        title: "cores the server used",
        scale: Scale::Linear,
        show: |value| format!("{value:.2}"),
    };
    let memory = Axis {
        title: "the server's resident memory",
        scale: Scale::Linear,
        show: mebibytes,
    };
    let draw = |pick: fn(&TimelinePoint) -> Option<f64>| -> Vec<Series> {
        let lines = phases.iter().enumerate().map(|(colour, (name, figure))| {
            let name = name.split_once(": ").map_or(figure.phase.clone(), |(target, _)| {
                format!("{target}: {}", figure.phase)
            });
            series(name, colour, false, figure, pick)
        });
        lines.collect()
    };
    html.push_str(&lines("Processor", &TIME, &cores, &draw(|point| point.cores)));
    html.push_str(&lines(
        "Memory",
        &TIME,
        &memory,
        &draw(|point| point.rss.map(|bytes| float(bytes) / float(1 << 20))),
    ));
}

fn series(
    name: String,
    colour: usize,
    is_reference: bool,
    figure: &FigureOutcome,
    pick: impl Fn(&TimelinePoint) -> Option<f64>,
) -> Series {
    let seconds = figure.timeline.iter().map(|point| point.second + 1).max().unwrap_or(1);
    let points = figure.timeline.iter();
    Series {
        name,
        colour,
        is_reference,
        points: points
            .filter_map(|point| Some((stretch(point.round, point.second, seconds), pick(point)?)))
            .collect(),
    }
}
