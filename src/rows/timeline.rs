//! The newest videos in the order of their publishing.
//!
//! Owns a run of places without a hole, up to the newest that was seen. Publish times are unique and become visible in
//! order, and no video ever goes away: so such a run never becomes wrong, it can only lack what is newer. Whether it does
//! is known by a stamp, as for a row. Places are read in order from the store and never put in by who publishes: two who
//! publish at once could put them in the wrong way round, and a reader between them would miss one for ever.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::Instant;

use ovation_schema::videos::Place;

use super::shelf::MAX_AGE;

/// Places that are kept at least; twice as many at most. 66 pages, 24 bytes a place.
const LENGTH: usize = 2_000;

/// The run; shared behind [`super::Rows`].
#[derive(Default)]
pub(super) struct Timeline {
    run: RwLock<Run>,
    stamp: AtomicU64,
    /// Videos that are being published.
    publishing: AtomicUsize,
}

#[derive(Default)]
struct Run {
    /// The oldest first.
    places: Vec<Place>,
    /// There are no older ones.
    whole: bool,
    /// At which stamp, and when, nothing newer was there.
    checked: Option<(u64, Instant)>,
    /// When the run was last read as a whole.
    read_at: Option<Instant>,
}

/// What the timeline says of a page.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Page {
    /// These, newest first.
    Is(Vec<Place>),
    /// It has to look for newer ones first.
    Behind,
    /// It does not reach back that far.
    Beyond,
}

/// A look for newer places, about to begin.
#[derive(Clone, Copy)]
pub(super) struct Look {
    /// Newer than this, in milliseconds.
    pub after: i64,
    stamp: u64,
    at: Instant,
}

impl Look {
    /// How many places to ask for at most: as many are taken for a run of their own.
    pub const MOST: i64 = 2_000;
}

impl Timeline {
    /// At most `limit` places before `latest`, or the newest. A time after `now` counts only if a video has it
    /// (see `api::feed`).
    pub fn page(&self, latest: Option<i64>, now: i64, limit: usize) -> Page {
        let current = self.stamp.load(Ordering::SeqCst);
        let publishing = self.publishing.load(Ordering::SeqCst) > 0;
        let run = self.run.read().unwrap_or_else(PoisonError::into_inner);
        let newest = run.places.last().map_or(i64::MIN, |place| place.0);
        // A page that begins within the run lacks nothing, whatever is newer. A time in the future that no video has is no
        // beginning, also where the clock has stepped back and there are videos past it.
        let within = latest.is_some_and(|latest| latest <= newest && (latest <= now || run.has(latest)));
        let fresh = || {
            run.checked
                .is_some_and(|(stamp, at)| stamp == current && at.elapsed() < MAX_AGE)
        };
        if !within && (publishing || !fresh()) {
            return Page::Behind;
        }
        run.page(latest, now, limit)
    }

    /// Like [`Self::page`], for who has just had it look.
    pub fn page_as_it_is(&self, latest: Option<i64>, now: i64, limit: usize) -> Page {
        let run = self.run.read().unwrap_or_else(PoisonError::into_inner);
        run.page(latest, now, limit)
    }

    /// Before the read begins. Now and then everything is read again, for the sake of other hands on the database.
    pub fn look(&self) -> Look {
        let stamp = self.stamp.load(Ordering::SeqCst);
        let at = Instant::now();
        let run = self.run.read().unwrap_or_else(PoisonError::into_inner);
        let recent = run.read_at.is_some_and(|read_at| at - read_at < MAX_AGE);
        let after = run.places.last().filter(|_| recent).map_or(i64::MIN, |place| place.0);
        Look { after, stamp, at }
    }

    /// Takes what the look has found, newest first, at most [`Look::MOST`]. Of looks that overlap only one may be for
    /// everything; in a lane none do.
    pub fn take(&self, look: Look, mut found: Vec<Place>) {
        let mut run = self.run.write().unwrap_or_else(PoisonError::into_inner);
        let all = i64::try_from(found.len()).is_ok_and(|count| count < Look::MOST);
        found.reverse();
        let newest = run.places.last().map_or(i64::MIN, |place| place.0);
        if look.after == i64::MIN || !all {
            run.whole = all && look.after == i64::MIN;
            run.places = found;
            run.read_at = Some(look.at);
        } else {
            run.places.extend(found.into_iter().filter(|place| place.0 > newest));
        }
        run.checked = Some((look.stamp, look.at));
        if run.places.len() > 2 * LENGTH {
            let surplus = run.places.len() - LENGTH;
            run.places.drain(..surplus);
            run.whole = false;
        }
    }

    /// A video is about to be published.
    pub fn begin(&self) {
        self.publishing.fetch_add(1, Ordering::SeqCst);
        self.stamp.fetch_add(1, Ordering::SeqCst);
    }

    /// It has been, or not.
    pub fn end(&self) {
        self.stamp.fetch_add(1, Ordering::SeqCst);
        self.publishing.fetch_sub(1, Ordering::SeqCst);
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.stamp.fetch_add(1, Ordering::SeqCst);
        *self.run.write().unwrap_or_else(PoisonError::into_inner) = Run::default();
    }
}

impl Run {
    fn has(&self, time: i64) -> bool {
        self.places.binary_search_by_key(&time, |place| place.0).is_ok()
    }

