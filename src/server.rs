//! The server: the order in which everything starts and stops.
//!
//! Owns the lock on the data folder, the claim on the database, the handles and the HTTP threads, and gives them back in
//! the reverse order. Tests start the very same thing on port 0.

use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::middleware::from_fn;
use actix_web::{HttpServer, web};
use anyhow::Context as _;
use ovation_actors::Counters;
use ovation_actors::connection::Sockets;
use ovation_actors::hub::{Hub, HubLimits, HubStatus};
use ovation_schema::{Claim, Database, Options, Store, videos};
use tokio::sync::{Semaphore, oneshot, watch};

use crate::app::{App, Handles};
use crate::auth::{Confirmed, PasswordHasher, PoolSettings, TokenKey, Tokens, Versions};
use crate::config::Config;
use crate::control::Control;
use crate::identity::DataDir;
use crate::keeping::Keeping;
use crate::media::{self, Media, MediaLimits};
use crate::net::{ConnectionLimits, on_connect, track_requests};
use crate::rows::Rows;
use crate::sending::Sending;
use crate::{api, likes, logging, pictures};

/// The SQLite store's file in the data folder.
pub const STORE_FILE: &str = "ovation.db";
/// The token key's file in the data folder.
pub const KEY_FILE: &str = "token.key";

/// A running server. Dropping it stops it; [`Server::stop`] also says how that went.
pub struct Server {
    addr: SocketAddr,
    app: App,
    handle: ServerHandle,
    /// The thread of the HTTP server's own runtime.
    thread: Option<JoinHandle<std::io::Result<()>>>,
    claim: Option<Claim>,
    control: Option<Control>,
    keeping: Option<Keeping>,
    stopping: watch::Sender<bool>,
    /// Last: nothing may be open in the folder when its lock goes.
    _data_dir: DataDir,
}

/// How the store is reached under this configuration.
pub fn store_options(config: &Config, data_dir: &Path) -> Options {
    Options {
        database: match &config.database_url {
            Some(url) => Database::Mysql(url.expose().to_owned()),
            None => Database::Sqlite(data_dir.join(STORE_FILE)),
        },
        connections: config.db_connections,
        acquire_timeout: config.db_acquire_timeout,
        statement_timeout: config.db_statement_timeout,
    }
}

impl Server {
    /// Starts everything and returns when the server listens. Blocks; not for async threads.
    ///
    /// The order: the data folder's lock, the address, the database's claim, the store with its migrations, the ledger
    /// with the counters, the token key, the media room with its sweep; then it listens. Whatever fails gives back what
    /// was taken before.
    pub fn start(config: Config) -> anyhow::Result<Self> {
        Self::start_with(config, |_| Ok(()))
    }

    /// Like [`Server::start`], with work between the opened store and the first request.
    pub fn start_with(config: Config, prepare: impl FnOnce(&App) -> anyhow::Result<()>) -> anyhow::Result<Self> {
        let limits = media_limits(&config);
        Self::launch(config, limits, prepare)
    }

    /// Like [`Server::start`], with covers made by the `ovation` binary at `program`: in a test the running program is
    /// the test and knows nothing of covers. All else is the production wiring.
    pub fn start_with_helper(config: Config, program: PathBuf) -> anyhow::Result<Self> {
        let mut limits = media_limits(&config);
        limits.covers.executable = program;
        Self::launch(config, limits, |_| Ok(()))
    }

