//! Sends what tasks write to the core, whenever nothing more important waits: a chunk at a time of
//! each attempt, a few in all, each until it is acknowledged. What the core has is removed; what
//! it does not take is kept within bounds, and what is dropped is told.

mod chunk;
mod log;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;

use shared::id::AssignmentId;
use shared::time::{Now, Timestamp};
use shared::wire::Uplink;
use shared::wire::uplink::LogChunk;
use shared_runtime::link::PublishError;

use crate::app::BUILT_AT;
use crate::config::LogLimits;
use crate::exec::AttemptDir;
use crate::observe;
use crate::shelf::{Shelf, Shelved};
use log::{Log, Part, remove};

/// The most chunks under way.
const WINDOW_MAX: usize = 4;
/// An acknowledgement within this time lets the window grow, in milliseconds.
const QUICK_MS: u64 = 1_000;
/// One that takes longer than this makes it small, in milliseconds: the way is narrow, and more
/// important words must not queue behind logs.
const SLOW_MS: u64 = 3_000;
/// How long an acknowledgement may take at first, and at most, in milliseconds.
const ANSWER_MS: u64 = 15_000;
const ANSWER_MS_MAX: u64 = 120_000;
/// How often it is tried to say that nothing more will come.
const LAST_TRIES_MAX: u32 = 5;
/// The most attempts that are looked at in one go.
const LOOKS_MAX: usize = 64;
/// The most places that are kept of what is lost.
const LOST_MAX: usize = 1_024;

/// Sends logs.
pub(super) struct Shipper {
    shelf: Shelf,
    limits: LogLimits,
    logs: BTreeMap<AssignmentId, Log>,
    /// Whose turn it is: first those that run, then those that are over, and so on.
    turns: [VecDeque<AssignmentId>; 2],
    queued: BTreeSet<AssignmentId>,
    next_turn: usize,
    under_way: BTreeSet<AssignmentId>,
    window: usize,
}

impl Shipper {
    /// Finds what is on the shelf. What belongs to attempts that are not over goes on.
    pub fn new(data: &Path, limits: LogLimits, live: &BTreeSet<AssignmentId>) -> Self {
        let shelf = Shelf::in_folder(data);
        let mut logs: BTreeMap<AssignmentId, Log> = BTreeMap::new();
        for shelved in shelf.list() {
            let log = logs.entry(shelved.id).or_default();
            log.over = !live.contains(&shelved.id);
            log.push(Part::of(shelved));
        }
        let mut shipper = Self {
            shelf,
            limits,
            logs,
            turns: Default::default(),
            queued: BTreeSet::new(),
            next_turn: 0,
            under_way: BTreeSet::new(),
            window: WINDOW_MAX / 2,
        };
        let all: Vec<AssignmentId> = shipper.logs.keys().copied().collect();
        all.into_iter().for_each(|id| shipper.queue(id));
        shipper
    }

    /// A run of an attempt begins, or was found again.
    pub fn begin(&mut self, id: AssignmentId, dir: &AttemptDir) {
        self.logs.entry(id).or_default().begin(dir.clone());
    }

    /// A run of an attempt is over, and what lies in its directory will not be there any more:
    /// what the core does not have is put on the shelf. `again` if another run follows.
    pub fn end(&mut self, id: AssignmentId, dir: &AttemptDir, again: bool) {
        let log = self.logs.entry(id).or_default();
        log.over = !again;
        if let Some((from, to)) = log.end(dir) {
            let shelved = self.shelf.put(id, from, to, dir).unwrap_or_else(|error| {
                observe::logs_lost(id, &error);
                // It can still be told that something is missing.
                self.shelf.place(id, from, to)
            });
            let mut part = Part::of(shelved);
            if log.has(to) {
                part.lose();
            }
            log.push(part);
        }
        self.queue(id);
    }

    /// An attempt is over that was not seen to end by this process: the core may not know that
    /// nothing more will come.
    pub fn is_over(&mut self, id: AssignmentId) {
        self.logs.entry(id).or_default().over = true;
        self.queue(id);
    }

    /// How much the supervisors of running attempts have written to the disk.
    pub fn written(&mut self) -> Vec<(AssignmentId, u64)> {
        let runs = self.logs.iter_mut().filter_map(|(id, log)| Some((*id, log.run.as_mut()?)));
        runs.filter_map(|(id, run)| Some((id, run.written_bytes()?))).collect()
    }

    /// Whether there is anything that may have to be sent.
    pub fn has_work(&self) -> bool {
        !self.logs.is_empty()
    }

    /// The core says how far it has a log.
    pub fn acknowledged(&mut self, id: AssignmentId, upto: u64, now: Now) {
        let Some(log) = self.logs.get_mut(&id) else { return };
        if let Some(way) = &log.under_way {
            match now.mono.since_ms(way.sent) {
                ..=QUICK_MS => self.window = (self.window + 1).min(WINDOW_MAX),
                took if took > SLOW_MS => self.window = 1,
                _ => {}
            }
        }
        self.under_way.remove(&id);
        if log.acknowledge(upto) {
            self.logs.remove(&id);
        } else {
            self.queue(id);
        }
    }

    /// What is under way may never be answered: it is sent again with the next turn.
    pub fn begin_anew(&mut self) {
        for id in std::mem::take(&mut self.under_way) {
            if let Some(log) = self.logs.get_mut(&id) {
                log.under_way = None;
            }
            self.queue(id);
        }
    }

