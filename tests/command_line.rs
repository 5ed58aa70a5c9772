//! The binary itself: exit codes, and what goes to which stream.

#![expect(clippy::unwrap_used, reason = "a helper of tests fails as a test does")]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Runs the binary in an empty folder, with nothing of ours in its environment.
fn ovation(folder: &Path, args: &[&str], variables: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ovation"))
        .args(args)
        .current_dir(folder)
        .env_clear()
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// The same, with something to read on standard input.
fn answered(folder: &Path, args: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_ovation"))
        .args(args)
        .current_dir(folder)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // One that refuses its arguments ends without reading.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn sources_cover_one_another_in_the_real_process() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("ovation.toml"),
        "workers = 3\nhash_threads = 3\nlisten = '127.0.0.1:3'",
    )
    .unwrap();
    std::fs::write(folder.path().join("other.toml"), "workers = 9").unwrap();
    let variables = [("OVATION_HASH_THREADS", "4"), ("OVATION_LISTEN", "127.0.0.1:4")];
    let output = ovation(
        folder.path(),
        &["config", "print", "--listen", "127.0.0.1:5"],
        &variables,
    );
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let printed: toml::Table = text(&output.stdout).parse().unwrap();
    assert_eq!(printed["workers"].as_integer(), Some(3));
    assert_eq!(printed["hash_threads"].as_integer(), Some(4));
    assert_eq!(printed["listen"].as_str(), Some("127.0.0.1:5"));

    let output = ovation(
        folder.path(),
        &["config", "print"],
        &[("OVATION_CONFIG", ""), ("OVATION_LISTEN", "")],
    );
    assert!(
        text(&output.stdout).contains("listen = \"127.0.0.1:3\""),
        "empty variables are none: {output:?}"
    );

    for (args, variables) in [
        (["config", "print", "--config", "other.toml"].as_slice(), [].as_slice()),
        (&["config", "print"], &[("OVATION_CONFIG", "other.toml")]),
    ] {
        let output = ovation(folder.path(), args, variables);
        assert!(text(&output.stdout).contains("workers = 9"), "{output:?}");
        assert!(
            text(&output.stdout).contains("listen = \"127.0.0.1:8080\""),
            "only one file is read: {output:?}"
        );
    }
}

#[test]
fn mistakes_end_with_code_2_and_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    for (args, variables, sentence) in [
        (
            ["config", "check"].as_slice(),
            [("OVATION_LISTN", "x")].as_slice(),
            "did you mean `OVATION_LISTEN`?",
        ),
        (&["serve", "--listen", "nowhere"], &[], "the flag --listen"),
        (&["serve", "--demo", "--listen", "0.0.0.0:0"], &[], "--demo-anywhere"),
        (
            &["config", "check", "--config", "none.toml"],
            &[],
            "`none.toml` can't be read",
        ),
        (&["servve"], &[], "serve"),
    ] {
        let output = ovation(folder.path(), args, variables);
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {message}");
        assert!(
            message.contains(sentence) && output.stdout.is_empty(),
            "{args:?}: {message}"
        );
    }
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        0,
        "a refused start leaves nothing behind"
    );
}

#[test]
fn the_database_password_is_printed_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    for url in [
        "mysql://ann:hunter2@db/ovation",
        "mysql://ann:hunter2@db",
        "mysql://ann:hun#ter2@db/o",
    ] {
        for args in [["config", "print"], ["config", "check"]] {
            let output = ovation(folder.path(), &args, &[("OVATION_DATABASE_URL", url)]);
            let all = format!("{}{}", text(&output.stdout), text(&output.stderr));
            assert!(!all.contains("ter2"), "{all}");
        }
    }
}

#[test]
fn version_needs_no_usable_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let by_command = ovation(folder.path(), &["version"], &[("OVATION_WORKERS", "none")]);
    let by_flag = ovation(folder.path(), &["--version"], &[]);
    assert!(by_command.status.success() && by_flag.status.success());
    assert_eq!(text(&by_command.stdout), text(&by_flag.stdout));
    assert!(text(&by_flag.stdout).starts_with(concat!("ovation ", env!("CARGO_PKG_VERSION"), " (commit ")));
}

#[test]
fn a_health_check_knows_only_0_and_1() {
    let folder = tempfile::tempdir().unwrap();
    for variables in [[("OVATION_LISTEN", "127.0.0.1:0")], [("OVATION_LISTEN", "nowhere")]] {
        let output = ovation(folder.path(), &["healthcheck"], &variables);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
    }
}

#[test]
fn a_closed_standard_output_is_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = Command::new(env!("CARGO_BIN_EXE_ovation"))
        .args(["config", "print"])
        .current_dir(folder.path())
        .env_clear()
        .stdout(writer)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
        .wait_with_output()
        .unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn an_empty_password_is_refused_before_anything_else() {
    let folder = tempfile::tempdir().unwrap();
    let output = answered(folder.path(), &["user", "create", "ann"], b"\n");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("the password is empty"), "{output:?}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_command_that_only_looks_makes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let entries = || std::fs::read_dir(folder.path()).unwrap().count();
    for args in [["migrate", "status"], ["migrate", "revert"], ["user", "passwd"]] {
        let mut args = args.to_vec();
        if args[0] == "user" {
            args.push("ann");
        }
        let output = answered(folder.path(), &args, b"a password\n");
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
        assert!(
            said.contains("does not exist; `ovation serve` makes it"),
            "{args:?}: {said}"
        );
        assert_eq!(entries(), 0, "{args:?}");
    }
    std::fs::create_dir(folder.path().join("data")).unwrap();
    let output = ovation(folder.path(), &["migrate", "status"], &[]);
    assert!(text(&output.stderr).contains("there is no store"), "{output:?}");
    assert_eq!(std::fs::read_dir(folder.path().join("data")).unwrap().count(), 0);
}

#[test]
fn names_and_passwords_are_judged_before_a_store_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let long = "x".repeat(33);
    for (name, password, code) in [("", "pw", 2), ("a\nb", "pw", 2), (&*long, "pw", 2), ("ann", &*long, 1)] {
        let output = answered(folder.path(), &["user", "create", name], password.as_bytes());
        assert_eq!(output.status.code(), Some(code), "{name:?}: {output:?}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "{name:?}");
    }
}

#[test]
fn an_address_in_use_is_known_before_anything_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = ovation(folder.path(), &["serve", "--demo", "--listen", &address], &[]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("can't listen on 127.0.0.1") && said.contains("in use"),
        "{said}"
    );
    let made: Vec<_> = std::fs::read_dir(folder.path().join("data"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(made, ["ovation.lock"], "nothing was migrated or filled");
}
