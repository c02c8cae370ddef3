//! What runs on the boards: supervisors that take an attempt's lock once, and processes that live
//! on when the agent dies. Here it is counted how often an attempt runs, and whether an exclusive
//! task runs twice at once.

use edge_agent_logic::Input;
use edge_agent_logic::input::{Exit, ProcessEnd, ProcessEvent};
use shared::id::AssignmentId;
use shared::report::{Output, ProgressMark};
use shared::time::Monotonic;
use shared::wire::Uplink;
use shared::wire::downlink::Order;
use shared::wire::uplink::{LogChunk, LogPiece, LogStream};

use crate::board::{Attempt, Lease, Process};
use crate::chance::{Chance, Stream};
use crate::coverage::Kind;
use crate::describe;
use crate::event::Event;
use crate::failure::ensure;
use crate::planted::planted;
use crate::trace::Who;
use crate::watch::Limits;
use crate::world::World;

/// The signal that asks, and the one that does not.
const TERM: i32 = 15;
const KILL: i32 = 9;
/// Stands for a supervisor that ends its process because the lease is over.
const LEASE_OVER: i32 = 0;

impl World {
    pub fn spawn(
        &mut self,
        at: usize,
        id: AssignmentId,
        run: u32,
        order: &Order,
        renewed: Option<Monotonic>,
    ) {
        self.note(Who::Board(at), |_| format!("spawns {}", describe::run(id, run)));
        let known = self.boards[at].attempts.contains_key(&id);
        ensure(!known, "an_attempt_is_asked_for_once", || describe::attempt(id));
        // What a process does follows from what it is, wherever and whenever it runs.
        let which = shared::time::mix(
            id.task.0.as_u128() as u64,
            u64::from(id.attempt.0) << 32 | u64::from(run),
        );
        let mut chance = Chance::new(self.plan.seed, Stream::Processes, which);
        if chance.percent(3) {
            self.coverage.count(Kind::SpawnFailed);
            let exit = Exit::SpawnFailed { message: "no such program".to_owned() };
            self.tell_end(at, id, ended(exit, None));
            return;
        }
        let attempt = Attempt {
            process: Process::Asked,
            run,
            lease: Lease::of(order, renewed),
            limits: Limits::of(order),
            token: self.chance.word(),
            watched: true,
            run_ms: chance.between(5, self.plan.run_ms_max),
            code: if chance.percent(75) { 0 } else { 3 },
            heeds_term: chance.percent(if self.plan.slow { 50 } else { 80 }),
        };
        let token = attempt.token;
        self.boards[at].attempts.insert(id, attempt);
        let slow_ms = if chance.percent(5) { 8_000 } else { 80 };
        self.after(chance.between(0, slow_ms), Event::ProcessStart { board: at, id, token });
    }

    pub fn process_starts(&mut self, at: usize, id: AssignmentId, token: u64) {
        let (now_ms, margin_ms) = (self.now_ms, self.plan.agent.lease_margin_ms);
        let (mono, wall) = (self.boards[at].mono(now_ms).0, self.boards[at].wall(now_ms));
        let Some(attempt) = self.boards[at].attempts.get_mut(&id) else {
            return;
        };
        if attempt.token != token || !matches!(attempt.process, Process::Asked) {
            return;
        }
        let over = attempt.lease.is_some_and(|lease| lease.ends(margin_ms).0.0 <= mono);
        if over {
            // It began so late that it may not begin at all.
            self.process_ends(at, id, token, Some(LEASE_OVER));
            return;
        }
        attempt.process = Process::Runs { since_ms: mono, wall };
        let (run_ms, watched, run) = (attempt.run_ms, attempt.watched, attempt.run);
        let words = describe::run(id, run);
        self.note(Who::Board(at), |_| format!("runs {words} for {run_ms} ms"));
        let first = self.started.insert((self.boards[at].disk.number, id, run));
        ensure(first, "a_run_of_an_attempt_runs_at_most_once", || describe::run(id, run));
        self.check_copies(at, id);
        self.check_runs_alone(at, id);
        self.after(run_ms, Event::ProcessEnd { board: at, id, token, signal: None });
        self.supervise(at, id, token);
        self.watch_process(at, id, token);
        if token.is_multiple_of(3) {
            self.after(run_ms / 2, Event::ProcessWrites { board: at, id, token });
        }
        if watched {
            self.tell_agent(at, Input::Process { assignment: id, event: ProcessEvent::Started });
        }
    }

    /// A supervisor looks whether the lease of what it runs is over: the process is asked to end
    /// first, and is killed in time.
    pub fn supervise(&mut self, at: usize, id: AssignmentId, token: u64) {
        let board = &self.boards[at];
        let mono = board.mono(self.now_ms);
        let attempt = board.attempts.get(&id).filter(|attempt| attempt.token == token);
        let Some(attempt) = attempt.filter(|it| matches!(it.process, Process::Runs { .. })) else {
            return;
        };
        let Some(lease) = attempt.lease.filter(|_| !planted!(LeaseNotWatched)) else {
            return;
        };
        let (ask, kill) = lease.ends(self.plan.agent.lease_margin_ms);
        if mono >= kill || mono >= ask && attempt.heeds_term {
            let signal = Some(LEASE_OVER);
            self.process_ends(at, id, token, signal);
        } else {
            let next = if mono >= ask { kill } else { ask };
            let at_ms = board.true_ms(next);
            self.at(at_ms, Event::LeaseLook { board: at, id, token });
        }
    }

