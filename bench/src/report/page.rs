//! The HTML page: a summary of all scenarios, then each with its checks and charts, then where it was measured.

use std::fmt::Write as _;

use super::html::Escaped;
use super::summary::marked;
use super::{Aim, pictures, spread, summary};
use crate::environment::Environment;
use crate::outcome::{CeilingOutcome, Outcome, PeerOutcome};
use crate::units::{show_bytes, show_micros, show_rate, whole};

const STYLE: &str = include_str!("style.css");

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
    summary::table(&mut html, outcomes);
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
        measures(html, peer);
    }
    html.push_str("<div class=\"charts\">");
    pictures::charts(html, outcome);
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

fn measures(html: &mut String, peer: &PeerOutcome) {
    if peer.measures.is_empty() {
        return;
    }
    html.push_str("<div class=\"wide\"><table><thead><tr><th>figure</th><th>phase</th><th class=\"n\">value</th><th class=\"n\">aim</th></tr></thead><tbody>");
    for measure in &peer.measures {
        let aim = Aim::of_measure(measure).map_or_else(String::new, |aim| marked(&aim));
        let _ = write!(
            html,
            "<tr><td>{}</td><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{aim}</td></tr>",
            Escaped(&measure.name),
            Escaped(&measure.phase),
            Escaped(&super::measure(measure))
        );
    }
    html.push_str("</tbody></table></div>");
}

fn ceilings(html: &mut String, ceilings: &[CeilingOutcome]) {
    if ceilings.is_empty() {
        return;
    }
    html.push_str("<div class=\"wide\"><table><thead><tr><th>ceiling of the same minutes</th>");
    html.push_str("<th class=\"n\">a second</th><th class=\"n\">p50</th><th class=\"n\">p99</th><th class=\"n\">CPU/op</th><th class=\"n\">memory/connection</th></tr></thead><tbody>");
    for ceiling in ceilings {
        let _ = write!(
            html,
            "<tr><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
            Escaped(&ceiling.title()),
            spread(&ceiling.rate, show_rate),
            spread(&ceiling.p50, show_micros),
            spread(&ceiling.p99, show_micros),
            ceiling
                .cpu_micros
                .as_ref()
                .map_or("–".to_owned(), |cpu| show_micros(cpu.median)),
            ceiling
                .rss_each
                .as_ref()
                .map_or("–".to_owned(), |each| show_bytes(whole(each.median)))
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
