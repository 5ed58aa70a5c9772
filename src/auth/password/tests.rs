//! The pool: bounds, cancelling, stopping. To be sure of the order, a test fills a pool without threads, then starts one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Instant;

use super::*;

const CHEAP: Cost = Cost {
    memory_kib: 64,
    passes: 1,
    lanes: 1,
};

fn pool(queue: usize, wait: Duration) -> PasswordHasher {
    PasswordHasher::start(PoolSettings {
        threads: NonZeroUsize::MIN,
        queue,
        wait,
        cost: CHEAP,
    })
    .unwrap()
}

const LONG: Duration = Duration::from_mins(1);

/// Polls a call until it has queued its job and waits.
fn polled_once<F: Future>(future: std::pin::Pin<&mut F>) {
    let pending = futures_util::FutureExt::now_or_never(future).is_none();
    assert!(pending, "answered before it could have been");
}

/// A pool without threads: what is pushed stays where it is until `serve` is called.
fn idle_pool(queue: usize, wait: Duration) -> PasswordHasher {
    let mut pool = pool(queue, wait);
    pool.shared.lock().open = false;
    pool.shared.changed.notify_all();
    for thread in pool.threads.drain(..) {
        thread.join().unwrap();
    }
    pool.shared.lock().open = true;
    pool
}

/// Gives an idle pool its thread back.
fn serve(pool: &mut PasswordHasher) {
    let shared = Arc::clone(&pool.shared);
    pool.threads.push(thread::spawn(move || shared.work()));
}

#[actix_web::test]
async fn hash_then_verify() {
    let pool = pool(4, LONG);
    let stored = pool.hash("secret".into()).await.unwrap();
    let right = Verdict::Right { rehash_needed: false };
    assert_eq!(pool.verify("secret".into(), Some(stored.clone())).await, Ok(right));
    assert_eq!(pool.verify("Secret".into(), Some(stored)).await, Ok(Verdict::Wrong));
    assert_eq!(pool.runs(), 3);
}

#[actix_web::test]
async fn an_unknown_user_costs_as_many_runs_as_a_known_one() {
    let pool = pool(4, LONG);
    assert_eq!(pool.verify("secret".into(), None).await, Ok(Verdict::Wrong));
    assert_eq!(pool.runs(), 1);
}

#[actix_web::test]
async fn a_full_queue_refuses_at_once_and_room_is_given_again() {
    let mut pool = idle_pool(2, LONG);
    let mut results = Vec::new();
    for _ in 0..2 {
        let (reply, result) = oneshot::channel();
        let password = "p".to_owned();
        pool.shared.push(Job::Hash { password, reply }, 2).unwrap();
        results.push(result);
    }
    assert_eq!(pool.hash("p".into()).await, Err(PasswordError::Busy));
    results.pop();
    let mut third = Box::pin(pool.hash("p".into()));
    polled_once(third.as_mut());
    assert_eq!(pool.shared.lock().jobs.len(), 2, "the abandoned job made room");
    drop(third);
    serve(&mut pool);
    assert!(results.remove(0).await.unwrap().is_ok());
}

#[actix_web::test]
async fn abandoned_work_is_skipped() {
    let mut pool = idle_pool(8, LONG);
    {
        let mut abandoned = Box::pin(pool.hash("p".into()));
        polled_once(abandoned.as_mut());
    }
    let (reply, result) = oneshot::channel();
    let password = "p".to_owned();
    pool.shared.push(Job::Hash { password, reply }, 8).unwrap();
    serve(&mut pool);
    assert!(result.await.unwrap().is_ok());
    assert_eq!(pool.runs(), 1, "only the one that was waited for");
}

#[actix_web::test]
async fn who_waits_too_long_is_told_busy_and_its_work_is_not_done() {
    let mut pool = idle_pool(8, Duration::from_millis(20));
    assert_eq!(pool.verify("p".into(), None).await, Err(PasswordError::Busy));
    let (reply, result) = oneshot::channel();
    let password = "p".to_owned();
    pool.shared.push(Job::Hash { password, reply }, 8).unwrap();
    serve(&mut pool);
    result.await.unwrap().unwrap();
    assert_eq!(pool.runs(), 1);
}

#[actix_web::test]
async fn stopping_answers_those_who_wait() {
    let pool = idle_pool(8, LONG);
    let (reply, result) = oneshot::channel();
    let password = "p".to_owned();
    pool.shared.push(Job::Hash { password, reply }, 8).unwrap();
    drop(pool);
    assert!(result.await.is_err(), "dropped, which `run` turns into Busy");
}

#[test]
fn the_threads_end_with_the_service() {
    let pool = pool(8, LONG);
    let (done, ended) = mpsc::channel();
    thread::spawn(move || {
        drop(pool);
        let _ = done.send(());
    });
    ended.recv_timeout(Duration::from_secs(30)).unwrap();
}

/// Every core is taken by threads that never rest; a login has the patience that it has in production.
#[actix_web::test]
async fn a_login_gets_through_while_every_core_is_busy() {
    let pool = PasswordHasher::start(PoolSettings {
        threads: NonZeroUsize::MIN,
        ..PoolSettings::default()
    })
    .unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let cores = thread::available_parallelism().unwrap().get();
    let busy: Vec<_> = (0..cores)
        .map(|_| {
            let done = Arc::clone(&done);
            thread::spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            })
        })
        .collect();
    let stored = pool.hash("secret".into()).await;
    done.store(true, Ordering::Relaxed);
    for thread in busy {
        thread.join().unwrap();
    }
    assert!(stored.is_ok(), "{stored:?}");
}

/// The third thread of a pool, since no other test has one.
#[cfg(target_os = "linux")]
#[test]
fn the_threads_of_a_pool_step_back() {
    let settings = PoolSettings {
        threads: NonZeroUsize::new(3).unwrap(),
        cost: CHEAP,
        ..PoolSettings::default()
    };
    let _pool = PasswordHasher::start(settings).unwrap();
    let nice = || {
        let threads = std::fs::read_dir("/proc/self/task").unwrap();
        let paths = threads.filter_map(|thread| Some(thread.ok()?.path()));
        let mut stats = paths.filter_map(|path| std::fs::read_to_string(path.join("stat")).ok());
        let third = stats.find(|stat| stat.contains("(password-2)"))?;
        // proc(5): the nineteenth field; the name is the second one.
        third.rsplit_once(')')?.1.split(' ').nth(17)?.parse::<i32>().ok()
    };
    let start = Instant::now();
    while nice().is_none_or(|nice| nice < 10) {
        assert!(start.elapsed() < LONG, "{:?}", nice());
        thread::yield_now();
    }
}

#[test]
fn errors_become_the_right_answers() {
    assert!(matches!(PasswordError::Busy.into(), ApiError::Busy));
    assert!(matches!(PasswordError::Failed.into(), ApiError::Internal));
}
