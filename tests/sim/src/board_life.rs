//! A board's ups and downs: it is switched on, its agent starts and finds out what became of what
//! ran before, it dies, loses its power or its disk, is copied, or never comes back.

use edge_agent_logic::input::Found;
use edge_agent_logic::{Agent, Input, Start};
use shared::id::{AssignmentId, Incarnation};
use shared::time::Timestamp;

use crate::board::{Attempt, Board, Process};
use crate::coverage::Kind;
use crate::describe;
use crate::disk::Disk;
use crate::event::Event;
use crate::failure::ensure;
use crate::planted::planted;
use crate::trace::Who;
use crate::world::{EPOCH_MS, World};

/// No right clock has ever shown less to the agents' program.
const BUILT_AT: Timestamp = Timestamp(EPOCH_MS - 30 * 86_400_000);
/// A board that is switched on later than this joins late, in milliseconds.
const LATE_MS: u64 = 5_000;

/// An older state of a board's disk, kept to be put back.
#[derive(Debug)]
pub struct Snapshot {
    disk: Disk,
    incarnation: Incarnation,
    credential: Option<u64>,
    attempts: std::collections::BTreeMap<AssignmentId, Attempt>,
}

impl World {
    fn disk_number(&mut self) -> u64 {
        self.disks += 1;
        self.disks
    }

    pub fn make_board(&mut self, number: usize) -> Board {
        let disk = self.disk_number();
        let planned = &self.plan.boards[number];
        let incarnation = Incarnation(self.chance.uuid());
        let disk = Disk::new(incarnation, disk);
        let mut board =
            Board::new(number, planned.facts.clone(), incarnation, disk, self.plan.epoch_ms);
        board.drift_ppm = planned.drift_ppm;
        board.has_clock = planned.has_clock;
        if planned.on_at_ms > LATE_MS {
            self.coverage.count(Kind::JoinedLate);
        }
        board
    }

    /// The agent's process starts, and first finds out what became of what ran before it.
    pub fn start_agent(&mut self, at: usize) {
        if self.boards[at].agent.is_some() || self.boards[at].retired {
            return;
        }
        self.power_up(at);
        let chance = self.chance.word();
        let settings = self.plan.agent.clone();
        let now_ms = self.now_ms;
        let board = &mut self.boards[at];
        board.line.link = 0;
        board.heard_ms = now_ms;
        let stored = board.disk.begin_boot();
        let boot = stored.boot;
        let now = board.now(now_ms, chance);
        let (facts, kernel) = (board.facts.clone(), board.kernel);
        let start = Start { stored, settings, facts, board: kernel, built_at: BUILT_AT, now };
        let agent = Agent::restore(start);
        board.clear_ended_runs(&agent);
        let unresolved = agent.unresolved();
        board.agent = Some(agent);
        self.note(Who::Board(at), |_| format!("starts, boot {boot}"));
        for assignment in unresolved {
            let found = self.adopt(at, assignment);
            self.boards[at].inputs.push_back(Input::Found { assignment, found });
        }
        self.agent_turn(at);
        self.sweep(at);
        let board = &self.boards[at];
        if board.agent.is_some() {
            let life = board.life;
            let joined = board.credential.is_some();
            let dial_ms = self.chance.between(1, 500);
            let event = match joined {
                true => Event::Dial { board: at, life },
                false => Event::Join { board: at, life },
            };
            self.after(dial_ms, event);
        }
    }

    /// Current comes; a clock that has no battery begins anew, until the network tells the time.
    fn power_up(&mut self, at: usize) {
        let now_ms = self.now_ms;
        let kernel = (self.chance.word() >> 32) as u32;
        let board = &mut self.boards[at];
        if board.powered {
            return;
        }
        board.powered = true;
        board.booted_ms = now_ms;
        board.kernel = kernel;
        if !board.has_clock {
            board.forget_time(now_ms);
            self.coverage.count(Kind::NoClock);
            let set_ms = self.chance.spread(100, 60_000);
            self.after(set_ms, Event::ClockSet { board: at, booted_ms: now_ms });
        }
    }

