//! Writes down what is to be remembered, however full the disk is: logs and ballast give way
//! first. And the other way round: does without what is not needed while the disk is nearly full
//! or the flash has been written enough for today.

use std::time::Duration;

use edge_agent_logic::Change;
use shared::backoff::delay_ms;
use shared_runtime::shutdown::Shutdown;

use super::Driver;
use crate::observe;
use crate::store::StoreError;

/// The first wait before a failed commit is tried again, in milliseconds.
const COMMIT_RETRY_MS: u64 = 200;
/// The longest such wait, in milliseconds.
const COMMIT_RETRY_MS_MAX: u64 = 5_000;
/// How long the disk counts as full after a failed commit, in milliseconds, whatever it says.
const COMMIT_FAILED_MS: u64 = 30_000;
/// The part of what is to stay free below which not even logs are written.
const TIGHT: u64 = 4;

impl Driver {
    /// Commits what has to be committed, however long that takes: nothing may be said or started
    /// before. Answers what that was; `None` if the agent was asked to stop meanwhile: it then
    /// stops as if the power had failed.
    pub(super) async fn write_down(
        &mut self,
        changes: Vec<Change>,
        shutdown: &Shutdown,
    ) -> Option<Vec<Change>> {
        let now = self.clock.now().mono;
        let changes = self.soft.take(changes, self.thrifty, now);
        if changes.is_empty() && !self.wear.is_due() {
            return Some(changes);
        }
        self.commit(&changes, shutdown).await.then_some(changes)
    }

    /// Commits what waits for something else to be committed.
    pub(super) async fn write_rest(&mut self, shutdown: &Shutdown) {
        let now = self.clock.now();
        self.wear.look(self.trusted(now), now.mono);
        let changes = self.soft.flush();
        if !changes.is_empty() || self.wear.to_save().is_some() {
            self.commit(&changes, shutdown).await;
        }
    }

    async fn commit(&mut self, changes: &[Change], shutdown: &Shutdown) -> bool {
        let mut tries = 0;
        loop {
            let flash = self.wear.to_save();
            let Err(error) = self.parts.store.commit_with(changes, flash) else {
                self.wear.committed(flash);
                if tries > 0 {
                    observe::commit_works_again(tries);
                }
                return true;
            };
            let now = self.clock.now();
            self.commit_failed = Some(now.mono);
            if self.make_room(&error) {
                continue;
            }
            tries += 1;
            observe::commit_failed(&error, tries);
            let wait_ms = delay_ms(tries, COMMIT_RETRY_MS, COMMIT_RETRY_MS_MAX, now.chance);
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(wait_ms)) => {}
                () = shutdown.requested() => return false,
            }
        }
    }

    /// Lets something go, if it was for want of room that nothing could be written. Answers
    /// whether that is worth another try.
    fn make_room(&mut self, error: &StoreError) -> bool {
        let room = &self.parts.room;
        match error.is_want_of_room() {
            Some(sure) if sure || room.is_out() => {}
            _ => return false,
        }
        let gave_way = room.give_way();
        if gave_way.is_none() {
            return self.parts.store.use_log_anew();
        }
        self.tight = true;
        self.switch_logs(self.wear.is_used_up(), false);
        self.shipper.recount();
        gave_way.inspect(|what| observe::gave_way(*what)).is_some()
    }

    /// Judges the disk by its free space, and makes ballast where there is room for it. Answers
    /// whether it is too full to take on new work.
    pub(super) fn look_at_disk(&mut self, free_mib: Option<u64>) -> bool {
        let now = self.clock.now().mono;
        let reserve_mib = self.parts.disk_reserve_mib;
        let failed = self.commit_failed.is_some_and(|at| now.since_ms(at) < COMMIT_FAILED_MS);
        let short = free_mib.is_some_and(|free| free < reserve_mib);
        let disk_full = failed || short || !self.held_back.is_empty();
        if disk_full != self.disk_full {
            self.disk_full = disk_full;
            observe::disk(disk_full, free_mib);
            // While there is room for it.
            self.parts.store.use_log_anew();
        }
        self.tight = failed || free_mib.is_some_and(|free| free < reserve_mib / TIGHT);
        if let Some(free_mib) = free_mib.filter(|_| !disk_full) {
            let ballast = self.parts.room.ballast();
            match ballast.take(free_mib, reserve_mib) {
                Ok(true) => observe::ballast(ballast.held_bytes()),
                Ok(false) => {}
                Err(error) => observe::no_ballast(&error),
            }
        }
        disk_full
    }

    /// Tells supervisors whether to keep logs, if that is another word than before.
    pub(super) fn switch_logs(&mut self, used_up: bool, anew: bool) {
        let thrifty = used_up || self.tight;
        if thrifty == self.thrifty && !anew {
            return;
        }
        if thrifty != self.thrifty {
            observe::thrift(used_up, self.tight);
        }
        self.thrifty = thrifty;
        if let Err(error) = self.parts.executor.runtime_dir().keep_logs(!thrifty) {
            observe::logs_not_switched(&error);
        }
    }
}
