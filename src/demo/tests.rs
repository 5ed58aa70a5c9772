//! The filled store, counted again from its rows, and the starts after the first one.

use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::config::Config;
use crate::demo_world::{CHATS, FOLLOWS, VIDEOS};
use crate::seed::recount::{faults, lines, number};
use crate::server::Server;

fn config(folder: &Path) -> Config {
    Config {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        data_dir: folder.to_owned(),
        workers: 1,
        ..Config::default()
    }
}

/// Starts as `serve --demo` does.
fn start(folder: &Path) -> (Server, Demo) {
    let mut found = None;
    let server = Server::start_with(config(folder), |app| {
        found = Some(fill(app)?);
        Ok(())
    })
    .unwrap();
    (server, found.unwrap())
}

fn read<T: Send + 'static>(
    server: &Server,
    query: impl Fn(&mut ovation_schema::DbConnection) -> Result<T, StoreError> + Send + 'static,
) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(server.store().read(query)).unwrap()
}

fn count(server: &Server, table: &'static str) -> usize {
    let rows = read(server, move |connection| {
        number(connection, &format!("SELECT COUNT(*) AS number FROM {table}"))
    });
    usize::try_from(rows).unwrap()
}

#[test]
fn the_world_is_complete_counted_right_and_the_same_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let (server, demo) = start(folder.path());
    assert_eq!(read(&server, faults), Vec::<String>::new());
    let expected = [
        ("users", USERS.len()),
        ("follows", FOLLOWS.iter().map(|(_, followees)| followees.len()).sum()),
        ("videos", VIDEOS.len()),
        ("favorites", VIDEOS.iter().map(|video| video.likes.len()).sum()),
        ("comments", VIDEOS.iter().map(|video| video.comments.len()).sum()),
        ("messages", CHATS.iter().map(|chat| chat.messages.len()).sum()),
        ("conversations", 2 * CHATS.len()),
    ];
    for (table, rows) in expected {
        assert_eq!(count(&server, table), rows, "{table}");
    }
    for table in ["users", "videos", "comments", "messages"] {
        let query = format!("SELECT MAX(id) AS number FROM {table}");
        let highest = read(&server, move |connection| number(connection, &query));
        assert_eq!(
            usize::try_from(highest).unwrap(),
            count(&server, table),
            "ids of {table} begin at 1"
        );
    }
    // Exactly as old as the world says: nothing was moved because a time was taken.
    let ages = read(&server, |connection| {
        lines(
            connection,
            "SELECT CAST((a.publish_time - b.publish_time) / 60000 AS CHAR) AS line FROM videos a JOIN videos b \
             ON b.id = a.id - 1 ORDER BY a.id",
        )
    });
    let wanted: Vec<_> = VIDEOS
        .windows(2)
        .map(|pair| (pair[0].minutes_ago - pair[1].minutes_ago).to_string())
        .collect();
    assert_eq!(ages, wanted);
    let kept = walk(&folder.path().join("media/videos"));
    assert_eq!(
        kept,
        crate::demo_world::CLIPS.len(),
        "every clip is in the media folder"
    );
    server.stop().unwrap();

    assert_eq!(start(folder.path()).1, demo, "the same password again");
    let file = folder.path().join(PASSWORD_FILE);
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

fn walk(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { walk(&path) } else { 1 }).sum()
}

#[test]
fn every_account_has_the_password() {
    let folder = tempfile::tempdir().unwrap();
    let (server, demo) = start(folder.path());
    let Demo::Ready(password) = demo else {
        panic!("{demo:?}")
    };
    let hashes = read(&server, |connection| {
        lines(connection, "SELECT DISTINCT password_hash AS line FROM users")
    });
    let [hash] = hashes.try_into().unwrap();
    let pool = crate::auth::PasswordHasher::start(crate::auth::PoolSettings::default()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let verdict = runtime.block_on(pool.verify(password, Some(hash))).unwrap();
    assert_eq!(verdict, Verdict::Right { rehash_needed: false });
}

#[test]
fn a_password_without_a_world_is_used_by_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let interrupted = password::load_or_create(&folder.path().join(PASSWORD_FILE)).unwrap();
    assert_eq!(start(folder.path()).1, Demo::Ready(interrupted));
}

#[test]
fn a_store_with_others_in_it_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let somebody = Server::start_with(config(folder.path()), |app| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(runtime.block_on(app.store.write(|connection| {
            let user = users::NewUser {
                id: ovation_schema::UserId(1),
                name: "somebody".into(),
                password_hash: "none".into(),
                created_at: 1,
            };
            users::insert(connection, &user)
        }))?)
    });
    somebody.unwrap().stop().unwrap();
    for with_file in [false, true] {
        if with_file {
            password::load_or_create(&folder.path().join(PASSWORD_FILE)).unwrap();
        }
        let (server, demo) = start(folder.path());
        assert_eq!(demo, Demo::LeftAlone);
        assert_eq!((count(&server, "users"), count(&server, "videos")), (1, 0));
    }
    assert_eq!(walk(&folder.path().join("media")), 0);
}

#[test]
fn a_failure_leaves_an_empty_store() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(config(folder.path())).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let makings = Makings {
        password_hash: "hash".into(),
        media: vec!["0".repeat(64); crate::demo_world::CLIPS.len()],
        now_ms: now_ms(),
    };
    let failed = runtime.block_on(server.store().write(move |connection| {
        plant::plant(connection, &makings)?;
        Err::<(), _>(StoreError::Busy)
    }));
    assert!(failed.is_err());
    for table in ["users", "videos", "favorites", "comments", "messages", "conversations"] {
        assert_eq!(count(&server, table), 0, "{table}");
    }
    let next = read(&server, |connection| {
        number(connection, "SELECT MAX(next_id) AS number FROM id_blocks")
    });
    assert_eq!(next, 1, "ids begin at 1 again");
}

#[test]
fn the_greeting_says_how_to_get_in() {
    let ready = Demo::Ready("abcd-efgh-jkmn".into());
    let text = ready.greeting("0.0.0.0:8080".parse().unwrap(), None);
    assert!(text.contains("http://127.0.0.1:8080\n"), "{text}");
    assert!(
        text.contains(
            "curl -X POST 'http://127.0.0.1:8080/douyin/user/login/?username=sora_tanaka&password=abcd-efgh-jkmn'"
        ),
        "{text}"
    );
    assert!(
        ready
            .greeting("[::]:1".parse().unwrap(), None)
            .contains("http://[::1]:1/")
    );
    let behind = ready.greeting("0.0.0.0:8080".parse().unwrap(), Some("https://video.example"));
    assert!(behind.contains("'https://video.example/douyin/feed/'"), "{behind}");
    let left = Demo::LeftAlone.greeting("127.0.0.1:1".parse().unwrap(), None);
    assert!(left.contains("it was left as it is"), "{left}");
}
