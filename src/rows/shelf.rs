//! One kind of rows, kept while they are hot.
//!
//! Owns the rule that makes keeping them exact: whoever reads a row takes a stamp before the read begins, and what was
//! read is kept only if nothing that could change it has begun or ended since. A row is absent from the beginning of its
//! change to the end, so that nobody is shown an older row after somebody else has been shown a newer one. Bounded by
//! weight: beyond it, rows that nobody has asked for lately go first. Never reads the store itself.
//!
//! A map of our own: the caches there are (moka, `quick_cache`) can be told to forget a key, but not to refuse a value
//! whose reading began before that.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use foldhash::HashMap;

/// How long a row is as good as a look. Changes by this process are seen at once; this is for hands that work on the
/// database beside it.
pub(super) const MAX_AGE: Duration = Duration::from_secs(10);

/// Locks a shelf; also how finely changes are told apart: one spoils what is being read for the same shard.
const SHARDS: usize = 32;

/// What a row costs beside its own bytes: its place in the map, in the ring, and behind its counter.
const OVERHEAD: usize = 160;

/// What a row takes in memory.
pub(super) trait Weight {
    /// Bytes, its own and those it owns.
    fn weight(&self) -> usize;
}

/// When a read began, by shard. What was read is kept only where the shard has not changed since.
pub(super) struct Stamps([u64; SHARDS], Instant);

/// Rows of one kind by id.
pub(super) struct Shelf<T> {
    shards: [Shard<T>; SHARDS],
    /// Bytes a shard.
    most: usize,
}

struct Shard<T> {
    /// Moves with every beginning and end of a change, under the lock of `state`.
    stamp: AtomicU64,
    state: RwLock<State<T>>,
}

struct State<T> {
    slots: HashMap<i64, Slot<T>>,
    /// Every slot once, the next to be looked at for eviction first.
    ring: VecDeque<i64>,
    weight: usize,
    /// How many changes of a row are under way; none of these rows is kept.
    changing: HashMap<i64, u32>,
}

struct Slot<T> {
    /// None after a change, until somebody asks again.
    row: Option<(Arc<T>, Instant)>,
    weight: usize,
    /// Asked for since the ring has last come round.
    used: AtomicBool,
}

impl<T: Weight> Shelf<T> {
    /// A shelf of at most so many bytes.
    pub fn new(bytes: usize) -> Self {
        let shard = |_| Shard {
            stamp: AtomicU64::new(0),
            state: RwLock::new(State {
                slots: HashMap::default(),
                ring: VecDeque::new(),
                weight: 0,
                changing: HashMap::default(),
            }),
        };
        Self {
            shards: std::array::from_fn(shard),
            most: bytes / SHARDS,
        }
    }

    /// The row, if it is kept and not too old.
    pub fn get(&self, id: i64, now: Instant) -> Option<Arc<T>> {
        let state = self.shard(id).read();
        let slot = state.slots.get(&id)?;
        let (row, read_at) = slot.row.as_ref()?;
        if now.saturating_duration_since(*read_at) >= MAX_AGE {
            return None;
        }
        // Not written where it is set: all cores read the hottest rows.
        if !slot.used.load(Ordering::Relaxed) {
            slot.used.store(true, Ordering::Relaxed);
        }
        Some(Arc::clone(row))
    }

    /// To be taken before a read begins.
    pub fn stamps(&self) -> Stamps {
        let at = Instant::now();
        Stamps(std::array::from_fn(|n| self.shards[n].stamp.load(Ordering::SeqCst)), at)
    }

    /// Keeps what was read, unless something has changed since `stamps` were taken.
    pub fn keep(&self, id: i64, row: &Arc<T>, stamps: &Stamps) {
        let weight = OVERHEAD + row.weight();
        if weight > self.most {
            return;
        }
        let shard = self.shard(id);
        let mut state = shard.write();
        if shard.stamp.load(Ordering::SeqCst) != stamps.0[index(id)] || state.changing.contains_key(&id) {
            return;
        }
        let State { slots, ring, .. } = &mut *state;
        let slot = slots.entry(id).or_insert_with(|| {
            ring.push_back(id);
            Slot::empty()
        });
        slot.row = Some((Arc::clone(row), stamps.1));
        let before = std::mem::replace(&mut slot.weight, weight);
        state.weight = state.weight + weight - before;
        state.evict(self.most);
    }

    /// A change of the row begins: it is not kept until [`Self::end`].
    pub fn begin(&self, id: i64) {
        let shard = self.shard(id);
        let mut state = shard.write();
        *state.changing.entry(id).or_default() += 1;
        state.void(id);
        shard.stamp.fetch_add(1, Ordering::SeqCst);
    }

    /// A change has ended, well or not.
    pub fn end(&self, id: i64) {
        let shard = self.shard(id);
        let mut state = shard.write();
        if let std::collections::hash_map::Entry::Occupied(mut changes) = state.changing.entry(id) {
            *changes.get_mut() -= 1;
            if *changes.get() == 0 {
                changes.remove();
            }
        }
        shard.stamp.fetch_add(1, Ordering::SeqCst);
    }

