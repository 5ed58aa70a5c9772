//! Users to act as: logged in where a world knows them, registered where none does.
//!
//! Owns getting tokens and keeping them between runs; a login costs the server some 20 ms of a core, so thousands of them
//! are worth a file. Never shows a token.

use std::cell::{Cell, RefCell};
use std::fs;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};

use crate::contract::{Login, read_login, read_status};
use crate::display::Display;
use crate::failure::Failure;
use crate::http::{Answer, Connection, Target, encode};
use crate::world::PASSWORD;

/// A single question outside of the measurement.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// Logins at once: enough for a few cores, below what a busy server refuses.
const AT_ONCE: usize = 8;

/// A user that can act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// As the server numbers it.
    pub id: i64,
    /// The user name.
    pub name: String,
    /// As it stands in a query.
    pub token: String,
    /// The password.
    pub password: String,
}

/// How the users of a target are called.
#[derive(Debug, Clone)]
pub enum Naming {
    /// A seeded world: `user1`, `user2` and so on, who exist.
    Seeded,
    /// Names of the bench's own, from its seed.
    Own(u64),
}

impl Naming {
    fn account(&self, number: usize) -> (String, String) {
        match self {
            Self::Seeded => (format!("user{number}"), PASSWORD.to_owned()),
            Self::Own(seed) => (format!("bench-{seed}-{number}"), format!("{PASSWORD}-{number}")),
        }
    }
}

/// Obtains accounts and remembers them.
pub struct Accounts {
    target: Target,
    naming: Naming,
    file: PathBuf,
}

impl Accounts {
    /// Of one target; `file` is where they are kept, readable by its owner only.
    pub fn new(target: Target, naming: Naming, file: PathBuf) -> Self {
        Self { target, naming, file }
    }

    /// The first `count` users. What the file has is taken from there, as long as the server accepts its first and last.
    pub async fn obtain(&self, count: usize, display: &Display) -> anyhow::Result<Vec<Arc<Account>>> {
        let mut accounts = read_file(&self.file);
        if !self.are_valid(&accounts).await {
            accounts.clear();
        }
        let known = accounts.len();
        if known < count {
            let (next, done) = (Cell::new(known), Cell::new(known));
            let found = RefCell::new(Vec::with_capacity(count - known));
            let worker = || async {
                let mut connection = Connection::new(self.target.clone());
                while next.get() < count {
                    next.set(next.get() + 1);
                    let number = next.get();
                    let account = self.enter(&mut connection, number).await;
                    found.borrow_mut().push((number, account?));
                    done.set(done.get() + 1);
                    display.count("logins", done.get(), count);
                }
                Ok::<_, Failure>(())
            };
            try_join_all((0..AT_ONCE).map(|_| worker())).await?;
            let mut found = found.into_inner();
            found.sort_by_key(|(number, _)| *number);
            accounts.extend(found.into_iter().map(|(_, account)| account));
            write_file(&self.file, &accounts).context("the tokens can't be kept")?;
        }
        accounts.truncate(count);
        Ok(accounts.into_iter().map(Arc::new).collect())
    }

    async fn are_valid(&self, accounts: &[Account]) -> bool {
        let mut connection = Connection::new(self.target.clone());
        for account in accounts.first().into_iter().chain(accounts.last()) {
            // A page that nobody sees without a valid token; the profile would be shown to guests as well.
            let path = format!(
                "/douyin/relation/friend/list/?user_id={}&token={}",
                account.id, account.token
            );
            let answer = connection.get_within(PATIENCE, &path).await;
            if answer.and_then(Answer::ok).and_then(read_status).is_err() {
                return false;
            }
        }
        true
    }

    /// Logs a user in; one of our own is registered first where it is not known.
    async fn enter(&self, connection: &mut Connection, number: usize) -> Result<Account, Failure> {
        let (name, password) = self.naming.account(number);
        let login = match (&self.naming, login(connection, &name, &password).await) {
            (Naming::Own(_), Err(Failure::Code { .. } | Failure::Status { .. })) => {
                ask(connection, "/douyin/user/register/", &name, &password).await?
            }
            (_, login) => login?,
        };
        Ok(Account {
            id: login.user_id,
            name,
            token: encode(&login.token),
            password,
        })
    }
}

async fn login(connection: &mut Connection, name: &str, password: &str) -> Result<Login, Failure> {
    ask(connection, "/douyin/user/login/", name, password).await
}

async fn ask(connection: &mut Connection, path: &str, name: &str, password: &str) -> Result<Login, Failure> {
    // In the query, where the document has it and every peer reads it.
    let path = format!("{path}?username={}&password={}", encode(name), encode(password));
    let answer = connection.post_within(PATIENCE, &path, "").await?;
    read_login(answer.ok()?)
}

fn read_file(file: &Path) -> Vec<Account> {
    // A file that is missing or of another version means logging in again.
    fs::read(file)
        .ok()
        .and_then(|text| serde_json::from_slice(&text).ok())
        .unwrap_or_default()
}

fn write_file(file: &Path, accounts: &[Account]) -> anyhow::Result<()> {
    let open = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(file)?;
    serde_json::to_writer(open, accounts)?;
    Ok(())
}
