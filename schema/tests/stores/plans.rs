//! Every query is served by an index: what the two planners choose, and how many rows MariaDB touches for a page.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use diesel::connection::{Connection, InstrumentationEvent, SimpleConnection};
use diesel::prelude::*;
use diesel::sql_types::Text;
use ovation_schema::messages::{NewMessage, Read, Sent};
use ovation_schema::{
    CommentId, Database, DbConnection, MessageId, Store, StoreError, UserId, VideoId, comments, favorites, follows,
    likes, messages, streams, users, videos,
};

use crate::world::{Folder, mysql};

const LIMIT: i64 = 20;

type Query = fn(&mut DbConnection) -> Result<usize, StoreError>;

/// Name, query, rows it must find, the indexes of which one must serve each of its statements, whether it may sort.
type Case = (&'static str, Query, usize, &'static str, bool);

const CASES: &[Case] = &[
    (
        "find",
        |db| Ok(users::find(db, UserId(7))?.iter().count()),
        1,
        "PRIMARY",
        false,
    ),
    (
        "exists",
        |db| Ok(usize::from(users::exists(db, UserId(7))?)),
        1,
        "PRIMARY",
        false,
    ),
    (
        "credentials",
        |db| Ok(users::credentials(db, "name 7")?.iter().count()),
        1,
        "users_name",
        false,
    ),
    (
        "set_password",
        |db| rolled_back(db, |db| Ok(usize::from(users::set_password(db, "name 7", "y", 9_999)?))),
        1,
        "users_name|PRIMARY",
        false,
    ),
    (
        "revoked_since",
        |db| Ok(users::revoked_since(db, 1_900, LIMIT)?.len()),
        20,
        "PRIMARY",
        false,
    ),
    (
        "last_seen",
        |db| Ok(users::last_seen(db, &[UserId(2), UserId(3)])?.len()),
        2,
        "PRIMARY",
        false,
    ),
    (
        "counts",
        |db| Ok(videos::counts(db, VideoId(7))?.iter().count()),
        1,
        "PRIMARY",
        false,
    ),
    (
        "newer_than",
        |db| Ok(usize::try_from(videos::newer_than(db, 1_000, LIMIT)?).unwrap()),
        20,
        "videos_publish_time",
        false,
    ),
    (
        "position",
        |db| Ok(usize::try_from(streams::position(db, UserId(1))?.unwrap().newest).unwrap()),
        3_000,
        "PRIMARY|optimized away",
        false,
    ),
    (
        "events",
        |db| Ok(streams::page(db, UserId(1), 1_500, LIMIT)?.len()),
        20,
        "PRIMARY",
        false,
    ),
    (
        "trim",
        |db| rolled_back(db, |db| streams::trim(db, 11, streams::KEPT, LIMIT)),
        10,
        "events_created|PRIMARY",
        false,
    ),
    (
        "friends among",
        |db| Ok(follows::friends_among(db, UserId(1), &[UserId(2), UserId(3), UserId(1_999)])?.len()),
        2,
        "PRIMARY",
        false,
    ),
    (
        "followers among",
        |db| Ok(follows::followers_among(db, UserId(1), &[UserId(2), UserId(3), UserId(1_999)])?.len()),
        2,
        "PRIMARY",
        false,
    ),
    (
        "friends among a thousand",
        |db| Ok(follows::friends_among(db, UserId(1), &(2..=1_001).map(UserId).collect::<Vec<_>>())?.len()),
        999,
        "PRIMARY",
        true,
    ),
    (
        "followers among a hundred",
        |db| Ok(follows::followers_among(db, UserId(1), &(2..=101).map(UserId).collect::<Vec<_>>())?.len()),
        100,
        "PRIMARY",
        true,
    ),
    (
        "followers among a thousand",
        |db| Ok(follows::followers_among(db, UserId(1), &(2..=1_001).map(UserId).collect::<Vec<_>>())?.len()),
        999,
        "PRIMARY|follows_followers",
        true,
    ),
    (
        "followers among a thousand that follow others",
        |db| Ok(999 + follows::followers_among(db, UserId(1_900), &(2..=1_001).map(UserId).collect::<Vec<_>>())?.len()),
        999,
        "PRIMARY",
        true,
    ),
    (
        "history",
        |db| Ok(messages::history(db, (UserId(2), UserId(1)), Some(3_500), LIMIT)?.len()),
        20,
        "messages_conversation",
        false,
    ),
    (
        "conversation",
        |db| Ok(usize::try_from(messages::conversation(db, UserId(1), UserId(2))?.unread).unwrap()),
        1,
        "PRIMARY",
        false,
    ),
    (
        "unread_total",
        |db| Ok(usize::try_from(messages::unread_total(db, UserId(1))?).unwrap()),
        999,
        "PRIMARY",
        true,
    ),
    (
        "read",
        |db| rolled_back(db, |db| read(db, MessageId(4_980))),
        1,
        "PRIMARY|messages_conversation",
        false,
    ),
    (
        "send",
        |db| rolled_back(db, send),
        2,
        "PRIMARY|messages_key|messages_conversation|const tables",
        false,
    ),
    (
        "send_many",
        |db| rolled_back(db, send_many),
        3,
        "PRIMARY|messages_key|messages_conversation|const tables",
        false,
    ),
    (
        "feed",
        |db| Ok(videos::feed(db, 1_000, LIMIT)?.len()),
        20,
        "videos_publish_time",
        false,
    ),
    (
        "by_author",
        |db| Ok(videos::by_author(db, UserId(1), 1_000, LIMIT)?.len()),
        20,
        "videos_author",
        false,
    ),
    (
        "author",
        |db| Ok(videos::author(db, VideoId(1))?.iter().count()),
        1,
        "PRIMARY",
        false,
    ),
    (
        "referenced_media",
        |db| Ok(videos::referenced_media(db, &[format!("{:064x}", 5), format!("{:064x}", 9_999_999)])?.len()),
        1,
        "videos_media",
        false,
    ),
    (
        "by_ids",
        |db| Ok(videos::by_ids(db, &[VideoId(2), VideoId(3)])?.len()),
        2,
        "PRIMARY",
        false,
    ),
    (
        "token_versions",
        |db| Ok(users::token_versions(db, &[UserId(2), UserId(3)])?.len()),
        2,
        "PRIMARY",
        false,
    ),
    (
        "look_up",
        |db| {
            Ok(likes::look_up(db, &[(UserId(1), VideoId(2)), (UserId(1), VideoId(3))])?
                .active
                .len())
        },
        2,
        "PRIMARY",
        false,
    ),
    (
        "liked among",
        |db| Ok(favorites::among(db, UserId(1), &[VideoId(2), VideoId(3)])?.len()),
        2,
        "PRIMARY",
        false,
    ),
    (
        "favorites",
        |db| Ok(favorites::page(db, UserId(1), (500, VideoId(500)), LIMIT)?.len()),
        20,
        "favorites_list",
        false,
    ),
    (
        "followed among",
        |db| Ok(follows::among(db, UserId(1), &[UserId(2), UserId(3)])?.len()),
        2,
        "PRIMARY",
        false,
    ),
    (
        "followees",
        |db| Ok(follows::followees(db, UserId(1), (500, UserId(500)), LIMIT)?.len()),
        20,
        "follows_list",
        false,
    ),
    (
        "followers",
        |db| Ok(follows::followers(db, UserId(1), (500, UserId(500)), LIMIT)?.len()),
        20,
        "follows_followers",
        false,
    ),
    (
        "friends",
        |db| Ok(follows::friends(db, UserId(1))?.len()),
        999,
        "follows",
        true,
    ),
    (
        "friend_rows",
        |db| Ok(follows::friend_rows(db, UserId(1), &[UserId(2), UserId(3)])?.len()),
        2,
        "PRIMARY",
        false,
    ),
    (
        "comments",
        |db| Ok(comments::page(db, VideoId(1), (2_000, CommentId(2_000)), LIMIT)?.len()),
        20,
        "comments_list",
        false,
    ),
    (
        "comments behind many deleted ones",
        |db| Ok(comments::page(db, VideoId(1), (i64::MAX, CommentId(i64::MAX)), LIMIT)?.len()),
        20,
        "comments_list",
        false,
    ),
    (
        "messages",
        |db| Ok(messages::page(db, (UserId(2), UserId(1)), None, 3_500, LIMIT)?.len()),
        20,
        "messages_conversation",
        false,
    ),
    (
        "messages from one side",
        |db| Ok(messages::page(db, (UserId(2), UserId(1)), Some(UserId(1)), 3_500, LIMIT)?.len()),
        20,
        "messages_conversation",
        false,
    ),
];