    fn page(&self, latest: Option<i64>, now: i64, limit: usize) -> Page {
        let before = match latest {
            None => i64::MAX,
            Some(latest) if latest <= now => latest,
            Some(latest) => match self.places.binary_search_by_key(&latest, |place| place.0) {
                Ok(_) => latest,
                // Older than the run and yet in the future: two thousand videos from before the clock stepped back.
                Err(0) if !self.whole => return Page::Beyond,
                Err(_) => i64::MAX,
            },
        };
        let end = self.places.partition_point(|place| place.0 < before);
        if end < limit && !self.whole {
            return Page::Beyond;
        }
        let start = end.saturating_sub(limit);
        Page::Is(self.places[start..end].iter().rev().copied().collect())
    }
}

#[cfg(test)]
mod tests {
    use ovation_schema::{UserId, VideoId};

    use super::*;

    const NOW: i64 = 1_000_000;

    fn place(time: i64) -> Place {
        (time, VideoId(time), UserId(1))
    }

    /// As the store answers.
    fn stored(videos: &[i64], look: &Look) -> Vec<Place> {
        let mut found: Vec<_> = videos
            .iter()
            .filter(|time| **time > look.after)
            .copied()
            .map(place)
            .collect();
        found.reverse();
        found.truncate(usize::try_from(Look::MOST).unwrap());
        found
    }

    fn looked(timeline: &Timeline, videos: &[i64]) {
        let look = timeline.look();
        timeline.take(look, stored(videos, &look));
    }

    fn page(timeline: &Timeline, latest: Option<i64>) -> Page {
        timeline.page(latest, NOW, 3)
    }

    fn is(times: &[i64]) -> Page {
        Page::Is(times.iter().copied().map(place).collect())
    }

    #[test]
    fn pages_are_those_of_the_store() {
        let timeline = Timeline::default();
        assert_eq!(page(&timeline, None), Page::Behind);
        looked(&timeline, &[10, 20, 30, 40, 50]);
        assert_eq!(page(&timeline, None), is(&[50, 40, 30]));
        assert_eq!(page(&timeline, Some(30)), is(&[20, 10]));
        assert_eq!(page(&timeline, Some(10)), is(&[]));
        assert_eq!(
            page(&timeline, Some(60)),
            is(&[50, 40, 30]),
            "between the newest and now"
        );
        assert_eq!(
            page(&timeline, Some(NOW + 1)),
            is(&[50, 40, 30]),
            "the future is no bound"
        );
    }

    #[test]
    fn a_cursor_in_the_future_counts_if_a_video_is_there() {
        let timeline = Timeline::default();
        looked(&timeline, &[10, NOW + 5, NOW + 6]);
        assert_eq!(page(&timeline, Some(NOW + 6)), is(&[NOW + 5, 10]));
        assert_eq!(page(&timeline, Some(NOW + 7)), is(&[NOW + 6, NOW + 5, 10]));
    }

    #[test]
    fn a_time_in_the_future_before_the_newest_misses_nothing() {
        let timeline = Timeline::default();
        looked(&timeline, &[10, NOW + 5]);
        timeline.begin();
        timeline.end();
        assert_eq!(page(&timeline, Some(NOW + 4)), Page::Behind, "that is the first page");
        assert_eq!(page(&timeline, Some(NOW + 5)), is(&[10]), "and that one is not");
        looked(&timeline, &[10, NOW + 5, NOW + 6]);
        assert_eq!(page(&timeline, Some(NOW + 4)), is(&[NOW + 6, NOW + 5, 10]));
    }

    #[test]
    fn while_a_video_is_published_the_head_is_looked_at_and_the_rest_is_not() {
        let timeline = Timeline::default();
        looked(&timeline, &[10, 20]);
        timeline.begin();
        assert_eq!(page(&timeline, None), Page::Behind);
        assert_eq!(page(&timeline, Some(20)), is(&[10]), "older pages don't change");
        // This look may or may not have seen the video.
        let during = timeline.look();
        timeline.end();
        timeline.take(during, stored(&[10, 20], &during));
        assert_eq!(page(&timeline, None), Page::Behind);
        looked(&timeline, &[10, 20, 30]);
        assert_eq!(page(&timeline, None), is(&[30, 20, 10]));
    }

    #[test]
    fn looks_that_overtake_each_other_leave_no_hole() {
        let timeline = Timeline::default();
        looked(&timeline, &[10]);
        let (early, late) = (timeline.look(), timeline.look());
        timeline.take(late, stored(&[10, 20, 30], &late));
        timeline.take(early, stored(&[10, 20], &early));
        assert_eq!(timeline.page_as_it_is(None, NOW, 3), is(&[30, 20, 10]));
    }

    #[test]
    fn the_run_is_bounded_and_says_where_it_ends() {
        let timeline = Timeline::default();
        let mut videos: Vec<i64> = (1..=5_000).collect();
        looked(&timeline, &videos);
        assert_eq!(page(&timeline, Some(3_004)), is(&[3_003, 3_002, 3_001]));
        assert_eq!(page(&timeline, Some(3_003)), Page::Beyond);
        for more in 5_001..=20_000 {
            timeline.begin();
            videos.push(more);
            timeline.end();
            looked(&timeline, &videos);
            assert_eq!(page(&timeline, None), is(&[more, more - 1, more - 2]));
        }
        let length = timeline.run.read().unwrap().places.len();
        assert!((LENGTH..=2 * LENGTH).contains(&length), "{length}");
        // More than one look brings: a run of its own begins.
        let more: Vec<i64> = (1..=30_000).collect();
        timeline.begin();
        timeline.end();
        looked(&timeline, &more);
        assert_eq!(page(&timeline, None), is(&[30_000, 29_999, 29_998]));
        assert_eq!(page(&timeline, Some(28_002)), Page::Beyond);
    }
}