    fn launch(
        config: Config,
        limits: MediaLimits,
        prepare: impl FnOnce(&App) -> anyhow::Result<()>,
    ) -> anyhow::Result<Self> {
        raise_descriptor_limit(config.max_connections);
        let data_dir = DataDir::open(&config.data_dir)?;
        let socket = bind(config.listen).with_context(|| format!("can't listen on {}", config.listen))?;
        let draining = Arc::new(AtomicBool::new(false));
        let options = store_options(&config, data_dir.path());
        let on_lost = || {
            // Two servers on one database would both believe that they are alone: better none than that.
            logging::end_process(|| tracing::error!("the database belongs to another process now: this one ends"));
        };
        let claim = Claim::take(&options, on_lost).context("the database can't be claimed")?;
        let store = Store::open(&options).context("the database can't be opened")?;
        let (stopping, stop) = watch::channel(false);
        let app = App::new(handles(config, limits, data_dir.path(), store, (draining, stop))?);
        prepare(&app)?;
        sweep(&app)?;
        let keeping = Keeping::start(&app, data_dir.path())?;
        let control = Control::listen(&app, &options, data_dir.path())?;
        let (addr, handle, thread) = listen(&app, socket)?;
        tracing::info!(
            listen = %addr,
            store = options.database.kind(),
            version = crate::version::VERSION,
            "ovation serves on http://{addr}"
        );
        Ok(Self {
            addr,
            app,
            handle,
            thread: Some(thread),
            claim,
            control: Some(control),
            keeping: Some(keeping),
            stopping,
            _data_dir: data_dir,
        })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The store, for tests that look behind the answers.
    pub fn store(&self) -> &Store {
        &self.app.store
    }

    /// Who is online, for tests that wait for somebody to come or go.
    pub fn hub_status(&self) -> HubStatus {
        self.app.hub.status()
    }

    /// What is kept of the store in memory, for tests that change the store behind the server's back.
    pub fn rows(&self) -> &Rows {
        &self.app.rows
    }

    /// The likes, for tests that have thousands of users like something.
    pub fn counters(&self) -> &Counters {
        &self.app.counters
    }

    /// Waits for SIGTERM or SIGINT, or for the end of the HTTP threads, then stops.
    pub fn run_until_signal(self) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let ended = runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
            let mut check = tokio::time::interval(Duration::from_secs(1));
            loop {
                tokio::select! {
                    _ = terminate.recv() => return Ok::<_, std::io::Error>(false),
                    _ = interrupt.recv() => return Ok(false),
                    _ = check.tick() => if self.thread.as_ref().is_none_or(JoinHandle::is_finished) { return Ok(true) },
                }
            }
        })?;
        if ended {
            tracing::error!("the HTTP threads ended by themselves");
        }
        self.stop()
    }

    /// Stops: no new connections, requests in flight get up to `shutdown_timeout`, what was accepted is on disk, then
    /// the store is closed clean. Blocks.
    pub fn stop(mut self) -> anyhow::Result<()> {
        self.shut_down()
    }

    fn shut_down(&mut self) -> anyhow::Result<()> {
        let Some(thread) = self.thread.take() else {
            return Ok(());
        };
        tracing::info!("ovation stops");
        self.app.draining.store(true, Ordering::Relaxed);
        self.stopping.send_replace(true);
        self.app.sockets.drain(RESTART_SPREAD);
        // The command is sent when the future is made; the thread's end is what there is to wait for.
        drop(self.handle.stop(true));
        let ended = thread.join();
        self.control = None;
        self.keeping = None;
        likes::stop(&self.app.counters, self.app.config.shutdown_timeout)?;
        self.app.store.close();
        self.claim = None;
        tracing::info!("ovation has stopped");
        match ended {
            Ok(result) => Ok(result?),
            Err(_) => anyhow::bail!("the HTTP server panicked"),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = self.shut_down() {
            tracing::error!(%error, "the server did not stop cleanly");
        }
    }
}

/// Asks for as many descriptors as the configured connections need, as far as the system lets us: the usual soft limit
/// of 1,024 would be met long before. Falling short is said, not fatal.
fn raise_descriptor_limit(max_connections: usize) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let wanted = max_connections as u64 + DESCRIPTORS_BESIDE;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= wanted) {
        return;
    }
    let raised = limit.maximum.map_or(wanted, |maximum| maximum.min(wanted));
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: Some(raised),
            maximum: limit.maximum,
        },
    );
    if raised < wanted {
        tracing::warn!(
            raised,
            wanted,
            "the system allows fewer open files than max_connections needs"
        );
    }
}

/// Over how long a time sockets come back after a restart, so that they do not all say hello in the same second.
pub(crate) const RESTART_SPREAD: Duration = Duration::from_secs(5);

/// Connections that the kernel keeps until a worker takes them; the system's own bound (`somaxconn`) may be lower.
const BACKLOG: i32 = 4096;

/// Descriptors for everything but connections: databases, media files, spools, the listener, children.
const DESCRIPTORS_BESIDE: u64 = 1024;

fn media_limits(config: &Config) -> MediaLimits {
    MediaLimits {
        upload_bytes: config.upload_max_bytes,
        ..MediaLimits::default()
    }
}