fn rolled_back(db: &mut DbConnection, query: Query) -> Result<usize, StoreError> {
    db.batch_execute("BEGIN")?;
    let found = query(db);
    db.batch_execute("ROLLBACK")?;
    found
}

fn read(db: &mut DbConnection, message: MessageId) -> Result<usize, StoreError> {
    match messages::read(db, UserId(2), UserId(1), message, 9_999)? {
        Read::Moved { events, .. } => Ok(events.len() - 1),
        other => panic!("{other:?}"),
    }
}

fn message(id: i64, from: i64, to: i64) -> NewMessage {
    NewMessage {
        id: MessageId(id),
        from: UserId(from),
        to: UserId(to),
        content: "m".into(),
        key: Some(format!("k{id}")),
    }
}

/// In two conversations that are there, and a new one.
fn send_many(db: &mut DbConnection) -> Result<usize, StoreError> {
    let sent = [message(9_997, 1, 2), message(9_998, 3, 1), message(9_999, 1_998, 1_999)];
    let sent = messages::send_many(db, &sent.each_ref(), 9_999)?;
    Ok(sent.iter().filter(|sent| matches!(sent, Sent::Stored { .. })).count())
}

fn send(db: &mut DbConnection) -> Result<usize, StoreError> {
    let message = message(9_999, 1, 2);
    match messages::send(db, &message, 9_999)? {
        Sent::Stored { events, .. } => Ok(events.len()),
        other => panic!("{other:?}"),
    }
}

