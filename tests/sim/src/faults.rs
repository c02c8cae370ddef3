//! The faults: each strikes whom and when the script says.

use cloud_core_logic::input::Operation;
use cloud_core_logic::{Input, ReplyTo};
use edge_agent_logic::Input as AgentInput;
use shared::geo::Position;

use crate::board::{Attempt, Process};
use crate::chance::{Chance, Stream};
use crate::event::Event;
use crate::script::{Armed, Fault};
use crate::trace::Who;
use crate::world::World;

/// A caller who does not listen.
const NOBODY: ReplyTo = ReplyTo(u64::MAX);
/// The farthest that a wall clock is set wrong: two years.
const JUMP_MS_MAX: u64 = 2 * 365 * 86_400_000;

impl World {
    /// A fault of the script strikes.
    pub fn strike(&mut self, planned: usize) {
        if !self.chaos {
            return;
        }
        let planned = self.plan.faults[planned];
        let (fault, at) = (planned.fault, self.worth_striking(planned.board));
        let mut chance = Chance::new(self.plan.seed, Stream::Faults, 1 + planned.number as u64);
        self.note(Who::Fault, |_| format!("{} {} (agent-{at})", planned.number, fault.name()));
        self.coverage.fault(fault);
        match fault {
            Fault::AgentKilled
            | Fault::AgentKilledAtCommit
            | Fault::PowerCut
            | Fault::PowerCutAtCommit
            | Fault::NewDisk
            | Fault::OldDisk
            | Fault::Cloned
            | Fault::Retired
            | Fault::OrderlyRestart
            | Fault::AgentClockJump
            | Fault::AgentClock1970
            | Fault::AgentDiskFull
            | Fault::LowOnDisk
            | Fault::Move => self.strike_board(fault, at, &mut chance),
            Fault::CoreKilled => self.crash_core(),
            Fault::CoreKilledAtCommit => self.core.armed = Some(Armed::draw(&mut chance, false)),
            Fault::CoreRestored => {
                self.core.backup = Some(self.core.maps.clone());
                self.after(chance.spread(100, 60_000), Event::CoreRestore);
            }
            Fault::CoreDiskFull => {
                self.core.disk_full_until_ms = self.now_ms + chance.spread(50, 30_000);
            }
            Fault::CoreClockJump => {
                self.core.wall_offset_ms = jump(&mut chance);
                self.arrivals.clock_was_wrong = true;
            }
            Fault::CoreLinkDown => {
                self.core_link_held = true;
                self.core_link_goes_down();
                self.after(chance.spread(100, 60_000), Event::CoreLinkHeal);
            }
            Fault::LinkBreak => self.break_line(at),
            Fault::Partition => self.cut_line(at, true, true),
            Fault::OneWayUp => self.cut_line(at, true, false),
            Fault::OneWayDown => self.cut_line(at, false, true),
            Fault::BrokerRestart => self.restart_broker(false),
            Fault::BrokerForgets => self.restart_broker(true),
            Fault::Cordon => self.operate(at, Operation::Cordon),
            Fault::Drain => self.operate(at, Operation::Drain),
            Fault::Uncordon => self.operate(at, Operation::Uncordon),
            Fault::Cancel => self.cancel_one(&mut chance),
        }
    }

    /// Where patience is what is tried, what strikes a board strikes one that runs under a lease.
    fn worth_striking(&self, planned: usize) -> usize {
        let runs = |attempt: &Attempt| matches!(attempt.process, Process::Runs { .. });
        let leased = |attempt: &Attempt| attempt.lease.is_some() && runs(attempt);
        let mut leasing = (0..self.plan.agents).filter(|_| self.plan.slow);
        let first = leasing.find(|at| self.boards[*at].attempts.values().any(leased));
        first.unwrap_or(planned)
    }

    fn strike_board(&mut self, fault: Fault, at: usize, chance: &mut Chance) {
        match fault {
            Fault::AgentKilled => self.crash_agent(at),
            Fault::AgentKilledAtCommit => self.boards[at].armed = Some(Armed::draw(chance, false)),
            Fault::PowerCut => self.cut_power(at),
            Fault::PowerCutAtCommit => self.boards[at].armed = Some(Armed::draw(chance, true)),
            Fault::NewDisk => self.replace_disk(at),
            Fault::OldDisk => {
                self.copy_disk(at);
                self.after(chance.spread(100, 60_000), Event::DiskPutBack { board: at });
            }
            Fault::Cloned => self.clone_board(at),
            Fault::Retired if self.agents_left() > 1 => {
                self.retire_board(at);
            }
            Fault::OrderlyRestart => self.restart_in_order(at),
            Fault::AgentClockJump => self.boards[at].wall_offset_ms = jump(chance),
            Fault::AgentClock1970 => self.boards[at].forget_time(self.now_ms),
            Fault::AgentDiskFull => {
                let most_ms = if self.plan.slow { 600_000 } else { 60_000 };
                self.boards[at].disk.full_until_ms = self.now_ms + chance.spread(100, most_ms);
            }
            Fault::LowOnDisk => {
                let low_ms = chance.spread(1_000, 60_000);
                let life = self.boards[at].life;
                self.boards[at].disk.low_until_ms = self.now_ms + low_ms;
                self.measure(at, life);
                self.after(low_ms, Event::AgentMeasure { board: at, life });
            }
            Fault::Move => {
                let longitude = chance.below(180) as f64;
                let position = Position::new(1.0, longitude).expect("a position");
                self.tell_agent(at, AgentInput::Moved { position });
            }
            _ => {}
        }
    }

    /// How many agents have a board that was not taken away.
    fn agents_left(&self) -> usize {
        let there = |number| self.boards_of(number).iter().any(|at| !self.boards[*at].retired);
        (0..self.plan.agents).filter(|number| there(*number)).count()
    }

    fn restart_in_order(&mut self, at: usize) {
        let board = &self.boards[at];
        let (life, session) = (board.life, board.line.session);
        if board.agent.is_none() {
            return;
        }
        // The goodbye gets out if the line is good; then the process ends. One that cannot commit
        // ends as if the power had failed.
        self.tell_agent(at, AgentInput::Stop);
        self.agent_turn_due(at, life);
        if self.boards[at].line.session == session {
            self.boards[at].line.will = None;
        }
        if self.boards[at].life == life {
            self.crash_agent(at);
        }
    }

    pub fn operate(&mut self, at: usize, operation: Operation) {
        let agent = self.boards[at].id.clone();
        self.ask_core(Input::Operate { agent, operation, reply: NOBODY });
    }

    fn cancel_one(&mut self, chance: &mut Chance) {
        let unsettled = &self.core.maps.unsettled;
        if unsettled.is_empty() {
            return;
        }
        let which = chance.index(unsettled.len());
        let task = *unsettled.iter().nth(which).expect("one of them");
        self.ask_core(Input::Cancel { task, reply: NOBODY });
    }
}

/// How wrong a clock is set: a little, or a lot.
fn jump(chance: &mut Chance) -> i64 {
    let far = if chance.percent(50) { 5_000 } else { JUMP_MS_MAX };
    let jump = i64::try_from(chance.below(2 * far)).expect("a jump");
    jump - i64::try_from(far).expect("a jump")
}
