//! The faults: one at a time, of the kinds that the plan knows, on whom the seed says. And their
//! end: everything is made whole again, and must then come to rest.

use cloud_core_logic::input::Operation;
use cloud_core_logic::{Input, ReplyTo};
use edge_agent_logic::Input as AgentInput;
use shared::geo::Position;
use shared::wire::uplink::Load;

use crate::plan::Fault;
use crate::world::{CALM_MS_MAX, Event, World};

/// What an attempt may cost beside its run: waits, grace, kills.
const WASTED_MS: u64 = 20_000;
/// A caller who does not listen.
const NOBODY: ReplyTo = ReplyTo(u64::MAX);
/// The farthest that a wall clock is set wrong: two years.
const JUMP_MS_MAX: u64 = 2 * 365 * 86_400_000;

impl World {
    pub fn next_fault(&mut self) {
        if !self.chaos {
            return;
        }
        let next_ms = self.chance.between(1, 2 * self.plan.fault_every_ms);
        self.after(next_ms, Event::Fault);
        let which = self.chance.index(self.plan.faults.len());
        let fault = self.plan.faults[which];
        let at = self.chance.index(self.boards.len());
        self.note(|world| format!("fault {fault:?} at {}", world.boards[at].id));
        self.coverage.count(&format!("fault {fault:?}"));
        self.fault(fault, at);
    }

    fn fault(&mut self, fault: Fault, at: usize) {
        match fault {
            Fault::AgentCrash => self.crash_agent(at),
            Fault::PowerCut => self.cut_power(at),
            Fault::NewDisk => self.replace_disk(at),
            Fault::OrderlyRestart => self.restart_in_order(at),
            Fault::CoreCrash => self.crash_core(),
            Fault::LinkBreak => self.break_line(at),
            Fault::Partition => self.cut_line(at, true, true),
            Fault::OneWayUp => self.cut_line(at, true, false),
            Fault::OneWayDown => self.cut_line(at, false, true),
            Fault::BrokerRestart => self.restart_broker(),
            Fault::CoreLinkDown => {
                self.core_link_held = true;
                self.core_link_goes_down();
                let heal_ms = self.chance.between(100, 60_000);
                self.after(heal_ms, Event::CoreLinkHeal);
            }
            Fault::CoreClockJump => self.core.wall_offset_ms = self.jump(),
            Fault::AgentClockJump => self.boards[at].wall_offset_ms = self.jump(),
            Fault::DiskFull => {
                self.disk_is(at, true);
                let free_ms = self.chance.between(1_000, 40_000);
                self.after(free_ms, Event::DiskFree { board: at });
            }
            Fault::Cordon => self.operate(at, Operation::Cordon),
            Fault::Drain => self.operate(at, Operation::Drain),
            Fault::Uncordon => self.operate(at, Operation::Uncordon),
            Fault::Cancel => self.cancel_one(),
            Fault::Move => {
                let longitude = self.chance.below(180) as f64;
                let position = Position::new(1.0, longitude).expect("a position");
                self.tell_agent(at, AgentInput::Moved { position });
            }
            Fault::Burst => {
                for _ in 0..self.chance.between(5, 25) {
                    self.submit_one();
                }
            }
        }
    }

    fn jump(&mut self) -> i64 {
        let far = if self.chance.percent(50) { 5_000 } else { JUMP_MS_MAX };
        let jump = i64::try_from(self.chance.below(2 * far)).expect("a jump");
        jump - i64::try_from(far).expect("a jump")
    }

    fn restart_in_order(&mut self, at: usize) {
        self.tell_agent(at, AgentInput::Stop);
        let board = &self.boards[at];
        let (life, session) = (board.life, board.line.session);
        if board.agent.is_none() {
            return;
        }
        // The goodbye gets out if the line is good; then the process ends.
        self.agent_turn_due(at, life);
        if self.boards[at].line.session == session {
            self.boards[at].line.will = None;
        }
        if self.boards[at].life == life {
            self.crash_agent(at);
        }
    }

    pub fn disk_is(&mut self, at: usize, disk_full: bool) {
        let cpu = self.chance.below(100) as f64 / 100.0;
        let load = Load { cpu, ..Load::default() };
        self.tell_agent(at, AgentInput::Measured { load, disk_full });
    }

    fn operate(&mut self, at: usize, operation: Operation) {
        let agent = self.boards[at].id.clone();
        self.tell_core(Input::Operate { agent, operation, reply: NOBODY });
    }

    fn cancel_one(&mut self) {
        let unsettled = &self.core.maps.unsettled;
        if unsettled.is_empty() {
            return;
        }
        let which = self.chance.index(unsettled.len());
        let task = *unsettled.iter().nth(which).expect("one of them");
        self.tell_core(Input::Cancel { task, reply: NOBODY });
    }

    /// The faults stop. Everything is repaired and started.
    pub fn calm_down(&mut self) {
        self.note(|_| "the faults stop".to_owned());
        self.chaos = false;
        self.calm_since_ms = self.now_ms;
        self.broker_up = true;
        self.core_link_held = false;
        self.start_core();
        for at in 0..self.boards.len() {
            self.heal_line(at);
            self.start_agent(at);
            self.disk_is(at, false);
        }
        self.after(1_000, Event::Look);
    }

    /// Looks whether everything has come to its end, and how long that takes.
    pub fn look_whether_quiet(&mut self) {
        // A cordon may have been lost with a crash, or not: said again until all is over.
        for at in 0..self.boards.len() {
            self.operate(at, Operation::Uncordon);
        }
        let Err(unfinished) = self.quiet() else {
            self.note(|_| "all is quiet".to_owned());
            self.done = true;
            return;
        };
        let waited_ms = self.now_ms - self.calm_since_ms;
        // One small board may have a long queue to work off, with every attempt to its last.
        let work_ms = self.clients.len() as u64 * 4 * (self.plan.run_ms_max + WASTED_MS);
        assert!(waited_ms < CALM_MS_MAX + work_ms, "everything_comes_to_its_end: {unfinished}");
        let after_ms = if waited_ms < 60_000 { 1_000 } else { 10_000 };
        self.after(after_ms, Event::Look);
    }

    fn quiet(&self) -> Result<(), String> {
        let maps = &self.core.maps;
        if let Some(at) = self.clients.iter().position(|client| client.task.is_none()) {
            return Err(format!("client {at} has no answer"));
        }
        if let Some(task) = maps.unsettled.first() {
            return Err(format!("{task} is {:?}", maps.tasks[task].life));
        }
        if let Some(((agent, _), row)) = maps.wanted.first_key_value() {
            return Err(format!("{row:?} is wanted of {agent}"));
        }
        for board in &self.boards {
            let Some(agent) = &board.agent else {
                return Err(format!("{} is down", board.id));
            };
            let outbox = agent.outbox();
            if agent.holds().next().is_some() || outbox.waiting() > 0 {
                let held: Vec<_> = agent.live().collect();
                return Err(format!("{} holds {held:?}, outbox {outbox:?}", board.id));
            }
            if !board.attempts.is_empty() {
                return Err(format!("{} keeps {:?}", board.id, board.attempts));
            }
        }
        let Some(cloud) = &self.core.cloud else {
            return Err("the core is down".to_owned());
        };
        for agent in cloud.fleet().iter() {
            let online = agent.status == shared::api::AgentStatus::Online;
            if !online || !agent.used.is_zero() || agent.assignments > 0 {
                return Err(format!("{agent:?}"));
            }
        }
        Ok(())
    }
}