    /// Sends what may be sent.
    pub fn send(&mut self, now: Now, mut publish: impl FnMut(&Uplink) -> Result<(), PublishError>) {
        self.expire(now);
        for _ in 0..LOOKS_MAX {
            if self.under_way.len() >= self.window {
                return;
            }
            let Some(id) = self.take_turn() else { return };
            let Some(log) = self.logs.get_mut(&id) else { continue };
            let chunk = match log.next() {
                Ok(Some(chunk)) => chunk,
                // Looked for again with the next round.
                Ok(None) => continue,
                Err(error) => {
                    observe::log_unreadable(id, &error);
                    continue;
                }
            };
            let (pieces, last) = (chunk.pieces.clone(), chunk.last);
            let message = Uplink::Logs(LogChunk { assignment: id, pieces, last });
            if publish(&message).is_err() {
                self.queue(id);
                return;
            }
            log.sent(&chunk, now.mono);
            self.under_way.insert(id);
        }
    }

    /// Gives every attempt its turn that may have something new.
    pub fn round(&mut self) {
        let runs = self.logs.iter().filter(|(_, log)| log.run.is_some() || !log.parts.is_empty());
        let ids: Vec<AssignmentId> = runs.map(|(id, _)| *id).collect();
        ids.into_iter().for_each(|id| self.queue(id));
    }

    /// Holds what is kept within its bounds. `confirmed` is the wall clock, if a core has confirmed
    /// it: nothing is dropped for its age by any other.
    pub fn tend(&mut self, confirmed: Option<Timestamp>) {
        let keep_ms = self.limits.keep_ms;
        let is_old = |since: Option<Timestamp>| match (confirmed, since) {
            // What was put here in 1970 has no known age.
            (Some(now), Some(since)) => since >= BUILT_AT && now.since_ms(since) > keep_ms,
            _ => false,
        };
        let parts = || self.logs.values().flat_map(|log| &log.parts);
        let running = self.logs.values().filter_map(|log| log.run.as_ref());
        let mut total: u64 = parts().map(|part| part.bytes).sum();
        total += running.map(|run| run.dir.log_bytes()).sum::<u64>();
        let mut oldest: Vec<(Option<Timestamp>, Shelved)> = parts()
            .filter(|part| part.bytes > 0)
            .map(|part| (part.since, part.shelved.clone()))
            .collect();
        oldest.sort_by_key(|(since, shelved)| (*since, shelved.id, shelved.from));
        for (since, shelved) in oldest {
            if total <= self.limits.bytes_max && !is_old(since) {
                continue;
            }
            let part = self
                .logs
                .get_mut(&shelved.id)
                .and_then(|log| log.parts.iter_mut().find(|part| part.shelved == shelved));
            if let Some(part) = part {
                total = total.saturating_sub(part.bytes);
                observe::logs_dropped(shelved.id, part.bytes);
                part.lose();
            }
        }
        self.forget_lost();
    }

    /// What is on the disk was changed behind our back.
    pub fn recount(&mut self) {
        for part in self.logs.values_mut().flat_map(|log| log.parts.iter_mut()) {
            part.bytes = part.shelved.bytes();
        }
    }

    /// Of what is lost and was not told for long, even the place goes.
    fn forget_lost(&mut self) {
        let lost = |log: &Log| {
            let since = log.parts.front().map(|part| part.since);
            let all = log.over && log.parts.iter().all(|part| part.bytes == 0);
            since.filter(|_| all && log.under_way.is_none())
        };
        let mut lost: Vec<_> =
            self.logs.iter().filter_map(|(id, log)| Some((lost(log)?, *id))).collect();
        lost.sort();
        let surplus = lost.len().saturating_sub(LOST_MAX);
        for (_, id) in lost.into_iter().take(surplus) {
            let gone = self.logs.remove(&id).map(|log| log.parts).unwrap_or_default();
            gone.iter().for_each(|part| remove(&part.shelved));
        }
    }

    /// Sends again what was not acknowledged in time.
    fn expire(&mut self, now: Now) {
        let waited = |id: &AssignmentId| {
            let log = self.logs.get(id)?;
            Some((log.tries, now.mono.since_ms(log.under_way.as_ref()?.sent)))
        };
        let late = |id: &AssignmentId| {
            waited(id).is_none_or(|(tries, waited_ms)| {
                waited_ms >= (ANSWER_MS << tries.min(8)).min(ANSWER_MS_MAX)
            })
        };
        let late: Vec<AssignmentId> = self.under_way.iter().copied().filter(late).collect();
        for id in late {
            self.under_way.remove(&id);
            self.window = 1;
            let Some(log) = self.logs.get_mut(&id) else { continue };
            log.under_way = None;
            log.tries = log.tries.saturating_add(1);
            // A core that does not know the attempt any more need not be told that it is over.
            if log.tries >= LAST_TRIES_MAX && log.over && log.parts.is_empty() {
                self.logs.remove(&id);
            } else {
                self.queue(id);
            }
        }
    }

    fn queue(&mut self, id: AssignmentId) {
        let Some(log) = self.logs.get(&id).filter(|log| log.under_way.is_none()) else { return };
        let over = usize::from(log.run.is_none());
        if self.queued.insert(id)
            && let Some(turns) = self.turns.get_mut(over)
        {
            turns.push_back(id);
        }
    }

    fn take_turn(&mut self) -> Option<AssignmentId> {
        for _ in 0..2 {
            self.next_turn = 1 - self.next_turn;
            let taken = self.turns.get_mut(self.next_turn).and_then(VecDeque::pop_front);
            if let Some(id) = taken {
                self.queued.remove(&id);
                return Some(id);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
