//! Every setting of the server, in one place.
//!
//! Owns names, defaults, bounds and where a value came from (defaults < TOML file < environment < flags). Never reads
//! a setting after start: what runs is what was checked. A new setting is one row of the table below and its section
//! in `docs/configuration.md`; a test holds the two together.

mod database_url;
mod sources;
mod value;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use time::UtcOffset;

pub use database_url::DatabaseUrl;
pub use sources::{ConfigError, DEFAULT_FILE, Flags, Loaded, Origin, load};
pub use value::{LedgerSync, LogFormat};

use value::{DAY, HOUR, MILLISECOND, MINUTE, SECOND};

/// One row of the table: what files, environment, flags, messages and the documentation need to know of a setting.
#[derive(Clone, Copy)]
pub struct Setting {
    /// The key in the TOML file; upper case with `OVATION_` before it, the environment variable.
    pub name: &'static str,
    /// The default in words: the text that would set it, or a rule where it depends on the machine.
    pub default: &'static str,
    /// What is accepted, bounds included, for people.
    pub accepts: &'static str,
    /// Checks a text and stores it. The error says what is wrong and never repeats a secret.
    set: fn(&mut Config, &str) -> Result<(), String>,
    /// The value as text, secrets masked.
    show: fn(&Config) -> String,
}

impl Setting {
    /// The environment variable that sets it.
    pub fn environment(&self) -> String {
        format!("{}{}", sources::PREFIX, self.name.to_uppercase())
    }
}