    /// The network tells a board the time.
    pub fn set_clock(&mut self, at: usize, booted_ms: u64) {
        let board = &mut self.boards[at];
        if board.booted_ms == booted_ms {
            board.wall_offset_ms = 0;
            self.note(Who::Board(at), |_| "learns the time".to_owned());
        }
    }

    fn adopt(&mut self, at: usize, id: AssignmentId) -> Found {
        let now_ms = self.now_ms;
        let mono = self.boards[at].mono(now_ms).0;
        let attempts = &mut self.boards[at].attempts;
        let Some(attempt) = attempts.get_mut(&id) else {
            self.coverage.count(Kind::FoundNeverStarted);
            return Found::NeverStarted;
        };
        attempt.watched = true;
        let (kind, found) = match &attempt.process {
            Process::Asked => {
                // The question takes the lock: its supervisor will never run it.
                if !planted!(LockIgnored) {
                    attempts.remove(&id);
                }
                (Kind::FoundNeverStarted, Found::NeverStarted)
            }
            Process::Runs { since_ms, wall } => {
                let ran_ms = mono.saturating_sub(*since_ms);
                (Kind::FoundRunning, Found::Running { started_at: *wall, ran_ms })
            }
            Process::Ended(end) => (Kind::FoundEnded, Found::Ended(end.clone())),
            Process::Gone => (Kind::FoundGone, Found::Gone),
        };
        self.coverage.count(kind);
        found
    }

    /// Removes what is left of attempts that nobody remembers.
    fn sweep(&mut self, at: usize) {
        let board = &mut self.boards[at];
        let Some(agent) = &board.agent else {
            return;
        };
        board.attempts.retain(|id, attempt| {
            let remembered = agent.remembers(*id);
            let runs = matches!(attempt.process, Process::Runs { .. } | Process::Asked);
            ensure(remembered || !runs, "what_runs_is_remembered", || {
                format!("{} on agent {at}", describe::attempt(*id))
            });
            remembered
        });
    }

    /// The agent's process dies; supervisors and what they run live on.
    pub fn crash_agent(&mut self, at: usize) {
        if self.boards[at].agent.is_none() {
            return;
        }
        self.note(Who::Board(at), |_| "its process dies".to_owned());
        self.boards[at].stop_process();
        let session = self.boards[at].line.session;
        let noticed_ms = self.chance.below(1_500);
        self.after(noticed_ms, Event::LineDead { board: at, session, only_if_cut: false });
        let restart_ms = self.chance.spread(20, if self.plan.slow { 900_000 } else { 20_000 });
        self.after(restart_ms, Event::AgentStart { board: at });
    }

    /// The board loses its power: nothing that ran is there any more, and of what was not synced
    /// any of the last commits are gone.
    pub fn cut_power(&mut self, at: usize) {
        self.note(Who::Board(at), |_| "loses its power".to_owned());
        let unsynced = self.boards[at].disk.unsynced();
        if unsynced > 0 {
            let kept = self.chance.index(unsynced + 1);
            if kept < unsynced {
                self.coverage.count(Kind::CommitsLost);
            }
            self.boards[at].disk.lose_power(kept);
        }
        self.boards[at].stop_process();
        self.boards[at].powered = false;
        let lost_record = self.chance.percent(10);
        let took_lock = self.chance.percent(50);
        for (id, attempt) in &mut self.boards[at].attempts {
            if let Process::Runs { .. } = attempt.process
                && let Some(running) = self.running.get_mut(&id.task)
            {
                running.remove(&(at, *id));
            }
            let ended = matches!(attempt.process, Process::Ended(_));
            let waits = matches!(attempt.process, Process::Asked) && !took_lock;
            if !waits && (lost_record || !ended) {
                attempt.process = Process::Gone;
            }
        }
        // A supervisor that had not taken the lock is gone without a trace.
        self.boards[at].attempts.retain(|_, it| !matches!(it.process, Process::Asked));
        let session = self.boards[at].line.session;
        let noticed_ms = self.chance.between(8_000, 20_000);
        self.after(noticed_ms, Event::LineDead { board: at, session, only_if_cut: false });
        let restart_ms = self.chance.spread(1_000, 60_000);
        self.after(restart_ms, Event::AgentStart { board: at });
    }