/// 2,000 users and videos and 5,000 of everything else; user 1, video 1 and the conversation of 1 and 2 have the most.
fn fill(db: &mut DbConnection) {
    let mut insert = |table: &str, rows: &mut dyn Iterator<Item = String>| {
        let rows: Vec<_> = rows.collect();
        for rows in rows.chunks(1_000) {
            db.batch_execute(&format!("INSERT INTO {table} VALUES {}", rows.join(",")))
                .unwrap();
        }
    };
    insert(
        "users (id, name, password_hash, created_at)",
        &mut (1..=2_000).map(|n| format!("({n}, 'name {n}', 'x', 1)")),
    );
    insert(
        "videos (id, author_id, title, media_hash, publish_time)",
        &mut (1..=2_000).map(|n| format!("({n}, {}, 't', '{n:064x}', {n})", if n % 10 == 0 { 1 } else { n })),
    );
    let pairs = |turned: bool| {
        (2..=1_000)
            .map(move |n| if turned { (n, 1, n) } else { (1, n, n) })
            .chain((2..=1_600).map(move |n| (n, if turned { n + 1 } else { n + 2 }, n)))
    };
    insert(
        "favorites (user_id, video_id, active, changed_at)",
        &mut pairs(false)
            .chain((2..=1_600).map(|n| (n, n + 3, n)))
            .map(|(a, b, n)| format!("({a}, {b}, 1, {n})")),
    );
    insert(
        "follows",
        &mut pairs(false)
            .chain(pairs(true))
            .map(|(a, b, n)| format!("({a}, {b}, 1, {n})")),
    );
    insert(
        "comments",
        // The newest hundred of video 1's five hundred are deleted.
        &mut (1..=5_000).map(|n| {
            let video = if n % 10 == 0 { 1 } else { n };
            let deleted = if n > 4_000 { "9" } else { "NULL" };
            format!("({n}, {video}, {}, 'c', {n}, {deleted})", n % 2_000 + 1)
        }),
    );
    insert(
        "messages",
        &mut (1..=5_000).map(|n| {
            let hi = if n % 10 < 2 { 2 } else { n % 2_000 + 3 };
            format!(
                "({n}, 1, {hi}, {}, 'm', {n}, 'key {n}')",
                if n % 2 == 0 { 1 } else { hi }
            )
        }),
    );
    insert(
        "conversations",
        &mut (2..=1_000).flat_map(|n| {
            [
                format!("(1, {n}, {n}, {n}, 0, 0, 1)"),
                format!("({n}, 1, {n}, {n}, 0, 0, 1)"),
            ]
        }),
    );
    insert(
        "streams",
        &mut (1..=2_000).map(|n| format!("({n}, {})", if n == 1 { 3_001 } else { 2 })),
    );
    insert(
        "events",
        &mut (1..=3_000)
            .map(|n| (1, n))
            .chain((2..=2_000).map(|n| (n, 1)))
            .map(|(user, seq)| {
                format!(
                    "({user}, {seq}, 'follow.new', '{{}}', {})",
                    if user == 1 { seq } else { 9_000 }
                )
            }),
    );
    insert("revocations", &mut (1..=2_000).map(|n| format!("({n}, {n}, 2)")));
    insert("last_seen", &mut (1..=2_000).map(|n| format!("({n}, {n})")));
}

