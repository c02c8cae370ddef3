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
        OrderTakenTwice "an order that comes again after its end runs again",
        SequenceReused "a sequence number is given twice after a restart",
        OutboxFromWrongRow "the outbox is sent again from the wrong row",
        OtherIncarnation "what was sealed for another incarnation is opened, and its desired state applied",
        GapApplied "a gap in desired state is ignored",
        LeaseFromPong "a lease is renewed from the arrival of the pong, not the sending of the ping",
        LeaseWhateverApplied "a lease is renewed before what is wanted is applied",
        WallTrusted "how long a task that was found running has run is taken from the wall clock",
        OutcomesNotKept "acknowledged outcomes are deleted, and a core put back to a backup never has them",
        AgeByAnyClock "kept outcomes grow old by a clock that is not believed",
        FiredTwice "how far a schedule has come is not written down, and its moments fire again after a restart",
        MissedForgotten "moments that were missed are dealt with and never told",
        VersionMistold "a firing of one version is told as one of the next",
        QueueForgotten "a firing that waits is lost over a restart of the agent",
        MissedAllRun "moments that an agent missed all run, whatever the rule",
        FoldTwice "what clocks show twice fires twice on an agent, whatever the rule",
        EditLooksBack "a changed schedule fires for moments before the change",
        RunningBegunAgain "what was found running is begun again",
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
