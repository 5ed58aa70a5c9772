//! A bounded map that forgets what was not used lately.

use std::hash::Hash;

use foldhash::{HashMap, HashMapExt as _};

/// Two generations: what is used moves into the young one; when that is full it becomes the old one, and what was old is
/// forgotten. Cheaper than a list of uses, and as good where all that matters is a bound.
pub(super) struct Recent<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    generation: usize,
}

impl<K: Hash + Eq + Copy, V: Copy> Recent<K, V> {
    /// Holds `most` at most, and at least the last half of that.
    pub(super) fn new(most: usize) -> Self {
        Self {
            young: HashMap::new(),
            old: HashMap::new(),
            generation: (most / 2).max(1),
        }
    }

    pub(super) fn get(&mut self, key: K) -> Option<V> {
        if let Some(value) = self.young.get(&key) {
            return Some(*value);
        }
        let value = *self.old.get(&key)?;
        self.put(key, value);
        Some(value)
    }

    pub(super) fn put(&mut self, key: K, value: V) {
        if self.young.len() >= self.generation && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }

    pub(super) fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_bounded_and_keeps_what_is_used() {
        let mut recent = Recent::new(8);
        for i in 0..1_000 {
            recent.put(i, i * 2);
            assert_eq!(recent.get(0), Some(0), "used each time");
            assert!(recent.young.len() + recent.old.len() <= 8);
        }
        assert_eq!(recent.get(999), Some(1_998));
        assert_eq!(recent.get(500), None);
    }

    #[test]
    fn the_latest_value_wins_over_an_old_generation() {
        let mut recent = Recent::new(4);
        recent.put(1, 'a');
        recent.put(2, 'b');
        recent.put(3, 'c');
        recent.put(1, 'z');
        assert_eq!(recent.get(1), Some('z'));
        recent.clear();
        assert_eq!(recent.get(1), None);
    }
}
