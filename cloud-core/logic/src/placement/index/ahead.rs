//! Asks memory for what is looked at next, all of it at once: a search goes where nothing has been
//! for long, and what it takes is mostly waiting for one line of memory after the other. Changes
//! nothing but how long that takes.

#![expect(
    unsafe_code,
    reason = "there is no safe way to ask for memory ahead; the one instruction reads nothing, writes \
              nothing and cannot fail, and is given addresses of what is borrowed here"
)]

/// Bytes that memory hands out at once, on all that we run on.
const LINE: usize = 64;

/// Asks for all of something.
#[inline]
pub(super) fn ask_for<T: ?Sized>(what: &T) {
    let start = std::ptr::from_ref(what).cast::<i8>();
    for offset in (0..size_of_val(what)).step_by(LINE) {
        ask_for_line(start.wrapping_add(offset));
    }
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn ask_for_line(line: *const i8) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: a hint, which dereferences nothing; every x86-64 has it.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(line) }
}

/// Elsewhere memory is waited for.
#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn ask_for_line(_line: *const i8) {}