/// Declares `Config`, its defaults and `SETTINGS` from one table. A macro, since a derive that keeps origins, bounds
/// and masked secrets would need a settings crate, and none of those names the source of a bad value.
macro_rules! settings {
    ($( $(#[doc = $doc:literal])+ $name:ident: $type:ty {
        default: $default:expr, $words:literal;
        accepts: $accepts:literal;
        read: $read:expr;
        show: $show:expr;
    } )+) => {
        /// What the server runs with, after all sources are merged and checked. `Debug` shows no secret.
        #[derive(Debug, Clone)]
        pub struct Config {
            $( $(#[doc = $doc])+ #[doc = concat!("\nDefault: ", $words, ". Accepts ", $accepts, ".")] pub $name: $type, )+
        }

        impl Default for Config {
            fn default() -> Self {
                Self { $( $name: $default, )+ }
            }
        }

        /// All settings, in the order of the documentation.
        pub const SETTINGS: &[Setting] = &[ $( Setting {
            name: stringify!($name),
            default: $words,
            accepts: $accepts,
            set: |config, text| {
                config.$name = ($read)(text)?;
                Ok(())
            },
            show: |config| ($show)(&config.$name),
        }, )+ ];
    };
}

settings! {
    /// Where HTTP listens; port 0 takes a free one.
    listen: SocketAddr {
        default: SocketAddr::from(([127, 0, 0, 1], 8080)), "127.0.0.1:8080";
        accepts: "an IP address and a port";
        read: value::address;
        show: SocketAddr::to_string;
    }
    /// The folder that holds the SQLite store, media, keys and spools.
    data_dir: PathBuf {
        default: PathBuf::from("./data"), "./data";
        accepts: "a path";
        read: value::path;
        show: value::show_path;
    }
    /// A MySQL or MariaDB database; none means SQLite in the data folder. A secret: it may hold a password.
    database_url: Option<DatabaseUrl> {
        default: None, "sqlite";
        accepts: "`sqlite`, or `mysql://user:password@host:port/database` (`mariadb://` is the same)";
        read: DatabaseUrl::read;
        show: DatabaseUrl::show;
    }
    /// The base of absolute media URLs, without a trailing slash; none means `http://` and the request's `Host`.
    public_url: Option<String> {
        default: None, "auto";
        accepts: "`auto`, or an http or https address that may have a path";
        read: value::public_url;
        show: value::show_public_url;
    }
    /// How long a login token is valid.
    token_lifetime: Duration {
        default: 7 * DAY, "7d";
        accepts: "durations from 1m to 365d";
        read: |text| value::duration(text, MINUTE, 365 * DAY);
        show: |value: &Duration| value::show_duration(*value);
    }
    /// The zone of a comment's `create_date`, whose `MM-DD` has no zone of its own (contract 3).
    utc_offset: UtcOffset {
        default: UtcOffset::from_whole_seconds(8 * 3600).unwrap_or(UtcOffset::UTC), "+08:00";
        accepts: "offsets from -14:00 to +14:00";
        read: value::utc_offset;
        show: |value: &UtcOffset| value::show_utc_offset(*value);
    }
    /// The largest video file, in bytes; above it the answer is HTTP 413.
    upload_max_bytes: u64 {
        default: 30 << 20, "30MiB";
        accepts: "sizes from 1MiB to 4GiB";
        read: |text| value::size(text, 1 << 20, 4 << 30);
        show: |value: &u64| value::show_size(*value);
    }
    /// Connections to the database: readers with SQLite, the pool with MySQL.
    db_connections: u32 {
        default: u32::try_from(cores() * 2).unwrap_or(256).clamp(4, 256), "twice the cores, at least 4";
        accepts: "whole numbers from 1 to 256";
        read: |text| value::number(text, 1, 256);
        show: u32::to_string;
    }
    /// How long a request may wait for a database connection before it is answered "busy".
    db_acquire_timeout: Duration {
        default: 2 * SECOND, "2s";
        accepts: "durations from 10ms to 1m";
        read: |text| value::duration(text, 10 * MILLISECOND, MINUTE);
        show: |value: &Duration| value::show_duration(*value);
    }
    /// The deadline of one database statement.
    db_statement_timeout: Duration {
        default: 10 * SECOND, "10s";
        accepts: "durations from 100ms to 10m";
        read: |text| value::duration(text, 100 * MILLISECOND, 10 * MINUTE);
        show: |value: &Duration| value::show_duration(*value);
    }
    /// Threads that hash passwords, apart from all others so that a login storm can't starve the rest. Each takes
    /// about 20 MiB while it works.
    hash_threads: usize {
        default: (cores() / 2).clamp(1, 64), "half the cores, at least 1";
        accepts: "whole numbers from 1 to 64";
        read: |text| value::number(text, 1, 64);
        show: usize::to_string;
    }
    /// HTTP worker threads.
    workers: usize {
        default: cores().clamp(1, 256), "the cores";
        accepts: "whole numbers from 1 to 256";
        read: |text| value::number(text, 1, 256);
        show: usize::to_string;
    }
    /// Open connections in all; further ones wait in the kernel's queue.
    max_connections: usize {
        default: 15_000, "15000";
        accepts: "whole numbers from 16 to 1000000";
        read: |text| value::number(text, 16, 1_000_000);
        show: usize::to_string;
    }
    /// How long an idle connection stays open between two requests.
    keep_alive: Duration {
        default: 30 * SECOND, "30s";
        accepts: "durations from 1s to 1h";
        read: |text| value::duration(text, SECOND, HOUR);
        show: |value: &Duration| value::show_duration(*value);
    }
    /// How long a request's head may take to arrive.
    head_timeout: Duration {
        default: 5 * SECOND, "5s";
        accepts: "durations from 100ms to 1m";
        read: |text| value::duration(text, 100 * MILLISECOND, MINUTE);
        show: |value: &Duration| value::show_duration(*value);
    }
    /// How long requests in flight may take after SIGTERM before they are cut off.
    shutdown_timeout: Duration {
        default: 10 * SECOND, "10s";
        accepts: "durations from 1s to 5m";
        read: |text| value::duration(text, SECOND, 5 * MINUTE);
        show: |value: &Duration| value::show_duration(*value);
    }
    /// How many long lists are streamed at once; further ones wait or are answered "busy".
    list_streams: usize {
        default: 32, "32";
        accepts: "whole numbers from 1 to 1024";
        read: |text| value::number(text, 1, 1024);
        show: usize::to_string;
    }
    /// How much memory hot users, videos and viewers may take, so that reading them needs no database; 0 keeps none.
    cache_bytes: u64 {
        default: 64 << 20, "64MiB";
        accepts: "sizes from 0 to 64GiB";
        read: |text| value::size(text, 0, 64 << 30);
        show: |value: &u64| value::show_size(*value);
    }
    /// How often likes go from the ledger to the database.
    flush_interval: Duration {
        default: 3 * SECOND, "3s";
        accepts: "durations from 100ms to 1m";
        read: |text| value::duration(text, 100 * MILLISECOND, MINUTE);
        show: |value: &Duration| value::show_duration(*value);
    }
    /// How many changes of likes are one batch at most; as many go to the database sooner than the interval says.
    flush_max: usize {
        default: 2_000, "2000";
        accepts: "whole numbers from 1 to 10000";
        read: |text| value::number(text, 1, 10_000);
        show: usize::to_string;
    }
    /// When a like is acknowledged: `always` when it is on disk, `os` when the operating system has it.
    ledger_sync: LedgerSync {
        default: LedgerSync::Always, "always";
        accepts: "`always` or `os`";
        read: LedgerSync::read;
        show: |value: &LedgerSync| value.show();
    }
    /// How large the ledger of likes may grow; at the bound further likes are answered "busy".
    ledger_max_bytes: u64 {
        default: 1 << 30, "1GiB";
        accepts: "sizes from 1MiB to 64GiB";
        read: |text| value::size(text, 1 << 20, 64 << 30);
        show: |value: &u64| value::show_size(*value);
    }
    /// Pages of other sites that may open a socket: their origins. The server's own address always may.
    allowed_origins: Vec<String> {
        default: Vec::new(), "none";
        accepts: "`none`, or http and https origins such as `https://example.org`, by commas";
        read: value::origins;
        show: value::show_origins;
    }
    /// How often a socket is pinged; one that stays silent for more than twice as long is closed.
    heartbeat: Duration {
        default: 25 * SECOND, "25s";
        accepts: "durations from 1s to 5m";
        read: |text| value::duration(text, SECOND, 5 * MINUTE);
        show: |value: &Duration| value::show_duration(*value);
    }
    /// Connections of one user at the same time, long polls included.
    connections_per_user: usize {
        default: 16, "16";
        accepts: "whole numbers from 1 to 10000";
        read: |text| value::number(text, 1, 10_000);
        show: usize::to_string;
    }
    /// Sockets from one address at the same time. Behind a proxy everybody has the proxy's address.
    sockets_per_address: usize {
        default: 1_024, "1024";
        accepts: "whole numbers from 1 to 1000000";
        read: |text| value::number(text, 1, 1_000_000);
        show: usize::to_string;
    }
    /// Sockets that have not said hello yet; more than one address may have, so that nobody alone can take all of them.
    sockets_without_hello: usize {
        default: 4_096, "4096";
        accepts: "whole numbers from 1 to 1000000";
        read: |text| value::number(text, 1, 1_000_000);
        show: usize::to_string;
    }
    /// Operations a second on one socket; twice as many may come at once.
    operations_per_second: u32 {
        default: 50, "50";
        accepts: "whole numbers from 1 to 100000";
        read: |text| value::number(text, 1, 100_000);
        show: u32::to_string;
    }
    /// Videos that one socket may watch at the same time.
    rooms_per_connection: usize {
        default: 16, "16";
        accepts: "whole numbers from 1 to 1000";
        read: |text| value::number(text, 1, 1_000);
        show: usize::to_string;
    }
    /// How long a user's events can be replayed.
    events_keep: Duration {
        default: 7 * DAY, "7d";
        accepts: "durations from 1m to 365d";
        read: |text| value::duration(text, MINUTE, 365 * DAY);
        show: |value: &Duration| value::show_duration(*value);
    }
    /// How many of a user's events can be replayed.
    events_keep_max: i64 {
        default: 10_000, "10000";
        accepts: "whole numbers from 100 to 1000000";
        read: |text| value::number(text, 100, 1_000_000);
        show: i64::to_string;
    }
    /// Whether `/ws/echo` answers: for conformance tests of the protocol, nothing else.
    ws_echo: bool {
        default: false, "off";
        accepts: "`on` or `off`";
        read: value::switch;
        show: value::show_switch;
    }
    /// What is logged: a level, or levels by module such as `info,ovation::media=debug`.
    log: String {
        default: "info,actix_server=warn".to_owned(), "info,actix_server=warn";
        accepts: "a level (`error`, `warn`, `info`, `debug`, `trace`, `off`) and `module=level` pairs, by commas";
        read: value::log_filter;
        show: String::clone;
    }
    /// How log lines look; `auto` is pretty on a terminal and JSON elsewhere.
    log_format: LogFormat {
        default: LogFormat::Auto, "auto";
        accepts: "`auto`, `pretty` or `json`";
        read: LogFormat::read;
        show: |value: &LogFormat| value.show();
    }
}

impl Config {
    /// Defaults on a free loopback port, for tests that run the production wiring.
    pub fn for_test(data_dir: impl AsRef<Path>) -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            data_dir: data_dir.as_ref().to_owned(),
            ..Self::default()
        }
    }
}