fn handles(
    config: Config,
    limits: MediaLimits,
    data_dir: &Path,
    store: Store,
    (draining, stopping): (Arc<AtomicBool>, watch::Receiver<bool>),
) -> anyhow::Result<Handles> {
    let key = TokenKey::load_or_create(&data_dir.join(KEY_FILE))?;
    let threads = NonZeroUsize::new(config.hash_threads).unwrap_or(NonZeroUsize::MIN);
    let counters = likes::start(&config, data_dir, &store)?;
    let hub_limits = HubLimits {
        connections_per_user: config.connections_per_user,
    };
    let hub = Hub::new(store.clone(), counters.overlay().clone(), hub_limits);
    counters.listen(hub.clone());
    Ok(Handles {
        counters,
        sending: Sending::new(store.clone(), hub.clone(), config.db_acquire_timeout),
        hub,
        sockets: Sockets::new(api::socket_limits(&config)),
        connection_limits: Arc::new(api::connection_limits(&config)),
        confirmed: Confirmed::default(),
        versions: Versions::new(store.clone()),
        rows: Rows::new(store.clone(), &config),
        tokens: Tokens::new(key, store.store_id(), config.token_lifetime),
        passwords: PasswordHasher::start(PoolSettings {
            threads,
            ..PoolSettings::default()
        })?,
        media: Media::open(data_dir, limits).context("the media folder can't be opened")?,
        list_streams: Arc::new(Semaphore::new(config.list_streams)),
        store,
        draining,
        stopping,
        config,
    })
}

/// Removes what a process that was killed has left behind: unfinished uploads, and files whose row was never written.
fn sweep(app: &App) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let swept = app.media.store().sweep(|hashes| {
        let hashes = hashes.to_vec();
        runtime.block_on(
            app.store
                .read(move |connection| videos::referenced_media(connection, &hashes)),
        )
    })?;
    tracing::debug!(?swept, "orphans swept");
    Ok(())
}

type Listening = (SocketAddr, ServerHandle, JoinHandle<std::io::Result<()>>);

/// Takes the address without listening yet: one that is in use is known before anything is migrated or filled, and a
/// connection is refused, not kept waiting, until the server can serve it.
fn bind(address: SocketAddr) -> rustix::io::Result<OwnedFd> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with, sockopt};
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    // As the standard library does: connections of a server that has just ended must not keep its successor out.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    bind(&socket, &address)?;
    Ok(socket)
}

/// Listens, and starts the HTTP threads, each with a runtime of its own.
fn listen(app: &App, socket: OwnedFd) -> anyhow::Result<Listening> {
    // With SO_REUSEADDR two processes may have bound one address; the second to listen is refused here.
    rustix::net::listen(&socket, BACKLOG).with_context(|| format!("can't listen on {}", app.config.listen))?;
    let listener = TcpListener::from(socket);
    let addr = listener.local_addr()?;
    let (started, start) = oneshot::channel();
    let app = app.clone();
    let thread = std::thread::Builder::new().name("http".into()).spawn(move || {
        actix_web::rt::System::new().block_on(async move {
            let server = http_server(app, listener)?;
            // Nobody waits any more only when the start itself has failed.
            let _ = started.send(server.handle());
            server.await
        })
    })?;
    match start.blocking_recv() {
        Ok(handle) => Ok((addr, handle, thread)),
        Err(_) => match thread.join() {
            Ok(Err(error)) => Err(error.into()),
            _ => anyhow::bail!("the HTTP server did not start"),
        },
    }
}

fn http_server(app: App, listener: TcpListener) -> std::io::Result<actix_web::dev::Server> {
    let config = app.config.clone();
    let limits = ConnectionLimits {
        keep_alive: config.keep_alive,
        head: config.head_timeout,
        ..ConnectionLimits::default()
    };
    let per_worker = config.max_connections.div_ceil(config.workers);
    let server = HttpServer::new(move || {
        actix_web::App::new()
            .app_data(web::Data::new(app.clone()))
            .app_data(web::Data::new(app.media.clone()))
            .wrap(from_fn(track_requests))
            // First, since its paths are plain texts: what comes after has patterns, which cost more to try.
            .configure(api::routes)
            .configure(media::routes)
            .configure(pictures::routes)
    })
    .workers(config.workers)
    .max_connections(per_worker)
    .on_connect(on_connect(limits))
    .keep_alive(limits.keep_alive)
    .client_request_timeout(limits.head)
    .client_disconnect_timeout(limits.head)
    .shutdown_timeout(config.shutdown_timeout.as_secs())
    .disable_signals()
    .listen(listener)?;
    Ok(server.run())
}