/// The statements that `query` sends, with what they bind.
fn record(db: &mut DbConnection, query: Query) -> (usize, Vec<String>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    db.set_instrumentation(move |event: InstrumentationEvent<'_>| {
        if let InstrumentationEvent::StartQuery { query, .. } = event {
            log.lock().unwrap().push(query.to_string());
        }
    });
    let found = query(db).unwrap();
    db.set_instrumentation(diesel::connection::get_default_instrumentation());
    let mut seen = seen.lock().unwrap().clone();
    // What inserts looks nothing up.
    seen.retain(|statement| {
        ["SELECT", "UPDATE", "DELETE"]
            .iter()
            .any(|word| statement.starts_with(word))
    });
    (found, seen)
}

/// Puts the values into the places of their question marks: MariaDB's choice depends on them.
fn with_values(statement: &str) -> String {
    let (sql, binds) = statement.split_once("-- binds: [").unwrap_or((statement, "]"));
    let mut binds = binds.trim_end_matches(']').split(", ").map(|bind| {
        let bind = bind.split_once("Id(").map_or(bind, |(_, id)| id);
        bind.trim_matches([')', '[', ']']).replace('"', "'")
    });
    let mut whole = String::new();
    for piece in sql.split_inclusive('?') {
        match piece.strip_suffix('?') {
            Some(before) => write!(whole, "{before}{}", binds.next().unwrap()).unwrap(),
            None => whole.push_str(piece),
        }
    }
    whole
}

/// The line of a plan about something small by nature: the mark, a table of one row that every statement that reads
/// counts selects as well, or the list of values in the statement itself.
fn is_small(line: &str) -> bool {
    line.contains("ledger_mark") || line.contains("VALUES CLAUSE")
}

#[derive(QueryableByName)]
struct Detail {
    #[diesel(sql_type = Text)]
    detail: String,
}

