//! Where settings come from, and how the sources are laid over each other.
//!
//! Owns the order (defaults < TOML file < environment < flags), the refusal of what nobody knows, and the messages.
//! Collects every problem before it gives up, so that a person mends a file in one go. Never prints a value that was
//! refused for a secret setting, nor the value of an unknown key.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::value::show_path_of;
use super::{Config, SETTINGS, Setting};

/// The file that is read when none is named and it exists.
pub const DEFAULT_FILE: &str = "ovation.toml";
/// What every variable of ours begins with.
pub(super) const PREFIX: &str = "OVATION_";
/// The variable that names the file.
const FILE_VARIABLE: &str = "OVATION_CONFIG";
/// Variables with that beginning which are no settings: the file to read, a build's commit, the test harness.
const RESERVED: [&str; 2] = [FILE_VARIABLE, "OVATION_COMMIT"];
const RESERVED_PREFIX: &str = "OVATION_TEST_";
/// No settings file is longer; a device or a log given by mistake ends here.
const FILE_MAX_BYTES: u64 = 1 << 20;

/// What the command line contributes.
#[derive(Debug, Default, Clone)]
pub struct Flags {
    /// The file to read instead of the one `OVATION_CONFIG` names, or else [`DEFAULT_FILE`]; it must exist.
    pub file: Option<PathBuf>,
    /// Setting names and texts. The names must be settings.
    pub values: Vec<(&'static str, String)>,
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// A TOML file.
    File(PathBuf),
    /// An `OVATION_…` variable.
    Environment,
    /// The command line.
    Flag,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "file {}", path.display().to_string().escape_debug()),
            Self::Environment => f.write_str("environment"),
            Self::Flag => f.write_str("flag"),
        }
    }
}

/// Everything that is wrong with the settings, a sentence each.
#[derive(Debug, thiserror::Error)]
#[error("{}", list(.problems))]
pub struct ConfigError {
    /// Never empty.
    pub problems: Vec<String>,
}

fn list(problems: &[String]) -> String {
    match problems {
        [one] => one.clone(),
        many => format!(
            "the configuration has {} problems:\n  - {}",
            many.len(),
            many.join("\n  - ")
        ),
    }
}

/// Checked settings and where each came from.
#[derive(Debug)]
pub struct Loaded {
    /// What the server runs with.
    pub config: Config,
    /// One an entry of [`SETTINGS`].
    origins: Vec<Origin>,
}

impl Loaded {
    /// Name, value (secrets masked) and origin of every setting.
    pub fn rows(&self) -> impl Iterator<Item = (&'static str, String, &Origin)> {
        SETTINGS
            .iter()
            .zip(&self.origins)
            .map(|(setting, origin)| (setting.name, (setting.show)(&self.config), origin))
    }
}

/// Reads all sources of this process.
pub fn load(flags: &Flags) -> Result<Loaded, ConfigError> {
    let named = || {
        std::env::var_os(FILE_VARIABLE)
            .filter(|path| !path.is_empty())
            .map(PathBuf::from)
    };
    let default = || Path::new(DEFAULT_FILE).exists().then(|| PathBuf::from(DEFAULT_FILE));
    let path = flags.file.clone().or_else(named).or_else(default);
    let file = path.map(|path| read_file(&path).map(|text| (path, text))).transpose();
    let file = file.map_err(|problem| ConfigError {
        problems: vec![problem],
    })?;
    merge(file, std::env::vars_os(), &flags.values)
}

