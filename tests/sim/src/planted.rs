//! Faults put in on purpose, into the logic of either side or into what stands for the drivers, and
//! whether the simulator finds each of them. Only with the feature `planted`.

/// Whether a fault is planted in what this thread plays. Without the feature there is no question.
#[cfg(feature = "planted")]
macro_rules! planted {
    ($fault:ident) => {
        $crate::planted::is($crate::planted::Fault::$fault)
    };
}
#[cfg(not(feature = "planted"))]
macro_rules! planted {
    ($fault:ident) => {
        false
    };
}
pub(crate) use planted;

#[cfg(feature = "planted")]
pub use on::{Fault, is, set};

#[cfg(feature = "planted")]
mod on {
    use std::cell::Cell;

    macro_rules! faults {
        ($($name:ident $text:literal),* $(,)?) => {
            /// A fault that can be planted.
            #[derive(Debug, Clone, Copy, PartialEq, Eq)]
            pub enum Fault {
                $(#[doc = $text] $name),*
            }

            impl Fault {
                /// Every fault, with what it does.
                pub const ALL: &[(Self, &str)] = &[$((Self::$name, $text)),*];
            }
        };
    }

    faults! {
        AckBeforeCommit "the core speaks before it has committed",
        ActBeforeCommit "an agent speaks and starts before it has committed",
        PromiseNotSynced "an agent does not sync what it has promised",
        LeaseNotWatched "a supervisor lets a task run on when its lease is over",
        LockIgnored "a supervisor runs what another has taken",
    }

    thread_local! {
        static PLANTED: Cell<Option<Fault>> = const { Cell::new(None) };
    }

    /// Plants a fault in what this thread plays from now on, or none.
    pub fn set(fault: Option<Fault>) {
        PLANTED.set(fault);
    }

    /// Whether this fault is planted.
    #[must_use]
    pub fn is(fault: Fault) -> bool {
        PLANTED.get() == Some(fault)
    }
}