    fn check_copies(&mut self, at: usize, id: AssignmentId) {
        let exclusive = self.exclusive.contains(&id.task);
        let running = self.running.entry(id.task).or_default();
        running.insert((at, id));
        let copies = running.len();
        if exclusive {
            ensure(copies == 1, "an_exclusive_task_never_runs_twice_at_once", || {
                let copies = running
                    .iter()
                    .map(|(at, id)| format!("{} on agent {at}", describe::attempt(*id)));
                copies.collect::<Vec<_>>().join(", ")
            });
            self.coverage.count(Kind::ExclusiveRan);
        } else if copies > 1 {
            self.coverage.count(Kind::CopiesRan);
        }
    }

    pub fn process_ends(&mut self, at: usize, id: AssignmentId, token: u64, signal: Option<i32>) {
        let mono = self.boards[at].mono(self.now_ms).0;
        let Some(attempt) = self.boards[at].attempts.get_mut(&id) else {
            return;
        };
        if attempt.token != token {
            return;
        }
        let (ran, code) = match attempt.process {
            Process::Runs { since_ms, wall } => (Some((since_ms, wall)), attempt.code),
            // Told to end before it began: its supervisor gives up.
            Process::Asked if signal.is_some() => (None, attempt.code),
            _ => return,
        };
        let exit = match signal {
            Some(LEASE_OVER) => {
                self.coverage.count(Kind::LeaseOver);
                Exit::LeaseOver
            }
            Some(signal) => Exit::Signal(signal),
            None if code == 3 && token.is_multiple_of(5) => Exit::OutOfMemory,
            None => Exit::Code(code),
        };
        if exit == Exit::Code(0) {
            self.succeeded.insert(id);
        }
        let mut end = ended(exit, ran.map(|(_, wall)| wall));
        end.ran_ms = ran.map(|(since_ms, _)| mono.saturating_sub(since_ms));
        attempt.process = Process::Ended(Box::new(end.clone()));
        let watched = attempt.watched;
        if let Some(running) = self.running.get_mut(&id.task) {
            running.remove(&(at, id));
        }
        self.note(Who::Board(at), |_| format!("{} ended: {:?}", describe::attempt(id), end.exit));
        if watched {
            if token.is_multiple_of(4) {
                self.send_logs(at, id);
            }
            self.tell_end(at, id, end);
        }
    }

    /// A process writes down how far it has come.
    pub fn process_writes(&mut self, at: usize, id: AssignmentId, token: u64) {
        let attempt = self.boards[at].attempts.get(&id).filter(|attempt| attempt.token == token);
        let runs = |it: &&Attempt| it.watched && matches!(it.process, Process::Runs { .. });
        if attempt.filter(runs).is_some() {
            let mark = ProgressMark { thousandths: Some(500), text: "half".to_owned() };
            self.tell_agent(at, Input::Progress { assignment: id, mark });
        }
    }

    /// What a process wrote is sent by the driver, past the logic.
    fn send_logs(&mut self, at: usize, assignment: AssignmentId) {
        let text = LogPiece::Text {
            offset: 0,
            bytes: 2,
            at: self.boards[at].wall(self.now_ms),
            stream: LogStream::Stdout,
            text: "ok".to_owned(),
        };
        let logs = LogChunk { assignment, pieces: vec![text], last: true };
        self.send_up(at, Uplink::Logs(logs));
    }

    pub fn terminate(&mut self, at: usize, id: AssignmentId) {
        self.coverage.count(Kind::Terminated);
        if self.boards[at].attempts.get(&id).is_some_and(|attempt| attempt.heeds_term) {
            self.signal(at, id, TERM);
        }
    }

    pub fn kill(&mut self, at: usize, id: AssignmentId) {
        self.coverage.count(Kind::Killed);
        // One that hangs in a driver takes its time.
        if self.chance.percent(80) {
            self.signal(at, id, KILL);
        }
    }

    fn signal(&mut self, at: usize, id: AssignmentId, signal: i32) {
        let Some(token) = self.boards[at].attempts.get(&id).map(|attempt| attempt.token) else {
            return;
        };
        let after_ms = self.chance.below(200);
        let signal = Some(signal);
        self.after(after_ms, Event::ProcessEnd { board: at, id, token, signal });
    }

    fn tell_end(&mut self, at: usize, id: AssignmentId, end: ProcessEnd) {
        let event = ProcessEvent::Ended(Box::new(end));
        self.tell_agent(at, Input::Process { assignment: id, event });
    }
}

fn ended(exit: Exit, started_at: Option<shared::time::Timestamp>) -> ProcessEnd {
    ProcessEnd { exit, started_at, ran_ms: None, output: Output::default() }
}
