//! What a supervisor does about its task's lease, and when: nothing while it is renewed, then ask
//! the task to end, then kill it. Decides; signals nobody. Looks at the file only when the lease
//! would otherwise be over, so a renewed lease costs one wake-up per length of the lease.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

use super::lease::{Lease, LeaseFile};

/// What has to be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LeaseStep {
    /// Ask the task to end.
    Ask,
    /// Kill it and whatever it started.
    Kill,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Held,
    /// The task was asked to end. A renewal comes too late for it; it only could move this.
    Asked {
        kill_at_ms: u64,
    },
    Over,
}

/// The lease of one task.
#[derive(Debug)]
pub(super) struct LeaseKeeper {
    lease: Lease,
    file: Option<LeaseFile>,
    renewed_ms: u64,
    phase: Phase,
}

impl LeaseKeeper {
    /// Keeps this lease; without a file there are no renewals but the one in the order.
    pub(super) fn new(lease: Lease, file: Option<LeaseFile>) -> Self {
        Self { lease, file, renewed_ms: lease.renewed_ms, phase: Phase::Held }
    }

    /// Whether there is any time left to start the task in.
    pub(super) fn has_room(&mut self, now_ms: u64) -> bool {
        self.look(now_ms);
        now_ms < self.lease.ask_at_ms(self.renewed_ms)
    }

    /// What has to be done now, if anything. Each step comes once.
    pub(super) fn step(&mut self, now_ms: u64) -> Option<LeaseStep> {
        if self.phase == Phase::Held && now_ms >= self.lease.ask_at_ms(self.renewed_ms) {
            self.look(now_ms);
        }
        let kill_at_ms = match self.phase {
            Phase::Held if now_ms < self.lease.ask_at_ms(self.renewed_ms) => return None,
            Phase::Held => self.lease.kill_at_ms(self.renewed_ms),
            Phase::Asked { kill_at_ms } if now_ms < kill_at_ms => return None,
            Phase::Asked { kill_at_ms } => kill_at_ms,
            Phase::Over => return None,
        };
        if now_ms < kill_at_ms {
            self.phase = Phase::Asked { kill_at_ms };
            Some(LeaseStep::Ask)
        } else {
            self.phase = Phase::Over;
            Some(LeaseStep::Kill)
        }
    }

    /// When [`Self::step`] has to be called next.
    pub(super) fn next_ms(&self) -> Option<u64> {
        match self.phase {
            Phase::Held => Some(self.lease.ask_at_ms(self.renewed_ms)),
            Phase::Asked { kill_at_ms } => Some(kill_at_ms),
            Phase::Over => None,
        }
    }

    /// Whether the task was told to end because of the lease.
    pub(super) fn has_ended(&self) -> bool {
        self.phase != Phase::Held
    }

    /// Reads the file. A renewal counts for ever, also when the file disappears later; one from
    /// the future is none, since no ping was ever sent there. Nor is one whose ping was sent when
    /// the lease was over already: it renews the agent's lease, but the task may have been given to
    /// another board in between, while this one slept or its disk was stuck.
    fn look(&mut self, now_ms: u64) {
        let over_ms = self.lease.kill_at_ms(self.renewed_ms);
        let in_time = |read: &u64| *read <= now_ms && *read <= over_ms;
        let read = self.file.as_ref().and_then(LeaseFile::read).filter(in_time);
        self.renewed_ms = self.renewed_ms.max(read.unwrap_or(0));
    }
}

/// An alarm by CLOCK_BOOTTIME. The time limit of `poll` would stand still while the board sleeps.
#[derive(Debug)]
pub(super) struct Alarm {
    descriptor: OwnedFd,
}

impl Alarm {
    pub(super) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        Ok(Self { descriptor: timerfd_create(TimerfdClockId::Boottime, flags)? })
    }

    /// Readable from this time on; never for `None`. Takes back an alarm that has gone off.
    pub(super) fn set(&self, at_ms: Option<u64>) {
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let at = at_ms.map_or(zero, |at_ms| Timespec {
            tv_sec: i64::try_from(at_ms / 1_000).unwrap_or(i64::MAX),
            // Never zero, which would mean no alarm; and not too early.
            tv_nsec: i64::try_from(at_ms % 1_000 * 1_000_000).unwrap_or(0) + 1,
        });
        let once = Itimerspec { it_interval: zero, it_value: at };
        // Fails only for a time that is none, or a descriptor that is none.
        let _ = timerfd_settime(&self.descriptor, TimerfdTimerFlags::ABSTIME, &once);
    }
}

