//! The covers of all videos: made once, soon after the upload, or when somebody asks for one that is missing.
//!
//! Owns the queue, the single flight per video and the decision which picture is stored. A real frame and the drawing
//! for a video that can't be decoded are stored; a drawing that only stands in (overload, a deadline) never is. Never
//! decodes anything itself: that happens in processes of `helper`.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{Semaphore, watch};

use super::cover_child;
use super::error::{MediaError, blocking};
use super::hash::ContentHash;
use super::helper::{self, Attempt};
use super::mp4::{self, VideoInfo};
use super::picture::{cover_size, interim_size};
use super::placeholder;
use super::store::Store;

/// How many videos whose helper ran out of time are remembered, to leave them alone for a while.
const MAX_FAILURES: usize = 1024;
/// After that many deadlines the file is to blame and not the machine: the drawing is stored.
const MAX_TIMEOUTS: u32 = 3;

/// How covers are made; `Default` is right for the server itself.
#[derive(Debug, Clone)]
pub struct CoverLimits {
    /// Our own program. The default finds the running one even after its file was replaced by an update.
    pub executable: PathBuf,
    /// What makes that program decode: `cover-child`.
    pub arguments: Vec<OsString>,
    /// For what we can't decode ourselves; by default the `ffmpeg` on `PATH`, if there is one.
    pub ffmpeg: Option<PathBuf>,
    /// Helpers at once.
    pub concurrency: usize,
    /// Covers being made or waiting; above that a video gets its cover when it is next asked for.
    pub queue: usize,
    /// How long one helper may take.
    pub helper_deadline: Duration,
    /// How long [`Covers::get`] waits before it answers with a drawing.
    pub deadline: Duration,
    /// How long a video whose helper ran out of time is left alone.
    pub retry_after: Duration,
}

impl Default for CoverLimits {
    fn default() -> Self {
        Self {
            executable: running_program(),
            arguments: vec![cover_child::COMMAND.into()],
            ffmpeg: on_path("ffmpeg"),
            concurrency: 2,
            queue: 64,
            helper_deadline: Duration::from_secs(4),
            deadline: Duration::from_secs(10),
            retry_after: Duration::from_secs(30),
        }
    }
}

fn running_program() -> PathBuf {
    if cfg!(target_os = "linux") {
        return PathBuf::from("/proc/self/exe");
    }
    std::env::current_exe().unwrap_or_default()
}

fn on_path(program: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders)
        .map(|folder| folder.join(program))
        .find(|file| file.is_absolute() && file.is_file())
}

/// A cover as it can be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cover {
    /// The stored file, for good.
    Stored(PathBuf),
    /// A drawing for this once: the real one is late.
    Interim(Bytes),
}

/// The service; clones share it.
#[derive(Debug, Clone)]
pub struct Covers {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    store: Store,
    limits: CoverLimits,
    slots: Semaphore,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    jobs: HashMap<ContentHash, watch::Receiver<Option<Done>>>,
    timeouts: HashMap<ContentHash, (u32, Instant)>,
}

/// How a job ended, for everybody who waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Done {
    Stored,
    Missing,
    Later,
}

impl Covers {
    /// A service over the store's folders. Jobs run on the runtime of whoever asks first.
    pub fn new(store: Store, limits: CoverLimits) -> Self {
        Self {
            shared: Arc::new(Shared {
                slots: Semaphore::new(limits.concurrency.max(1)),
                store,
                limits,
                state: Mutex::default(),
            }),
        }
    }

    /// Begins making a cover in the background, right after the upload is kept. Does nothing when it is being made
    /// already or the queue is full: the first request for it tries again. Must be called inside a tokio runtime.
    pub fn start(&self, hash: ContentHash, info: VideoInfo) {
        let _job = self.join(hash, Some(info));
    }

    /// The cover of a stored video: the file if there is one, else what a job (running or new) makes within the
    /// deadline, else a drawing for this once. `NotFound` when there is no such video.
    pub async fn get(&self, hash: ContentHash) -> Result<Cover, MediaError> {
        if let Some(path) = self.stored(hash).await? {
            return Ok(Cover::Stored(path));
        }
        if let Some(mut job) = self.join(hash, None) {
            let wait = tokio::time::timeout(self.shared.limits.deadline, job.wait_for(Option::is_some));
            let done = wait.await.ok().and_then(Result::ok).and_then(|done| *done);
            match done {
                Some(Done::Stored) => return Ok(Cover::Stored(self.shared.store.cover_path(&hash))),
                Some(Done::Missing) => return Err(MediaError::NotFound),
                Some(Done::Later) | None => {}
            }
        }
        let shared = Arc::clone(&self.shared);
        let drawing = blocking(move || placeholder::draw(&hash, interim_size(&mp4::check(&shared.video(&hash)?)?)));
        Ok(Cover::Interim(Bytes::from(drawing.await?)))
    }

    /// The cover's file, if it is there; `NotFound` when not even the video is, so that no job starts for it.
    async fn stored(&self, hash: ContentHash) -> Result<Option<PathBuf>, MediaError> {
        let shared = Arc::clone(&self.shared);
        blocking(move || {
            let cover = shared.store.cover_path(&hash);
            if cover.is_file() {
                return Ok(Some(cover));
            }
            shared.video(&hash).map(|_| None)
        })
        .await
    }

