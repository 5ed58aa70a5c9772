//! The JSON of what every request logs.
//!
//! Owns the line of a request, and the fields of the span around it, written straight into the line. All other lines are
//! tracing's own, and so is the form: the general way makes a map and texts of its own for each, which is most of what a
//! line costs. Knows no event but by its fields.

use std::cell::Cell;
use std::fmt::{self, Debug, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;
use tracing::field::{Field, Visit};
use tracing::span::Record;
use tracing::{Event, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::{Format, Json, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields, format};
use tracing_subscriber::registry::LookupSpan;

use crate::net::ACCESS_TARGET;

/// Lines as JSON, one object each.
pub(super) struct JsonLines(Format<Json>);

impl JsonLines {
    pub(super) fn new() -> Self {
        let usual = format().json().flatten_event(true);
        Self(usual.with_current_span(true).with_span_list(false))
    }
}

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(&self, ctx: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        // The line of a request is written outside its span; in another one, that would belong into it.
        if event.metadata().target() == ACCESS_TARGET && ctx.lookup_current().is_none() {
            access(&mut writer, event)
        } else {
            self.0.format_event(ctx, writer, event)
        }
    }
}

fn access(writer: &mut Writer<'_>, event: &Event<'_>) -> fmt::Result {
    writer.write_str("{\"timestamp\":\"")?;
    timestamp(writer, SystemTime::now())?;
    writer.write_str("\",\"level\":\"")?;
    writer.write_str(event.metadata().level().as_str())?;
    writer.write_char('"')?;
    let mut members = Members::more(writer);
    event.record(&mut members);
    members.written?;
    writer.write_str(",\"target\":\"")?;
    writer.write_str(ACCESS_TARGET)?;
    writer.write_str("\"}\n")
}

/// RFC 3339 in UTC, with microseconds. All but these is made once a second.
fn timestamp(writer: &mut Writer<'_>, now: SystemTime) -> fmt::Result {
    thread_local! {
        static SECOND: Cell<(u64, [u8; 19])> = const { Cell::new((u64::MAX, [0; 19])) };
    }
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (mut second, mut text) = SECOND.get();
    if second != now.as_secs() {
        second = now.as_secs();
        text = date_and_time(second);
        SECOND.set((second, text));
    }
    writer.write_str(std::str::from_utf8(&text).unwrap_or_default())?;
    write!(writer, ".{:06}Z", now.subsec_micros())
}

/// A clock past the year 9999 is shown as the epoch.
fn date_and_time(second: u64) -> [u8; 19] {
    let known = i64::try_from(second).ok();
    let known = known.and_then(|second| OffsetDateTime::from_unix_timestamp(second).ok());
    let time = known.unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (date, clock) = (time.date(), time.time());
    let text = format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
        date.year(),
        u8::from(date.month()),
        date.day(),
        clock.hour(),
        clock.minute(),
        clock.second()
    );
    text.as_bytes().try_into().unwrap_or([b'0'; 19])
}

/// The fields of spans, as tracing's own `JsonFields` writes them: an object that is read again with each line within.
pub(super) struct SpanFields;

impl<'writer> FormatFields<'writer> for SpanFields {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'writer>, fields: R) -> fmt::Result {
        writer.write_char('{')?;
        let mut members = Members::first(&mut writer);
        fields.record(&mut members);
        members.written?;
        writer.write_char('}')
    }

    /// A field that is there already stands twice then; of those the reader takes the last.
    fn add_fields(&self, current: &'writer mut FormattedFields<Self>, fields: &Record<'_>) -> fmt::Result {
        if current.fields.pop().is_none() {
            current.fields.push('{');
        }
        let empty = current.fields.ends_with('{');
        let mut writer = current.as_writer();
        let mut members = if empty {
            Members::first(&mut writer)
        } else {
            Members::more(&mut writer)
        };
        fields.record(&mut members);
        members.written?;
        writer.write_char('}')
    }
}

/// Writes fields as members of an object.
struct Members<'a, 'w> {
    writer: &'a mut Writer<'w>,
    /// The next one is the first.
    first: bool,
    written: fmt::Result,
}

impl<'a, 'w> Members<'a, 'w> {
    fn first(writer: &'a mut Writer<'w>) -> Self {
        let (first, written) = (true, Ok(()));
        Self { writer, first, written }
    }

    fn more(writer: &'a mut Writer<'w>) -> Self {
        let (first, written) = (false, Ok(()));
        Self { writer, first, written }
    }

    /// Names are Rust's own and need no escape.
    fn member(&mut self, field: &Field, value: impl FnOnce(&mut Writer<'w>) -> fmt::Result) {
        let name = field.name();
        let comma = if std::mem::take(&mut self.first) { "" } else { "," };
        self.written = self.written.and_then(|()| {
            let name = name.strip_prefix("r#").unwrap_or(name);
            self.writer.write_str(comma)?;
            self.writer.write_char('"')?;
            self.writer.write_str(name)?;
            self.writer.write_str("\":")?;
            value(self.writer)
        });
    }
}

impl Visit for Members<'_, '_> {
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.member(field, |writer| write!(writer, "{value}"));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.member(field, |writer| write!(writer, "{value}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.member(field, |writer| writer.write_str(if value { "true" } else { "false" }));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.member(field, |writer| {
            writer.write_char('"')?;
            Escaped(writer).write_str(value)?;
            writer.write_char('"')
        });
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.member(field, |writer| {
            writer.write_char('"')?;
            write!(Escaped(writer), "{value:?}")?;
            writer.write_char('"')
        });
    }
}

