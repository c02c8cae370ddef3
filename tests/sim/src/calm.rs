//! The end of the faults: everything is made whole again, and must then come to rest.

use std::collections::BTreeSet;

use cloud_core_logic::fleet::Agent;
use cloud_core_logic::input::Operation;
use shared::api::AgentStatus;
use shared::id::AgentId;

use crate::board::Board;
use crate::describe;
use crate::event::Event;
use crate::failure::ensure;
use crate::trace::Who;
use crate::world::World;

/// How long after the last fault everything must have come to its end, in milliseconds, beside the
/// work that is left.
const CALM_MS_MAX: u64 = 3_600_000;
/// How long after the last fault two copies of a task may run, in milliseconds: links come back,
/// inventories are compared, processes resist.
const COPIES_MS: u64 = 400_000;
/// What an attempt may cost beside its run: waits, grace, kills.
const WASTED_MS: u64 = 20_000;

impl World {
    /// The faults stop. Everything is repaired and started.
    pub fn calm_down(&mut self) {
        self.note(Who::World, |_| "the faults stop, everything is repaired".to_owned());
        self.chaos = false;
        self.calm_since_ms = self.now_ms;
        self.broker_up = true;
        self.core_link_held = false;
        self.core.disk_full_until_ms = 0;
        self.core.armed = None;
        self.start_core();
        self.clear_up_copies();
        for at in 0..self.boards.len() {
            self.heal_line(at);
            self.boards[at].disk.full_until_ms = 0;
            self.boards[at].disk.low_until_ms = 0;
            self.boards[at].armed = None;
            self.start_agent(at);
            self.after(0, Event::AgentMeasure { board: at, life: self.boards[at].life });
        }
        self.after(500, Event::Look);
    }

    /// Looks whether everything has come to its end, and how long that takes.
    pub fn look_whether_quiet(&mut self) {
        self.replace_barred_disks();
        let rests = self.rest_schedules();
        let Err(unfinished) =
            self.quiet().and_then(|()| rests.then_some(()).ok_or("schedules go on".to_owned()))
        else {
            self.note(Who::World, |_| "all is quiet".to_owned());
            self.done = true;
            return;
        };
        // A cordon may have been lost with a crash, or not: said again until all is over.
        for at in 0..self.boards.len() {
            self.operate(at, Operation::Uncordon);
        }
        let waited_ms = self.now_ms - self.calm_since_ms;
        if waited_ms > COPIES_MS {
            self.check_copies_ended();
        }
        // One small board may have a long queue to work off, with every attempt to its last.
        self.work_left = self.work_left.max(self.core.maps.unsettled.len());
        let tasks = (self.clients.len() + self.work_left) as u64;
        let work_ms = tasks * 4 * (self.plan.run_ms_max + WASTED_MS);
        let in_time = waited_ms < CALM_MS_MAX + work_ms;
        ensure(in_time, "everything_comes_to_its_end", || unfinished);
        let after_ms = if waited_ms < 60_000 { 500 } else { 5_000 };
        self.after(after_ms, Event::Look);
    }

    /// When everybody is heard for long, no task has two copies that run.
    fn check_copies_ended(&self) {
        for (task, copies) in self.running.iter().filter(|(_, copies)| copies.len() > 1) {
            let copies =
                copies.iter().map(|(at, id)| format!("{} on {at}", describe::attempt(*id)));
            let copies: Vec<_> = copies.collect();
            ensure(false, "of_two_copies_one_stays", || {
                format!("{} runs as {}", describe::task(*task), copies.join(", "))
            });
        }
    }

    fn quiet(&self) -> Result<(), String> {
        let maps = &self.core.maps;
        if let Some(task) = maps.unsettled.first() {
            let state = describe::state(&maps.tasks[task].life.state);
            return Err(format!("{} {state}", describe::task(*task)));
        }
        if let Some(client) = self.clients.iter().find(|client| client.task.is_none()) {
            return Err(format!("client {} has no answer", client.number));
        }
        let in_use = |agent: &AgentId| self.board_in_use(agent).is_some();
        if let Some(((agent, _), row)) = maps.wanted.iter().find(|((agent, _), _)| in_use(agent)) {
            return Err(format!("{row:?} is wanted of {agent}"));
        }
        if maps.recovering {
            return Err("the core waits for its agents".to_owned());
        }
        self.boards_are_quiet()?;
        self.hold_what_they_should()?;
        let Some(cloud) = &self.core.cloud else {
            return Err("the core is down".to_owned());
        };
        cloud.fleet().iter().try_for_each(|agent| self.agent_is_quiet(agent))
    }

    /// The board that speaks under an agent's name, if any does.
    fn board_in_use(&self, agent: &AgentId) -> Option<&Board> {
        self.boards.iter().find(|board| board.id == *agent && !board.retired)
    }

    /// What the core thinks of an agent is what the agent is.
    fn agent_is_quiet(&self, agent: &Agent) -> Result<(), String> {
        if !agent.used.is_zero() || agent.assignments > 0 {
            return Err(format!("{} has {:?} reserved", agent.id, agent.used));
        }
        let Some(board) = self.board_in_use(&agent.id) else {
            return Ok(());
        };
        if agent.status != AgentStatus::Online {
            return Err(format!("{} is {:?}", agent.id, agent.status));
        }
        let facts = board.agent.as_ref().map(|it| it.facts());
        if facts.is_some_and(|facts| facts.position != agent.facts.position) {
            return Err(format!("{} is thought to be elsewhere", agent.id));
        }
        Ok(())
    }

    /// What agents hold of schedules is what the core wants of them.
    pub fn hold_what_they_should(&self) -> Result<(), String> {
        for board in self.boards.iter().filter(|board| !board.retired) {
            let residents = self.core.maps.residents.iter();
            let its = residents.filter(|((agent, _), row)| *agent == board.id && row.held);
            let wanted: BTreeSet<_> =
                its.map(|((_, schedule), row)| (*schedule, row.version)).collect();
            let agent = board.agent.as_ref().ok_or(format!("{} is down", board.id))?;
            let held: BTreeSet<_> =
                agent.schedules().map(|(schedule, version, _)| (schedule, version)).collect();
            if held != wanted {
                return Err(format!("{} holds {held:?}, wanted {wanted:?}", board.id));
            }
        }
        Ok(())
    }

    fn boards_are_quiet(&self) -> Result<(), String> {
        for board in self.boards.iter().filter(|board| !board.retired) {
            let Some(agent) = &board.agent else {
                return Err(format!("{} is down", board.id));
            };
            let (held, waiting) = (agent.holds().next(), agent.reports_waiting());
            if let Some(held) = held {
                return Err(format!("{} holds {}", board.id, describe::attempt(held)));
            }
            if waiting > 0 {
                return Err(format!("{} has {waiting} reports to tell", board.id));
            }
            if !board.attempts.is_empty() {
                return Err(format!("{} keeps {} attempts", board.id, board.attempts.len()));
            }
        }
        Ok(())
    }
}