/// The cores this process may use; containers and CPU masks are respected.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCS: &str = include_str!("../docs/configuration.md");

    /// The section of one setting: from its heading to the next.
    fn section<'a>(setting: &Setting) -> &'a str {
        let heading = format!("\n### `{}`\n", setting.name);
        let start = DOCS
            .find(&heading)
            .unwrap_or_else(|| panic!("`{}` has no section", setting.name))
            + heading.len();
        DOCS[start..].split("\n#").next().unwrap()
    }

    #[test]
    fn every_setting_is_documented_with_default_bounds_and_variable() {
        for setting in SETTINGS {
            let text = section(setting).split_whitespace().collect::<Vec<_>>().join(" ");
            for wanted in [
                setting.environment(),
                setting.default.to_owned(),
                setting.accepts.to_owned(),
            ] {
                assert!(
                    text.contains(&wanted),
                    "`{}`: {wanted:?} is not in {text:?}",
                    setting.name
                );
            }
        }
    }

    #[test]
    fn nothing_is_documented_that_does_not_exist() {
        for heading in DOCS.lines().filter_map(|line| line.strip_prefix("### `")) {
            let name = heading.trim_end_matches('`');
            assert!(
                SETTINGS.iter().any(|setting| setting.name == name),
                "`{name}` is no setting"
            );
        }
    }

    #[test]
    fn default_words_are_the_default_and_shown_values_are_read_back() {
        let default = Config::default();
        for setting in SETTINGS {
            let shown = (setting.show)(&default);
            let mut config = default.clone();
            (setting.set)(&mut config, &shown).unwrap();
            assert_eq!((setting.show)(&config), shown);
            assert!(
                setting.default == shown || setting.default.contains("cores"),
                "`{}`",
                setting.name
            );
        }
    }

    #[test]
    fn a_test_config_takes_a_free_port_in_its_own_folder() {
        let config = Config::for_test("/tmp/somewhere");
        assert_eq!((config.listen.port(), config.listen.ip().is_loopback()), (0, true));
        assert_eq!(config.data_dir, Path::new("/tmp/somewhere"));
    }
}
