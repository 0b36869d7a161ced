//! An allocator that counts: how often it was asked, and how much a thread asked for at once.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

/// The system's allocator, counted.
pub(crate) struct Counting {
    calls: AtomicU64,
}

thread_local! {
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

impl Counting {
    pub(crate) const fn new() -> Self {
        Self { calls: AtomicU64::new(0) }
    }

    /// How often any thread has asked for memory, or for more.
    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    fn note(&self, bytes: usize) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        // A thread that ends has none any more.
        LARGEST.try_with(|largest| largest.set(largest.get().max(bytes))).ok();
    }
}

/// The most bytes that `work` asks for at once, on this thread.
pub(crate) fn largest(work: impl FnOnce()) -> usize {
    LARGEST.set(0);
    work();
    LARGEST.get()
}

// SAFETY: each call is handed on as it came, and counting allocates nothing.
#[allow(unsafe_code, reason = "an allocator cannot be written without")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.note(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.note(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        self.note(bytes);
        unsafe { System.realloc(old, layout, bytes) }
    }

    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        unsafe { System.dealloc(old, layout) }
    }
}
