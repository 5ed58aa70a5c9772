//! The key that signs tokens, and the file it lives in.
//!
//! Owns making, reading and guarding that file. Never shows the key: not in an error, not in a debug print.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};

/// 256 bits, the output size of the hash (RFC 7518, 3.2, asks for at least that).
const KEY_LEN: usize = 32;
/// A key file is 45 bytes; more than this is something else and is not read any further.
const MAX_FILE_LEN: u64 = 256;

/// Why the key can't be used; each says what to do. For the operator at start, never for an answer: it names the file.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file can't be made or read.
    #[error("the token key {path} can't be read or made: {cause}")]
    Io {
        /// The key file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// Others could forge tokens.
    #[error("the token key {0} can be read by others; run `chmod 600 {0}`, or delete it to log everybody out")]
    Exposed(PathBuf),
    /// Something else lies there.
    #[error("{0} does not hold a token key (32 bytes in base64); restore it, or delete it to log everybody out")]
    Unusable(PathBuf),
    /// No randomness from the system.
    #[error("the system gives no random numbers for a token key")]
    NoRandomness,
}

/// An HMAC-SHA256 key.
pub struct TokenKey(hmac::Key);

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenKey(…)")
    }
}

impl TokenKey {
    /// A key from its bytes.
    pub fn from_bytes(bytes: [u8; KEY_LEN]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
    }

    /// Reads the key from `path`, or makes a random one there (mode 0600) when there is no file.
    ///
    /// Of several processes that start at once, one makes the file and all read the same key. A file that others can
    /// read or that holds no key is refused rather than replaced: replacing it would log everybody out unasked.
    pub fn load_or_create(path: &Path) -> Result<Self, KeyError> {
        match load(path) {
            Err(KeyError::Io { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => {}
            result => return result,
        }
        let mut bytes = [0; KEY_LEN];
        SystemRandom::new()
            .fill(&mut bytes)
            .map_err(|_| KeyError::NoRandomness)?;
        match create(path, &bytes) {
            Err(cause) if cause.kind() != io::ErrorKind::AlreadyExists => Err(io_error(path, cause)),
            _ => load(path),
        }
    }

    pub(super) fn sign(&self, message: &[u8]) -> hmac::Tag {
        hmac::sign(&self.0, message)
    }

    /// Compares in constant time.
    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        hmac::verify(&self.0, message, signature).is_ok()
    }
}

fn io_error(path: &Path, cause: io::Error) -> KeyError {
    KeyError::Io {
        path: path.to_owned(),
        cause,
    }
}

fn load(path: &Path) -> Result<TokenKey, KeyError> {
    // Checked and read through one descriptor, so that the file can't be swapped in between.
    let file = OpenOptions::new()
        .read(true)
        .open(path)
        .map_err(|cause| io_error(path, cause))?;
    let metadata = file.metadata().map_err(|cause| io_error(path, cause))?;
    if !metadata.is_file() {
        return Err(KeyError::Unusable(path.to_owned()));
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(KeyError::Exposed(path.to_owned()));
    }
    let mut text = Vec::new();
    file.take(MAX_FILE_LEN)
        .read_to_end(&mut text)
        .map_err(|cause| io_error(path, cause))?;
    let bytes = STANDARD.decode(text.trim_ascii()).ok();
    let bytes = bytes.and_then(|bytes| <[u8; KEY_LEN]>::try_from(bytes).ok());
    bytes
        .map(TokenKey::from_bytes)
        .ok_or_else(|| KeyError::Unusable(path.to_owned()))
}

/// Complete and on the disk under its name, or not there at all; never over another file.
fn create(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    // `tempfile` makes its files with mode 0600, before the first byte.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    writeln!(file, "{}", STANDARD.encode(bytes))?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn key_in(folder: &Path) -> PathBuf {
        folder.join("token.key")
    }

    #[test]
    fn a_key_is_made_once_for_the_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = key_in(folder.path());
        let first = TokenKey::load_or_create(&path).unwrap();
        let again = TokenKey::load_or_create(&path).unwrap();
        assert!(again.verify(b"message", first.sign(b"message").as_ref()));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            1,
            "nothing temporary stays"
        );
    }

    #[test]
    fn processes_that_start_at_once_agree() {
        let folder = tempfile::tempdir().unwrap();
        let path = key_in(folder.path());
        let make = || TokenKey::load_or_create(&path).unwrap().sign(b"m").as_ref().to_vec();
        let tags: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(make)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(tags.windows(2).all(|pair| pair[0] == pair[1]));
    }

    #[test]
    fn an_exposed_key_is_refused_with_the_cure() {
        let folder = tempfile::tempdir().unwrap();
        let path = key_in(folder.path());
        TokenKey::load_or_create(&path).unwrap();
        for mode in [0o640, 0o604, 0o620, 0o644] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = TokenKey::load_or_create(&path).unwrap_err();
            assert!(matches!(error, KeyError::Exposed(_)), "{mode:o}");
            assert!(error.to_string().contains("chmod 600"));
        }
    }

    #[test]
    fn what_is_no_key_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = key_in(folder.path());
        let short = STANDARD.encode([1; 31]);
        let long = STANDARD.encode([1; 33]);
        for content in ["", "not base64!", &short, &long, &"A".repeat(100_000)] {
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            assert!(matches!(TokenKey::load_or_create(&path), Err(KeyError::Unusable(_))));
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
        }
        assert!(matches!(
            TokenKey::load_or_create(folder.path()),
            Err(KeyError::Unusable(_))
        ));
        let nowhere = folder.path().join("missing/token.key");
        assert!(matches!(TokenKey::load_or_create(&nowhere), Err(KeyError::Io { .. })));
    }

    #[test]
    fn a_key_does_not_show_itself() {
        assert_eq!(format!("{:?}", TokenKey::from_bytes([65; 32])), "TokenKey(…)");
    }
}
