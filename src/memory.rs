//! The daemon's own memory: an allocator that keeps a reserve for the moment when the system has no more, and says so. From
//! then on nothing new is begun, what runs goes on, and what was taken back is set aside anew before anything is begun again.
//!
//! Two things are short memory: the system refuses an allocation (`RLIMIT_AS`, overcommit turned off), or the daemon holds
//! more than its part of the memory cgroup that it lives in, where the kernel would not refuse but kill.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering::Relaxed};

use crate::refusal::Refusal;

/// What has a mapping of its own, in bytes; malloc's first threshold (mallopt(3)).
#[cfg(target_env = "gnu")]
const LARGE: i32 = 128 << 10;

/// How much is set aside, in bytes: what those who are served already may still need to be answered. Large, so that to
/// free it gives it back.
const RESERVE: Layout = layout(2 << 20);
/// How much must be left beside it, so that it is not used up again at once.
const BESIDE: Layout = layout(512 << 10);

const fn layout(size: usize) -> Layout {
    match Layout::from_size_align(size, 16) {
        Ok(layout) => layout,
        Err(_) => panic!("a size and a power of two"),
    }
}

/// Of a memory cgroup's limit, the daemon's own heap may take this part: sockets, page tables and the tools that it
/// starts are charged to the same.
const PART: usize = 4;

/// So much less than there was is a burst that is over, in bytes.
const BURST: usize = 4 << 20;

static KEPT: AtomicPtr<u8> = AtomicPtr::new(null_mut());
/// Whether a reserve is wanted at all: not before [`set_aside`].
static WANTED: AtomicBool = AtomicBool::new(false);
static HELD: AtomicUsize = AtomicUsize::new(0);
static BOUND: AtomicUsize = AtomicUsize::new(usize::MAX);
static REFUSED: AtomicU64 = AtomicU64::new(0);
/// The most that was held when somebody was seen off, since a burst was last given back.
static PEAK: AtomicUsize = AtomicUsize::new(0);

/// The allocator: the system's, with the reserve behind it.
pub struct Heap;

#[expect(unsafe_code, reason = "an allocator cannot be had otherwise")]
// SAFETY: every block is the system allocator's own, asked for once or twice with the caller's layout; nothing here
// allocates by itself or unwinds.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's layout, for which it vouches.
        counted(layout.size(), || unsafe { System.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        counted(layout.size(), || unsafe { System.alloc_zeroed(layout) })
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's block, which is the system's, and is still whole where the first try gave nothing.
        let moved = counted(size, || unsafe { System.realloc(block, layout, size) });
        if !moved.is_null() {
            HELD.fetch_sub(layout.size(), Relaxed);
        }
        moved
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's block, which is the system's.
        unsafe { System.dealloc(block, layout) }
    }
}

/// What `take` gives, where it gives nothing after the reserve is freed.
fn counted(size: usize, mut take: impl FnMut() -> *mut u8) -> *mut u8 {
    let mut block = take();
    if block.is_null() && give_back() {
        block = take();
    }
    if !block.is_null() {
        HELD.fetch_add(size, Relaxed);
    }
    block
}

#[expect(unsafe_code, reason = "memory by hand")]
fn give_back() -> bool {
    let kept = KEPT.swap(null_mut(), Relaxed);
    if !kept.is_null() {
        // SAFETY: from `set_aside`, with this layout; the swap gave it to us alone.
        unsafe { System.dealloc(kept, RESERVE) };
    }
    !kept.is_null()
}

/// Sets the reserve aside where it is not, with a little to be had beside it. Whether it is there then.
#[expect(unsafe_code, reason = "memory by hand")]
fn set_aside() -> bool {
    if !KEPT.load(Relaxed).is_null() {
        return true;
    }
    // SAFETY: the layouts are not of size 0, and each block is freed once: one here, or where it is kept by `give_back`.
    unsafe {
        let (kept, beside) = (System.alloc(RESERVE), System.alloc(BESIDE));
        let both = !kept.is_null() && !beside.is_null();
        if !beside.is_null() {
            System.dealloc(beside, BESIDE);
        }
        if both && KEPT.compare_exchange(null_mut(), kept, Relaxed, Relaxed).is_ok() {
            return true;
        }
        if !kept.is_null() {
            System.dealloc(kept, RESERVE);
        }
    }
    !KEPT.load(Relaxed).is_null()
}

