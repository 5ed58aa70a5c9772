//! Small seeded stores, read again.

use std::path::Path;

use ovation_schema::{Database, Options};

use super::recount::{faults, lines, number};
use super::*;

const SMALL: Size = Size {
    users: 300,
    videos: 60,
    likes: 3_000,
    follows: 1_500,
    comments: 500,
    messages: 700,
    seed: 1,
};

fn store(folder: &Path) -> DbConnection {
    let options = Options {
        database: Database::Sqlite(folder.join("store.db")),
        connections: 1,
        acquire_timeout: std::time::Duration::from_secs(1),
        statement_timeout: std::time::Duration::from_secs(10),
    };
    let mut connection = ovation_schema::connect(&options).unwrap();
    migrate::run(&mut connection).unwrap();
    connection
}

fn makings() -> Makings {
    Makings {
        password_hash: "hash".into(),
        media: vec!["a".repeat(64), "b".repeat(64)],
    }
}

fn seeded(folder: &Path, size: Size) -> DbConnection {
    let mut connection = store(folder);
    let bulk = Bulk::begin(&mut connection).unwrap().unwrap();
    world::plant(size, &makings(), bulk, &mut Progress::silent()).unwrap();
    connection
}

const TABLES: [(&str, &str, &str); 7] = [
    (
        "users",
        "id || name || signature || follow_count || ' ' || follower_count || ' ' || total_favorited || ' ' || work_count \
         || ' ' || favorite_count || ' ' || created_at",
        "id",
    ),
    (
        "videos",
        "id || ' ' || author_id || title || media_hash || publish_time || ' ' || favorite_count || ' ' || comment_count",
        "id",
    ),
    (
        "favorites",
        "user_id || ' ' || video_id || ' ' || active || changed_at",
        "user_id, video_id",
    ),
    (
        "follows",
        "follower_id || ' ' || followee_id || ' ' || active || changed_at",
        "follower_id, followee_id",
    ),
    (
        "comments",
        "id || ' ' || video_id || ' ' || user_id || content || created_at",
        "id",
    ),
    (
        "messages",
        "id || ' ' || user_lo || ' ' || user_hi || ' ' || from_user_id || content || create_time",
        "id",
    ),
    (
        "conversations",
        "user_id || ' ' || peer_id || ' ' || last_time || ' ' || last_message_id",
        "user_id, peer_id",
    ),
];

/// All rows of a table as text, in the order of its key.
fn rows(connection: &mut DbConnection, table: usize) -> Vec<String> {
    let (table, columns, key) = TABLES[table];
    lines(
        connection,
        &format!("SELECT {columns} AS line FROM {table} ORDER BY {key}"),
    )
    .unwrap()
}

#[test]
fn every_count_is_right_and_nothing_is_missing() {
    let sizes = [
        SMALL,
        // Everything there can be: the dense ways of drawing.
        Size {
            users: 20,
            videos: 10,
            likes: 200,
            follows: 380,
            comments: 1_000,
            messages: 30_000,
            seed: 3,
        },
        Size {
            users: 1,
            videos: 0,
            likes: 0,
            follows: 0,
            comments: 0,
            messages: 0,
            seed: 0,
        },
        Size {
            users: 2,
            videos: 1,
            likes: 1,
            follows: 1,
            comments: 1,
            messages: 1,
            seed: 2,
        },
    ];
    for size in sizes {
        size.check().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut connection = seeded(folder.path(), size);
        assert_eq!(faults(&mut connection).unwrap(), Vec::<String>::new(), "{size:?}");
        let wanted = [
            u64::from(size.users),
            size.videos.into(),
            size.likes,
            size.follows,
            size.comments,
            size.messages,
            2 * size.conversations(),
        ];
        for ((table, ..), wanted) in TABLES.into_iter().zip(wanted) {
            let found = number(&mut connection, &format!("SELECT COUNT(*) AS number FROM {table}")).unwrap();
            assert_eq!(found.cast_unsigned(), wanted, "{table} of {size:?}");
        }
        let newest = "SELECT MAX(t) AS number FROM (SELECT MAX(changed_at) t FROM favorites UNION SELECT \
                      MAX(changed_at) FROM follows UNION SELECT MAX(created_at) FROM comments UNION SELECT \
                      MAX(create_time) FROM messages UNION SELECT MAX(publish_time) FROM videos UNION SELECT \
                      MAX(created_at) FROM users)";
        assert!(number(&mut connection, newest).unwrap() < world::END_MS, "{size:?}");
    }
}

#[test]
fn equal_sizes_make_equal_worlds_and_other_seeds_others() {
    let folders = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let [mut first, mut again, mut other] = [
        (&folders[0], SMALL),
        (&folders[1], SMALL),
        (&folders[2], Size { seed: 2, ..SMALL }),
    ]
    .map(|(folder, size)| seeded(folder.path(), size));
    for (table, (name, ..)) in TABLES.iter().enumerate() {
        let rows_of_first = rows(&mut first, table);
        assert_eq!(rows_of_first, rows(&mut again, table), "{name}");
        assert_ne!(rows_of_first, rows(&mut other, table), "{name}");
    }
}

