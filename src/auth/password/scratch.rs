//! The memory a hash works in.
//!
//! Owns one thread's blocks, for as long as it has passwords to work on. Made anew for each hash they cost a
//! quarter of it: 19 MiB are cleared, and every page is a fault. Never outlives the work: what is in it was derived from a password,
//! so between two passwords it is overwritten by the second, and before a thread rests it goes back to the system, which
//! clears it before anybody else gets it (`memory` sees to it that it really goes).

use argon2::password_hash::Error;
use argon2::{Block, Params};

/// The blocks; none to begin with.
#[derive(Default)]
pub(super) struct Scratch(Vec<Block>);

impl Scratch {
    /// As many blocks as a hash of this cost needs. What stands in them means nothing.
    pub(super) fn blocks(&mut self, params: &Params) -> Result<&mut [Block], Error> {
        let count = params.block_count();
        if self.0.len() < count {
            // Given up first, or both would be there for a moment.
            self.release();
            let mut blocks = Vec::new();
            blocks.try_reserve_exact(count).map_err(|_| Error::OutOfMemory)?;
            blocks.resize(count, Block::new());
            self.0 = blocks;
        }
        self.0.get_mut(..count).ok_or(Error::Internal)
    }

    /// Gives the memory back.
    pub(super) fn release(&mut self) {
        self.0 = Vec::new();
    }

    /// Whether it holds nothing.
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(memory_kib: u32) -> Params {
        Params::new(memory_kib, 1, 1, None).unwrap()
    }

    #[test]
    fn blocks_are_kept_for_what_they_suffice_for() {
        let mut scratch = Scratch::default();
        assert!(scratch.is_empty());
        let first = scratch.blocks(&params(64)).unwrap().as_ptr();
        for smaller in [8, 64, 32] {
            let blocks = scratch.blocks(&params(smaller)).unwrap();
            assert_eq!((blocks.as_ptr(), blocks.len()), (first, smaller as usize));
        }
        assert_eq!(scratch.blocks(&params(128)).unwrap().len(), 128);
        scratch.release();
        assert!(scratch.is_empty());
    }
}
