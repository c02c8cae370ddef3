//! Faults put in on purpose, by which the simulator shows that it finds faults. They exist in builds
//! with the feature `planted` only, which nothing asks for but `make sim-planted`; in every other
//! build `planted!` is `false`.

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
        StaleCounts "what a stale attempt tells counts for the current one",
        GapTaken "reports past a gap are taken",
        RepeatsTaken "repeated reports are not dropped",
        ReservationForgotten "a restart of the core forgets reservations",
        NoLeaseMargin "an exclusive task is replaced when its lease is over, without a margin for drift",
        BothCopiesKept "a copy that comes back and its replacement both stay",
        NoTombstone "a lost attempt leaves no tombstone",
        CloneLetIn "a second process of one database is let in",
        WallTrusted "waits follow the wall clock over a restart of the core",
        BackupCountsOn "a core put back to a backup gives the numbers of attempts again",
        NeverSentAgain "desired state is never sent again",
        FiringForgotten "a restart of the core forgets which moments of schedules were dealt with",
        CursorGoesBack "moments of schedules come again when the clock of the core is set back",
        EditLooksBack "a schedule that was changed fires for moments before the change",
        DeletedStays "agents are not told that a schedule is deleted",
        SuccessorTooEarly "a firing that replaces another begins before that has ended",
        SilenceExcused "an exclusive task is placed again although its agent may still run it",
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
