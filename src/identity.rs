//! Whose data folder it is.
//!
//! Owns the folder's creation and the OS lock that lets one process at a time write there. The lock is the kernel's:
//! it goes with the process, also after `kill -9`, so there is no stale lock to clean up. Never looks at what else is
//! in the folder, and never removes the lock file: a process that waits for a removed file and one that makes a new
//! one would both hold "the" lock.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, OFlags, access};

/// The lock file's name in the data folder.
pub const LOCK_FILE: &str = "ovation.lock";

/// Why a data folder can't be used, in words for the person who named it.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another process serves from it.
    #[error("the data folder {0} is in use by {1}; stop that first, or choose another folder with --data-dir")]
    InUse(String, String),
    /// A file or a device stands there.
    #[error("{0} is not a folder; choose another data folder with --data-dir")]
    NotAFolder(String),
    /// A command that makes no folder found none.
    #[error("the data folder {0} does not exist; `ovation serve` makes it")]
    Missing(String),
    /// The file system says no.
    #[error("the data folder {0} {1}")]
    Unusable(String, &'static str, #[source] io::Error),
}

/// An open data folder. Dropping it gives up the lock; so keep it until everything in the folder is closed.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    lock: Option<File>,
}

impl DataDir {
    /// Makes the folder if need be (mode 0700, parents too) and takes its lock, before anything in it is opened.
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        match DirBuilder::new().recursive(true).mode(0o700).create(path) {
            // `AlreadyExists` is said of a file, and of a link that leads nowhere.
            Err(error)
                if !matches!(
                    error.kind(),
                    io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory
                ) =>
            {
                return Err(DataDirError::Unusable(shown(path), "can't be made", error));
            }
            _ => {}
        }
        let path = checked(path)?;
        let lock = lock(&path)?;
        Ok(Self { path, lock: Some(lock) })
    }

    /// The folder as it is, without its lock: for commands that may run beside a server. Makes nothing.
    pub fn open_shared(path: &Path) -> Result<Self, DataDirError> {
        Ok(Self {
            path: checked(path)?,
            lock: None,
        })
    }

    /// The absolute path, without links.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether this process is the one that may write what a server owns.
    pub fn is_exclusive(&self) -> bool {
        self.lock.is_some()
    }
}

impl Drop for DataDir {
    /// Unlocks by name: closing the file alone would leave the lock with a child that has been forked and has not yet
    /// reached its own program.
    fn drop(&mut self) {
        if let Some(file) = &self.lock {
            // The next holder overwrites the id anyway; an empty file only spares a reader a wrong number.
            let _ = file.set_len(0);
            let _ = file.unlock();
        }
    }
}

fn shown(path: &Path) -> String {
    format!("`{}`", path.display().to_string().escape_debug())
}

fn checked(path: &Path) -> Result<PathBuf, DataDirError> {
    let absolute = path.canonicalize().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => DataDirError::Missing(shown(path)),
        io::ErrorKind::NotADirectory => DataDirError::NotAFolder(shown(path)),
        _ => DataDirError::Unusable(shown(path), "can't be reached", error),
    })?;
    if !absolute.is_dir() {
        return Err(DataDirError::NotAFolder(shown(path)));
    }
    access(&absolute, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK)
        .map_err(|error| DataDirError::Unusable(shown(path), "can't be written by this user", error.into()))?;
    Ok(absolute)
}

fn lock(folder: &Path) -> Result<File, DataDirError> {
    let unusable = |error| DataDirError::Unusable(shown(folder), "has a lock file that can't be used", error);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        // A link in its place could make us write our id into somebody else's file; a pipe would hang the open.
        .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
        .open(folder.join(LOCK_FILE))
        .map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(DataDirError::InUse(shown(folder), holder(&mut file))),
        Err(TryLockError::Error(error)) => return Err(unusable(error)),
    }
    file.set_len(0).and_then(|()| file.rewind()).map_err(unusable)?;
    writeln!(file, "{}", std::process::id()).map_err(unusable)?;
    Ok(file)
}

