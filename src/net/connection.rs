//! One client connection: its socket options and how long it has been idle.
//!
//! Owns what actix-http 3.20 leaves open, read from its HTTP/1 dispatcher and proven in `tests`. Its head deadline covers
//! the first request of a connection only, and the first byte of a later head switches its keep-alive timer off: one
//! byte of a second request holds a connection for ever. So does a chunked body that trickles on after an early answer.
//! Never touches a connection that is working on a request: handlers, bodies, streams and a `WebSocket` have deadlines of
//! their own.

use std::any::Any;
use std::cell::Cell;
use std::os::fd::{AsRawFd as _, BorrowedFd, RawFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::HttpRequest;
use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io;
use rustix::net::{Shutdown, shutdown, sockopt};

use super::sweeper;

/// How long a connection may be what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Idle between two requests. Also give it to `HttpServer::keep_alive`. Default 30 s.
    pub keep_alive: Duration,
    /// From the connect to the end of the first request head; on top of `keep_alive` for a later one. Also give it to
    /// `HttpServer::client_request_timeout`, which answers 408 where the sweeper can only hang up. Default 5 s.
    pub head: Duration,
    /// What the sweeper leaves to actix's own deadlines before it acts in their place. Default 2 s.
    pub slack: Duration,
    /// How long the last bytes of a finished response may take through a slow line. Default 2 min.
    pub drain: Duration,
    /// `TCP_USER_TIMEOUT`: how long sent bytes may stay unacknowledged, or unsent because the peer does not read.
    /// Default 30 s.
    pub unacknowledged: Duration,
    /// How often a worker looks at its connections. Default 1 s.
    pub sweep_every: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            keep_alive: Duration::from_secs(30),
            head: Duration::from_secs(5),
            slack: Duration::from_secs(2),
            drain: Duration::from_mins(2),
            unacknowledged: Duration::from_secs(30),
            sweep_every: Duration::from_secs(1),
        }
    }
}

/// For `HttpServer::on_connect`: sets the socket's options and puts the connection under the sweeper of its worker.
///
/// Anything but a plain TCP connection is left alone.
pub fn on_connect(limits: ConnectionLimits) -> impl Fn(&dyn Any, &mut Extensions) + Send + Sync + Clone + 'static {
    // Shared: a copy for each connection would be half of what is kept of it.
    let limits = Arc::new(limits);
    move |io, extensions| {
        let Some(stream) = io.downcast_ref::<TcpStream>() else {
            return;
        };
        match Connection::new(stream, Arc::clone(&limits)) {
            Ok(connection) => {
                let connection = Rc::new(connection);
                sweeper::register(&connection, limits.sweep_every);
                extensions.insert(connection);
            }
            // The peer has already gone, usually; the dispatcher will find out.
            Err(error) => tracing::debug!(%error, "a connection could not be set up"),
        }
    }
}

/// What ends the request's connection from outside, on its worker's thread: whoever works on it may be stuck behind a
/// peer that does not read. Does nothing where the connection is none of ours.
pub fn hangup(request: &HttpRequest) -> Box<dyn Fn()> {
    let connection = request.conn_data::<Rc<Connection>>().cloned();
    Box::new(move || {
        if let Some(connection) = &connection {
            connection.hang_up();
        }
    })
}

/// Bytes that the kernel may hold for a socket that does not read: its default grows to megabytes, and for as long as it
/// takes more nobody notices that the client has stopped.
const SOCKET_SEND_BUFFER: usize = 64 * 1024;

/// Makes the request's connection one for a `WebSocket`: small pushes, and whoever does not take them is noticed soon.
/// Other connections keep the kernel's own buffers, which downloads need.
pub fn prepare_for_pushes(request: &HttpRequest) {
    if let Some(connection) = request.conn_data::<Rc<Connection>>() {
        let set = connection.with_socket(|socket| sockopt::set_socket_send_buffer_size(socket, SOCKET_SEND_BUFFER));
        if let Some(Err(error)) = set {
            tracing::debug!(%error, "a socket's send buffer could not be set");
        }
    }
}

