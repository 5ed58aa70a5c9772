//! A data folder on a disk that forgets what was not synced; the recording is `powercut.c`, whose head tells the model.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use tempfile::TempDir;

use crate::harness::folders;

/// What a disk writes as a whole.
const SECTOR: usize = 512;

/// How much reaches the disk that nobody asked it to keep.
#[derive(Debug, Clone, Copy)]
pub enum Unsynced {
    /// Nothing.
    Lost,
    /// Single sectors, and the names of all files or of none.
    Torn,
}

/// How a disk treats a server.
#[derive(Debug, Clone, Copy)]
pub enum Manner {
    /// Keeps what was synced.
    Sound,
    /// Says "synced" and keeps nothing.
    Lying,
    /// Sound, and slow to begin: a kill loses only what no write has reached, and that is the blink of an eye without this.
    Late,
}

/// About what a busy disk needs.
const LATE_US: u32 = 3_000;

/// The disk below a data folder.
pub struct Disk {
    live: PathBuf,
    shadow: TempDir,
    library: PathBuf,
    _built: TempDir,
}

impl Disk {
    /// Builds the recorder, for a data folder that nobody uses yet.
    pub fn under(live: &Path) -> Self {
        let built = folders::fresh("powercut");
        let library = built.path().join("powercut.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/crash/powercut.c");
        let compiler = Command::new("cc")
            .args([
                "-shared",
                "-fPIC",
                "-O1",
                "-fvisibility=hidden",
                "-Wall",
                "-Wextra",
                "-Werror",
            ])
            .args([Path::new("-o"), &library, &source, Path::new("-lpthread")])
            .output()
            .unwrap_or_else(|error| panic!("no C compiler ({error}): run tests/setup once"));
        assert!(
            compiler.status.success(),
            "{}",
            String::from_utf8_lossy(&compiler.stderr)
        );
        let disk = Self {
            live: live.canonicalize().unwrap(),
            shadow: folders::fresh("shadow"),
            library,
            _built: built,
        };
        disk.settle();
        disk
    }

    /// What a server needs in its environment to write to this disk.
    pub fn environment(&self, manner: Manner) -> Vec<(String, String)> {
        let mut environment = vec![
            ("LD_PRELOAD", self.library.display().to_string()),
            ("POWERCUT_LIVE", self.live.display().to_string()),
            ("POWERCUT_SHADOW", self.shadow.path().display().to_string()),
        ];
        match manner {
            Manner::Sound => {}
            Manner::Lying => environment.push(("POWERCUT_LIE", "1".to_owned())),
            Manner::Late => environment.push(("POWERCUT_DELAY", LATE_US.to_string())),
        }
        let pairs = environment.into_iter();
        pairs.map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// Cuts the power behind a killed server: the data folder is left with what this disk kept.
    pub fn cut(&self, unsynced: Unsynced, random: &mut ChaCha8Rng) {
        let kept = self.kept(unsynced, random);
        for entry in fs::read_dir(&self.live).unwrap().flatten() {
            if entry.file_type().unwrap().is_dir() {
                fs::remove_dir_all(entry.path()).unwrap();
            } else {
                fs::remove_file(entry.path()).unwrap();
            }
        }
        for (name, content) in kept {
            let path = self.live.join(name);
            match content {
                Some(content) => write(&path, &content),
                None => make_folder(&path),
            }
        }
        self.settle();
    }

    /// Names with contents; no content is a folder, and comes before what is in it.
    fn kept(&self, unsynced: Unsynced, random: &mut ChaCha8Rng) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
        let numbers = self.live_numbers();
        let new_names = matches!(unsynced, Unsynced::Torn) && random.random_bool(0.5);
        let share = match unsynced {
            Unsynced::Lost => 0.0,
            Unsynced::Torn => [0.02, 0.3, 0.9][random.random_range(0..3)],
        };
        let tree = if new_names { self.live.clone() } else { self.tree() };
        let mut kept = BTreeMap::new();
        for (name, path) in walk(&tree) {
            if path.is_dir() {
                kept.insert(name, None);
                continue;
            }
            let (synced, written) = if new_names {
                let number = fs::metadata(&path).unwrap().ino();
                (fs::read(self.contents().join(number.to_string())), fs::read(&path))
            } else {
                let live = numbers.get(&fs::metadata(&path).unwrap().ino());
                // A file that was removed since: what was written into it before that is not known any more.
                let live = live.map_or_else(|| fs::read(&path), fs::read);
                (fs::read(&path), live)
            };
            let content = torn(synced.unwrap_or_default(), &written.unwrap(), share, random);
            kept.insert(name, Some(content));
        }
        kept
    }

    /// The live file behind each durable content, by the inode number of that content.
    fn live_numbers(&self) -> BTreeMap<u64, PathBuf> {
        let mut found = BTreeMap::new();
        for (_, path) in walk(&self.live) {
            let number = fs::metadata(&path).unwrap().ino();
            if let Ok(content) = fs::metadata(self.contents().join(number.to_string())) {
                found.insert(content.ino(), path);
            }
        }
        found
    }

    /// Declares everything in the data folder durable, as the system does with everything written when it has the time. Not
    /// beside a server. Due before the next one when a server was killed and the power stayed: what the dead one wrote is
    /// still on its way to the disk then, and the recorder of the next knows nothing of it.
    pub fn settle(&self) {
        for folder in [self.tree(), self.contents()] {
            if folder.exists() {
                fs::remove_dir_all(&folder).unwrap();
            }
            make_folder(&folder);
        }
        for (name, path) in walk(&self.live) {
            let durable = self.tree().join(name);
            if path.is_dir() {
                make_folder(&durable);
                continue;
            }
            let content = self.contents().join(fs::metadata(&path).unwrap().ino().to_string());
            write(&content, &fs::read(&path).unwrap());
            fs::hard_link(&content, &durable).unwrap();
        }
    }

    fn tree(&self) -> PathBuf {
        self.shadow.path().join("tree")
    }

    fn contents(&self) -> PathBuf {
        self.shadow.path().join("inodes")
    }
}

/// `synced` with a random share of the sectors in which `written` differs.
fn torn(synced: Vec<u8>, written: &[u8], share: f64, random: &mut ChaCha8Rng) -> Vec<u8> {
    let mut content = synced;
    if share == 0.0 {
        return content;
    }
    if written.len() < content.len() && random.random_bool(share) {
        content.truncate(written.len());
    }
    let old = content.clone();
    for start in (0..written.len()).step_by(SECTOR) {
        let end = written.len().min(start + SECTOR);
        if old.get(start..end) == Some(&written[start..end]) || !random.random_bool(share) {
            continue;
        }
        if content.len() < end {
            content.resize(end, 0);
        }
        content[start..end].copy_from_slice(&written[start..end]);
    }
    content
}

/// Every file and folder below one, in the order of names, folders before their content; without SQLite's wal-index, which
/// is made anew after a crash, and without sockets.
fn walk(top: &Path) -> BTreeSet<(PathBuf, PathBuf)> {
    let mut found = BTreeSet::new();
    let mut folders = vec![top.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                folders.push(path.clone());
            } else if !kind.is_file() || path.to_string_lossy().ends_with("-shm") {
                continue;
            }
            found.insert((path.strip_prefix(top).unwrap().to_owned(), path));
        }
    }
    found
}

fn make_folder(path: &Path) {
    fs::DirBuilder::new().mode(0o700).create(path).unwrap();
}

fn write(path: &Path, content: &[u8]) {
    let mut options = fs::OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(path);
    std::io::Write::write_all(&mut file.unwrap(), content).unwrap();
}
