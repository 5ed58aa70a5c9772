//! How people write values: durations, sizes, addresses.
//!
//! Owns the reading (with bounds) and the showing of one value; every `show_…` gives what its reader takes back. Never
//! knows which setting it reads for. Errors are half sentences that follow "`name` is not usable: ".

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use time::UtcOffset;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;
use url::Url;

pub(super) const MILLISECOND: Duration = Duration::from_millis(1);
pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const MINUTE: Duration = Duration::from_mins(1);
pub(super) const HOUR: Duration = Duration::from_hours(1);
pub(super) const DAY: Duration = Duration::from_hours(24);

const DURATIONS: [(&str, Duration); 5] = [
    ("d", DAY),
    ("h", HOUR),
    ("m", MINUTE),
    ("s", SECOND),
    ("ms", MILLISECOND),
];
/// Binary units first: the showing takes the first that divides evenly.
const SIZES: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

/// When a like counts as recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LedgerSync {
    /// When it is on disk: survives a power cut.
    Always,
    /// When the operating system has it: survives `kill -9`, not a power cut.
    Os,
}

impl LedgerSync {
    pub(super) fn read(text: &str) -> Result<Self, String> {
        match text {
            "always" => Ok(Self::Always),
            "os" => Ok(Self::Os),
            _ => Err(format!("{} is neither always nor os", quoted(text))),
        }
    }

    pub(super) fn show(self) -> String {
        match self {
            Self::Always => "always".to_owned(),
            Self::Os => "os".to_owned(),
        }
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Pretty on a terminal, JSON elsewhere.
    Auto,
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}

impl LogFormat {
    pub(super) fn read(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "pretty" => Ok(Self::Pretty),
            "json" => Ok(Self::Json),
            _ => Err(format!("{} is none of the formats", quoted(text))),
        }
    }

    pub(super) fn show(self) -> String {
        match self {
            Self::Auto => "auto",
            Self::Pretty => "pretty",
            Self::Json => "json",
        }
        .to_owned()
    }
}

/// A text as an error shows it: escaped, and cut where it is longer than a line.
pub(super) fn quoted(text: &str) -> String {
    let start: String = text.chars().take(60).collect();
    let dots = if start.len() < text.len() { "…" } else { "" };
    format!("`{}{dots}`", start.escape_debug())
}

pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!(
            "{} is not an IP address with a port, such as `127.0.0.1:8080`, `0.0.0.0:8080` or `[::1]:8080`",
            quoted(text)
        )
    })
}

pub(super) fn path(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() || text.contains('\0') {
        return Err(format!("{} is not a path", quoted(text)));
    }
    Ok(PathBuf::from(text))
}

#[expect(clippy::ptr_arg, reason = "the table hands out the field's own type")]
pub(super) fn show_path(path: &PathBuf) -> String {
    path.display().to_string()
}

pub(super) fn number<T: FromStr + PartialOrd + Copy>(text: &str, least: T, most: T) -> Result<T, String> {
    let number = text
        .parse()
        .map_err(|_| format!("{} is not a whole number", quoted(text)))?;
    within(text, number, &least, &most)
}

fn within<T: PartialOrd>(text: &str, value: T, least: &T, most: &T) -> Result<T, String> {
    if value < *least {
        return Err(format!("{} is too small", quoted(text)));
    }
    if value > *most {
        return Err(format!("{} is too large", quoted(text)));
    }
    Ok(value)
}

/// Origins (RFC 6454) by commas, or `none`.
pub(super) fn origins(text: &str) -> Result<Vec<String>, String> {
    if text == "none" {
        return Ok(Vec::new());
    }
    text.split(',').map(|origin| one_origin(origin.trim())).collect()
}

/// In the form a browser sends it: lower case, without a default port and without a path.
fn one_origin(text: &str) -> Result<String, String> {
    let refused = || format!("{} is not an origin such as `https://example.org`", quoted(text));
    let url = Url::parse(text).map_err(|_| refused())?;
    let plain = matches!(url.scheme(), "http" | "https")
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    if plain {
        Ok(url.origin().ascii_serialization())
    } else {
        Err(refused())
    }
}

#[expect(clippy::ptr_arg, reason = "the table hands out the field's own type")]
pub(super) fn show_origins(origins: &Vec<String>) -> String {
    if origins.is_empty() {
        "none".to_owned()
    } else {
        origins.join(",")
    }
}

pub(super) fn switch(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(format!("{} is neither on nor off", quoted(text))),
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the table hands out the field's own type"
)]
pub(super) fn show_switch(on: &bool) -> String {
    if *on { "on" } else { "off" }.to_owned()
}

