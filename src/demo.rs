//! `serve --demo`: the demo world in an empty store, and the words that tell a person how to get in.
//!
//! Owns the filling and its order: the password's file, the clips, then every row in one transaction. So a crash leaves
//! an empty store (with a password that the next start takes up, and clips that its sweep removes) or the whole world,
//! never a half one. Never touches a store that somebody is in already, and logs no password.

mod clips;
mod password;
mod plant;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use anyhow::Context as _;
use ovation_schema::{StoreError, now_ms, users};

use crate::app::App;
use crate::auth::Verdict;
use crate::demo_world::USERS;
use plant::Makings;

pub use clips::KeptClips;
pub use password::PASSWORD_FILE;

/// Whom the greeting names: all ASCII, so that it can be typed anywhere and needs no encoding in an address.
const GUIDE: usize = 4;

/// What `--demo` found or made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Demo {
    /// The demo world is there, now or from an earlier start, and this is its accounts' password.
    Ready(String),
    /// The store belongs to somebody else, or the demo's accounts got other passwords: nothing was changed.
    LeftAlone,
}

/// Fills the store when it is empty. Blocks; not for async threads. The application must not serve yet.
pub fn fill(app: &App) -> anyhow::Result<Demo> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let file = app.config.data_dir.join(PASSWORD_FILE);
    runtime.block_on(async {
        if app.store.read(users::any).await? || !fill_empty(app, &file).await? {
            return recognise(app, &file).await;
        }
        password::load(&file)?
            .map(Demo::Ready)
            .context("the file demo-password has vanished")
    })
}

/// False when somebody came into the store meanwhile (`ovation user create` may run beside).
async fn fill_empty(app: &App, file: &Path) -> anyhow::Result<bool> {
    let password = password::load_or_create(file)?;
    // One hash for all: that their passwords are the same is said to everybody anyway, and twelve hashes on a busy
    // machine were the longest part of the start.
    let password_hash = app.passwords.hash(password).await?;
    let clips = KeptClips::keep(&app.media).await?;
    let makings = Makings {
        password_hash,
        media: clips.names(),
        now_ms: now_ms(),
    };
    match app
        .store
        .write(move |connection| plant::plant(connection, &makings))
        .await
    {
        Ok(true) => {
            clips.commit();
            tracing::info!("the demo world is in the store");
            Ok(true)
        }
        Ok(false) => {
            clips.discard().await;
            Ok(false)
        }
        // The commit's answer may be what was lost; the clips stay, and the sweep of this start decides.
        Err(error @ StoreError::Unavailable(_)) => Err(error).context("the demo world can't be stored"),
        Err(error) => {
            clips.discard().await;
            Err(error).context("the demo world can't be stored")
        }
    }
}

/// It is the demo world if the password of this folder opens the account that the greeting names.
async fn recognise(app: &App, file: &Path) -> anyhow::Result<Demo> {
    let Some(password) = password::load(file)? else {
        return Ok(Demo::LeftAlone);
    };
    let found = app
        .store
        .read(|connection| users::credentials(connection, USERS[GUIDE].name))
        .await?;
    let Some(found) = found else {
        return Ok(Demo::LeftAlone);
    };
    let verdict = app
        .passwords
        .verify(password.clone(), Some(found.password_hash))
        .await?;
    Ok(match verdict {
        Verdict::Right { .. } => Demo::Ready(password),
        Verdict::Wrong => Demo::LeftAlone,
    })
}

impl Demo {
    /// What a person at the terminal should read; for standard output, not for the log. `public_url` is the configured
    /// base, if any.
    pub fn greeting(&self, listening: SocketAddr, public_url: Option<&str>) -> String {
        let base = public_url.map_or_else(|| format!("http://{}", reachable(listening)), str::to_owned);
        let lines = match self {
            Self::Ready(password) => {
                let user = USERS[GUIDE].name;
                let others = USERS.len() - 1;
                vec![
                    format!("Ovation serves its demo world on {base}"),
                    String::new(),
                    format!("user      {user} (and {others} others)"),
                    format!("password  {password} (the same for all of them)"),
                    String::new(),
                    "Try:".to_owned(),
                    format!("curl '{base}/douyin/feed/'"),
                    format!("curl -X POST '{base}/douyin/user/login/?username={user}&password={password}'"),
                ]
            }
            Self::LeftAlone => vec![
                format!("Ovation serves on {base}"),
                String::new(),
                "There are users in this store already, and not (or no longer) those of the".to_owned(),
                "demo world: it was left as it is. For a demo choose an empty folder, such as".to_owned(),
                "ovation serve --demo --data-dir ./demo-data".to_owned(),
            ],
        };
        frame(&lines)
    }
}

/// An address that can be opened: "every address" is one to listen on only.
fn reachable(listening: SocketAddr) -> SocketAddr {
    let ip = match listening.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listening.port())
}

/// A rule above and below; none at the sides, so that a line can be copied whole.
fn frame(lines: &[String]) -> String {
    let rule = "─".repeat(78);
    let body: String = lines.iter().flat_map(|line| [indent(line), line, "\n"]).collect();
    format!("\n{rule}\n{body}{rule}\n")
}

fn indent(line: &str) -> &'static str {
    if line.is_empty() { "" } else { "  " }
}

#[cfg(test)]
mod tests;
