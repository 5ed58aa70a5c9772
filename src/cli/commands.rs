//! The work behind the commands that need the store, the server or the media room.

use std::ffi::OsString;
use std::path::Path;

use anyhow::{Context as _, bail};
use ovation_actors::Entry;
use ovation_actors::ledger::{self, Ledger as _, SqliteLedger};
use ovation_schema::users::{self, NewUser};
use ovation_schema::{
    Claim, Options, Store, StoreError, UserId, likes as recorded, migrate as migrations, now_ms, verify as recounting,
};

use super::{
    LedgerAction, MigrateAction, Secret, SeedArgs, ServeArgs, UsageError, UserAction, Verdict, VerifyArgs, print_line,
};
use crate::auth::{PasswordHasher, PoolSettings};
use crate::config::Config;
use crate::control::{self, Found};
use crate::identity::{DataDir, DataDirError};
use crate::seed::{self, Size};
use crate::server::{STORE_FILE, Server, store_options};
use crate::{demo, likes, media};

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
        .write(move |connection| users::set_password(connection, &wanted, &password_hash, now_ms()))
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

/// Recounts every counter. Takes the locks and brings what the ledger holds into the database first; where a server has
/// the locks, it asks that one.
pub fn verify(config: &Config, args: VerifyArgs) -> anyhow::Result<()> {
    let found = match Offline::open(config) {
        Ok(offline) => offline.verify(args.repair)?,
        Err(error) if !is_in_use(&error) => return Err(error),
        Err(_) if args.repair => bail!("a server runs in this data folder: stop it, then repair"),
        Err(_) => control::ask_to_verify(&config.data_dir)?,
    };
    for Found {
        counter,
        id,
        stored,
        counted,
    } in &found
    {
        print_line(&format!("{counter} of {id}: says {stored}, its rows say {counted}"))?;
    }
    match (found.len(), args.repair) {
        (0, _) => Ok(print_line("every counter is exact")?),
        (wrong, false) => Err(Verdict::Wrong(wrong).into()),
        (mended, true) => Err(Verdict::Mended(mended).into()),
    }
}

fn is_in_use(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(DataDirError::InUse(..)))
}

/// A store that no server has, with its ledger brought in.
struct Offline {
    options: Options,
    store: Store,
    _claim: Option<Claim>,
    /// Last: nothing may be open in the folder when its lock goes.
    _data_dir: DataDir,
}

impl Offline {
    fn open(config: &Config) -> anyhow::Result<Self> {
        // A mistyped folder must not become an empty store whose counters are all exact.
        let found = DataDir::open_shared(&config.data_dir)?;
        if config.database_url.is_none() && !found.path().join(STORE_FILE).exists() {
            bail!("there is no store in the data folder {}", found.path().display());
        }
        let data_dir = DataDir::open(&config.data_dir)?;
        let options = store_options(config, data_dir.path());
        let claim = Claim::take(&options, || std::process::exit(1))?;
        let store = Store::open(&options)?;
        let counters = likes::start(config, data_dir.path(), &store)?;
        likes::flush(&counters)?.context("the ledger can't be brought into the database")?;
        likes::stop(&counters, config.shutdown_timeout)?;
        Ok(Self {
            options,
            store,
            _claim: claim,
            _data_dir: data_dir,
        })
    }

    fn verify(self, repair: bool) -> anyhow::Result<Vec<Found>> {
        let mut connection = ovation_schema::connect(&self.options)?;
        let found = if repair {
            recounting::mend(&mut connection)?
        } else {
            recounting::recount(&mut connection)?
        };
        self.store.close();
        Ok(found.into_iter().map(Found::from).collect())
    }
}