#[test]
fn sqlite_searches_and_never_sorts_what_an_index_has_in_order() {
    let folder = Folder::new();
    let options = folder.sqlite();
    Store::open(&options).unwrap().close();
    let mut db = ovation_schema::connect(&options).unwrap();
    fill(&mut db);
    let mut wrong = String::new();
    for (name, query, rows, index, may_sort) in CASES {
        let (found, statements) = record(&mut db, *query);
        assert_eq!(found, *rows, "{name}");
        for statement in statements {
            let plan: Vec<Detail> = diesel::sql_query(format!("EXPLAIN QUERY PLAN {}", with_values(&statement)))
                .load(&mut db)
                .unwrap();
            let plan: Vec<_> = plan
                .into_iter()
                .map(|row| row.detail)
                .filter(|line| !is_small(line))
                .collect();
            let by_index = index.split('|').any(|index| {
                let wanted = if index == "PRIMARY" { "PRIMARY KEY" } else { index };
                plan.iter().any(|line| line.contains(wanted))
            });
            let bad = !by_index
                || plan.iter().any(|line| line.contains("SCAN"))
                || (!may_sort && plan.iter().any(|line| line.contains("TEMP B-TREE")));
            if bad {
                writeln!(wrong, "{name}: {plan:#?}\n{statement}").unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[derive(QueryableByName)]
struct Status {
    #[diesel(sql_type = Text)]
    value: String,
}

/// Rows that the session's statements have read so far.
fn rows_read(db: &mut DbConnection) -> i64 {
    let status: Vec<Status> = diesel::sql_query(
        "SELECT CAST(variable_value AS CHAR) AS value FROM information_schema.session_status \
         WHERE variable_name LIKE 'Handler_read%' AND variable_name NOT LIKE '%tmp%' \
         AND variable_name NOT LIKE '%rnd_next'",
    )
    .load(db)
    .unwrap();
    status.iter().map(|row| row.value.parse::<i64>().unwrap()).sum()
}

#[test]
fn mariadb_reads_a_bounded_range_of_the_right_index() {
    let options = mysql();
    drop(Store::open(&options).unwrap());
    let Database::Mysql(url) = &options.database else {
        unreachable!()
    };
    let name = url.rsplit('/').next().unwrap();
    let mut db = ovation_schema::connect(&options).unwrap();
    fill(&mut db);
    let server = crate::mariadb::shared();
    let mut wrong = String::new();
    for analyzed in [false, true] {
        if analyzed {
            server.sql(&format!(
                "USE {name}; ANALYZE TABLE users, videos, favorites, follows, comments, messages, conversations, streams, \
                 events, revocations, last_seen"
            ));
        }
        for (what, query, rows, index, may_sort) in CASES {
            let before = rows_read(&mut db);
            let (found, statements) = record(&mut db, *query);
            let read = rows_read(&mut db) - before;
            assert_eq!(found, *rows, "{what}");
            // A row of the page, its joined rows, and the ends of ranges; one side of a conversation passes over the
            // other's messages.
            let bound = if *may_sort {
                5 * i64::try_from(*rows).unwrap()
            } else {
                4 * LIMIT + 10
            };
            if read > bound {
                writeln!(wrong, "{what} (analyzed: {analyzed}): {read} rows read").unwrap();
            }
            for statement in statements {
                // As our own sessions have it.
                let session = "SET in_predicate_conversion_threshold = 0";
                let plan = server.sql(&format!("USE {name}; {session}; EXPLAIN {}", with_values(&statement)));
                let plan: String = plan
                    .lines()
                    .filter(|line| !is_small(line))
                    .flat_map(|line| [line, "\n"])
                    .collect();
                let bad = !index.split('|').any(|index| plan.contains(index))
                    || plan.contains("\tALL\t")
                    || plan.contains("\tindex\t")
                    || (!may_sort && (plan.contains("filesort") || plan.contains("temporary")));
                if bad || read > bound {
                    writeln!(wrong, "{what} (analyzed: {analyzed}):\n{plan}{statement}").unwrap();
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
