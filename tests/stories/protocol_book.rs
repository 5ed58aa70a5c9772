//! The tables of `docs/protocol.md` say what the code says.

use std::borrow::Cow;
use std::collections::BTreeSet;

use ovation_actors::close::CloseCode;
use ovation_actors::operator::RefusalCode;
use ovation_actors::push::{Presence, Push, PushedComment, PushedVideo};
use ovation_schema::streams::EventKind;
use serde_json::Value;

use super::transcript::BOOK;

/// The cells of a section's table, without its head; code marks and blanks taken off.
fn table(section: &str) -> Vec<Vec<String>> {
    let heading = format!("\n## {section}\n");
    let (_, text) = BOOK
        .split_once(&heading)
        .unwrap_or_else(|| panic!("no section {section}"));
    let text = text.split("\n## ").next().unwrap();
    let rows = text.lines().filter(|line| line.starts_with('|')).skip(2);
    rows.map(|row| {
        let cells = row.trim_matches('|').split('|');
        cells.map(|cell| cell.trim().replace('`', "")).collect()
    })
    .collect()
}

/// The next one in the table's order. Without a wildcard: a new code does not compile until it stands here.
fn next_close(code: CloseCode) -> Option<CloseCode> {
    Some(match code {
        CloseCode::Normal => CloseCode::Protocol,
        CloseCode::Protocol => CloseCode::Unsupported,
        CloseCode::Unsupported => CloseCode::InvalidText,
        CloseCode::InvalidText => CloseCode::TooBig,
        CloseCode::TooBig => CloseCode::Restart,
        CloseCode::Restart => CloseCode::Unavailable,
        CloseCode::Unavailable => CloseCode::SlowConsumer,
        CloseCode::SlowConsumer => CloseCode::WriteError,
        CloseCode::WriteError => CloseCode::NoPong,
        CloseCode::NoPong => CloseCode::TooManyRequests,
        CloseCode::TooManyRequests => CloseCode::InvalidToken,
        CloseCode::InvalidToken => CloseCode::BadRequest,
        CloseCode::BadRequest => CloseCode::Revoked,
        CloseCode::Revoked => CloseCode::TooManyConnections,
        CloseCode::TooManyConnections => return None,
    })
}

fn next_refusal(code: RefusalCode) -> Option<RefusalCode> {
    Some(match code {
        RefusalCode::BadRequest => RefusalCode::Unauthorized,
        RefusalCode::Unauthorized => RefusalCode::Forbidden,
        RefusalCode::Forbidden => RefusalCode::NotFound,
        RefusalCode::NotFound => RefusalCode::KeyConflict,
        RefusalCode::KeyConflict => RefusalCode::LimitExceeded,
        RefusalCode::LimitExceeded => RefusalCode::TryLater,
        RefusalCode::TryLater => RefusalCode::Internal,
        RefusalCode::Internal => return None,
    })
}

fn next_kind(kind: EventKind) -> Option<EventKind> {
    Some(match kind {
        EventKind::MessageNew => EventKind::MessageRead,
        EventKind::MessageRead => EventKind::FollowNew,
        EventKind::FollowNew => EventKind::CommentNew,
        EventKind::CommentNew => EventKind::FavoriteNew,
        EventKind::FavoriteNew => return None,
    })
}

#[test]
fn close_codes() {
    let rows: Vec<Vec<String>> = table("Close codes").into_iter().map(|row| row[..3].to_vec()).collect();
    let codes = std::iter::successors(Some(CloseCode::Normal), |code| next_close(*code));
    let expected: Vec<Vec<String>> = codes
        .map(|code| {
            let again = if (3500..4000).contains(&code.number()) {
                "no"
            } else {
                "yes"
            };
            vec![code.number().to_string(), code.word().to_owned(), again.to_owned()]
        })
        .collect();
    assert_eq!(rows, expected);
}

