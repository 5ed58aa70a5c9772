//! Line charts as SVG.
//!
//! Owns axes, ticks and lines. Colours are classes of the page's style sheet, so that one picture fits light and dark;
//! every series also has its name and last value in words, for whoever can't tell colours apart.

use std::fmt::Write as _;

use super::html::Escaped;
use crate::units::{float_len, ratio};

const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 230.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 34.0;

/// How values become places.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scale {
    /// From zero.
    Linear,
    /// Powers of ten.
    Log,
    /// Quantiles by how many nines they have: 0.9, 0.99, 0.999 are equally far apart.
    Nines,
}

/// An axis.
pub struct Axis {
    /// What it shows, with its unit.
    pub title: &'static str,
    /// How.
    pub scale: Scale,
    /// A value for people.
    pub show: fn(f64) -> String,
}

/// A line.
pub struct Series {
    /// For the legend.
    pub name: String,
    /// Which of the page's colours, from 0.
    pub colour: usize,
    /// In order. On a linear x axis a gap of more than one begins a new piece: another round.
    pub points: Vec<(f64, f64)>,
    /// Drawn dashed: something to compare with.
    pub is_reference: bool,
}

/// The range of an axis and its ticks.
struct Range {
    low: f64,
    high: f64,
    ticks: Vec<f64>,
    scale: Scale,
}

impl Range {
    fn of(scale: Scale, values: impl Iterator<Item = f64> + Clone) -> Self {
        let highest = values.clone().fold(0.0, f64::max);
        match scale {
            Scale::Linear => Self::linear(highest),
            Scale::Log => Self::log(
                values.filter(|value| *value > 0.0).fold(f64::INFINITY, f64::min),
                highest,
            ),
            Scale::Nines => {
                let highest = values.filter(|value| *value < 1.0).fold(0.9, f64::max);
                let ticks = [0.0, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999];
                Self {
                    low: 0.0,
                    high: nines(highest),
                    ticks: ticks.into_iter().filter(|tick| *tick <= highest).collect(),
                    scale,
                }
            }
        }
    }

    fn linear(highest: f64) -> Self {
        let rough = if highest > 0.0 { highest / 4.0 } else { 0.25 };
        let power = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 2.5, 5.0, 10.0]
            .into_iter()
            .map(|step| step * power)
            .find(|step| *step >= rough);
        let step = step.unwrap_or(10.0 * power);
        Self {
            low: 0.0,
            high: 4.0 * step,
            ticks: (0..=4).map(|tick| f64::from(tick) * step).collect(),
            scale: Scale::Linear,
        }
    }

    fn log(lowest: f64, highest: f64) -> Self {
        let lowest = if lowest.is_finite() { lowest } else { 1.0 };
        let (mut low, mut high) = (lowest.log10().floor(), highest.max(lowest).log10().ceil());
        if high - low < 1.0 {
            (low, high) = (low, low + 1.0);
        }
        let mut ticks = Vec::new();
        let mut power = low;
        while power <= high {
            ticks.push(10_f64.powf(power));
            power += 1.0;
        }
        Self {
            low,
            high,
            ticks,
            scale: Scale::Log,
        }
    }

    /// 0 to 1, and a little beyond where a value lies outside.
    fn place(&self, value: f64) -> f64 {
        let value = match self.scale {
            Scale::Linear => value,
            Scale::Log => value.max(1e-9).log10(),
            Scale::Nines => nines(value),
        };
        ratio(value - self.low, self.high - self.low).clamp(0.0, 1.02)
    }
}

fn nines(quantile: f64) -> f64 {
    -(1.0 - quantile).max(1e-9).log10()
}

/// Draws lines. Series without points are left out; a chart without any says so.
pub fn lines(title: &str, x: &Axis, y: &Axis, series: &[Series]) -> String {
    let xs = series
        .iter()
        .flat_map(|series| series.points.iter().map(|point| point.0));
    let ys = series
        .iter()
        .flat_map(|series| series.points.iter().map(|point| point.1));
    let frame = Frame {
        across: Range::of(x.scale, xs),
        up: Range::of(y.scale, ys),
    };
    let (mut svg, title) = (String::new(), Escaped(title));
    // Writing to a String can't fail, here and below.
    let _ = write!(
        svg,
        "<figure><figcaption>{title}</figcaption><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\">"
    );
    frame.axes(&mut svg, x, y);
    if series.iter().all(|series| series.points.is_empty()) {
        label(&mut svg, WIDTH / 2.0, HEIGHT / 2.0, "mid", "no data");
    }
    for one in series {
        frame.line(&mut svg, one);
    }
    svg.push_str("</svg>");
    legend(&mut svg, y, series);
    svg.push_str("</figure>");
    svg
}

fn label(svg: &mut String, x: f64, y: f64, anchor: &str, text: &str) {
    let _ = write!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" class=\"tick {anchor}\">{}</text>",
        Escaped(text)
    );
}

