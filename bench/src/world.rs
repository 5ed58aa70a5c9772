//! The data that a run reads and writes: seeded once, copied for each run.
//!
//! Owns the sizes and the kept worlds below the output folder. Knows of Ovation only its `seed` command and what that
//! promises: users called `user1` to `userN`, one password for all.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::server::{Server, Setup};

/// Of every user of a seeded world. Such a world is made for load and holds nothing to protect.
pub const PASSWORD: &str = "bench-password";

/// How much data there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WorldSize {
    /// 300 users, 95 videos: for tests
    Tiny,
    /// 10,000 users, 1,000 videos, 100,000 likes
    #[value(alias = "S")]
    S,
    /// 1,000,000 users, 100,000 videos, 10,000,000 likes
    #[value(alias = "M")]
    M,
}

impl WorldSize {
    /// Its name in folders and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tiny => "tiny",
            Self::S => "S",
            Self::M => "M",
        }
    }

    /// How many users.
    pub const fn users(self) -> u32 {
        match self {
            Self::Tiny => 300,
            Self::S => 10_000,
            Self::M => 1_000_000,
        }
    }

    /// One of three figures.
    pub const fn pick(self, tiny: usize, s: usize, m: usize) -> usize {
        match self {
            Self::Tiny => tiny,
            Self::S => s,
            Self::M => m,
        }
    }

    /// Videos, likes, follows, comments, messages.
    const fn rows(self) -> [u64; 5] {
        match self {
            // Not a multiple of 30, so that the last page of the feed is a short one.
            Self::Tiny => [95, 2_000, 900, 200, 300],
            Self::S => [1_000, 100_000, 50_000, 10_000, 10_000],
            Self::M => [100_000, 10_000_000, 5_000_000, 1_000_000, 1_000_000],
        }
    }
}

/// A seeded world on disk.
#[derive(Debug, Clone)]
pub struct World {
    /// How large.
    pub size: WorldSize,
    /// Its folder; `data` in it is the data folder.
    folder: PathBuf,
    in_place: bool,
}

impl World {
    /// The world of this size and seed, made when it is not there yet. With a database of its own (MySQL) there is one
    /// copy only, which every run changes.
    pub fn prepare(setup: &Setup, size: WorldSize, seed: u64, out: &Path) -> anyhow::Result<Self> {
        let world = Self {
            size,
            folder: out
                .join("worlds")
                .join(format!("{}-{seed}-{}", size.name(), setup.store())),
            in_place: setup.database_url.is_some(),
        };
        let marker = world.folder.join("complete");
        if marker.exists() {
            return Ok(world);
        }
        // Half a world of an interrupted run.
        if world.folder.exists() {
            fs::remove_dir_all(&world.folder)?;
        }
        fs::create_dir_all(&world.folder)?;
        let log = world.seed(setup, seed)?;
        // The first start makes the key that signs tokens and the store's identity: with them tokens hold in every copy.
        Server::start(setup.clone(), &world.data(), &world.folder.join("first-start.log"))?.stop()?;
        fs::write(marker, log)?;
        Ok(world)
    }

    /// Fills the empty folder. Gives back what the server said.
    fn seed(&self, setup: &Setup, seed: u64) -> anyhow::Result<String> {
        let [videos, likes, follows, comments, messages] = self.size.rows().map(|count| count.to_string());
        let output = setup
            .command()
            .args([
                "seed",
                "--users",
                &self.size.users().to_string(),
                "--videos",
                &videos,
                "--likes",
                &likes,
            ])
            .args(["--follows", &follows, "--comments", &comments, "--messages", &messages])
            .args(["--seed", &seed.to_string(), "--password", PASSWORD, "--data-dir"])
            .arg(self.data())
            .stdout(Stdio::null())
            .output()
            .with_context(|| format!("{} can't be started", setup.binary.display()))?;
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(
            output.status.success(),
            "the world can't be seeded ({}): {}",
            output.status,
            log.trim()
        );
        Ok(log)
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Where tokens of this world are kept.
    pub fn accounts_file(&self) -> PathBuf {
        self.folder.join("accounts.json")
    }

    /// A data folder to serve from: a copy below `below`, so that every run starts from the same world. Below the output
    /// folder and not in the system's temporary one, which may be memory and would make every disk look fast.
    pub fn copy(&self, below: &Path) -> anyhow::Result<PathBuf> {
        if self.in_place {
            return Ok(self.data());
        }
        let copy = below.join("data");
        copy_folder(&self.data(), &copy).context("the world can't be copied")?;
        Ok(copy)
    }
}

fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    fs::set_permissions(to, fs::metadata(from)?.permissions())?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, to) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            copy_folder(&entry.path(), &to)?;
        } else if kind.is_file() {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}
