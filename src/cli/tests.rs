//! What may be typed.

use super::*;

fn parsed(line: &str) -> Result<(Options, Command), clap::Error> {
    try_parse(
        std::iter::once("ovation")
            .chain(line.split_whitespace())
            .map(OsString::from),
    )
}

fn command(line: &str) -> Command {
    parsed(line).unwrap_or_else(|error| panic!("{line}: {error}")).1
}

#[test]
fn the_definition_is_sound() {
    CommandLine::command().debug_assert();
}

#[test]
fn serve_is_the_default_command() {
    for line in ["", "serve"] {
        assert!(
            matches!(command(line), Command::Serve(args) if args == ServeArgs::default()),
            "{line}"
        );
    }
    for line in ["--demo", "serve --demo", "--demo serve"] {
        assert!(
            matches!(command(line), Command::Serve(args) if args.demo && !args.demo_anywhere),
            "{line}"
        );
    }
    assert!(matches!(command("serve --demo --demo-anywhere"), Command::Serve(args) if args.demo_anywhere));
}

#[test]
fn settings_may_stand_before_and_after_the_command() {
    for line in [
        "--listen [::1]:1 --data-dir d config print",
        "config print --listen [::1]:1 --data-dir d",
    ] {
        let (options, _) = parsed(line).unwrap();
        assert_eq!(
            options.flags().values,
            [("listen", "[::1]:1".to_owned()), ("data_dir", "d".to_owned())],
            "{line}"
        );
    }
}

#[test]
fn every_flag_is_a_setting() {
    let line = "--listen a --data-dir b --database-url c --public-url d";
    let values = parsed(line).unwrap().0.flags().values;
    assert_eq!(values.len(), 4);
    for (name, _) in values {
        assert!(
            crate::config::SETTINGS.iter().any(|setting| setting.name == name),
            "{name}"
        );
    }
}

#[test]
fn the_flags_database_password_is_not_in_debug() {
    let (options, command) = parsed("seed --password hunter2 --database-url mysql://u:hunter3@h/d").unwrap();
    let shown = format!("{options:?} {command:?}");
    assert!(!shown.contains("hunter"), "{shown}");
    assert_eq!(options.flags().values[0].1, "mysql://u:hunter3@h/d");
}

#[test]
fn commands_are_typed() {
    assert!(matches!(
        command("migrate status"),
        Command::Migrate(MigrateAction::Status)
    ));
    assert!(matches!(
        command("migrate revert"),
        Command::Migrate(MigrateAction::Revert)
    ));
    assert!(matches!(command("config check"), Command::Config(ConfigAction::Check)));
    assert!(matches!(command("user passwd ann"), Command::User(UserAction::Passwd { name }) if name == "ann"));
    assert!(matches!(command("healthcheck"), Command::Healthcheck));
    assert!(matches!(command("cover-child --x -y 3"), Command::CoverChild { args } if args == ["--x", "-y", "3"]));
    let Command::Seed(args) = command("seed --users 7 --likes 0 --seed 18446744073709551615") else {
        panic!()
    };
    assert_eq!((args.users, args.videos, args.likes, args.seed), (7, 100, 0, u64::MAX));
}

#[test]
fn mistakes_are_refused_with_exit_code_2() {
    for line in [
        "sevre",
        "--demo migrate run",
        "--demo-anywhere",
        "serve --demo-anywhere",
        "migrate",
        "migrate undo",
        "user create",
        "user create ann secret",
        "user create ann --password secret",
        "seed --users 0",
        "seed --users -1",
        "seed --likes 1000000001",
        "serve extra",
        "--workers 3",
    ] {
        let error = parsed(line).expect_err(line);
        assert_eq!(error.exit_code(), 2, "{line}");
    }
    assert!(parsed("sevre").unwrap_err().to_string().contains("serve"));
}

#[test]
fn version_and_help_end_well() {
    for line in ["--version", "-V", "--help", "seed --help"] {
        assert_eq!(parsed(line).unwrap_err().exit_code(), 0, "{line}");
    }
    assert!(
        parsed("--version")
            .unwrap_err()
            .to_string()
            .contains(&crate::version::line())
    );
    assert!(!parsed("--help").unwrap_err().to_string().contains("cover-child"));
}

#[test]
fn the_demo_stays_on_this_machine_unless_asked() {
    let mut config = Config::for_test("x");
    let demo = ServeArgs {
        demo: true,
        demo_anywhere: false,
    };
    assert!(demo.check(&config).is_ok());
    for address in ["0.0.0.0:1", "[::]:1", "192.168.1.2:1"] {
        config.listen = address.parse().unwrap();
        assert!(
            demo.check(&config).unwrap_err().to_string().contains("--demo-anywhere"),
            "{address}"
        );
        assert!(
            ServeArgs {
                demo_anywhere: true,
                ..demo.clone()
            }
            .check(&config)
            .is_ok()
        );
        assert!(ServeArgs::default().check(&config).is_ok());
    }
    config.listen = "[::1]:1".parse().unwrap();
    assert!(demo.check(&config).is_ok());
}

#[test]
fn only_mistakes_of_the_person_are_code_2() {
    let config = anyhow::Error::new(ConfigError {
        problems: vec!["x".to_owned()],
    });
    assert_eq!(exit_code(&config), 2);
    assert_eq!(exit_code(&config.context("while starting")), 2);
    assert_eq!(exit_code(&anyhow::Error::new(UsageError("x".to_owned()))), 2);
    assert_eq!(exit_code(&anyhow::anyhow!("the disk is full")), 1);
}
