use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn limits() -> Limits {
    Limits {
        queued_operations: 4,
        operations_per_second: 10_000,
        ..Limits::default()
    }
}

/// The frames so far, as JSON; all of them are short.
fn said(out: &mut Outgoing) -> Vec<Value> {
    let mut values = Vec::new();
    while let Some(write) = out.write() {
        let mut rest = &write[..];
        while !rest.is_empty() {
            let (start, length) = match rest[1] {
                126 => (4, usize::from(u16::from_be_bytes([rest[2], rest[3]]))),
                length => (2, usize::from(length)),
            };
            values.push(serde_json::from_slice(&rest[start..start + length]).unwrap());
            rest = &rest[start + length..];
        }
    }
    values
}

fn guest() -> Greeting {
    Greeting {
        welcome: r#"{"user_id":null}"#.to_owned(),
        member: None,
    }
}

fn try_later() -> Refusal {
    Refusal {
        code: RefusalCode::TryLater,
        message: "Not now.".into(),
        retry_after: Some(2.0),
    }
}

struct Talk {
    state: State,
    out: Outgoing,
    now: Instant,
}

impl Talk {
    fn new(limits: &Limits) -> Self {
        let now = Instant::now();
        Self {
            state: State::new(limits, now),
            out: Outgoing::default(),
            now,
        }
    }