/// Where values are in the picture.
struct Frame {
    across: Range,
    up: Range,
}

impl Frame {
    fn x(&self, value: f64) -> f64 {
        LEFT + self.across.place(value) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - self.up.place(value) * (HEIGHT - TOP - BOTTOM)
    }

    fn axes(&self, svg: &mut String, x: &Axis, y: &Axis) {
        let right = WIDTH - RIGHT;
        for tick in &self.up.ticks {
            let at = self.y(*tick);
            let _ = write!(
                svg,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>"
            );
            label(svg, LEFT - 6.0, at + 4.0, "end", &(y.show)(*tick));
        }
        for tick in &self.across.ticks {
            label(svg, self.x(*tick), HEIGHT - 18.0, "mid", &(x.show)(*tick));
        }
        label(svg, right, HEIGHT - 3.0, "end", x.title);
    }

    fn line(&self, svg: &mut String, series: &Series) {
        let class = format!(
            "c{}{}",
            series.colour % 6,
            if series.is_reference { " dashed" } else { "" }
        );
        let is_one_piece = self.across.scale != Scale::Linear;
        for piece in series
            .points
            .chunk_by(|before, after| is_one_piece || after.0 - before.0 <= 1.0)
        {
            if let [(at, value)] = piece {
                let (x, y) = (self.x(*at), self.y(*value));
                let _ = write!(svg, "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.5\"/>");
                continue;
            }
            let _ = write!(svg, "<path class=\"line {class}\" d=\"");
            for (step, (at, value)) in piece.iter().enumerate() {
                let command = if step == 0 { 'M' } else { 'L' };
                let _ = write!(svg, "{command}{:.1} {:.1}", self.x(*at), self.y(*value));
            }
            svg.push_str("\"/>");
        }
    }
}

fn legend(svg: &mut String, y: &Axis, series: &[Series]) {
    let _ = write!(svg, "<ul class=\"legend\"><li class=\"axis\">{}</li>", Escaped(y.title));
    for one in series.iter().filter(|series| !series.points.is_empty()) {
        let dashed = if one.is_reference { " dashed" } else { "" };
        let _ = write!(
            svg,
            "<li><i class=\"c{}{dashed}\"></i>{}</li>",
            one.colour % 6,
            Escaped(&one.name)
        );
    }
    svg.push_str("</ul>");
}

/// Seconds of all rounds behind each other, a gap of one second between rounds.
pub fn stretch(round: usize, second: usize, seconds: usize) -> f64 {
    float_len(round) * (float_len(seconds) + 1.0) + float_len(second)
}

/// The x axis of [`stretch`].
pub const TIME: Axis = Axis {
    title: "seconds, all rounds behind each other",
    scale: Scale::Linear,
    show: whole,
};

fn whole(value: f64) -> String {
    if value.fract() == 0.0 {
        crate::units::grouped(crate::units::whole(value))
    } else {
        format!("{value:.1}")
    }
}

/// A count for an axis, short: 1.2k, 3M.
pub fn short(value: f64) -> String {
    let cut = |text: String| text.strip_suffix(".0").map_or(text.clone(), str::to_owned);
    if value >= 1e6 {
        format!("{}M", cut(format!("{:.1}", value / 1e6)))
    } else if value >= 1e3 {
        format!("{}k", cut(format!("{:.1}", value / 1e3)))
    } else {
        cut(format!("{value:.1}"))
    }
}

/// Mebibytes for an axis.
pub fn mebibytes(value: f64) -> String {
    format!("{} MiB", short(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_hold_the_values() {
        let range = Range::of(Scale::Linear, [730.0, 12.0].into_iter());
        assert_eq!(range.ticks, [0.0, 200.0, 400.0, 600.0, 800.0]);
        let range = Range::of(Scale::Log, [14.0, 5_500.0].into_iter());
        assert_eq!(range.ticks.len(), 4);
        assert!(range.place(10.0).abs() < 1e-9 && (range.place(10_000.0) - 1.0).abs() < 1e-9);
        let range = Range::of(Scale::Nines, [0.0, 0.5, 0.999].into_iter());
        assert!((range.place(0.9) - 1.0 / 3.0).abs() < 1e-9);
        assert!(range.place(1.0) <= 1.02, "what is beyond stays in the picture");
    }

    #[test]
    fn nothing_makes_a_chart_without_numbers_that_are_none() {
        let axis = || Axis {
            title: "t",
            scale: Scale::Log,
            show: short,
        };
        let svg = lines("<empty>", &axis(), &axis(), &[]);
        assert!(
            svg.contains("no data") && svg.contains("&lt;empty&gt;") && !svg.contains("NaN") && !svg.contains("inf")
        );
        assert_eq!(
            (short(1_500.0), short(3e6), short(0.5)),
            ("1.5k".into(), "3M".into(), "0.5".into())
        );
    }
}
