//! Listening in: every message that a world sends, as the real codec writes it. For tests that hold
//! traffic against its description; nothing in a world depends on it.

use std::cell::RefCell;

use serde::Serialize;
use shared::wire::encode;

/// A message that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// Whether an agent sent it.
    pub up: bool,
    /// Its body.
    pub body: Vec<u8>,
}

thread_local! {
    static HEARD: RefCell<Option<Vec<Heard>>> = const { RefCell::new(None) };
}

/// Listens while something is done on this thread.
pub fn listen<T>(work: impl FnOnce() -> T) -> (T, Vec<Heard>) {
    HEARD.set(Some(Vec::new()));
    let done = work();
    (done, HEARD.take().unwrap_or_default())
}

pub(crate) fn hear<M: Serialize>(up: bool, message: &M) {
    HEARD.with_borrow_mut(|heard| {
        if let Some(heard) = heard {
            heard.push(Heard { up, body: encode(message).expect("a message that fits") });
        }
    });
}
