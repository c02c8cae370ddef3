//! How a world fails: a named statement does not hold, or something panics. Both are caught, one
//! seed at a time, and told by name, so that a smaller world can be looked for that fails alike.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::Once;

/// Why a world failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The statement that did not hold, or the place of the panic.
    pub name: String,
    pub detail: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.detail)
    }
}

/// Ends the world: a statement does not hold.
pub fn fail(name: &str, detail: String) -> ! {
    panic::panic_any(Failure { name: name.to_owned(), detail })
}

/// Ends the world unless a statement holds.
pub fn ensure(holds: bool, name: &str, detail: impl FnOnce() -> String) {
    if !holds {
        fail(name, detail());
    }
}

thread_local! {
    /// Whether this thread runs a world, whose panics are its own.
    static RUNS: Cell<bool> = const { Cell::new(false) };
    static CAUGHT: RefCell<Option<Failure>> = const { RefCell::new(None) };
}

static HOOK: Once = Once::new();

/// Runs something that may fail, and catches it quietly.
pub fn catch(run: impl FnOnce()) -> Option<Failure> {
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if RUNS.get() {
                CAUGHT.replace(Some(of_panic(info)));
            } else {
                before(info);
            }
        }));
    });
    RUNS.set(true);
    let caught = panic::catch_unwind(AssertUnwindSafe(run));
    RUNS.set(false);
    let told = CAUGHT.take();
    match caught {
        Ok(()) => None,
        Err(payload) => match payload.downcast::<Failure>() {
            Ok(failure) => Some(*failure),
            Err(_) => told,
        },
    }
}

fn of_panic(info: &PanicHookInfo<'_>) -> Failure {
    let payload = info.payload();
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("a panic");
    let place = info.location().map_or("somewhere".to_owned(), |at| {
        let file = at.file().rsplit("src/").next().unwrap_or_default();
        format!("panic in {file}:{}", at.line())
    });
    Failure { name: place, detail: text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_and_a_panic_are_caught_by_name() {
        let failure = catch(|| fail("all_is_well", "it is not".to_owned())).expect("a failure");
        assert_eq!(failure.to_string(), "all_is_well: it is not");
        let failure = catch(|| panic!("{} times", 3)).expect("a failure");
        assert!(failure.name.starts_with("panic in failure.rs:"), "{failure}");
        assert_eq!(failure.detail, "3 times");
        assert_eq!(catch(|| {}), None);
    }
}