/// `90s`: a whole number and one unit. Compounds such as `1h30m` are refused: one way to write a value is enough.
pub(super) fn duration(text: &str, least: Duration, most: Duration) -> Result<Duration, String> {
    let (number, unit) = split_unit(text);
    let (number, unit) = match (number.parse::<u32>(), DURATIONS.iter().find(|(name, _)| *name == unit)) {
        (Ok(number), Some((_, length))) => (number, *length),
        (Ok(_), None) if unit.is_empty() => {
            return Err(format!(
                "{} has no unit: write `d`, `h`, `m`, `s` or `ms` after the number",
                quoted(text)
            ));
        }
        _ => {
            return Err(format!(
                "{} is not a duration such as `7d`, `12h`, `30m`, `45s` or `500ms`",
                quoted(text)
            ));
        }
    };
    let value = unit.checked_mul(number).unwrap_or(Duration::MAX);
    within(text, value, &least, &most)
}

pub(super) fn show_duration(value: Duration) -> String {
    let millis = value.as_millis();
    let whole = DURATIONS
        .iter()
        .find(|(_, unit)| millis >= unit.as_millis() && millis.is_multiple_of(unit.as_millis()));
    whole.map_or_else(
        || format!("{millis}ms"),
        |(name, unit)| format!("{}{name}", millis / unit.as_millis()),
    )
}

/// `30MiB`, `30MB` or plain bytes.
pub(super) fn size(text: &str, least: u64, most: u64) -> Result<u64, String> {
    let (number, unit) = split_unit(text);
    let unit = if unit.is_empty() { "B" } else { unit };
    let known = SIZES.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit));
    let (Ok(number), Some((_, bytes))) = (number.parse::<u64>(), known) else {
        return Err(format!(
            "{} is not a size such as `30MiB`, `500MB`, `1GiB` or plain bytes",
            quoted(text)
        ));
    };
    within(text, number.saturating_mul(*bytes), &least, &most)
}

pub(super) fn show_size(value: u64) -> String {
    let whole = SIZES
        .iter()
        .find(|(_, bytes)| value >= *bytes && value.is_multiple_of(*bytes));
    whole.map_or_else(
        || format!("{value}B"),
        |(name, bytes)| format!("{}{name}", value / bytes),
    )
}

/// `("30", "MiB")` of `30 MiB`.
fn split_unit(text: &str) -> (&str, &str) {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    (number, unit.trim_start())
}

/// `+08:00`, `-03:30` or `Z`, as RFC 3339 writes an offset; no place on Earth is further than 14 hours from UTC.
pub(super) fn utc_offset(text: &str) -> Result<UtcOffset, String> {
    if text == "Z" {
        return Ok(UtcOffset::UTC);
    }
    read_offset(text).ok_or_else(|| format!("{} is not an offset such as `+08:00`, `-03:30` or `Z`", quoted(text)))
}

fn read_offset(text: &str) -> Option<UtcOffset> {
    let (sign, rest) = match text.as_bytes().first()? {
        b'+' => (1, &text[1..]),
        b'-' => (-1, &text[1..]),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let two_digits = |part: &str| {
        (part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit())).then(|| part.parse::<i32>().ok())?
    };
    let (hours, minutes) = (two_digits(hours)?, two_digits(minutes)?);
    if minutes > 59 || hours * 60 + minutes > 14 * 60 {
        return None;
    }
    UtcOffset::from_whole_seconds(sign * (hours * 3600 + minutes * 60)).ok()
}

pub(super) fn show_utc_offset(offset: UtcOffset) -> String {
    let sign = if offset.is_negative() { '-' } else { '+' };
    format!(
        "{sign}{:02}:{:02}",
        offset.whole_hours().abs(),
        offset.minutes_past_hour().abs()
    )
}

/// The base that paths are appended to, so nothing may follow its path. A refused one isn't repeated: it may hold a
/// password that was meant for somewhere else.
pub(super) fn public_url(text: &str) -> Result<Option<String>, String> {
    if text == "auto" {
        return Ok(None);
    }
    let url =
        Url::parse(text).map_err(|error| format!("it is not an address such as `https://video.example`: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("its scheme must be http or https".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("it must not hold a user name or password".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("nothing may follow its path: no `?` and no `#`".to_owned());
    }
    Ok(Some(url.as_str().trim_end_matches('/').to_owned()))
}

#[expect(clippy::ref_option, reason = "the table hands out the field's own type")]
pub(super) fn show_public_url(url: &Option<String>) -> String {
    url.clone().unwrap_or_else(|| "auto".to_owned())
}

/// A bare word that is no level would be taken as a module's name and log everything of it: `inof` is a slip, so
/// modules must be written with a level.
pub(super) fn log_filter(text: &str) -> Result<String, String> {
    let words: Vec<&str> = text.split(',').map(str::trim).collect();
    let level = |word: &str| !word.is_empty() && word.parse::<LevelFilter>().is_ok();
    if let Some(word) = words.iter().find(|word| !word.contains('=') && !level(word)) {
        return Err(format!("{} is not a level", quoted(word)));
    }
    let filter = words.join(",");
    EnvFilter::try_new(&filter).map_err(|_| format!("{} is not a log filter", quoted(text)))?;
    Ok(filter)
}

/// A path as a message shows it.
pub(super) fn show_path_of(path: &Path) -> String {
    format!("`{}`", path.display().to_string().escape_debug())
}

#[cfg(test)]
mod tests;