    fn open() -> Self {
        let mut talk = Self::new(&limits());
        talk.text(r#"{"t":"hello","id":"h"}"#).unwrap();
        assert!(matches!(talk.state.job(), Some(Job::Greet(_))));
        talk.state.greeted(Ok(&guest()), &mut talk.out).unwrap();
        said(&mut talk.out);
        talk
    }

    fn text(&mut self, text: &str) -> Result<(), Close> {
        self.state.text(text, self.now, 1234, &mut self.out)
    }

    fn send(&mut self, id: &str, to: i64) {
        self.text(&format!(
            r#"{{"t":"message.send","id":"{id}","d":{{"to_user_id":{to}}}}}"#
        ))
        .unwrap();
    }

    fn call(&mut self) -> Option<Request> {
        match self.state.job() {
            Some(Job::Call(request)) => Some(request),
            Some(Job::Greet(_)) => panic!("greeted already"),
            None => None,
        }
    }

    fn is_calling(&self) -> bool {
        let operations = self.state.operations.as_ref();
        operations.is_some_and(|operations| operations.calling.is_some())
    }

    fn said(&mut self) -> Vec<String> {
        said(&mut self.out)
            .iter()
            .map(|value| format!("{} {}", value["t"], value["id"]).replace('"', ""))
            .collect()
    }
}

#[test]
fn hello_comes_first_and_once() {
    for text in [
        r#"{"t":"ping","id":"1"}"#,
        "nonsense",
        r#"{"t":"hello","id":"1","d":{"token":5}}"#,
        r#"{"t":"hello","id":"1","d":{"resume":{"epoch":"a"}}}"#,
    ] {
        assert_eq!(Talk::new(&limits()).text(text).unwrap_err().code, CloseCode::BadRequest);
    }
    let mut talk = Talk::new(&limits());
    talk.text(r#"{"t":"hello","id":"h","d":{"token":"x","resume":{"epoch":"e","seq":4}}}"#)
        .unwrap();
    let Some(Job::Greet(hello)) = talk.state.job() else {
        panic!("a greeting");
    };
    assert_eq!((hello.token.as_deref(), hello.resume.unwrap().seq), (Some("x"), 4));
    // What a client sends without waiting for `welcome` waits for it.
    talk.send("1", 1);
    talk.text(r#"{"t":"hello","id":"h2"}"#).unwrap();
    assert!(talk.state.job().is_none());
    talk.state.greeted(Ok(&guest()), &mut talk.out).unwrap();
    assert_eq!(talk.call().unwrap().t, "message.send");
    let said = said(&mut talk.out);
    assert_eq!(
        (said[0]["t"].as_str(), said[0]["code"].as_str()),
        (Some("err"), Some("bad_request"))
    );
    assert_eq!(
        said[1],
        serde_json::json!({"t": "welcome", "id": "h", "d": {"user_id": null}})
    );
}

#[test]
fn a_denied_hello_is_answered_and_closed() {
    let mut talk = Talk::new(&limits());
    talk.text(r#"{"t":"hello","id":"h"}"#).unwrap();
    let denied = Denied {
        refusal: try_later(),
        close: CloseCode::Unavailable.into(),
    };
    let close = talk.state.greeted(Err(&denied), &mut talk.out).unwrap_err();
    assert_eq!(close.code, CloseCode::Unavailable);
    assert_eq!(talk.said(), ["err h"]);
}

#[test]
fn a_ping_does_not_wait_for_operations() {
    let mut talk = Talk::open();
    talk.send("1", 1);
    assert!(talk.call().is_some());
    talk.text(r#"{"t":"ping","id":"p"}"#).unwrap();
    assert_eq!(
        said(&mut talk.out),
        [serde_json::json!({"t": "pong", "id": "p", "d": {"time": 1234}})]
    );
}

#[test]
fn messages_behind_one_that_failed_fail_with_it() {
    let mut talk = Talk::open();
    talk.send("1", 7);
    assert!(talk.call().is_some());
    talk.send("2", 8);
    talk.send("3", 7);
    talk.text(r#"{"t":"message.read","id":"4","d":{"to_user_id":7}}"#)
        .unwrap();
    talk.state.answered(Err(&try_later()), &mut talk.out);
    assert_eq!(talk.said(), ["err 1", "err 3"]);
    // Received before the failure, not looked at yet.
    talk.send("behind", 7);
    talk.send("apart", 8);
    assert_eq!(talk.said(), ["err behind"]);
    // What comes after the failure may be the client's resend.
    talk.state.caught_up();
    talk.send("5", 7);
    let mut order = Vec::new();
    while let Some(request) = talk.call() {
        order.push(request.t);
        talk.state.answered(Ok("{}"), &mut talk.out);
    }
    assert_eq!(talk.said(), ["ack 2", "ack 4", "ack apart", "ack 5"]);
    assert_eq!(order, ["message.send", "message.read", "message.send", "message.send"]);
}

#[test]
fn other_refusals_concern_nobody_else() {
    let mut talk = Talk::open();
    talk.send("1", 7);
    assert!(talk.call().is_some());
    talk.send("2", 7);
    let refusal = Refusal {
        code: RefusalCode::Forbidden,
        ..try_later()
    };
    talk.state.answered(Err(&refusal), &mut talk.out);
    assert_eq!(talk.said(), ["err 1"]);
    assert!(talk.call().is_some());
}

#[test]
fn no_message_gets_ahead_of_one_that_found_no_room() {
    let mut talk = Talk::open();
    talk.send("0", 7);
    assert!(talk.call().is_some());
    for id in ["1", "2", "3", "4", "5"] {
        talk.send(id, 7);
    }
    assert_eq!(talk.said(), ["err 5"]);
    talk.state.answered(Ok("{}"), &mut talk.out);
    assert!(talk.call().is_some());
    talk.send("6", 7);
    talk.text(r#"{"t":"favorite.set","id":"7"}"#).unwrap();
    assert_eq!(talk.said(), ["ack 0", "err 6"]);
    while talk.is_calling() {
        talk.state.answered(Ok("{}"), &mut talk.out);
        talk.call();
    }
    talk.send("8", 7);
    assert!(talk.call().is_some());
}

#[test]
fn what_waits_is_bounded_in_bytes() {
    let mut talk = Talk::open();
    talk.state.queued_bytes = 1000;
    let large = |id: &str, length: usize| format!(r#"{{"t":"x","id":"{id}","d":{{"x":"{}"}}}}"#, "x".repeat(length));
    talk.text(&large("1", 5000)).unwrap();
    talk.text(&large("2", 10)).unwrap();
    assert_eq!(talk.said(), ["err 2"]);
    assert!(talk.call().is_some());
    for id in ["3", "4", "5"] {
        talk.text(&large(id, 400)).unwrap();
    }
    assert_eq!(talk.said(), ["err 5"]);
    while talk.is_calling() {
        talk.state.answered(Ok("{}"), &mut talk.out);
        talk.call();
    }
    assert!(talk.state.operations.is_none(), "nothing is kept");
}

#[test]
fn more_operations_than_announced_close() {
    let mut talk = Talk::new(&Limits {
        operations_per_second: 5,
        ..limits()
    });
    talk.text(r#"{"t":"hello","id":"h"}"#).unwrap();
    for _ in 0..9 {
        talk.text(r#"{"t":"ping","id":"1"}"#).unwrap();
    }
    assert_eq!(
        talk.text(r#"{"t":"ping","id":"1"}"#).unwrap_err().code,
        CloseCode::TooManyRequests
    );
}

proptest! {
    /// Each request has one answer, calls come one at a time in the order received, and no message is called that was
    /// received before another to the same receiver failed for a while.
    #[test]
    fn a_model_of_operations(steps in prop::collection::vec((0u8..6, 0i64..3), 0..150)) {
        let mut talk = Talk::open();
        let mut received: Vec<(usize, Option<i64>)> = Vec::new();
        let mut answered = std::collections::HashMap::<String, usize>::new();
        let mut calling: Option<usize> = None;
        let mut last = None;
        let mut failed_at = [0usize; 3];
        for (what, to) in steps {
            let id = received.len();
            match what {
                0 | 1 => {
                    talk.text(&format!(r#"{{"t":"message.send","id":"{id}","d":{{"to_user_id":{to},"n":{id}}}}}"#)).unwrap();
                    received.push((id, Some(to)));
                }
                2 => {
                    talk.text(&format!(r#"{{"t":"typing","id":"{id}","d":{{"n":{id}}}}}"#)).unwrap();
                    received.push((id, None));
                }
                3 => if let Some(request) = talk.call() {
                    prop_assert_eq!(calling, None);
                    let d: Value = serde_json::from_str(request.d.get()).unwrap();
                    let n = usize::try_from(d["n"].as_u64().unwrap()).unwrap();
                    prop_assert!(last.is_none_or(|last| last < n));
                    if let Some(to) = received[n].1 {
                        prop_assert!(n >= failed_at[usize::try_from(to).unwrap()]);
                    }
                    (calling, last) = (Some(n), Some(n));
                },
                4 => if calling.take().is_some() {
                    talk.state.answered(Ok("{}"), &mut talk.out);
                },
                _ => if let Some(n) = calling.take() {
                    talk.state.answered(Err(&try_later()), &mut talk.out);
                    if let Some(to) = received[n].1 {
                        failed_at[usize::try_from(to).unwrap()] = received.len();
                    }
                },
            }
            if let Some(operations) = &talk.state.operations {
                prop_assert!(operations.queue.len() <= limits().queued_operations);
                prop_assert_eq!(operations.bytes, operations.queue.iter().map(Envelope::len).sum::<usize>());
            }
            for value in said(&mut talk.out) {
                *answered.entry(value["id"].as_str().unwrap().to_owned()).or_default() += 1;
            }
        }
        loop {
            if talk.is_calling() {
                talk.state.answered(Ok("{}"), &mut talk.out);
            } else if talk.call().is_none() {
                break;
            }
        }
        for value in said(&mut talk.out) {
            *answered.entry(value["id"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        prop_assert_eq!(answered.len(), received.len());
        prop_assert!(answered.values().all(|answers| *answers == 1));
    }
}
