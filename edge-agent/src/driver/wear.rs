//! How much is written to the flash, and whether that was enough for today. Counts what the
//! kernel says that this process has written, and what the supervisors of tasks say of themselves.
//! What tasks write beside their two streams is their own affair.

use std::collections::BTreeMap;

use shared::id::AssignmentId;
use shared::time::{Monotonic, Timestamp};

use crate::store::FlashDay;

const DAY_MS: u64 = 24 * 3_600 * 1_000;
/// What a commit is taken to cost where the kernel does not count: two pages of the log of the
/// database, two of its index.
const COMMIT_BYTES: u64 = 16 * 1024;
/// What is worth being written down with something else: so much, or so long, in milliseconds.
const RIDE_BYTES: u64 = 64 * 1024;
const RIDE_MS: u64 = 600_000;
/// How much may be counted without being written down.
const UNSAVED_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// What was written today, and what may be.
pub(super) struct Wear {
    budget: Option<u64>,
    today: FlashDay,
    saved: FlashDay,
    /// The moment up to which the day's time is counted.
    counted: Monotonic,
    /// What the kernel has counted, as far as it is in `today`; `None` where it counts nothing.
    own: Option<u64>,
    /// What the supervisors of running attempts have written, as far as it is in `today`.
    supervisors: BTreeMap<AssignmentId, u64>,
}

impl Wear {
    /// Counts on from what is stored; what this process has written before is counted.
    pub fn new(budget: Option<u64>, stored: Option<FlashDay>, now: Monotonic) -> Self {
        let today = stored.unwrap_or_default();
        let own = written_by_this_process().map(|_| 0);
        let supervisors = BTreeMap::new();
        Self { budget, today, saved: today, counted: now, own, supervisors }
    }

    /// Counts what was written since, and begins a new day when it is time. `believed` is the wall
    /// clock, if it is believed.
    pub fn look(&mut self, believed: Option<Timestamp>, now: Monotonic) {
        self.count(written_by_this_process(), believed, now);
    }

    fn count(&mut self, own: Option<u64>, believed: Option<Timestamp>, now: Monotonic) {
        if let (Some(before), Some(own)) = (&mut self.own, own) {
            self.today.bytes = self.today.bytes.saturating_add(own.saturating_sub(*before));
            *before = own;
        }
        self.today.ran_ms = self.today.ran_ms.saturating_add(now.since_ms(self.counted));
        self.counted = now;
        let day = believed.map(|wall| u64::try_from(wall.0).unwrap_or(0) / DAY_MS);
        if self.today.day == 0 {
            self.today.day = day.unwrap_or(0);
        }
        // A clock that was set back does not give the same day twice.
        let another = day.is_some_and(|day| day > self.today.day);
        if another || self.today.ran_ms >= DAY_MS {
            let day = day.unwrap_or(self.today.day).max(self.today.day);
            self.today = FlashDay { day, bytes: 0, ran_ms: 0 };
        }
    }

    /// A commit was made.
    pub fn committed(&mut self, saved: Option<FlashDay>) {
        self.saved = saved.unwrap_or(self.saved);
        if self.own.is_none() {
            self.today.bytes = self.today.bytes.saturating_add(COMMIT_BYTES);
        }
    }

    /// An attempt's supervisor says that it has written so much in all. What one had written
    /// before it was found again was counted before.
    pub fn supervisor(&mut self, id: AssignmentId, written: u64, found_again: bool) {
        let before = self.supervisors.insert(id, written);
        let before = before.unwrap_or(if found_again { written } else { 0 });
        self.today.bytes = self.today.bytes.saturating_add(written.saturating_sub(before));
    }

    /// Nothing more will come of an attempt's supervisor.
    pub fn forget(&mut self, id: AssignmentId) {
        self.supervisors.remove(&id);
    }

    /// Whether nothing is to be written any more on which no promise depends.
    pub fn is_used_up(&self) -> bool {
        self.budget.is_some_and(|budget| self.today.bytes >= budget)
    }

    /// What is to be written down with the next commit, if it is worth that.
    pub fn to_save(&self) -> Option<FlashDay> {
        let (today, saved) = (self.today, self.saved);
        let another = today.day != saved.day || today.ran_ms < saved.ran_ms;
        let longer = today.ran_ms.saturating_sub(saved.ran_ms) >= RIDE_MS;
        (another || longer || self.unsaved() >= RIDE_BYTES).then_some(today)
    }

