//! Every query is served by an index: what the two planners choose, and how many rows MariaDB touches for a page.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use diesel::connection::{Connection, InstrumentationEvent, SimpleConnection};
use diesel::prelude::*;
use diesel::sql_types::Text;
use ovation_schema::{
    CommentId, Database, DbConnection, Store, StoreError, UserId, VideoId, comments, favorites, follows, likes,
    messages, users, videos,
};

use crate::world::{Folder, mysql};

const LIMIT: i64 = 20;

type Query = fn(&mut DbConnection) -> Result<usize, StoreError>;

/// Name, query, rows it must find, the index that must serve it, whether it may sort.
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
        |db| Ok(usize::from(users::set_password(db, "name 7", "y")?)),
        1,
        "users_name",
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
            format!("({n}, 1, {hi}, {}, 'm', {n})", if n % 2 == 0 { 1 } else { hi })
        }),
    );
    insert(
        "conversations",
        &mut (2..=1_000).flat_map(|n| [format!("(1, {n}, {n}, {n})"), format!("({n}, 1, {n}, {n})")]),
    );
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
    let seen = seen.lock().unwrap().clone();
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
            let wanted = if *index == "PRIMARY" { "PRIMARY KEY" } else { *index };
            let by_index = plan.iter().any(|line| line.contains(wanted));
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
                "USE {name}; ANALYZE TABLE users, videos, favorites, follows, comments, messages, conversations"
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
                let plan = server.sql(&format!("USE {name}; EXPLAIN {}", with_values(&statement)));
                let plan: String = plan
                    .lines()
                    .filter(|line| !is_small(line))
                    .flat_map(|line| [line, "\n"])
                    .collect();
                let bad = !plan.contains(index)
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