fn read_file(path: &Path) -> Result<String, String> {
    let failed =
        |error: std::io::Error| format!("the configuration file {} can't be read: {error}", show_path_of(path));
    let mut text = String::new();
    File::open(path)
        .map_err(failed)?
        .take(FILE_MAX_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(failed)?;
    if text.len() as u64 > FILE_MAX_BYTES {
        return Err(format!(
            "the configuration file {} is larger than 1 MiB",
            show_path_of(path)
        ));
    }
    Ok(text)
}

/// Lays the sources over each other; pure, so that tests need no process of their own.
fn merge(
    file: Option<(PathBuf, String)>,
    environment: impl Iterator<Item = (OsString, OsString)>,
    flags: &[(&'static str, String)],
) -> Result<Loaded, ConfigError> {
    let mut merging = Merging {
        loaded: Loaded {
            config: Config::default(),
            origins: vec![Origin::Default; SETTINGS.len()],
        },
        problems: Vec::new(),
    };
    if let Some((path, text)) = file {
        merging.file(&path, &text);
    }
    merging.environment(environment);
    for (name, text) in flags {
        let flag = format!("the flag --{}", name.replace('_', "-"));
        merging.set(name, text, Origin::Flag, &flag);
    }
    if merging.problems.is_empty() {
        Ok(merging.loaded)
    } else {
        Err(ConfigError {
            problems: merging.problems,
        })
    }
}

struct Merging {
    loaded: Loaded,
    problems: Vec<String>,
}

impl Merging {
    fn file(&mut self, path: &Path, text: &str) {
        let place = format!("the file {}", show_path_of(path));
        let table = match text.parse::<toml::Table>() {
            Ok(table) => table,
            // The error's own display quotes the line, which may be the one with the password.
            Err(error) => {
                let at = error.span().map_or(0, |span| span.start);
                let line = text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1;
                return self
                    .problems
                    .push(format!("{place} is not TOML: line {line}: {}", error.message()));
            }
        };
        for (key, value) in table {
            match value {
                toml::Value::String(text) => self.set(&key, &text, Origin::File(path.to_owned()), &place),
                toml::Value::Integer(number) => {
                    self.set(&key, &number.to_string(), Origin::File(path.to_owned()), &place);
                }
                toml::Value::Table(_) => {
                    let key = key.escape_debug();
                    self.problems.push(format!(
                        "{place} has a section `[{key}]`: settings stand at the top, without sections"
                    ));
                }
                _ => {
                    let key = key.escape_debug();
                    self.problems
                        .push(format!("`{key}` in {place} must be a text or a whole number"));
                }
            }
        }
    }

    /// An empty variable is as good as none: that is what `${NAME:-}` in a compose file hands on.
    fn environment(&mut self, variables: impl Iterator<Item = (OsString, OsString)>) {
        let ours = |name: &OsString| name.as_encoded_bytes().starts_with(PREFIX.as_bytes());
        let mut ours: Vec<_> = variables
            .filter(|(name, value)| ours(name) && !value.is_empty())
            .collect();
        ours.sort(); // the system's order is no order
        for (name, value) in ours {
            let name = name.to_string_lossy();
            if RESERVED.contains(&name.as_ref()) || name.starts_with(RESERVED_PREFIX) {
                continue;
            }
            match value.to_str() {
                Some(value) => self.variable(&name, value),
                None => self
                    .problems
                    .push(format!("the environment variable {} is not UTF-8", name.escape_debug())),
            }
        }
    }

    fn variable(&mut self, name: &str, value: &str) {
        if is_service_link(name, value) {
            return;
        }
        // Exact: `OVATION_listen` is a slip, and another variable than `OVATION_LISTEN`.
        let Some(setting) = SETTINGS.iter().find(|setting| setting.environment() == name) else {
            let hint = hint(&name[PREFIX.len()..], Setting::environment);
            let name = name.escape_debug();
            return self
                .problems
                .push(format!("the environment variable {name} is not known{hint}"));
        };
        self.set(
            setting.name,
            value,
            Origin::Environment,
            &format!("the environment variable {name}"),
        );
    }

    fn set(&mut self, name: &str, text: &str, origin: Origin, place: &str) {
        let Some(index) = SETTINGS.iter().position(|setting| setting.name == name) else {
            let hint = hint(name, |setting| setting.name.to_owned());
            return self
                .problems
                .push(format!("`{}` in {place} is not known{hint}", name.escape_debug()));
        };
        let setting = &SETTINGS[index];
        match (setting.set)(&mut self.loaded.config, text) {
            Ok(()) => self.loaded.origins[index] = origin,
            Err(what) => self.problems.push(format!(
                "`{name}` in {place} is not usable: {what}; accepted: {}",
                setting.accepts
            )),
        }
    }
}

/// Kubernetes and old Docker links set `OVATION_SERVICE_HOST`, `OVATION_PORT_8080_TCP` … for a service of our name;
/// to refuse those would keep us from starting there. A plain `OVATION_PORT=8080` is a person's and is refused.
fn is_service_link(name: &str, value: &str) -> bool {
    let numbered = name
        .split("_PORT_")
        .nth(1)
        .is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()));
    let address = name.ends_with("_PORT") && (value.starts_with("tcp://") || value.starts_with("udp://"));
    name.ends_with("_SERVICE_HOST") || name.contains("_SERVICE_PORT") || numbered || address
}

/// ` (did you mean …?)` when a setting is near: a slip or two away, or part of the name.
fn hint(unknown: &str, show: impl Fn(&Setting) -> String) -> String {
    // The distance costs the product of both lengths, and no slip doubles a name.
    if unknown.len() > 64 {
        return String::new();
    }
    let plain = unknown.to_lowercase().replace('-', "_");
    let near = SETTINGS
        .iter()
        .map(|setting| (strsim::damerau_levenshtein(&plain, setting.name), setting))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, setting)| *distance <= 2.max(setting.name.len() / 4))
        .map(|(_, setting)| setting);
    let part = || {
        SETTINGS
            .iter()
            .find(|setting| plain.len() > 2 && setting.name.contains(&plain))
    };
    near.or_else(part)
        .map_or_else(String::new, |setting| format!(" (did you mean `{}`?)", show(setting)))
}

#[cfg(test)]
mod tests;
