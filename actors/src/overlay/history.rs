//! How one count moved: a step for each change, by position.

use std::collections::VecDeque;

/// The changes of one count, in order. Sums count from an arbitrary zero, so that forgetting the oldest steps and putting
/// older ones back touches no other step.
pub(super) struct History<T> {
    total: i64,
    steps: VecDeque<Step<T>>,
}

struct Step<T> {
    position: i64,
    /// The sum of all steps before this one.
    before: i64,
    what: T,
}

impl<T> Default for History<T> {
    fn default() -> Self {
        Self {
            total: 0,
            steps: VecDeque::new(),
        }
    }
}

impl<T: Copy> History<T> {
    /// The sum of all steps past `mark`. Costs the logarithm of their number.
    pub(super) fn newer_than(&self, mark: i64) -> i64 {
        let first = self.steps.partition_point(|step| step.position <= mark);
        self.steps.get(first).map_or(0, |step| self.total - step.before)
    }

    pub(super) fn push(&mut self, position: i64, difference: i64, what: T) {
        self.steps.push_back(Step {
            position,
            before: self.total,
            what,
        });
        self.total += difference;
    }

    pub(super) fn push_front(&mut self, position: i64, difference: i64, what: T) {
        let after = self.steps.front().map_or(self.total, |step| step.before);
        self.steps.push_front(Step {
            position,
            before: after - difference,
            what,
        });
    }

    /// Says whether nothing is left.
    pub(super) fn forget_through(&mut self, position: i64) -> bool {
        while self.steps.pop_front_if(|step| step.position <= position).is_some() {}
        self.steps.is_empty()
    }

    pub(super) fn newest_first(&self) -> impl Iterator<Item = (i64, T)> {
        self.steps.iter().rev().map(|step| (step.position, step.what))
    }
}