    /// The board comes back with an empty disk.
    pub fn replace_disk(&mut self, at: usize) {
        self.cut_power(at);
        self.note(Who::Board(at), |_| "gets a new disk".to_owned());
        let number = self.disk_number();
        let incarnation = Incarnation(self.chance.uuid());
        let board = &mut self.boards[at];
        board.disk = Disk::new(incarnation, number);
        board.incarnation = incarnation;
        (board.nonce, board.credential, board.former) = (None, None, None);
        board.attempts.clear();
        board.barred = false;
    }

    /// What is on a board's disk is copied, to be put back later.
    pub fn copy_disk(&mut self, at: usize) {
        let board = &self.boards[at];
        self.boards[at].snapshot = Some(Snapshot {
            disk: board.disk.copy(0),
            incarnation: board.incarnation,
            credential: board.credential,
            attempts: board.attempts_elsewhere(),
        });
    }

    /// The board comes back with what was on its disk some time ago.
    pub fn put_back_disk(&mut self, at: usize) {
        let Some(snapshot) = self.boards[at].snapshot.take().filter(|_| self.chaos) else {
            return;
        };
        self.cut_power(at);
        self.note(Who::Board(at), |_| "gets back an older copy of its disk".to_owned());
        let number = self.disk_number();
        let Snapshot { disk, incarnation, credential, attempts } = snapshot;
        self.arrivals.copied.insert(incarnation);
        let board = &mut self.boards[at];
        board.disk = disk.copy(number);
        (board.incarnation, board.attempts) = (incarnation, attempts);
        (board.nonce, board.credential) = (None, credential);
    }

    /// Another board is made of a copy of this one's disk, and is switched on.
    pub fn clone_board(&mut self, at: usize) {
        let number = self.disk_number();
        let original = &self.boards[at];
        if original.retired {
            return;
        }
        let disk = original.disk.copy(number);
        let (facts, incarnation) = (original.facts.clone(), original.incarnation);
        let mut copy = Board::new(original.number, facts, incarnation, disk, self.plan.epoch_ms);
        copy.copy = true;
        self.arrivals.copied.insert(incarnation);
        copy.credential = original.credential;
        copy.attempts = original.attempts_elsewhere();
        copy.drift_ppm = -original.drift_ppm;
        self.boards.push(copy);
        let board = self.boards.len() - 1;
        self.note(Who::Board(board), |_| "is made of a copy of its disk".to_owned());
        let on_ms = self.chance.spread(10, 20_000);
        self.after(on_ms, Event::AgentStart { board });
    }

    /// The board is taken away and never comes back.
    pub fn retire_board(&mut self, at: usize) {
        if self.boards[at].retired {
            return;
        }
        self.cut_power(at);
        self.note(Who::Board(at), |_| "is taken away for good".to_owned());
        self.boards[at].retired = true;
        self.boards[at].attempts.clear();
    }
}

impl Board {
    /// Removes what is left of runs that are over and are followed by others: the agent went down
    /// between deciding so and removing it.
    fn clear_ended_runs(&mut self, agent: &Agent) {
        for (id, _) in agent.live().filter(|(_, state)| !state.is_active()) {
            let left = self.attempts.remove(&id);
            let runs = left.is_some_and(|it| matches!(it.process, Process::Runs { .. }));
            ensure(!runs, "a_run_that_is_followed_by_another_is_over", || describe::attempt(id));
        }
    }
}
