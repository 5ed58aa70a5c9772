//! Precedence, hints and messages.

use super::*;

/// What the three sources say: file text, variables, flags.
fn merged(file: &str, variables: &[(&str, &str)], flags: &[(&'static str, &str)]) -> Result<Loaded, ConfigError> {
    let variables = variables
        .iter()
        .map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let flags: Vec<_> = flags.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    merge(Some((PathBuf::from("o.toml"), file.to_owned())), variables, &flags)
}

fn problem(file: &str, variables: &[(&str, &str)]) -> String {
    merged(file, variables, &[]).expect_err("should be refused").to_string()
}

fn row(loaded: &Loaded, name: &str) -> (String, Origin) {
    let (_, value, origin) = loaded.rows().find(|(row, ..)| *row == name).unwrap();
    (value, origin.clone())
}

#[test]
fn each_source_covers_the_one_before() {
    let file = "workers = 3\nkeep_alive = '1m'\nlist_streams = 7";
    let loaded = merged(
        file,
        &[("OVATION_WORKERS", "4"), ("OVATION_KEEP_ALIVE", "2m")],
        &[("workers", "5")],
    )
    .unwrap();
    assert_eq!(row(&loaded, "workers"), ("5".to_owned(), Origin::Flag));
    assert_eq!(row(&loaded, "keep_alive"), ("2m".to_owned(), Origin::Environment));
    assert_eq!(
        row(&loaded, "list_streams"),
        ("7".to_owned(), Origin::File("o.toml".into()))
    );
    assert_eq!(row(&loaded, "log_format"), ("auto".to_owned(), Origin::Default));
    assert_eq!((loaded.config.workers, loaded.config.list_streams), (5, 7));
}

#[test]
fn a_later_source_can_go_back_to_sqlite() {
    let loaded = merged(
        "database_url = 'mysql://u:p@db/o'",
        &[("OVATION_DATABASE_URL", "sqlite")],
        &[],
    )
    .unwrap();
    assert_eq!(loaded.config.database_url, None);
    assert_eq!(row(&loaded, "database_url"), ("sqlite".to_owned(), Origin::Environment));
}

#[test]
fn an_empty_variable_is_none() {
    assert_eq!(
        row(&merged("", &[("OVATION_LISTEN", "")], &[]).unwrap(), "listen").1,
        Origin::Default
    );
}

#[test]
fn unknown_names_are_refused_with_a_hint() {
    assert!(problem("lisen = 'x'", &[]).contains("did you mean `listen`?"));
    assert!(problem("data-dir = 'x'", &[]).contains("did you mean `data_dir`?"));
    assert!(problem("database = 'x'", &[]).contains("did you mean `database_url`?"));
    assert!(problem("", &[("OVATION_LISTN", "x")]).contains("did you mean `OVATION_LISTEN`?"));
    assert!(problem("", &[("OVATION_listen", "x")]).contains("did you mean `OVATION_LISTEN`?"));
    let far = problem("", &[("OVATION_ZEBRA", "hunter2")]);
    assert!(
        far.contains("OVATION_ZEBRA is not known") && !far.contains("mean") && !far.contains("hunter2"),
        "{far}"
    );
    assert!(!problem(&format!("{} = 1", "x".repeat(5000)), &[]).contains("mean"));
}

#[test]
fn sections_and_odd_types_are_refused() {
    assert!(problem("[server]\nlisten = 'x'", &[]).contains("without sections"));
    for file in [
        "workers = true",
        "workers = 2.5",
        "workers = [1]",
        "listen = 2024-01-01",
    ] {
        assert!(
            problem(file, &[]).contains("must be a text or a whole number"),
            "{file}"
        );
    }
}

#[test]
fn a_bad_value_names_setting_place_reason_and_bounds() {
    let text = problem("token_lifetime = '10s'", &[]);
    for part in ["`token_lifetime`", "the file `o.toml`", "too small", "1m to 365d"] {
        assert!(text.contains(part), "{text}");
    }
    let text = problem("", &[("OVATION_WORKERS", "0")]);
    assert!(
        text.contains("OVATION_WORKERS") && text.contains("from 1 to 256"),
        "{text}"
    );
    let text = merged("", &[], &[("data_dir", "")]).unwrap_err().to_string();
    assert!(text.contains("--data-dir"), "{text}");
}

#[test]
fn all_problems_are_told_at_once() {
    let error = merged("lisen = 1\nworkers = 0", &[("OVATION_KEEP_ALIVE", "5")], &[]).unwrap_err();
    assert_eq!(error.problems.len(), 3);
    assert!(error.to_string().starts_with("the configuration has 3 problems:\n  - "));
}

#[test]
fn a_password_is_in_no_message() {
    for file in [
        "database_url = 'mysql://u:hunter2@db'",
        "database_url = 'postgres://u:hunter2@db/o'",
        "database_url = 'mysql://u:hunter2@db/o",
        "database_url = mysql://u:hunter2@db/o",
    ] {
        assert!(!problem(file, &[]).contains("hunter2"), "{}", problem(file, &[]));
    }
    let loaded = merged("database_url = 'mysql://u:hunter2@db/o'", &[], &[]).unwrap();
    assert!(!format!("{loaded:?}").contains("hunter2"));
    assert_eq!(row(&loaded, "database_url").0, "mysql://u:***@db/o");
    assert_eq!(loaded.config.database_url.unwrap().expose(), "mysql://u:hunter2@db/o");
}

#[test]
fn broken_toml_is_told_with_its_line() {
    assert!(problem("workers = 1\n\nlisten = = 2", &[]).contains("line 3"));
}

#[test]
fn what_others_set_for_a_service_of_our_name_is_ignored() {
    let links = [
        ("OVATION_SERVICE_HOST", "10.0.0.1"),
        ("OVATION_SERVICE_PORT_HTTP", "8080"),
        ("OVATION_PORT", "tcp://10.0.0.1:8080"),
        ("OVATION_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ("OVATION_CONFIG", "x"),
        ("OVATION_TEST_CHILD", "1"),
    ];
    assert!(merged("", &links, &[]).is_ok());
    assert!(problem("", &[("OVATION_PORT", "8080")]).contains("not known"));
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_not_utf8_is_refused() {
    use std::os::unix::ffi::OsStringExt;
    let variables = [(OsString::from("OVATION_LOG"), OsString::from_vec(vec![0xff]))];
    assert!(
        merge(None, variables.into_iter(), &[])
            .unwrap_err()
            .to_string()
            .contains("not UTF-8")
    );
}

#[test]
fn a_named_file_must_exist_and_be_small() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("none.toml");
    let flags = Flags {
        file: Some(missing),
        values: Vec::new(),
    };
    assert!(
        load(&flags)
            .unwrap_err()
            .to_string()
            .contains("none.toml` can't be read")
    );
    let large = folder.path().join("large.toml");
    std::fs::write(&large, "#".repeat((1 << 20) + 1)).unwrap();
    assert!(read_file(&large).unwrap_err().contains("larger than 1 MiB"));
}