/// Lives in the connection's extensions, on the thread of its worker.
pub(super) struct Connection {
    fd: RawFd,
    /// The kernel's number of this socket, unique until the next boot, while descriptors are used again.
    cookie: u64,
    limits: Arc<ConnectionLimits>,
    /// Requests between their head and the end of their response. More than one is unusual but harmless.
    active: Cell<u32>,
    served: Cell<bool>,
    /// The last answer ended the conversation: nothing more than its end is waited for.
    closing: Cell<bool>,
    /// Since when `active` has been 0, or later when the last response was still leaving.
    idle_since: Cell<Instant>,
    /// When the last response ended, or the connection began.
    ended_at: Cell<Instant>,
}

impl Connection {
    fn new(stream: &TcpStream, limits: Arc<ConnectionLimits>) -> io::Result<Self> {
        stream
            .set_nodelay(true)
            .map_err(|error| io::Errno::from_io_error(&error).unwrap_or(io::Errno::IO))?;
        let unacknowledged = u32::try_from(limits.unacknowledged.as_millis()).unwrap_or(u32::MAX);
        sockopt::set_tcp_user_timeout(stream, unacknowledged)?;
        let now = Instant::now();
        Ok(Self {
            fd: stream.as_raw_fd(),
            cookie: sockopt::socket_cookie(stream)?,
            limits,
            active: Cell::new(0),
            served: Cell::new(false),
            closing: Cell::new(false),
            idle_since: Cell::new(now),
            ended_at: Cell::new(now),
        })
    }

    /// A request's head is complete; it lasts until the mark is dropped.
    pub(super) fn begin(self: Rc<Self>) -> Active {
        self.active.set(self.active.get() + 1);
        Active(self)
    }

    /// No further request is expected after this one.
    pub(super) fn close_soon(&self) {
        self.closing.set(true);
    }

    fn end(&self) {
        self.active.set(self.active.get().saturating_sub(1));
        self.served.set(true);
        let now = Instant::now();
        self.idle_since.set(now);
        self.ended_at.set(now);
    }

    fn idle_limit(&self) -> Duration {
        if self.served.get() && !self.closing.get() {
            self.limits.keep_alive + self.limits.head
        } else {
            self.limits.head + self.limits.slack
        }
    }

    fn is_overdue(&self, now: Instant) -> bool {
        self.active.get() == 0 && now.saturating_duration_since(self.idle_since.get()) >= self.idle_limit()
    }

    /// Hangs up when overdue. False when there is nothing more to watch.
    pub(super) fn sweep(&self, now: Instant) -> bool {
        if !self.is_overdue(now) {
            return true;
        }
        self.with_socket(|socket| {
            // The dispatcher drops a body when it has copied its last bytes, not when they are sent. While the kernel
            // takes no more, a slow reader is still at the last response, and is left the time to finish it.
            let may_drain = now.saturating_duration_since(self.ended_at.get()) < self.limits.drain;
            if may_drain && !takes_bytes(socket) {
                self.idle_since.set(now);
                return true;
            }
            // The dispatcher sees the end of the stream and drops the socket; what is on its way is still delivered.
            if let Err(error) = shutdown(socket, Shutdown::Both) {
                tracing::debug!(%error, "an overdue connection had ended already");
            }
            false
        })
        .unwrap_or(false)
    }

    /// Ends the conversation at once, whatever is still on its way.
    fn hang_up(&self) {
        self.with_socket(|socket| shutdown(socket, Shutdown::Both));
    }

    /// Calls `act` with the socket; None when it has been closed meanwhile.
    ///
    /// This thread also runs the dispatcher that owns the descriptor, so between the comparison of the cookie and the
    /// end of `act` nobody can close it. (A duplicate descriptor would need no such reasoning, and would halve the
    /// number of connections a process can hold.)
    fn with_socket<T>(&self, act: impl FnOnce(BorrowedFd<'_>) -> T) -> Option<T> {
        #[expect(
            unsafe_code,
            reason = "a number becomes a descriptor for system calls only; if it was closed or used again, the cookie \
                      differs or the call fails, and no memory is involved either way"
        )]
        // SAFETY: the number was a descriptor when taken, hence is not -1, and is used for nothing but the comparison
        // of the cookie until that has shown it to be the open socket of this connection.
        let socket = unsafe { BorrowedFd::borrow_raw(self.fd) };
        let same = sockopt::socket_cookie(socket).is_ok_and(|cookie| cookie == self.cookie);
        same.then(|| act(socket))
    }
}

