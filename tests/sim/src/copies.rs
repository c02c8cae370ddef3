//! Boards with a copy of another's disk, older or of the same age: the core lets in one of them at
//! most and tells the others by name, and whoever runs them clears up.

use shared::id::AgentId;
use shared::wire::downlink::Welcome;

use crate::coverage::Kind;
use crate::failure::ensure;
use crate::trace::Who;
use crate::world::World;

impl World {
    /// The core welcomes a process. One that another of the same database has followed is not let
    /// in again: of two copies, the core listens to one.
    pub fn check_welcome(&mut self, agent: &AgentId, welcome: &Welcome) {
        let let_in = self.let_in.entry(welcome.incarnation).or_default();
        if let_in.last() == Some(&welcome.session) {
            return;
        }
        ensure(!let_in.contains(&welcome.session), "of_two_copies_one_is_listened_to", || {
            format!("{agent} is let in by turns with copies of one database")
        });
        let_in.push(welcome.session);
    }

    /// A process was told that its disk is a copy.
    pub fn is_barred(&mut self, at: usize, kind: Kind) {
        self.coverage.count(kind);
        self.boards[at].barred = true;
    }

    /// The faults are over: of boards with copies of one disk one stays, and one that was told
    /// that its disk is a copy gets a new one.
    pub fn clear_up_copies(&mut self) {
        for number in 0..self.plan.agents {
            let boards = self.boards_of(number);
            let met = |at: &usize| self.boards[*at].agent.as_ref().is_some_and(|it| it.is_met());
            let there = |at: &usize| !self.boards[*at].retired;
            let kept = boards.iter().copied().find(met);
            let kept = kept.or(boards.iter().copied().find(there));
            for at in boards {
                if Some(at) != kept {
                    self.retire_board(at);
                }
            }
        }
    }

    /// Whoever runs the boards gives those a new disk that were told that theirs is a copy.
    pub fn replace_barred_disks(&mut self) {
        for at in 0..self.boards.len() {
            if self.boards[at].barred && !self.boards[at].retired {
                self.note(Who::World, |_| format!("agent-{at} was told that its disk is a copy"));
                self.replace_disk(at);
            }
        }
    }
}
