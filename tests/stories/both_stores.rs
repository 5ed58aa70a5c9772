//! Proof that "on both stores" is no figure of speech.

use crate::harness::{Kind, World, mariadb};

fn scene(kind: Kind) -> World {
    let world = World::new(kind);
    let (ann, ben) = (world.register("ann"), world.register("ben"));
    let video = ann.publishes("sea");
    ben.favorites(&video);
    ben.comments(&video, "nice");
    ben.follows(&ann);
    ben.tells(&ann, "hello");
    world.flush();
    world
}

fn sqlite_files(world: &World) -> Vec<Vec<u8>> {
    std::fs::read_dir(world.data_dir())
        .unwrap()
        .flatten()
        // Not the ledger, which is a file of its own whatever the store is.
        .filter(|entry| {
            !entry
                .file_name()
                .to_string_lossy()
                .starts_with(ovation::likes::LEDGER_FILE)
        })
        .filter_map(|entry| std::fs::read(entry.path()).ok())
        .filter(|content| content.starts_with(b"SQLite format 3\0"))
        .collect()
}

#[test]
fn sqlite_worlds_live_in_a_file() {
    let mut world = scene(Kind::Sqlite);
    assert!(world.database.is_none());
    world.stop();
    let files = sqlite_files(&world);
    assert_eq!(files.len(), 1, "one database file in the data folder");
    let holds_ann = files[0].windows(3).any(|bytes| bytes == b"ann");
    assert!(holds_ann, "and the rows are in it after a stop, not in a log beside it");
}

#[test]
fn mariadb_worlds_live_in_mariadb() {
    let world = scene(Kind::Mariadb);
    assert_eq!(sqlite_files(&world).len(), 0, "no SQLite file anywhere");
    let name = &world.database.as_ref().unwrap().name;
    let server = mariadb::shared();
    for (table, rows) in [
        ("users", "2"),
        ("videos", "1"),
        ("favorites", "1"),
        ("comments", "1"),
        ("follows", "1"),
        ("messages", "1"),
    ] {
        assert_eq!(
            server.sql(&format!("SELECT COUNT(*) FROM {name}.{table}")).trim(),
            rows,
            "{table}"
        );
    }
    let foreign =
        format!("SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = '{name}' AND engine <> 'InnoDB'");
    assert_eq!(server.sql(&foreign).trim(), "0", "transactions need InnoDB");
    assert!(server.sql("SELECT VERSION()").contains("MariaDB"));
}