/// Who holds the lock, as far as the file tells: its writer may be between the lock and the write.
fn holder(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.take(32).read_to_string(&mut text);
    match (read, text.trim().parse::<u32>()) {
        (Ok(_), Ok(id)) => format!("process {id}"),
        _ => "another process".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn the_folder_is_made_for_its_owner_only() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b");
        let folder = DataDir::open(&path).unwrap();
        assert!(folder.is_exclusive() && folder.path().is_absolute());
        for made in ["a", "a/b"] {
            assert_eq!(
                parent.path().join(made).metadata().unwrap().permissions().mode() & 0o777,
                0o700
            );
        }
        assert_eq!(
            path.join(LOCK_FILE).metadata().unwrap().permissions().mode() & 0o777,
            0o600
        );
    }

    #[test]
    fn one_holder_at_a_time_and_the_next_after_it() {
        let parent = tempfile::tempdir().unwrap();
        let first = DataDir::open(parent.path()).unwrap();
        let refused = DataDir::open(parent.path()).unwrap_err().to_string();
        assert!(
            refused.contains(&format!("in use by process {}", std::process::id())),
            "{refused}"
        );
        assert!(!DataDir::open_shared(parent.path()).unwrap().is_exclusive());
        // The refusal and the shared handle must not have freed the first one's lock.
        assert!(matches!(DataDir::open(parent.path()), Err(DataDirError::InUse(..))));
        drop(first);
        DataDir::open(parent.path()).unwrap();
    }

    #[test]
    fn what_is_no_folder_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        let file = parent.path().join("file");
        std::fs::write(&file, "").unwrap();
        for path in [file.clone(), file.join("below")] {
            let error = DataDir::open(&path).unwrap_err();
            assert!(matches!(error, DataDirError::NotAFolder(_)), "{error}");
        }
        let below = Path::new("/proc/self/made");
        let error = anyhow::Error::from(DataDir::open(below).unwrap_err());
        let told = format!("{error:#}");
        assert_eq!(told.matches("os error").count(), 1, "the cause is told once: {told}");
        assert!(matches!(
            DataDir::open_shared(&parent.path().join("none")),
            Err(DataDirError::Missing(_))
        ));
        assert!(!parent.path().join("none").exists());
    }

    #[test]
    fn a_link_in_the_lock_files_place_is_not_followed() {
        let parent = tempfile::tempdir().unwrap();
        let victim = parent.path().join("victim");
        std::fs::write(&victim, "precious").unwrap();
        let folder = parent.path().join("data");
        std::fs::create_dir(&folder).unwrap();
        symlink(&victim, folder.join(LOCK_FILE)).unwrap();
        assert!(matches!(DataDir::open(&folder), Err(DataDirError::Unusable(..))));
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
    }

    const FOLDER: &str = "OVATION_TEST_LOCK_FOLDER";

    /// Holds a folder and waits, as a process of its own.
    #[test]
    #[ignore = "only as the child of the next test"]
    fn child_that_holds_the_lock() {
        let Some(path) = std::env::var_os(FOLDER) else { return };
        let folder = DataDir::open(Path::new(&path)).unwrap();
        println!("\nheld");
        io::stdin().read_line(&mut String::new()).unwrap();
        drop(folder);
    }

    #[test]
    fn a_killed_holder_frees_the_folder() {
        let parent = tempfile::tempdir().unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "identity::tests::child_that_holds_the_lock",
                "--ignored",
                "--nocapture",
            ])
            .env(FOLDER, parent.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap() == "held"), "the child ended early");
        let refused = DataDir::open(parent.path()).unwrap_err().to_string();
        assert!(
            refused.contains(&format!("in use by process {};", child.id())),
            "{refused}"
        );
        child.kill().unwrap(); // SIGKILL
        child.wait().unwrap();
        DataDir::open(parent.path()).unwrap();
    }
}