/// A new version of a library must not quietly make other worlds: figures measured on one would not compare.
#[test]
fn the_world_is_the_one_of_earlier_versions() {
    let folder = tempfile::tempdir().unwrap();
    let mut connection = seeded(folder.path(), SMALL);
    let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
    for table in 0..TABLES.len() {
        for row in rows(&mut connection, table) {
            digest.update(row.as_bytes());
        }
    }
    let digest = digest.finish();
    let start = u64::from_be_bytes(digest.as_ref()[..8].try_into().unwrap());
    assert_eq!(start, 0xc497_4c15_b8e1_e4e8);
}

#[test]
fn more_of_one_thing_moves_nothing_else() {
    let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let more = Size {
        comments: 900,
        messages: 10,
        ..SMALL
    };
    let mut one = seeded(folders[0].path(), SMALL);
    let mut two = seeded(folders[1].path(), more);
    for table in [2, 3] {
        assert_eq!(rows(&mut one, table), rows(&mut two, table), "{}", TABLES[table].0);
    }
}

#[test]
fn likes_follows_and_comments_are_zipf_like() {
    let folder = tempfile::tempdir().unwrap();
    let size = Size {
        users: 5_000,
        videos: 1_000,
        likes: 50_000,
        follows: 25_000,
        comments: 5_000,
        messages: 0,
        seed: 9,
    };
    let mut connection = seeded(folder.path(), size);
    let mut share = |column: &str, table: &str, rank: u32| {
        let query = format!(
            "SELECT {column} AS number FROM {table} ORDER BY {column} DESC LIMIT 1 OFFSET {}",
            rank - 1
        );
        number(&mut connection, &query).unwrap()
    };
    // Nobody likes a video twice, so the first ones fall short of 1, 1/2, 1/3; further down it is nearly Zipf's law.
    let likes = [1, 10, 100].map(|rank| share("favorite_count", "videos", rank));
    assert!(
        likes[0] > 2 * likes[1] && likes[1] > 5 * likes[2] && likes[2] > 20,
        "{likes:?}"
    );
    let comments = [1, 10].map(|rank| share("comment_count", "videos", rank));
    assert!(comments[0].abs_diff(10 * comments[1]) <= 20, "{comments:?}");
    let given = [1, 500].map(|rank| share("favorite_count", "users", rank));
    assert_eq!(given[0], 100, "a tenth of all videos is the most one user likes");
    assert!(
        (15..=26).contains(&given[1]),
        "and an r-th of some 10,000 below: {given:?}"
    );
    let largest = share("follower_count", "users", 1);
    // A fifth at a million users; more here, since the fewer there are the more of all follows the first one gets.
    assert!((1_250..=1_750).contains(&largest), "{largest}");
    assert!(share("follow_count", "users", 5_000) >= 2, "everybody follows somebody");
}

#[test]
fn a_store_with_somebody_in_it_is_refused_and_an_interrupted_load_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut connection = store(folder.path());
    let mut bulk = Bulk::begin(&mut connection).unwrap().unwrap();
    let like = ovation_schema::bulk::BulkFavorite {
        user_id: ovation_schema::UserId(1),
        video_id: ovation_schema::VideoId(1),
        active: true,
        changed_at: 1,
    };
    bulk.favorites(std::slice::from_ref(&like)).unwrap();
    assert!(matches!(bulk.favorites(&[like]), Err(StoreError::Duplicate)));
    drop(bulk);
    assert_eq!(
        number(&mut connection, "SELECT COUNT(*) AS number FROM favorites").unwrap(),
        0
    );
    drop(connection);

    let mut connection = seeded(folder.path(), SMALL);
    let before = rows(&mut connection, 0);
    assert!(Bulk::begin(&mut connection).unwrap().is_none());
    assert_eq!(rows(&mut connection, 0), before);
    ovation_schema::users::set_signature(&mut connection, ovation_schema::UserId(1), "still writable").unwrap();
}

#[test]
fn the_command_seeds_keeps_the_clips_and_refuses_a_second_time() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config {
        data_dir: folder.path().to_owned(),
        ..Config::default()
    };
    let said = run(&config, SMALL, None).unwrap();
    assert!(said.contains("user1 to user300, none of whom can log in"), "{said}");
    let refused = run(&config, SMALL, None).unwrap_err().to_string();
    assert!(refused.contains("needs an empty one"), "{refused}");
    let mut server = crate::server::Server::start(Config {
        listen: std::net::SocketAddr::from(([127, 0, 0, 1], 0)),
        ..config
    });
    let store = server.as_mut().unwrap().store().clone();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let media =
        runtime.block_on(store.read(|connection| lines(connection, "SELECT DISTINCT media_hash AS line FROM videos")));
    for hash in media.unwrap() {
        let file = folder.path().join(format!("media/videos/{}/{hash}.mp4", &hash[..2]));
        assert!(file.is_file(), "the sweep at start keeps what rows refer to");
    }
    drop(server);
}