/// What is written becomes the inside of a JSON string (RFC 8259, section 7).
struct Escaped<'a, 'w>(&'a mut Writer<'w>);

impl Write for Escaped<'_, '_> {
    fn write_str(&mut self, mut text: &str) -> fmt::Result {
        let special = |byte: u8| byte < b' ' || matches!(byte, b'"' | b'\\');
        while let Some(at) = text.bytes().position(special) {
            self.0.write_str(&text[..at])?;
            match text.as_bytes()[at] {
                b'"' => self.0.write_str("\\\"")?,
                b'\\' => self.0.write_str("\\\\")?,
                b'\n' => self.0.write_str("\\n")?,
                b'\r' => self.0.write_str("\\r")?,
                b'\t' => self.0.write_str("\\t")?,
                other => write!(self.0, "\\u{other:04x}")?,
            }
            // What was found is one byte of ASCII.
            text = &text[at + 1..];
        }
        self.0.write_str(text)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use tracing::dispatcher::{Dispatch, with_default};
    use tracing_subscriber::fmt;
    use tracing_subscriber::fmt::format::JsonFields;

    use super::*;
    use crate::logging::tests::Captured;

    /// The lines that `log` leaves, in our form and in tracing's own.
    fn both(log: impl Fn()) -> [Vec<Value>; 2] {
        let usual = || JsonLines::new().0;
        let (ours, theirs) = (Captured::default(), Captured::default());
        let builder = fmt().with_ansi(false).with_writer(ours.make());
        let builder = builder.fmt_fields(SpanFields).event_format(JsonLines::new());
        with_default(&Dispatch::from(builder.finish()), &log);
        let builder = fmt().with_ansi(false).with_writer(theirs.make());
        let builder = builder.fmt_fields(JsonFields::new()).event_format(usual());
        with_default(&Dispatch::from(builder.finish()), &log);
        [ours, theirs].map(|captured| captured.lines())
    }

    fn without_time(mut line: Value) -> (String, String) {
        let time = line.as_object_mut().unwrap().remove("timestamp").unwrap();
        (line.to_string(), time.as_str().unwrap().to_owned())
    }

    #[test]
    fn the_line_of_a_request_is_the_one_that_tracing_would_write() {
        let [ours, theirs] = both(|| {
            let (code, peer, none): (Option<i32>, _, Option<u64>) = (Some(-7), "192.0.2.1", None);
            let path = "a\"b\\c\n\u{1}\u{7f}é😀";
            let peer = Some(tracing::field::display(peer));
            tracing::info!(target: ACCESS_TARGET, path, status = 200_u16, code, none, peer, ok = true, "answered");
            tracing::error!(target: ACCESS_TARGET, said = ?path, "answered {}", 500);
        });
        assert_eq!((ours.len(), theirs.len()), (2, 2));
        for (ours, theirs) in ours.into_iter().zip(theirs) {
            let ((ours, our_time), (theirs, their_time)) = (without_time(ours), without_time(theirs));
            assert_eq!(ours, theirs, "members and their types");
            assert_eq!(our_time.len(), their_time.len());
            assert_eq!(our_time[..16], their_time[..16], "an hour's border apart");
        }
    }

    #[test]
    fn lines_within_spans_carry_the_spans_fields() {
        let [ours, theirs] = both(|| {
            let span = tracing::info_span!("request", request_id = "r\"1", late = tracing::field::Empty);
            let _entered = span.enter();
            tracing::warn!(target: ACCESS_TARGET, "inside");
            span.record("late", 5);
            tracing::warn!("inside");
        });
        let ours: Vec<_> = ours.into_iter().map(|line| without_time(line).0).collect();
        let theirs: Vec<_> = theirs.into_iter().map(|line| without_time(line).0).collect();
        assert_eq!(ours, theirs);
        assert!(ours[1].contains(r#""late":5"#), "{}", ours[1]);
    }

    #[test]
    fn a_time_is_utc_with_microseconds() {
        let shown = |micros| {
            let mut text = String::new();
            let time = UNIX_EPOCH + std::time::Duration::from_micros(micros);
            timestamp(&mut Writer::new(&mut text), time).unwrap();
            text
        };
        assert_eq!(shown(1_772_654_400_000_042), "2026-03-04T20:00:00.000042Z");
        assert_eq!(shown(1_772_654_400_999_999), "2026-03-04T20:00:00.999999Z");
        assert_eq!(shown(0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(shown(u64::MAX), "1970-01-01T00:00:00.551615Z");
    }
}
