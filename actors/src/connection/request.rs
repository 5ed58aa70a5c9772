//! Requests as they come, and their answers as they go.
//!
//! Owns the envelope: its members and their bounds. What an operation is called and what stands in `d` is the
//! operator's business, except where the order of operations depends on it: the receiver of a `message.send`.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::operator::{Refusal, Request};
use crate::push::Frame;

/// Characters of a request's `id`.
const ID_CHARACTERS: usize = 64;

/// Characters of an operation's name; the longest one has 15.
const NAME_CHARACTERS: usize = 64;

/// A request with the name its answer goes by.
#[derive(Debug)]
pub(super) struct Envelope {
    pub(super) id: String,
    pub(super) request: Request,
}

/// What is no request at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow)]
    t: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    id: std::borrow::Cow<'a, str>,
    #[serde(borrow, default)]
    d: Option<&'a RawValue>,
}

impl Envelope {
    /// Members that are not known are ignored, so that clients may be newer than the server.
    pub(super) fn parse(text: &str) -> Result<Self, Malformed> {
        let wire: Wire<'_> = serde_json::from_str(text).map_err(|_| Malformed)?;
        let within = |text: &str, most: usize| !text.is_empty() && text.chars().take(most + 1).count() <= most;
        if !within(&wire.id, ID_CHARACTERS) || !within(&wire.t, NAME_CHARACTERS) {
            return Err(Malformed);
        }
        let d = match wire.d {
            Some(d) if d.get() != "null" => d.get(),
            _ => "{}",
        };
        if !d.starts_with('{') {
            return Err(Malformed);
        }
        Ok(Self {
            id: wire.id.into_owned(),
            request: Request {
                t: wire.t.into_owned(),
                d: RawValue::from_string(d.to_owned()).map_err(|_| Malformed)?,
            },
        })
    }

    /// How many bytes it holds while it waits.
    pub(super) fn len(&self) -> usize {
        self.id.len() + self.request.t.len() + self.request.d.get().len()
    }

    /// Whom a `message.send` is for; none for everything else, and where the operator will refuse it anyway.
    pub(super) fn receiver(&self) -> Option<i64> {
        #[derive(Deserialize)]
        struct Receiver {
            to_user_id: i64,
        }
        if self.request.t != "message.send" {
            return None;
        }
        let receiver: Receiver = serde_json::from_str(self.request.d.get()).ok()?;
        Some(receiver.to_user_id)
    }
}

/// `{"t":…,"id":…,"d":…}` with a `d` that is JSON already.
pub(super) fn answer(t: &str, id: &str, d: &str) -> Frame {
    Frame::text(&format!(r#"{{"t":"{t}","id":{},"d":{d}}}"#, quoted(id)))
}

/// `{"t":"err",…}`.
pub(super) fn error(id: &str, refusal: &Refusal) -> Frame {
    #[derive(Serialize)]
    struct Wire<'a> {
        t: &'static str,
        id: &'a str,
        code: crate::operator::RefusalCode,
        msg: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        retry_after: Option<f64>,
    }
    let wire = Wire {
        t: "err",
        id,
        code: refusal.code,
        msg: &refusal.message,
        retry_after: refusal.retry_after,
    };
    // Strings and numbers always serialise.
    Frame::text(&serde_json::to_string(&wire).unwrap_or_default())
}

fn quoted(text: &str) -> String {
    // A string always serialises.
    serde_json::to_string(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::RefusalCode;

    #[test]
    fn a_request_is_taken_apart() {
        let envelope = Envelope::parse(r#"{"t":"message.send","id":"c-1","d":{"to_user_id":7},"new":1}"#).unwrap();
        assert_eq!(envelope.id, "c-1");
        assert_eq!(envelope.receiver(), Some(7));
        assert_eq!(
            Envelope::parse(r#"{"t":"ping","id":"1"}"#).unwrap().request.d.get(),
            "{}"
        );
        assert_eq!(
            Envelope::parse(r#"{"t":"ping","id":"1","d":null}"#)
                .unwrap()
                .request
                .d
                .get(),
            "{}"
        );
        let escaped = Envelope::parse(r#"{"t":"p\u0069ng","id":"\u00e9\"","d":{}}"#).unwrap();
        assert_eq!((escaped.request.t.as_str(), escaped.id.as_str()), ("ping", "é\""));
        assert_eq!(escaped.receiver(), None);
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let long = format!(r#"{{"t":"ping","id":"{}"}}"#, "é".repeat(65));
        let deep = format!(r#"{{"t":"ping","id":"1","d":{}"#, "[".repeat(30_000));
        for bad in [
            "",
            "1",
            "[]",
            "{}",
            "nonsense",
            r#"{"t":"ping"}"#,
            r#"{"t":"ping","id":""}"#,
            r#"{"t":"","id":"1"}"#,
            r#"{"t":"ping","id":1}"#,
            r#"{"t":"ping","id":"1","d":[]}"#,
            r#"{"t":"ping","id":"1"} "#.repeat(2).as_str(),
            &long,
            &deep,
        ] {
            assert!(Envelope::parse(bad).is_err(), "{bad}");
        }
        let longest = format!(r#"{{"t":"ping","id":"{}"}}"#, "é".repeat(64));
        assert!(Envelope::parse(&longest).is_ok());
    }

    #[test]
    fn answers_are_json_whatever_the_id() {
        let frame = answer("ack", "a\"\u{1}", r#"{"x":1}"#);
        let value: serde_json::Value = serde_json::from_slice(&frame.bytes()[2..]).unwrap();
        assert_eq!(value, serde_json::json!({"t": "ack", "id": "a\"\u{1}", "d": {"x": 1}}));
        let refusal = Refusal {
            code: RefusalCode::TryLater,
            message: "Not now.".into(),
            retry_after: Some(1.5),
        };
        let frame = error("1", &refusal);
        assert_eq!(
            &frame.bytes()[2..],
            br#"{"t":"err","id":"1","code":"try_later","msg":"Not now.","retry_after":1.5}"#
        );
    }
}