impl AsFd for Alarm {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Lease =
        Lease { lease_ms: 1_000, grace_ms: 200, margin_ms: 100, renewed_ms: 5_000 };

    fn keeper() -> (tempfile::TempDir, LeaseFile, LeaseKeeper) {
        let root = tempfile::tempdir().expect("a temporary directory");
        let file = LeaseFile::at(root.path());
        (root, file.clone(), LeaseKeeper::new(LEASE, Some(file)))
    }

    #[test]
    fn without_renewals_the_task_is_asked_and_then_killed_in_time() {
        for mut keeper in [keeper().2, LeaseKeeper::new(LEASE, None)] {
            assert!(keeper.has_room(5_699) && !keeper.has_room(5_700));
            assert_eq!((keeper.next_ms(), keeper.step(5_699)), (Some(5_700), None));
            assert!(!keeper.has_ended());
            assert_eq!(keeper.step(5_700), Some(LeaseStep::Ask));
            assert_eq!((keeper.next_ms(), keeper.step(5_899)), (Some(5_900), None));
            assert_eq!(keeper.step(5_900), Some(LeaseStep::Kill));
            assert_eq!((keeper.next_ms(), keeper.step(9_999)), (None, None));
            assert!(keeper.has_ended());
        }
    }

    #[test]
    fn who_wakes_up_too_late_kills_at_once() {
        let (_root, _file, mut keeper) = keeper();
        assert_eq!(keeper.step(60_000), Some(LeaseStep::Kill));
    }

    #[test]
    fn a_renewal_moves_the_end_and_stays_true_when_its_file_is_gone() {
        let (root, file, mut keeper) = keeper();
        file.renew(5_650).expect("a renewal");
        assert_eq!((keeper.step(5_700), keeper.next_ms()), (None, Some(6_350)));
        file.renew(5_100).expect("an older one changes nothing");
        drop(root);
        assert_eq!(keeper.step(6_349), None);
        assert_eq!(keeper.step(6_350), Some(LeaseStep::Ask));
        assert_eq!(keeper.next_ms(), Some(6_550));
    }

    #[test]
    fn a_task_that_was_asked_to_end_is_not_spared_by_a_late_renewal() {
        let (_root, file, mut keeper) = keeper();
        assert_eq!(keeper.step(5_700), Some(LeaseStep::Ask));
        file.renew(5_800).expect("a renewal");
        assert_eq!(keeper.step(5_900), Some(LeaseStep::Kill));
    }

    #[test]
    fn a_renewal_that_comes_when_the_lease_is_over_revives_nothing() {
        let (_root, file, mut keeper) = keeper();
        file.renew(5_901).expect("a renewal");
        assert!(!keeper.has_room(6_000));
        assert_eq!(keeper.step(6_000), Some(LeaseStep::Kill));
        let mut in_time = LeaseKeeper::new(LEASE, Some(file.clone()));
        file.renew(5_900).expect("a renewal");
        assert_eq!(in_time.step(6_000), None);
    }

    #[test]
    fn a_renewal_from_the_future_is_none() {
        let (_root, file, mut keeper) = keeper();
        file.renew(50_000).expect("a renewal");
        assert!(!keeper.has_room(5_700));
        assert_eq!(keeper.step(5_700), Some(LeaseStep::Ask));
    }

    #[test]
    fn a_lease_without_room_for_its_grace_never_has_room_and_nothing_overflows() {
        let odd = Lease { lease_ms: 10, grace_ms: 1_000, margin_ms: 1_000, renewed_ms: 500 };
        assert!(!LeaseKeeper::new(odd, None).has_room(501));
        let endless = Lease { lease_ms: u64::MAX, renewed_ms: u64::MAX, ..LEASE };
        assert!(LeaseKeeper::new(endless, None).has_room(u64::MAX / 2));
        assert_eq!(Lease { grace_ms: u64::MAX, ..LEASE }.ask_at_ms(0), 0);
    }
}