/// Whether the kernel would take more bytes to send, or will never again.
fn takes_bytes(socket: BorrowedFd<'_>) -> bool {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut [PollFd::new(&socket, PollFlags::OUT)], Some(&now)) != Ok(0)
}

/// A request in progress on a connection.
pub(super) struct Active(Rc<Connection>);

impl Active {
    pub(super) fn connection(&self) -> &Connection {
        &self.0
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::rt::net::TcpListener;
    use tokio::io::AsyncReadExt as _;
    use tokio::time::timeout;

    const LIMITS: ConnectionLimits = ConnectionLimits {
        keep_alive: Duration::from_secs(30),
        head: Duration::from_secs(5),
        slack: Duration::from_secs(2),
        drain: Duration::from_mins(2),
        unacknowledged: Duration::from_secs(30),
        sweep_every: Duration::from_secs(1),
    };

    async fn pair(listener: &TcpListener) -> (TcpStream, TcpStream) {
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (client, listener.accept().await.unwrap().0)
    }

    async fn listener() -> TcpListener {
        TcpListener::bind(("127.0.0.1", 0)).await.unwrap()
    }

    async fn is_shut_down(client: &mut TcpStream) -> bool {
        matches!(
            timeout(Duration::from_millis(200), client.read(&mut [0; 1])).await,
            Ok(Ok(0))
        )
    }

    #[actix_web::test]
    async fn the_limits_follow_what_the_connection_does() {
        let (_client, stream) = pair(&listener().await).await;
        let connection = Rc::new(Connection::new(&stream, Arc::new(LIMITS)).unwrap());
        let start = connection.idle_since.get();
        let at = |seconds| connection.is_overdue(start + Duration::from_secs(seconds));
        assert!(!at(6) && at(7), "before the first request");
        let active = Rc::clone(&connection).begin();
        let second = Rc::clone(&connection).begin();
        drop(second);
        assert!(!at(1_000_000), "while one is in progress");
        drop(active);
        connection.idle_since.set(start);
        assert!(!at(34) && at(35), "between two");
        connection.close_soon();
        assert!(!at(6) && at(7), "after the last");
    }

    #[actix_web::test]
    async fn the_socket_options_are_set() {
        let (_client, stream) = pair(&listener().await).await;
        Connection::new(&stream, Arc::new(LIMITS)).unwrap();
        assert!(stream.nodelay().unwrap());
        assert_eq!(sockopt::tcp_user_timeout(&stream).unwrap(), 30_000);
    }

    #[actix_web::test]
    async fn an_overdue_connection_is_shut_down() {
        let (mut client, stream) = pair(&listener().await).await;
        let connection = Connection::new(&stream, Arc::new(LIMITS)).unwrap();
        assert!(connection.sweep(Instant::now()));
        assert!(!is_shut_down(&mut client).await);
        assert!(!connection.sweep(Instant::now() + LIMITS.head + LIMITS.slack));
        assert!(is_shut_down(&mut client).await);
    }

    #[actix_web::test]
    async fn a_response_still_leaving_is_given_time_but_not_for_ever() {
        let (_client, stream) = pair(&listener().await).await;
        let connection = Connection::new(&stream, Arc::new(LIMITS)).unwrap();
        stream.writable().await.unwrap();
        while stream.try_write(&[0; 8192]).is_ok() {}
        let overdue = connection.ended_at.get() + LIMITS.drain / 2;
        assert!(connection.is_overdue(overdue));
        assert!(connection.sweep(overdue));
        assert!(!connection.is_overdue(overdue), "the idle time begins anew");
        assert!(!connection.sweep(connection.ended_at.get() + LIMITS.drain));
    }

    /// Somebody may keep the extensions for longer than the socket lives; its number may be another socket's by then.
    #[actix_web::test]
    async fn another_socket_under_the_same_number_is_left_alone() {
        let listener = listener().await;
        // Other tests take descriptors at the same time.
        for _ in 0..1000 {
            let (_old_client, old) = pair(&listener).await;
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let connection = Connection::new(&old, Arc::new(LIMITS)).unwrap();
            drop(old);
            let (new, _) = listener.accept().await.unwrap();
            if new.as_raw_fd() == connection.fd {
                assert!(
                    !connection.sweep(Instant::now() + LIMITS.drain * 2),
                    "nothing left to watch"
                );
                assert!(!is_shut_down(&mut client).await);
                return;
            }
        }
        panic!("no descriptor was used again");
    }
}
