//! Keeps our heap out of a fork.
//!
//! A fork marks every page as shared, and each that we write to afterwards is copied: with some 50
//! pages of heap that was 0.15 ms of a run of 2.5 ms. The guard, which is the only process that we
//! fork, uses nothing of the heap. Called by `guard` and `start`.

use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

/// With larger pages the heap does not begin with one, and is not spared.
const PAGE: usize = 4096;

/// Where on the heap our own allocations begin; 0 if that is not known.
static OURS: AtomicUsize = AtomicUsize::new(0);

/// Remembers what was allocated before us. A statically linked libc keeps there what every process
/// needs, `errno` for one: a fork gets that.
pub fn remember_what_is_libcs() {
    let first = Box::new(0_u8);
    OURS.store((&raw const *first).expose_provenance(), Ordering::Relaxed);
}

/// Our heap, which no fork gets while this lives.
pub struct Spared {
    from: usize,
    length: usize,
}

impl Spared {
    /// Spares the heap, if it is one piece from what we allocated first to the break. Otherwise a
    /// fork gets it all, which only takes longer.
    pub fn heap() -> Option<Self> {
        // SAFETY: asks for the present break and moves nothing.
        let end = unsafe { libc::sbrk(0) }.expose_provenance();
        let from = OURS.load(Ordering::Relaxed).next_multiple_of(PAGE);
        if from == 0 || end <= from {
            return None;
        }
        let spared = Self {
            from,
            length: end - from,
        };
        spared.advise(libc::MADV_DONTFORK).then_some(spared)
    }

    fn advise(&self, advice: libc::c_int) -> bool {
        let from = ptr::with_exposed_provenance_mut(self.from);
        // SAFETY: says what a fork is to do with these pages; ours stay as they are. What is not
        // all mapped, or does not begin with a page, is refused.
        unsafe { libc::madvise(from, self.length, advice) == 0 }
    }
}

impl Drop for Spared {
    fn drop(&mut self) {
        self.advise(libc::MADV_DOFORK);
    }
}
