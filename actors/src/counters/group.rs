//! From what is asked to what is recorded: the pure part of a group.

use foldhash::{HashMap, HashMapExt as _};
use ovation_schema::{UserId, VideoId};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{CountersError, Outcome};
use crate::Like;
use crate::overlay::View;

/// One call of `set_favorite`, waiting.
pub(super) struct Ask {
    pub(super) user: UserId,
    pub(super) video: VideoId,
    pub(super) on: bool,
    pub(super) reply: oneshot::Sender<Result<Outcome, CountersError>>,
    /// Its place among those that may wait, given back with the answer.
    pub(super) place: OwnedSemaphorePermit,
}

impl Ask {
    pub(super) fn pair(&self) -> (UserId, VideoId) {
        (self.user, self.video)
    }

    /// A caller that went away before its turn has changed nothing.
    pub(super) fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    pub(super) fn answer(self, answer: Result<Outcome, CountersError>) {
        drop(self.place);
        // Whoever went away in the meantime needs no answer.
        let _ = self.reply.send(answer);
    }
}

/// A call about which enough is known to record it.
pub(super) struct Ready {
    pub(super) ask: Ask,
    pub(super) author: UserId,
    /// The pair's state when it was looked up; none when that failed.
    pub(super) was: Option<bool>,
}

/// Those calls of a group that have an outcome, in order.
pub(super) type Outcomes = Vec<(Ask, Outcome)>;

/// Resolves a group in order, so that each call sees what the calls before it did, and returns the changes to record.
/// What `view` knows of a pair is newer than any look-up.
pub(super) fn resolve(group: Vec<Ready>, view: &View<'_>, now_ms: i64) -> (Vec<Like>, Outcomes) {
    let mut states: HashMap<(UserId, VideoId), bool> = HashMap::with_capacity(group.len());
    let mut likes = Vec::with_capacity(group.len());
    let mut outcomes = Vec::with_capacity(group.len());
    for Ready { ask, author, was } in group {
        let (user, video) = ask.pair();
        let was = states.get(&ask.pair()).copied().or(view.pair(user, video)).or(was);
        if was == Some(ask.on) {
            outcomes.push((ask, Outcome::Unchanged));
            continue;
        }
        states.insert(ask.pair(), ask.on);
        likes.push(Like {
            user,
            video,
            author,
            on: ask.on,
            was,
            at_ms: now_ms,
        });
        outcomes.push((ask, Outcome::Changed));
    }
    (likes, outcomes)
}
