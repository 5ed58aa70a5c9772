//! What commands print on standard output.
//!
//! Owns the layout of `config print`. Never fails because the reader has gone: `ovation config print | head -1` is fine.

use std::fmt::Write as _;
use std::io::{self, ErrorKind, Write};

use crate::config::Loaded;

/// Every setting as a TOML line with its origin behind it; the whole is a settings file, but for masked passwords.
pub fn print_config(loaded: &Loaded) -> io::Result<()> {
    print(&config_text(loaded))
}

/// One line.
pub fn print_line(text: &str) -> io::Result<()> {
    print(&format!("{text}\n"))
}

fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

fn config_text(loaded: &Loaded) -> String {
    let settings: Vec<String> = loaded
        .rows()
        .map(|(name, value, _)| format!("{name} = {}", literal(value)))
        .collect();
    // One long address must not push every origin off the screen.
    let width = settings
        .iter()
        .map(|setting| setting.chars().count())
        .filter(|width| *width <= 60)
        .max()
        .unwrap_or(0);
    let mut text = String::new();
    for (setting, (_, _, origin)) in settings.iter().zip(loaded.rows()) {
        // Writing to a `String` can't fail.
        let _ = writeln!(text, "{setting:<width$}  # {origin}");
    }
    text
}

fn literal(value: String) -> String {
    if value.parse::<i64>().is_ok() {
        value
    } else {
        toml::Value::String(value).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Flags, SETTINGS, load};

    #[test]
    fn what_is_printed_is_a_settings_file_without_passwords() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("o.toml");
        std::fs::write(&file, "workers = 3\ndata_dir = 'a \"b\"'").unwrap();
        let url = ("database_url", "mysql://u:hunter2@db/o".to_owned());
        let loaded = load(&Flags {
            file: Some(file.clone()),
            values: vec![url],
        })
        .unwrap();
        let text = config_text(&loaded);
        assert_eq!(text.lines().count(), SETTINGS.len());
        assert!(!text.contains("hunter2"), "{text}");
        let row = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
        assert!(
            row("workers").starts_with("workers = 3 ") && row("workers").contains("# file "),
            "{text}"
        );
        assert!(
            row("database_url").ends_with("# flag") && row("log_format").ends_with("# default"),
            "{text}"
        );
        std::fs::write(&file, &text).unwrap();
        let again = load(&Flags {
            file: Some(file),
            values: Vec::new(),
        })
        .unwrap();
        for ((name, before, _), (_, after, _)) in loaded.rows().zip(again.rows()) {
            // The masked password is the three stars from now on.
            assert_eq!(before, after, "{name}");
        }
    }
}