    /// The job of this video, begun if need be; `None` when there may be none now.
    fn join(&self, hash: ContentHash, info: Option<VideoInfo>) -> Option<watch::Receiver<Option<Done>>> {
        let mut state = self.shared.lock();
        if let Some(job) = state.jobs.get(&hash) {
            return Some(job.clone());
        }
        let resting = state
            .timeouts
            .get(&hash)
            .is_some_and(|(_, since)| since.elapsed() < self.shared.limits.retry_after);
        if resting || state.jobs.len() >= self.shared.limits.queue {
            return None;
        }
        let (sender, receiver) = watch::channel(None);
        state.jobs.insert(hash, receiver.clone());
        drop(state);
        let job = Job {
            shared: Arc::clone(&self.shared),
            hash,
            sender,
        };
        drop(tokio::spawn(job.run(info)));
        Some(receiver)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the video for reading. Blocking.
    fn video(&self, hash: &ContentHash) -> Result<File, MediaError> {
        File::open(self.store.video_path(hash)).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => MediaError::NotFound,
            _ => error.into(),
        })
    }

    /// Whether the file has now cost so many deadlines that it is to blame.
    fn is_hopeless(&self, hash: ContentHash) -> bool {
        let mut state = self.lock();
        if state.timeouts.len() >= MAX_FAILURES && !state.timeouts.contains_key(&hash) {
            let rest = self.limits.retry_after;
            state.timeouts.retain(|_, (_, since)| since.elapsed() < rest);
            if state.timeouts.len() >= MAX_FAILURES {
                return false;
            }
        }
        let (count, since) = state.timeouts.entry(hash).or_insert((0, Instant::now()));
        *count += 1;
        *since = Instant::now();
        let hopeless = *count >= MAX_TIMEOUTS;
        if hopeless {
            state.timeouts.remove(&hash);
        }
        hopeless
    }
}

/// One cover being made. However it ends, also by a panic or the end of its runtime, dropping it frees the flight.
struct Job {
    shared: Arc<Shared>,
    hash: ContentHash,
    sender: watch::Sender<Option<Done>>,
}

impl Drop for Job {
    fn drop(&mut self) {
        self.shared.lock().jobs.remove(&self.hash);
    }
}

impl Job {
    async fn run(self, info: Option<VideoInfo>) {
        let done = match self.make(info).await {
            Ok(done) => done,
            Err(MediaError::NotFound) => Done::Missing,
            Err(error) => {
                tracing::warn!(%error, disk = ?error.disk(), hash = %self.hash, "a cover could not be made");
                Done::Later
            }
        };
        self.sender.send_replace(Some(done));
    }

    async fn make(&self, info: Option<VideoInfo>) -> Result<Done, MediaError> {
        // Closed never; an error could only mean that the process ends.
        let Ok(_slot) = self.shared.slots.acquire().await else {
            return Ok(Done::Later);
        };
        let (shared, hash) = (Arc::clone(&self.shared), self.hash);
        let opened = blocking(move || {
            if shared.store.cover_path(&hash).is_file() {
                return Ok(None);
            }
            let video = shared.video(&hash)?;
            let info = info.map_or_else(|| mp4::check(&video), Ok)?;
            Ok(Some((video, info)))
        });
        let Some((video, info)) = opened.await? else {
            return Ok(Done::Stored);
        };
        let size = cover_size(&info);
        let picture = match self.attempt(&video, &info, size).await? {
            Attempt::Picture(jpeg) => Some(jpeg),
            Attempt::Undecodable => None,
            Attempt::TimedOut if self.shared.is_hopeless(hash) => None,
            Attempt::TimedOut | Attempt::NotStarted => return Ok(Done::Later),
        };
        let shared = Arc::clone(&self.shared);
        blocking(move || {
            let jpeg = picture.map_or_else(|| placeholder::draw(&hash, size), Ok)?;
            // A publish that failed meanwhile took the video away: its cover would be an orphan.
            drop(shared.video(&hash)?);
            shared.store.keep_cover(&hash, &jpeg)
        })
        .await?;
        Ok(Done::Stored)
    }

    /// Our own decoder for H.264, ffmpeg for the rest and for what ours refuses.
    async fn attempt(&self, video: &File, info: &VideoInfo, size: (u16, u16)) -> Result<Attempt, MediaError> {
        let limits = &self.shared.limits;
        let program = limits.executable.as_os_str();
        if matches!(&info.codec, b"avc1" | b"avc3") {
            let attempt = helper::run(
                program,
                &limits.arguments,
                video.try_clone()?,
                size,
                limits.helper_deadline,
            )
            .await;
            if attempt != Attempt::Undecodable {
                return Ok(attempt);
            }
        }
        let Some(ffmpeg) = &limits.ffmpeg else {
            return Ok(Attempt::Undecodable);
        };
        let mut arguments = limits.arguments.clone();
        arguments.extend([
            "ffmpeg".into(),
            ffmpeg.into(),
            size.0.to_string().into(),
            size.1.to_string().into(),
        ]);
        Ok(helper::run(program, arguments, video.try_clone()?, size, limits.helper_deadline).await)
    }
}

#[cfg(test)]
#[path = "cover_tests.rs"]
mod tests;
