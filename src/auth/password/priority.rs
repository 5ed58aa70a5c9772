//! The hashing threads step back for those that serve.
//!
//! Owns how far. A hash keeps a core busy for 20 ms and nobody waits for one in less; a request is answered in a fraction
//! of a millisecond, if its thread gets the core when it asks for it.
//!
//! **The price**: a login waits while serving is busy. What bounds it is the share that a thread of this priority is left
//! with when threads of the ordinary one take all they can get: with Linux's weights (110 against 1024 each) a tenth of a
//! core beside one of them, so a hash of 20 ms takes 0.2 s there and the ten seconds that a login waits (`PoolSettings`)
//! are enough for 48 of them, one after the other. Whoever comes behind those is told to try later, as in any storm.
//!
//! Refused: nice 19 (15 against 1024: 1.4 s a hash, seven logins in ten seconds, none on a machine that others share);
//! the policies `SCHED_IDLE` (3 against 1024) and `SCHED_BATCH` (an ordinary share), for which there is no safe call in
//! `rustix` either; a thread of ordinary priority for those who have waited long, since in a storm that is everybody.

use std::io;

/// The nice value of a hashing thread.
const NICE: i32 = 10;

/// Lowers the priority of the calling thread, and of no other; one that is lower already is left alone.
///
/// For Linux a nice value belongs to a thread, whatever POSIX says (setpriority(2), "C library/kernel differences"), so
/// none is named here. Elsewhere the call would slow the whole process down, so nothing is done.
///
/// # Errors
/// A filter of system calls may refuse it.
#[cfg(target_os = "linux")]
pub(super) fn step_back() -> io::Result<()> {
    use rustix::process::{getpriority_process, setpriority_process};
    if getpriority_process(None)? < NICE {
        setpriority_process(None, NICE)?;
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
#[expect(clippy::unnecessary_wraps, reason = "as on Linux")]
pub(super) fn step_back() -> io::Result<()> {
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::process::getpriority_process;

    use super::*;

    #[test]
    fn one_thread_steps_back_and_stays_there() {
        let before = getpriority_process(None).unwrap();
        let stepped = std::thread::spawn(|| {
            let nice = || getpriority_process(None).unwrap();
            step_back().unwrap();
            let once = nice();
            step_back().unwrap();
            (once, nice())
        });
        let expected = before.max(NICE);
        assert_eq!(stepped.join().unwrap(), (expected, expected));
        assert_eq!(getpriority_process(None).unwrap(), before, "only that one");
    }
}
