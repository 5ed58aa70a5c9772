//! The HTML page: a summary of all scenarios, then each with its charts, then where it was measured.

use std::fmt::Write as _;

use super::chart::{Axis, Scale, Series, TIME, lines, mebibytes, short, stretch};
use super::html::Escaped;
use super::{goal, spread};
use crate::environment::Environment;
use crate::outcome::{CeilingOutcome, FigureOutcome, Outcome, PeerOutcome};
use crate::units::{float, show_bytes, show_micros, show_percent, show_rate};

const STYLE: &str = include_str!("style.css");

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

/// The whole page.
pub fn page(outcomes: &[Outcome]) -> String {
    let mut html = String::from("<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">");
    html.push_str("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">");
    html.push_str("<meta name=\"color-scheme\" content=\"light dark\"><title>Ovation bench</title><style>");
    html.push_str(STYLE);
    html.push_str("</style></head><body><main>");
    let failed = outcomes.iter().filter(|outcome| !outcome.passed).count();
    let verdict = match failed {
        0 => "<span class=\"good\">every check holds</span>".to_owned(),
        1 => "<span class=\"bad\">one scenario failed a check</span>".to_owned(),
        count => format!("<span class=\"bad\">{count} scenarios failed a check</span>"),
    };
    // Writing to a String can't fail.
    let _ = write!(html, "<header><h1>Ovation bench</h1><p>{verdict}");
    if let Some(first) = outcomes.first() {
        let _ = write!(html, " · begun {}", Escaped(&minute(&first.started_at)));
    }
    html.push_str("</p>");
    if outcomes.iter().any(|outcome| outcome.environment.debug_build) {
        html.push_str(
            "<p class=\"bad\">Made with a debug build of the bench: the checks count, the figures do not.</p>",
        );
    }
    html.push_str("</header>");
    summary(&mut html, outcomes);
    for outcome in outcomes {
        section(&mut html, outcome);
    }
    if let Some(first) = outcomes.first() {
        environment(&mut html, &first.environment);
    }
    html.push_str(READING);
    html.push_str("</main></body></html>\n");
    html
}

/// `2026-11-20 14:43 UTC` of an RFC 3339 time in UTC.
fn minute(time: &str) -> String {
    format!("{} UTC", time.get(..16).unwrap_or(time).replace('T', " "))
}

/// How to read it; the same for every report.
const READING: &str = "<section><h2>How to read this</h2><ul class=\"prose\">\
<li>A figure is the median of its rounds, with the smallest and the largest round behind it.</li>\
<li>Ratios divide each round by the ceiling that was measured beside it, with the same client, connections and checks.</li>\
<li>In a closed loop a user asks again once it was answered: this finds the throughput, and its percentiles are those of a \
server at its limit. In an open loop requests are due at fixed moments and latency counts from those, also when the client \
could not send because earlier answers were missing.</li>\
<li>Server CPU is what the kernel counted for the server's process, by all operations of the phase. Where the bench uses as \
many cores as it has threads, the bench was the limit, and the server can do more than is shown.</li>\
<li>What was due and never answered counts as an error and as the latency that it had at least.</li></ul></section>";

fn summary(html: &mut String, outcomes: &[Outcome]) {
    html.push_str("<section><h2>Summary</h2><div class=\"wide\"><table class=\"summary\"><thead><tr><th>scenario</th><th>operation</th>");
    for title in [
        "a second",
        "of the ceiling",
        "p50",
        "p99",
        "p99.9",
        "CPU/op",
        "peak RSS",
        "errors",
        "checks",
    ] {
        let _ = write!(html, "<th class=\"n\">{title}</th>");
    }
    html.push_str("</tr></thead><tbody>");
    for outcome in outcomes {
        for peer in &outcome.peers {
            if peer.figures.is_empty() {
                let _ = write!(
                    html,
                    "<tr><td>{}</td><td colspan=\"9\">{} could not be measured</td><td class=\"n bad\">failed</td></tr>",
                    Escaped(&outcome.scenario),
                    Escaped(&peer.url)
                );
            }
            for figure in &peer.figures {
                row(html, outcome, peer, figure);
            }
        }
    }
    html.push_str("</tbody></table></div></section>");
}

fn row(html: &mut String, outcome: &Outcome, peer: &PeerOutcome, figure: &FigureOutcome) {
    let of = if outcome.peers.len() > 1 {
        format!(" ({})", peer.name)
    } else {
        String::new()
    };
    let _ = write!(
        html,
        "<tr><td><a href=\"#{}\">{}</a>{}</td><td>{}</td>",
        Escaped(&outcome.scenario),
        Escaped(&outcome.scenario),
        Escaped(&of),
        Escaped(&figure.lane)
    );
    let mut cell = |text: String, class: &str| {
        let _ = write!(html, "<td class=\"n {class}\">{text}</td>");
    };
    let bounds = |text: String| {
        // The spread stands below, smaller.
        match text.split_once(" (") {
            Some((median, rest)) => format!("{median}<small>{}</small>", Escaped(rest.trim_end_matches(')'))),
            None => text,
        }
    };
    let rate = figure.unit_rate.as_ref().map_or_else(
        || bounds(spread(&figure.rate, show_rate)),
        |units| {
            let unit = figure.unit.as_deref().unwrap_or_default();
            format!(
                "{} {}<small>{} operations</small>",
                show_rate(units.median),
                Escaped(unit),
                show_rate(figure.rate.median)
            )
        },
    );
    cell(rate, "strong");
    let share = figure
        .to_ceiling
        .as_ref()
        .map_or("–".to_owned(), |share| bounds(spread(share, show_percent)));
    match goal(figure) {
        Some((aim, true)) => cell(format!("{share}<small class=\"good\">{aim} ✓</small>"), ""),
        Some((aim, false)) => cell(format!("{share}<small class=\"bad\">{aim} ✗</small>"), ""),
        None => cell(
            figure
                .open_rate
                .map_or(share, |rate| format!("–<small>open, {}/s</small>", show_rate(rate))),
            "",
        ),
    }
    cell(bounds(spread(&figure.p50, show_micros)), "");
    cell(bounds(spread(&figure.p99, show_micros)), "");
    cell(
        figure
            .p999
            .as_ref()
            .map_or("–".to_owned(), |p999| bounds(spread(p999, show_micros))),
        "",
    );
    cell(
        figure
            .cpu_micros
            .as_ref()
            .map_or("–".to_owned(), |cpu| bounds(spread(cpu, show_micros))),
        "",
    );
    cell(figure.rss_peak.map_or("–".to_owned(), show_bytes), "");
    let errors: u64 = figure.errors.values().sum();
    cell(errors.to_string(), if errors == 0 { "" } else { "bad" });
    let failed = peer.checks.iter().filter(|check| !check.passed).count();
    cell(
        if failed == 0 {
            "✓".to_owned()
        } else {
            format!("{failed} failed")
        },
        if failed == 0 { "good" } else { "bad" },
    );
    html.push_str("</tr>");
}

fn section(html: &mut String, outcome: &Outcome) {
    let _ = write!(
        html,
        "<section id=\"{}\"><h2>{}</h2><p class=\"prose\">{}.</p>",
        Escaped(&outcome.scenario),
        Escaped(&outcome.scenario),
        Escaped(&outcome.about)
    );
    for peer in &outcome.peers {
        checks(html, outcome, peer);
    }
    html.push_str("<div class=\"charts\">");
    charts(html, outcome);
    html.push_str("</div>");
    ceilings(html, &outcome.ceilings);
    html.push_str("</section>");
}

fn checks(html: &mut String, outcome: &Outcome, peer: &PeerOutcome) {
    if outcome.peers.len() > 1 {
        let _ = write!(html, "<h3>{} · {}</h3>", Escaped(&peer.name), Escaped(&peer.url));
    }
    html.push_str("<ul class=\"checks\">");
    for check in &peer.checks {
        let (class, mark) = if check.passed { ("good", "✓") } else { ("bad", "✗") };
        let _ = write!(
            html,
            "<li><b class=\"{class}\">{mark}</b> {}: {}</li>",
            Escaped(&check.name),
            Escaped(&check.detail)
        );
    }
    html.push_str("</ul>");
    if !peer.failures.is_empty() {
        html.push_str("<details open><summary>The first failures</summary><pre>");
        for failure in &peer.failures {
            let _ = writeln!(html, "{}", Escaped(failure));
        }
        html.push_str("</pre></details>");
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

fn charts(html: &mut String, outcome: &Outcome) {
    let figures = named(outcome);
    let quantiles = Axis {
        title: "percentile",
        scale: Scale::Nines,
        show: |quantile| format!("{}", (quantile * 1e7).round() / 1e5),
    };
    let curves = figures.iter().enumerate().map(|(colour, (name, figure))| Series {
        name: name.clone(),
        colour,
        points: figure
            .curve
            .iter()
            .filter(|point| point.quantile < 1.0)
            .map(|point| (point.quantile, point.micros))
            .collect(),
        is_reference: false,
    });
    html.push_str(&lines(
        "Latency by percentile",
        &quantiles,
        &MICROS,
        &curves.collect::<Vec<_>>(),
    ));
    let mut over_time = Vec::new();
    for (colour, (name, figure)) in figures.iter().enumerate() {
        over_time.push(series(format!("{name}, p99"), colour, false, figure, |point| {
            Some(point.p99).filter(|_| point.operations > 0)
        }));
        over_time.push(series(format!("{name}, p50"), colour, true, figure, |point| {
            Some(point.p50).filter(|_| point.operations > 0)
        }));
    }
    html.push_str(&lines("Latency over time", &TIME, &MICROS, &over_time));
    let count = Axis {
        title: "operations a second",
        scale: Scale::Linear,
        show: short,
    };
    // The last second may be a part of one; it would look like a fall.
    let length = outcome.settings["duration"].as_f64().unwrap_or_default();
    let whole = crate::units::index(length.floor()).max(1);
    let rates: Vec<_> = figures
        .iter()
        .enumerate()
        .map(|(colour, (name, figure))| {
            series(name.clone(), colour, false, figure, |point| {
                (point.second < whole).then_some(float(point.operations))
            })
        })
        .collect();
    html.push_str(&lines("Throughput", &TIME, &count, &rates));
    if figures.iter().any(|(_, figure)| !figure.errors.is_empty()) {
        let errors = Axis {
            title: "errors a second",
            ..count
        };
        let wrong = figures.iter().enumerate().map(|(colour, (name, figure))| {
            series(name.clone(), colour, false, figure, |point| Some(float(point.errors)))
        });
        html.push_str(&lines("Errors", &TIME, &errors, &wrong.collect::<Vec<_>>()));
    }
    usage(html, &figures);
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
        show: |value| format!("{value:.1}"),
    };
    let memory = Axis {
        title: "the server's resident memory",
        scale: Scale::Linear,
        show: mebibytes,
    };
    let draw = |pick: fn(&crate::outcome::TimelinePoint) -> Option<f64>| -> Vec<Series> {
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
    pick: impl Fn(&crate::outcome::TimelinePoint) -> Option<f64>,
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

fn ceilings(html: &mut String, ceilings: &[CeilingOutcome]) {
    if ceilings.is_empty() {
        return;
    }
    html.push_str("<div class=\"wide\"><table><thead><tr><th>ceiling of the same minutes</th>");
    html.push_str("<th class=\"n\">a second</th><th class=\"n\">p50</th><th class=\"n\">p99</th><th class=\"n\">CPU/op</th></tr></thead><tbody>");
    for ceiling in ceilings {
        let _ = write!(
            html,
            "<tr><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
            Escaped(ceiling.ceiling.title()),
            spread(&ceiling.rate, show_rate),
            spread(&ceiling.p50, show_micros),
            spread(&ceiling.p99, show_micros),
            ceiling
                .cpu_micros
                .as_ref()
                .map_or("–".to_owned(), |cpu| show_micros(cpu.median))
        );
    }
    html.push_str("</tbody></table></div>");
}

fn environment(html: &mut String, environment: &Environment) {
    html.push_str("<section><h2>Where it was measured</h2><dl>");
    let mut item = |name: &str, value: &str| {
        let _ = write!(html, "<dt>{}</dt><dd>{}</dd>", Escaped(name), Escaped(value));
    };
    item(
        "processor",
        &format!("{}, {} usable", environment.cpu, environment.cores),
    );
    item("memory", &show_bytes(environment.memory));
    item("kernel", &environment.kernel);
    item("bench", &environment.bench);
    item("command", &environment.flags.join(" "));
    for (name, value) in &environment.labels {
        item(name, value);
    }
    html.push_str("</dl></section>");
}
