//! The one password of the demo's accounts, and the file that remembers it.
//!
//! Owns `demo-password` in the data folder, readable by its owner only. Makes it once and never writes over it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context as _, ensure};
use rand::RngExt as _;
use rustix::fs::OFlags;

/// The file's name in the data folder.
pub const PASSWORD_FILE: &str = "demo-password";

/// Without letters and digits that look like others: a person copies it from a screen.
const LETTERS: &[u8] = b"abcdefghjkmnpqrstuvwxyz23456789";
/// Three groups of four: 59 bits.
const GROUPS: usize = 3;
const GROUP: usize = 4;
/// More than any password that could stand there.
const MAX_BYTES: u64 = 256;

/// A new random password.
fn generate() -> String {
    let mut rng = rand::rng();
    let mut group = || -> String {
        (0..GROUP)
            .map(|_| char::from(LETTERS[rng.random_range(0..LETTERS.len())]))
            .collect()
    };
    (0..GROUPS).map(|_| group()).collect::<Vec<_>>().join("-")
}

/// The password in the file; none when there is no file.
pub fn load(path: &Path) -> anyhow::Result<Option<String>> {
    // A link or a pipe in its place is neither followed nor waited for.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).context("the file demo-password can't be read"),
    };
    let unusable = "the file demo-password in the data folder holds no password; remove it to get a new one";
    ensure!(file.metadata()?.is_file(), unusable);
    let mut text = String::new();
    file.take(MAX_BYTES).read_to_string(&mut text).context(unusable)?;
    let password = text.trim();
    ensure!(crate::api::check_password(password).is_ok(), unusable);
    Ok(Some(password.to_owned()))
}

/// The password in the file, which is made when it is missing: complete and on the disk, mode 0600.
pub fn load_or_create(path: &Path) -> anyhow::Result<String> {
    if let Some(password) = load(path)? {
        return Ok(password);
    }
    let password = generate();
    create(path, &password).context("the file demo-password can't be written")?;
    Ok(password)
}

fn create(path: &Path, password: &str) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    // `tempfile` makes its files with mode 0600, before the first byte.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    writeln!(file, "{password}")?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn a_password_is_made_once_for_the_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(PASSWORD_FILE);
        assert_eq!(load(&path).unwrap(), None);
        let first = load_or_create(&path).unwrap();
        assert_eq!(load_or_create(&path).unwrap(), first);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        assert_ne!(generate(), generate());
        assert!(
            first.split('-').all(|group| group.len() == 4) && first.len() == 14,
            "{first}"
        );
    }

    #[test]
    fn what_is_no_password_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(PASSWORD_FILE);
        for content in [b"".as_slice(), b"\n", b"\xff\xfe", &[b'a'; 4096]] {
            std::fs::write(&path, content).unwrap();
            let error = load_or_create(&path).unwrap_err();
            assert!(error.to_string().contains("remove it"), "{error}");
            assert_eq!(std::fs::read(&path).unwrap(), content);
        }
        std::fs::remove_file(&path).unwrap();
        symlink(folder.path().join("elsewhere"), &path).unwrap();
        load_or_create(&path).unwrap_err();
        assert!(!folder.path().join("elsewhere").exists());
    }
}
