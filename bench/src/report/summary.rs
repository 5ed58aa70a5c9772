//! The table at the top: a row for each kind of operation.

use std::fmt::Write as _;

use super::html::Escaped;
use super::{Aim, pace, spread};
use crate::outcome::{FigureOutcome, Outcome, PeerOutcome};
use crate::stats::Spread;
use crate::units::{show_bytes, show_micros, show_percent, show_rate};

const NOTHING: &str = "–";

/// Writes the table.
pub fn table(html: &mut String, outcomes: &[Outcome]) {
    // Writing to a String can't fail, here and below.
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
    let scenario = Escaped(&outcome.scenario);
    let _ = write!(
        html,
        "<tr><td><a href=\"#{scenario}\">{scenario}</a>{}</td><td>{}</td>",
        Escaped(&of),
        Escaped(&figure.lane)
    );
    let mut cell = |text: String, class: &str| {
        let _ = write!(html, "<td class=\"n {class}\">{text}</td>");
    };
    cell(throughput(figure), "strong");
    cell(share(figure), "");
    cell(bounds(Some(&figure.p50), show_micros), "");
    cell(bounds(Some(&figure.p99), show_micros), "");
    cell(bounds(figure.p999.as_ref(), show_micros), "");
    cell(bounds(figure.cpu_micros.as_ref(), show_micros), "");
    cell(figure.rss_peak.map_or(NOTHING.to_owned(), show_bytes), "");
    let errors: u64 = figure.errors.values().sum();
    cell(errors.to_string(), if errors == 0 { "" } else { "bad" });
    match peer.checks.iter().filter(|check| !check.passed).count() {
        0 => cell("✓".to_owned(), "good"),
        failed => cell(format!("{failed} failed"), "bad"),
    }
    html.push_str("</tr>");
}

/// The median, and the spread below it, smaller.
fn bounds(figure: Option<&Spread>, show: fn(f64) -> String) -> String {
    let text = figure.map_or(NOTHING.to_owned(), |figure| spread(figure, show));
    match text.split_once(" (") {
        Some((median, rest)) => format!("{median}<small>{}</small>", Escaped(rest.trim_end_matches(')'))),
        None => text,
    }
}

fn throughput(figure: &FigureOutcome) -> String {
    let (Some(units), Some(unit)) = (&figure.unit_rate, &figure.unit) else {
        return bounds(Some(&figure.rate), show_rate);
    };
    let (units, operations) = (show_rate(units.median), show_rate(figure.rate.median));
    format!("{units} {}<small>{operations} operations</small>", Escaped(unit))
}

/// Where the rate stands, and the aim below it.
fn share(figure: &FigureOutcome) -> String {
    let share = match figure.open_rate {
        Some(rate) => format!("{NOTHING}<small>open, {}/s</small>", show_rate(rate)),
        None => bounds(figure.to_ceiling.as_ref(), show_percent),
    };
    let aim = Aim::of_figure(figure).map_or_else(String::new, |aim| marked(&aim));
    let pace = pace(figure).map_or_else(String::new, |pace| format!("<small>{}</small>", Escaped(&pace)));
    share + &aim + &pace
}

/// An aim, small, and its mark.
pub fn marked(aim: &Aim) -> String {
    let (class, mark) = if aim.is_met { ("good", '✓') } else { ("bad", '✗') };
    format!("<small class=\"{class}\">{} {mark}</small>", Escaped(&aim.text))
}
