//! Waking users at the moment their next operation is due, to some tens of microseconds.
//!
//! Owns one kernel timer a thread and the order of who is next. tokio's own timers are not used for this: they have a
//! resolution of a millisecond, which would stand in every latency that counts from the due time. Never decides what is
//! due.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Instant;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;

/// Who waits until when; ordered by the time, then by who came first.
struct Waiting {
    at: Instant,
    number: u64,
    waker: Waker,
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

#[derive(Default)]
struct Queue {
    waiting: BinaryHeap<Reverse<Waiting>>,
    /// What the timer is set to.
    armed: Option<Instant>,
    count: u64,
}

/// The clock of one thread. Cheap to clone.
#[derive(Clone)]
pub struct Pacer {
    timer: Rc<AsyncFd<OwnedFd>>,
    queue: Rc<RefCell<Queue>>,
}

impl Pacer {
    /// Starts the clock on this thread's runtime; it ends with the runtime.
    pub fn start() -> io::Result<Self> {
        let timer = timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC,
        )?;
        #[expect(
            deprecated,
            reason = "sound here: the descriptor is owned and never given away; the successor is unsafe"
        )]
        let timer = AsyncFd::new(timer)?;
        let pacer = Self {
            timer: Rc::new(timer),
            queue: Rc::default(),
        };
        let ticking = pacer.clone();
        actix::spawn(async move { while ticking.tick().await.is_ok() {} });
        Ok(pacer)
    }

    /// Ends at `at`, at once where that has passed.
    pub async fn until(&self, at: Instant) {
        let mut is_queued = false;
        poll_fn(|context| {
            if Instant::now() >= at {
                return Poll::Ready(());
            }
            // A user waits for nothing else, so whoever polls it again early has its own reason and the entry holds.
            if !is_queued {
                is_queued = true;
                self.enqueue(at, context.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }

    fn enqueue(&self, at: Instant, waker: Waker) {
        let mut queue = self.queue.borrow_mut();
        queue.count += 1;
        let number = queue.count;
        queue.waiting.push(Reverse(Waiting { at, number, waker }));
        if queue.armed.is_none_or(|armed| at < armed) {
            self.arm(&mut queue, at);
        }
    }

    fn arm(&self, queue: &mut Queue, at: Instant) {
        let left = at.saturating_duration_since(Instant::now());
        let spec = Itimerspec {
            it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                // Zero would disarm it.
                tv_nsec: i64::from(left.subsec_nanos().max(1)),
            },
        };
        queue.armed = Some(at);
        // Only a bad descriptor or bad times could fail, and both are ours.
        let _ = timerfd_settime(&*self.timer, TimerfdTimerFlags::empty(), &spec);
    }

    async fn tick(&self) -> io::Result<()> {
        let mut ready = self.timer.readable().await?;
        let mut count = [0; 8];
        match rustix::io::read(&*self.timer, &mut count) {
            Ok(_) => {}
            // Set anew between the two; readiness must be cleared, or this would spin.
            Err(rustix::io::Errno::AGAIN) => ready.clear_ready(),
            Err(error) => return Err(error.into()),
        }
        let mut queue = self.queue.borrow_mut();
        queue.armed = None;
        let now = Instant::now();
        while let Some(Reverse(next)) = queue.waiting.peek() {
            if next.at > now {
                let at = next.at;
                self.arm(&mut queue, at);
                break;
            }
            if let Some(Reverse(due)) = queue.waiting.pop() {
                due.waker.wake();
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[actix::test]
    async fn nobody_wakes_early_and_everybody_wakes_in_order() {
        let pacer = Pacer::start().unwrap();
        let (start, woken) = (Instant::now(), Rc::new(RefCell::new(Vec::new())));
        let mut tasks = Vec::new();
        for millis in [30, 10, 20, 0] {
            let (pacer, woken) = (pacer.clone(), Rc::clone(&woken));
            tasks.push(actix::spawn(async move {
                let at = start + Duration::from_millis(millis);
                pacer.until(at).await;
                assert!(Instant::now() >= at);
                woken.borrow_mut().push(millis);
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*woken.borrow(), [0, 10, 20, 30]);
    }
}
