//! The work behind the commands that need the store, the server or the media room.

use std::ffi::OsString;

use anyhow::{Context as _, bail};
use ovation_schema::users::{self, NewUser};
use ovation_schema::{Claim, Store, StoreError, UserId, migrate as migrations, now_ms};

use super::{MigrateAction, Secret, SeedArgs, ServeArgs, UsageError, UserAction, print_line};
use crate::auth::{PasswordHasher, PoolSettings};
use crate::config::Config;
use crate::identity::{DataDir, DataDirError};
use crate::seed::{self, Size};
use crate::server::{Server, store_options};
use crate::{demo, media};

/// What an error of the database was about.
const OPENED: &str = "the database can't be opened";

/// Runs the server until a signal ends it.
pub fn serve(config: Config, args: &ServeArgs) -> anyhow::Result<()> {
    let public_url = config.public_url.clone();
    let mut filled = None;
    let server = Server::start_with(config, |app| {
        if args.demo {
            filled = Some(demo::fill(app)?);
        }
        Ok(())
    })?;
    if let Some(demo) = filled {
        // A password is for whoever started this, not for whoever reads the log: so not through it.
        print_line(&demo.greeting(server.addr(), public_url.as_deref()))?;
    }
    server.run_until_signal()
}

/// Shows or changes the schema. Changing it takes the same locks as serving does.
pub fn migrate(config: &Config, action: MigrateAction) -> anyhow::Result<()> {
    let data_dir = match action {
        MigrateAction::Status => DataDir::open_shared(&config.data_dir)?,
        MigrateAction::Run => DataDir::open(&config.data_dir)?,
        MigrateAction::Revert => {
            // Asked first, since only `run` may make a folder.
            DataDir::open_shared(&config.data_dir)?;
            DataDir::open(&config.data_dir)?
        }
    };
    let options = store_options(config, data_dir.path());
    if !matches!(action, MigrateAction::Run) && !options.database.may_exist() {
        bail!("there is no store in the data folder yet; `ovation serve` makes it");
    }
    let _claim = match action {
        MigrateAction::Status => None,
        MigrateAction::Run | MigrateAction::Revert => {
            Claim::take(&options, || std::process::exit(1)).context("the database can't be claimed")?
        }
    };
    let mut connection = ovation_schema::connect(&options).context(OPENED)?;
    match action {
        MigrateAction::Status => {
            for state in migrations::status(&mut connection)? {
                let mark = if state.applied { "applied" } else { "pending" };
                print_line(&format!("{mark}  {}", state.name))?;
            }
        }
        MigrateAction::Run => {
            let applied = migrations::run(&mut connection)?;
            if applied.is_empty() {
                print_line("the schema is up to date")?;
            }
            for name in applied {
                print_line(&format!("applied  {name}"))?;
            }
        }
        MigrateAction::Revert => match migrations::revert(&mut connection)? {
            Some(name) => print_line(&format!("reverted  {name}"))?,
            None => print_line("there is nothing to revert")?,
        },
    }
    Ok(())
}

/// Fills the store with a large world. Numbers that make none are a mistake of whoever typed them.
pub fn seed(config: &Config, args: &SeedArgs) -> anyhow::Result<()> {
    let size = world_size(args).map_err(UsageError)?;
    let password = args.password.as_ref().map(Secret::expose);
    if let Some(password) = password {
        crate::api::check_password(password).map_err(|error| UsageError(error.to_string()))?;
    }
    print_line(&seed::run(config, size, password)?)?;
    Ok(())
}

fn world_size(args: &SeedArgs) -> Result<Size, String> {
    let number = |count: u64| u32::try_from(count).map_err(|_| format!("{count} is too many"));
    let (users, videos) = (number(args.users)?, number(args.videos)?);
    let size = Size {
        users,
        videos,
        likes: args.likes,
        follows: args.follows.unwrap_or_else(|| Size::usual_follows(users)),
        comments: args
            .comments
            .unwrap_or_else(|| Size::usual_comments(videos, args.likes)),
        messages: args.messages.unwrap_or_else(|| Size::usual_messages(users)),
        seed: args.seed,
    };
    size.check().map(|()| size)
}

/// Creates a user or sets a password. May run beside the server: neither changes a count, and tokens are checked
/// against the row at every request.
pub fn user(config: &Config, action: &UserAction, password: &Secret) -> anyhow::Result<()> {
    if let UserAction::Create { name } = action {
        crate::api::check_name(name).map_err(|error| UsageError(error.to_string()))?;
    }
    crate::api::check_password(password.expose())?;
    let makes_store = matches!(action, UserAction::Create { .. });
    let (store, _locks) = open_beside(config, makes_store)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let done = runtime.block_on(async {
        let hasher = PasswordHasher::start(PoolSettings::default())?;
        let password_hash = hasher.hash(password.expose().to_owned()).await?;
        match action {
            UserAction::Create { name } => create_user(&store, name, password_hash).await,
            UserAction::Passwd { name } => set_password(&store, name, password_hash).await,
        }
    });
    store.close();
    print_line(&done?)?;
    Ok(())
}

/// What makes this process the only one on a store, as far as that was needed.
type Locks = (DataDir, Option<Claim>);

/// The store, also where a server runs on it. Only when its schema is behind this version (or there is none yet, and
/// `makes_store`) are the server's locks taken, since a schema must not change under one that serves.
fn open_beside(config: &Config, makes_store: bool) -> anyhow::Result<(Store, Locks)> {
    let mut data_dir = match DataDir::open_shared(&config.data_dir) {
        Err(DataDirError::Missing(_)) if makes_store => DataDir::open(&config.data_dir)?,
        folder => folder?,
    };
    let options = store_options(config, data_dir.path());
    if let Some(store) = Store::open_current(&options).context(OPENED)? {
        return Ok((store, (data_dir, None)));
    }
    let behind = "the store's schema is behind this version, and is not brought up to date under a running server";
    if !data_dir.is_exclusive() {
        data_dir = DataDir::open(&config.data_dir).context(behind)?;
    }
    let claim = Claim::take(&options, || std::process::exit(1)).context(behind)?;
    let store = Store::open(&options).context(OPENED)?;
    Ok((store, (data_dir, claim)))
}

async fn create_user(store: &Store, name: &str, password_hash: String) -> anyhow::Result<String> {
    let id: UserId = store.next_id().await?;
    let user = NewUser {
        id,
        name: name.to_owned(),
        password_hash,
        created_at: now_ms(),
    };
    match store.write(move |connection| users::insert(connection, &user)).await {
        Ok(()) => Ok(format!("user {name} has the id {id}")),
        Err(StoreError::Duplicate) => bail!("there is a user {name} already"),
        Err(error) => Err(error.into()),
    }
}

async fn set_password(store: &Store, name: &str, password_hash: String) -> anyhow::Result<String> {
    let wanted = name.to_owned();
    if store
        .write(move |connection| users::set_password(connection, &wanted, &password_hash))
        .await?
    {
        Ok(format!(
            "the password of {name} is changed and every login of it has ended"
        ))
    } else {
        bail!("there is no user {name}")
    }
}

/// Makes one cover; runs without configuration and logging, in a process of its own.
pub fn cover_child(args: &[OsString]) -> anyhow::Result<()> {
    match media::cover_child::run(args.iter().cloned()) {
        0 => Ok(()),
        code => std::process::exit(code),
    }
}