    /// Forgets everything, also what is being read at the moment.
    pub fn clear(&self) {
        for shard in &self.shards {
            let mut state = shard.write();
            state.slots.clear();
            state.ring.clear();
            state.weight = 0;
            shard.stamp.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn shard(&self, id: i64) -> &Shard<T> {
        &self.shards[index(id)]
    }
}

/// Ids are sequential, so their last bits spread them evenly.
fn index(id: i64) -> usize {
    usize::try_from(id.rem_euclid(32)).unwrap_or(0) % SHARDS
}

impl<T> Shard<T> {
    fn read(&self) -> RwLockReadGuard<'_, State<T>> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State<T>> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Slot<T> {
    fn empty() -> Self {
        Self {
            row: None,
            weight: 0,
            used: AtomicBool::new(false),
        }
    }
}

impl<T> State<T> {
    /// Forgets a row and keeps its slot: a row that changes often would otherwise stand in the ring many times.
    fn void(&mut self, id: i64) {
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.row = None;
            self.weight = self.weight + OVERHEAD - slot.weight;
            slot.weight = OVERHEAD;
        }
    }

    fn evict(&mut self, most: usize) {
        while self.weight > most {
            let Some(id) = self.ring.pop_front() else { return };
            let Some(slot) = self.slots.get(&id) else { continue };
            if slot.used.swap(false, Ordering::Relaxed) {
                self.ring.push_back(id);
            } else {
                self.weight -= slot.weight;
                self.slots.remove(&id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Weight for Vec<u8> {
        fn weight(&self) -> usize {
            self.len()
        }
    }

    fn shelf() -> Shelf<Vec<u8>> {
        Shelf::new(1 << 20)
    }

    fn kept(shelf: &Shelf<Vec<u8>>, id: i64) -> Option<u8> {
        shelf.get(id, Instant::now()).map(|row| row[0])
    }

    fn keep(shelf: &Shelf<Vec<u8>>, id: i64, value: u8) {
        shelf.keep(id, &Arc::new(vec![value]), &shelf.stamps());
    }

    #[test]
    fn what_was_read_before_a_change_is_never_kept_after_it() {
        let shelf = shelf();
        let before = shelf.stamps();
        shelf.begin(7);
        let within = shelf.stamps();
        shelf.keep(7, &Arc::new(vec![1]), &before);
        shelf.keep(7, &Arc::new(vec![2]), &within);
        assert_eq!(kept(&shelf, 7), None, "the change is under way");
        shelf.end(7);
        shelf.keep(7, &Arc::new(vec![1]), &before);
        shelf.keep(7, &Arc::new(vec![2]), &within);
        assert_eq!(kept(&shelf, 7), None, "both reads may have missed it");
        keep(&shelf, 7, 3);
        assert_eq!(kept(&shelf, 7), Some(3));
    }

    #[test]
    fn a_row_is_away_while_any_of_its_changes_is_under_way() {
        let shelf = shelf();
        keep(&shelf, 7, 1);
        shelf.begin(7);
        shelf.begin(7);
        assert_eq!(kept(&shelf, 7), None);
        shelf.end(7);
        keep(&shelf, 7, 2);
        assert_eq!(kept(&shelf, 7), None);
        shelf.end(7);
        keep(&shelf, 7, 3);
        assert_eq!(kept(&shelf, 7), Some(3));
    }

    #[test]
    fn forgetting_everything_spoils_what_is_being_read() {
        let shelf = shelf();
        keep(&shelf, 7, 1);
        let before = shelf.stamps();
        shelf.clear();
        shelf.keep(7, &Arc::new(vec![2]), &before);
        assert_eq!(kept(&shelf, 7), None);
    }

    #[test]
    fn a_row_has_an_age_at_which_it_ends() {
        let shelf = shelf();
        keep(&shelf, 7, 1);
        let later = Instant::now() + MAX_AGE;
        assert!(shelf.get(7, later).is_none());
        assert_eq!(kept(&shelf, 7), Some(1));
    }

    #[test]
    fn the_weight_is_bounded_and_what_is_asked_for_stays() {
        const MOST: usize = SHARDS * 10 * (OVERHEAD + 100);
        let shelf = Shelf::new(MOST);
        for id in 0..10_000 {
            shelf.keep(id, &Arc::new(vec![0; 100]), &shelf.stamps());
            let hot = id.min(5);
            assert!(kept(&shelf, hot).is_some(), "{hot} is asked for all the time; {id}");
        }
        let weight: usize = shelf.shards.iter().map(|shard| shard.read().weight).sum();
        assert!(weight <= MOST && weight > MOST / 2, "{weight}");
        let slots: usize = shelf.shards.iter().map(|shard| shard.read().slots.len()).sum();
        let rings: usize = shelf.shards.iter().map(|shard| shard.read().ring.len()).sum();
        assert_eq!(slots, rings);
    }

    #[test]
    fn changes_leave_nothing_behind() {
        let shelf = shelf();
        for round in 0..1_000 {
            keep(&shelf, round % 3, 1);
            shelf.begin(round % 3);
            shelf.end(round % 3);
        }
        for shard in &shelf.shards {
            let state = shard.read();
            assert!(state.changing.is_empty() && state.ring.len() <= 1 && state.weight <= OVERHEAD);
        }
    }

    #[test]
    fn without_room_nothing_is_kept() {
        let shelf = Shelf::new(0);
        keep(&shelf, 7, 1);
        assert_eq!(kept(&shelf, 7), None);
    }
}