#[test]
fn error_codes() {
    let rows: Vec<String> = table("Error codes").into_iter().map(|row| row[0].clone()).collect();
    let codes = std::iter::successors(Some(RefusalCode::BadRequest), |code| next_refusal(*code));
    let expected: Vec<Value> = codes.map(|code| serde_json::to_value(code).unwrap()).collect();
    assert_eq!(rows, expected);
}

#[test]
fn durable_and_ephemeral_events() {
    let durable: Vec<String> = table("Durable events").into_iter().map(|row| row[0].clone()).collect();
    let kinds = std::iter::successors(Some(EventKind::MessageNew), |kind| next_kind(*kind));
    assert_eq!(durable, kinds.map(EventKind::name).collect::<Vec<_>>());

    let ephemeral: BTreeSet<(String, String)> = table("Ephemeral events")
        .into_iter()
        .map(|row| (row[0].clone(), row[1].clone()))
        .collect();
    assert_eq!(ephemeral, pushes().iter().map(shape).collect());
}

/// One of each, with every member that it can have. Without a wildcard in [`shape`], as above.
fn pushes() -> Vec<Push<'static>> {
    let text = || Cow::Borrowed("x");
    let comment = PushedComment {
        id: 1,
        user_id: 1,
        user_name: text(),
        content: text(),
        created_at: 1,
    };
    let video = PushedVideo {
        id: 1,
        author_id: 1,
        title: text(),
        publish_time: 1,
    };
    vec![
        Push::VideoCounters {
            video_id: 1,
            favorite_count: 1,
            comment_count: 1,
        },
        Push::VideoViewers {
            video_id: 1,
            viewers: 1,
        },
        Push::VideoComment { video_id: 1, comment },
        Push::Typing {
            from_user_id: 1,
            on: true,
        },
        Push::Presence(Presence {
            user_id: 1,
            online: false,
            last_seen: Some(1),
        }),
        Push::FeedVideo { video },
        Push::FeedNewer { newer: 1 },
    ]
}

/// The name and the members of `d`, in their order: `video_id, comment {id, user_id}`.
fn shape(push: &Push<'_>) -> (String, String) {
    match push {
        Push::VideoCounters { .. }
        | Push::VideoViewers { .. }
        | Push::VideoComment { .. }
        | Push::Typing { .. }
        | Push::Presence(_)
        | Push::FeedVideo { .. }
        | Push::FeedNewer { .. } => {}
    }
    let value = serde_json::to_value(push).unwrap();
    (value["t"].as_str().unwrap().to_owned(), members(&value["d"]))
}

fn members(value: &Value) -> String {
    let mut names: Vec<String> = value
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| match value {
            Value::Object(_) => format!("{name} {{{}}}", members(value)),
            _ => name.clone(),
        })
        .collect();
    names.sort();
    names.join(", ")
}

#[test]
fn the_limits_are_those_that_the_transcripts_show() {
    let welcome = BOOK
        .lines()
        .find(|line| line.starts_with("A< ") && line.contains("\"limits\":"))
        .expect("a welcome in a transcript");
    let limits = welcome.split_once("\"limits\":").unwrap().1.split_once('}').unwrap().0;
    let shown: Value = serde_json::from_str(&format!("{limits}}}")).unwrap();
    let rows: BTreeSet<(String, u64)> = table("Limits")
        .into_iter()
        .map(|row| (row[0].clone(), row[1].replace(',', "").parse().unwrap()))
        .collect();
    let shown = shown.as_object().unwrap().iter();
    assert_eq!(
        rows,
        shown
            .map(|(name, value)| (name.clone(), value.as_u64().unwrap()))
            .collect()
    );
}

#[test]
fn every_example_is_json() {
    let blocks: Vec<&str> = BOOK.split("```json\n").skip(1).collect();
    assert!(blocks.len() > 10);
    for block in blocks {
        let text = block.split("```").next().unwrap();
        for value in serde_json::Deserializer::from_str(text).into_iter::<Value>() {
            let value = value.unwrap_or_else(|error| panic!("{error} in {text}"));
            assert!(value.is_object(), "{value}");
        }
    }
}