    /// Whether it is to be written down by itself.
    pub fn is_due(&self) -> bool {
        self.unsaved() >= UNSAVED_BYTES_MAX
    }

    fn unsaved(&self) -> u64 {
        let before = if self.today.day == self.saved.day { self.saved.bytes } else { 0 };
        self.today.bytes.saturating_sub(before)
    }
}

/// What this process has made the kernel write to disks since it began, in bytes; what stays in
/// memory is not in it. `None` where the kernel does not count.
fn written_by_this_process() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/io").ok()?;
    text.lines().find_map(|line| line.strip_prefix("write_bytes: "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use shared::id::{Attempt, TaskId};

    use super::*;

    fn wear(budget: u64) -> Wear {
        let mut wear = Wear::new(Some(budget), None, Monotonic(0));
        wear.own = Some(0);
        wear
    }

    fn id(attempt: u32) -> AssignmentId {
        let task: TaskId = "01936f2e-8a3c-7d4e-9b1a-2c3d4e5f6a7b".parse().expect("an id");
        AssignmentId { task, attempt: Attempt(attempt) }
    }

    #[test]
    fn a_budget_is_used_up_and_there_again_on_the_next_day() {
        let mut wear = wear(1_000);
        let at = |day: i64, hour: i64| Some(Timestamp((day * 24 + hour) * 3_600_000));
        wear.count(Some(600), at(20_000, 1), Monotonic(1));
        assert!(!wear.is_used_up());
        wear.supervisor(id(1), 400, false);
        assert!(wear.is_used_up());
        let saved = wear.to_save().expect("another day than the one before");
        assert_eq!((saved.day, saved.bytes), (20_000, 1_000));
        wear.committed(Some(saved));
        wear.count(Some(601), at(20_000, 2), Monotonic(1));
        assert_eq!((wear.to_save(), wear.is_due()), (None, false), "not worth it");
        wear.count(Some(600), at(19_000, 1), Monotonic(2));
        assert!(wear.is_used_up(), "a clock that went back gives no new day");
        wear.count(Some(701), at(20_001, 0), Monotonic(3));
        assert!(!wear.is_used_up());
        wear.supervisor(id(1), 1_300, false);
        assert_eq!(wear.today.bytes, 900);
    }

    #[test]
    fn where_nobody_knows_the_date_a_day_is_over_when_the_agent_has_run_for_one() {
        let mut wear = wear(1_000);
        wear.count(Some(1_000), None, Monotonic(DAY_MS - 1));
        assert!(wear.is_used_up());
        let mut after_a_restart = Wear::new(Some(1_000), wear.to_save(), Monotonic(5));
        assert!(after_a_restart.is_used_up());
        after_a_restart.count(Some(0), None, Monotonic(6));
        assert!(!after_a_restart.is_used_up());
    }

    #[test]
    fn a_supervisor_that_is_found_again_is_not_counted_twice() {
        let mut wear = wear(1_000);
        wear.supervisor(id(1), 900, true);
        wear.supervisor(id(1), 950, true);
        assert_eq!(wear.today.bytes, 50);
        wear.forget(id(1));
        wear.supervisor(id(2), 10, false);
        assert_eq!(wear.today.bytes, 60);
        assert!(!Wear::new(None, Some(wear.today), Monotonic(0)).is_used_up());
        wear.supervisor(id(2), UNSAVED_BYTES_MAX, false);
        assert!(wear.is_due() && wear.to_save().is_some());
    }

    #[test]
    fn what_this_process_writes_is_counted_here() {
        let Some(before) = written_by_this_process() else {
            eprintln!("this kernel does not count what processes write, so it is not looked at");
            return;
        };
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        std::fs::write(&path, vec![1_u8; 1 << 20]).expect("written");
        let file = std::fs::File::open(&path).expect("open");
        file.sync_all().expect("synced");
        let written = written_by_this_process().expect("counted") - before;
        // In memory it is nothing; other tests of this process may write as well.
        assert!(written == 0 || written >= 1 << 20, "{written}");
    }
}
