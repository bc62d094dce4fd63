//! Keeps our heap and our stack out of a fork.
//!
//! A fork marks every page as shared, and each that we write to afterwards is copied: with some 50
//! pages of heap that was 0.15 ms of a run of 2.5 ms. On the stack are our arguments and variables
//! as well, which are nobody's to find in another process. The guard, which is the only process
//! that we fork, uses neither. Called by `guard` and `start`.

use std::ffi::CStr;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Where on the heap our own allocations begin; 0 if that is not known.
static OURS: AtomicUsize = AtomicUsize::new(0);

/// Remembers what was allocated before us. A statically linked libc keeps there what every process
/// needs, `errno` for one: a fork gets that.
pub fn remember_what_is_libcs() {
    let first = Box::new(0_u8);
    OURS.store((&raw const *first).expose_provenance(), Ordering::Relaxed);
}

/// A part of our memory, which no fork gets while this lives.
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
        match OURS.load(Ordering::Relaxed) {
            0 => None,
            ours => Self::pages(ours.next_multiple_of(page()?), end),
        }
    }

    /// Spares the stack of the main thread, which is to call this, from the first page above
    /// `mark`, which is on it, to its very beginning, where the arguments and the environment are.
    /// The new process must have another one.
    pub fn stack_above(mark: &u8) -> Option<Self> {
        // SAFETY: asks what the kernel told us at our start: where it put our file's name.
        let name = unsafe { libc::getauxval(libc::AT_EXECFN) };
        let name = usize::try_from(name).ok().filter(|&name| name > 0)?;
        // SAFETY: it is a C string, and nobody has a reason to write there.
        let length = unsafe { CStr::from_ptr(ptr::with_exposed_provenance(name)) }.count_bytes();
        let page = page()?;
        // Behind it there is nothing but its zero and eight bytes more.
        let beginning = (name + length).next_multiple_of(page);
        Self::pages((&raw const *mark).addr().next_multiple_of(page), beginning)
    }

    fn pages(from: usize, end: usize) -> Option<Self> {
        let length = end.checked_sub(from).filter(|&length| length > 0)?;
        let spared = Self { from, length };
        // Dropped if that failed, which takes back what was done nevertheless.
        spared.advise(libc::MADV_DONTFORK).then_some(spared)
    }

    fn advise(&self, advice: libc::c_int) -> bool {
        let from = ptr::with_exposed_provenance_mut(self.from);
        // SAFETY: says what a fork is to do with these pages; ours stay as they are. It fails if
        // they are not all mapped, or do not begin with a page.
        unsafe { libc::madvise(from, self.length, advice) == 0 }
    }
}

impl Drop for Spared {
    fn drop(&mut self) {
        self.advise(libc::MADV_DOFORK);
    }
}

fn page() -> Option<usize> {
    // SAFETY: asks what the kernel told us at our start.
    usize::try_from(unsafe { libc::getauxval(libc::AT_PAGESZ) })
        .ok()
        .filter(|&page| page > 0)
}