/// All threads share one heap: glibc gives each of them one of its own otherwise, for which it maps 64 MiB of addresses, so
/// that no limit of them would mean anything. And what is large always has a mapping of its own, which goes back to the
/// system when it is freed: glibc takes it from the heap otherwise, once something as large was freed.
#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "mallopt(3) has no safe wrapper")]
fn tune() {
    use nix::libc::{M_ARENA_MAX, M_MMAP_THRESHOLD, mallopt};
    // SAFETY: it takes two numbers; no thread allocates beside this one yet.
    if unsafe { mallopt(M_ARENA_MAX, 1) & mallopt(M_MMAP_THRESHOLD, LARGE) } == 0 {
        log::warn!("memory: malloc keeps its own ways, and may give back less");
    }
}

#[cfg(not(target_env = "gnu"))]
fn tune() {}

/// Begins to keep a reserve; before there are threads. `limit` is that of the daemon's memory cgroup in bytes, where it has one.
pub fn guard(limit: Option<u64>) {
    tune();
    if let Some(limit) = limit.and_then(|limit| usize::try_from(limit).ok()) {
        BOUND.store(limit / PART, Relaxed);
        log::info!(
            "memory: {limit} bytes is the limit here; nothing new is begun while the daemon itself holds a {PART}th"
        );
    }
    WANTED.store(true, Relaxed);
    if !set_aside() {
        log::warn!("memory: no {} bytes could be set aside", RESERVE.size());
    }
}

/// Whether memory is short.
pub fn is_short() -> bool {
    HELD.load(Relaxed) > BOUND.load(Relaxed) || (WANTED.load(Relaxed) && KEPT.load(Relaxed).is_null() && !set_aside())
}

/// Refuses to begin `what` while memory is short.
pub fn afford(what: &str) -> Result<(), Refusal> {
    if !is_short() {
        return Ok(());
    }
    REFUSED.fetch_add(1, Relaxed);
    Err(Refusal::out_of_memory(format_args!("{what} is not begun while memory is short; try again later")))
}

/// Gives the system back what a burst took and has freed: for the end of whatever may have been one. malloc by itself gives
/// back no more than what lies behind the last block that is in use, and one line of a log may be that.
pub fn see_off() {
    if is_burst_over(&PEAK, held()) {
        trim();
    }
}

/// Each time at half of what it was, so that the end of thousands is worth a few looks at all that is free.
fn is_burst_over(peak: &AtomicUsize, held: usize) -> bool {
    let most = peak.fetch_max(held, Relaxed).max(held);
    let over = held + BURST <= most && held <= most / 2;
    if over {
        peak.store(held, Relaxed);
    }
    over
}

/// Gives the system back what is free.
#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "malloc_trim(3) has no safe wrapper")]
pub fn trim() {
    // SAFETY: it takes a number, and locks the heap by itself.
    unsafe { nix::libc::malloc_trim(0) };
}

/// Gives the system back what is free.
#[cfg(not(target_env = "gnu"))]
pub fn trim() {}

/// Bytes that the daemon's heap holds.
pub fn held() -> usize {
    HELD.load(Relaxed)
}

/// How often something was refused for want of memory.
pub fn refused() -> u64 {
    REFUSED.load(Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_had_is_refused_and_had_again() {
        assert!(set_aside());
        let first = KEPT.load(Relaxed);
        let (mut tries, mut byte) = (0, 0_u8);
        // The first try gives nothing, as if there were no more.
        let block = counted(0, || {
            tries += 1;
            if tries == 1 { null_mut() } else { &raw mut byte }
        });
        assert!(!block.is_null() && !first.is_null() && KEPT.load(Relaxed).is_null());
        assert!(counted(0, null_mut::<u8>).is_null(), "and nothing where there is no reserve any more");
        assert!(set_aside());
        assert!(give_back() && !give_back());
    }

    #[test]
    fn a_burst_is_over_at_half_of_it() {
        let peak = AtomicUsize::new(0);
        let seen: Vec<_> = [100, 64, 30, 29, 17, 11, 8].map(|mib| is_burst_over(&peak, mib << 20)).into();
        assert_eq!(seen, [false, false, true, false, false, true, false]);
        assert!(!is_burst_over(&AtomicUsize::new(3 << 20), 0), "little is not worth it");
    }

    #[test]
    fn more_than_its_part_is_short() {
        BOUND.store(0, Relaxed);
        HELD.fetch_add(1, Relaxed);
        let refusal = afford("a test").unwrap_err();
        BOUND.store(usize::MAX, Relaxed);
        assert_eq!(refusal.code(), crate::refusal::Code::OutOfMemory);
        assert!(refused() > 0 && afford("a test").is_ok());
    }
}