/// Looks into the ledger, or mends it. A server must not run in this folder: the ledger has one reader and writer.
pub fn ledger(config: &Config, action: LedgerAction) -> anyhow::Result<()> {
    // Looking must not make a folder.
    DataDir::open_shared(&config.data_dir)?;
    let data_dir = DataDir::open(&config.data_dir)?;
    let path = data_dir.path().join(likes::LEDGER_FILE);
    if action != LedgerAction::Begin && !path.exists() {
        bail!("there is no ledger in this data folder yet");
    }
    match action {
        LedgerAction::Stat => ledger_stat(&path),
        LedgerAction::Dump => {
            let mut ledger = SqliteLedger::open_any(&path)?;
            ledger::dump(&mut ledger, &mut std::io::stdout().lock())?;
            Ok(())
        }
        LedgerAction::Repair => ledger_repair(&path),
        LedgerAction::Begin => ledger_begin(config, &data_dir),
    }
}

/// Binds the store to the ledger of this folder, which is made if need be. Refuses where that could throw likes away:
/// the store's own ledger is here, or this one holds likes.
fn ledger_begin(config: &Config, data_dir: &DataDir) -> anyhow::Result<()> {
    let options = store_options(config, data_dir.path());
    let _claim = Claim::take(&options, || std::process::exit(1))?;
    let store = Store::open(&options)?;
    let ledger_options = ledger::OpenOptions::new(store.store_id());
    let mut ledger = SqliteLedger::open(&data_dir.path().join(likes::LEDGER_FILE), ledger_options)?;
    let (id, last, held) = (ledger.id().to_owned(), ledger.last_position(), ledger.stat()?.entries);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mark = runtime.block_on(store.read(recorded::mark))?;
    if mark.is_some_and(|mark| mark.ledger_id == id) {
        bail!("the ledger in this data folder is the database's own: there is nothing to begin");
    }
    if held > 0 {
        bail!(
            "the ledger in this data folder holds {held} likes of its own: move its files out of the data folder first, \
             so that they are kept"
        );
    }
    let named = id.clone();
    runtime.block_on(store.write(move |connection| recorded::replace_ledger(connection, &named, last)))?;
    store.close();
    print_line(&format!("the database goes on with the new ledger {id}"))?;
    Ok(())
}

fn ledger_stat(path: &Path) -> anyhow::Result<()> {
    let mut ledger = SqliteLedger::open_any(path)?;
    let stat = ledger.stat()?;
    for (name, value) in [
        ("entries", stat.entries.to_string()),
        ("groups", stat.groups.to_string()),
        ("unflushed", stat.unflushed.to_string()),
        ("first", stat.first.to_string()),
        ("last", stat.last.to_string()),
        ("trimmed_to", stat.trimmed_to.to_string()),
        ("bytes", stat.bytes.to_string()),
        (
            "oldest_ms",
            stat.oldest_ms.map_or_else(|| "none".to_owned(), |ms| ms.to_string()),
        ),
        ("quarantined", stat.quarantined.to_string()),
        ("rejected_groups", stat.rejected_groups.to_string()),
    ] {
        print_line(&format!("{name:<16} {value}"))?;
    }
    for set_aside in ledger.quarantined()? {
        let Entry { position, like } = set_aside.entry;
        let (user, video, reason) = (like.user, like.video, set_aside.reason);
        print_line(&format!(
            "set aside: position {position}, user {user}, video {video}: {reason}"
        ))?;
    }
    Ok(())
}

fn ledger_repair(path: &Path) -> anyhow::Result<()> {
    let report = SqliteLedger::repair(path)?;
    print_line(&format!(
        "sound: {} entries, up to position {}",
        report.entries, report.sound_to
    ))?;
    for rejected in &report.rejected {
        print_line(&format!(
            "set aside: positions {} to {}: {}",
            rejected.first, rejected.last, rejected.reason
        ))?;
    }
    let unnamed = report.rejected_groups - report.rejected.len() as u64;
    if unnamed > 0 {
        print_line(&format!("set aside: {unnamed} groups more"))?;
    }
    if report.missing {
        print_line("groups may be missing at the end: the file says that there were more than it has")?;
    }
    Ok(())
}
