//! The broker and the ways to it: what is sent is lost, repeated, late and out of order, in each
//! direction by itself; a connection breaks with a last will, or goes on as if nothing were.

use cloud_core_logic::Input as CoreInput;
use cloud_core_logic::change::Credential;
use edge_agent_logic::Input as AgentInput;
use shared::wire::uplink::{Gone, Join};
use shared::wire::{Downlink, Uplink, decode, encode};

use crate::coverage::{down_kind, up_kind};
use crate::world::{Event, World};

impl World {
    /// How long each copy of a message takes; none if it is lost.
    fn journeys(&mut self) -> Vec<u64> {
        if !self.chaos {
            return vec![self.chance.between(1, 20)];
        }
        if self.chance.percent(self.plan.loss_percent) {
            self.coverage.count("message lost");
            return Vec::new();
        }
        let mut copies = vec![self.journey()];
        while copies.len() < 4 && self.chance.percent(self.plan.repeat_percent) {
            self.coverage.count("message repeated");
            copies.push(self.journey());
        }
        copies
    }

    fn journey(&mut self) -> u64 {
        if self.chance.percent(self.plan.late_percent) {
            self.coverage.count("message late");
            return self.chance.between(1, self.plan.late_ms_max);
        }
        self.chance.between(1, self.plan.delay_ms_max)
    }

    pub fn send_up(&mut self, at: usize, message: &Uplink) {
        self.coverage.count(up_kind(message));
        let bytes = encode(message).expect("a message that fits");
        let line = &self.boards[at].line;
        let joining = matches!(message, Uplink::Join(_));
        let open = self.boards[at].is_connected() || joining;
        if !open || line.up_cut || !self.broker_up {
            return;
        }
        let journeys = self.journeys();
        self.note(|world| {
            let text = String::from_utf8_lossy(&bytes);
            format!("{} says {text} {journeys:?}", world.boards[at].id)
        });
        for after_ms in journeys {
            self.after(after_ms, Event::Up { board: at, bytes: bytes.clone() });
        }
    }

    pub fn arrive_up(&mut self, at: usize, bytes: &[u8]) {
        if !self.core.link_up || !self.broker_up {
            return;
        }
        let agent = self.boards[at].id.clone();
        let input = match decode::<Uplink>(bytes).expect("a message that was encoded") {
            Uplink::Join(join) => {
                let credential =
                    Credential { password_hash: join.nonce.clone(), seal_key: String::new() };
                CoreInput::Join { agent, join, credential }
            }
            message => CoreInput::Uplink { agent, message },
        };
        self.tell_core(input);
    }

    pub fn send_down(&mut self, at: usize, message: &Downlink) {
        self.coverage.count(down_kind(message));
        let bytes = encode(message).expect("a message that fits");
        if !self.core.link_up || !self.broker_up {
            return;
        }
        let journeys = self.journeys();
        self.note(|world| {
            let text = String::from_utf8_lossy(&bytes);
            format!("core to {}: {text} {journeys:?}", world.boards[at].id)
        });
        for after_ms in journeys {
            self.after(after_ms, Event::Down { board: at, bytes: bytes.clone() });
        }
    }

    pub fn arrive_down(&mut self, at: usize, bytes: &[u8]) {
        let board = &self.boards[at];
        if !self.broker_up || board.line.down_cut || board.agent.is_none() {
            return;
        }
        let message = decode::<Downlink>(bytes).expect("a message that was encoded");
        if let Downlink::Joined | Downlink::JoinRefused(_) = message {
            if matches!(message, Downlink::Joined) && !board.joined {
                let life = board.life;
                self.boards[at].joined = true;
                self.after(100, Event::Dial { board: at, life });
            }
        } else if board.is_connected() {
            self.tell_agent(at, AgentInput::Downlink(message));
        }
    }

    pub fn arrive_will(&mut self, at: usize, gone: Gone) {
        if self.core.link_up && self.broker_up {
            self.coverage.count("will fired");
            self.coverage.count("up gone");
            let agent = self.boards[at].id.clone();
            self.tell_core(CoreInput::Uplink { agent, message: Uplink::Gone(gone) });
        }
    }

    /// Asks to be let in, until it is.
    pub fn ask_to_join(&mut self, at: usize, life: u64) {
        let board = &self.boards[at];
        if board.life != life || board.joined {
            return;
        }
        let incarnation = board.incarnation;
        let nonce = format!("{:064x}", self.chance.word());
        self.send_up(at, &Uplink::Join(Join { nonce, incarnation }));
        self.after(3_000, Event::Join { board: at, life });
    }

    pub fn dial(&mut self, at: usize, life: u64) {
        let board = &self.boards[at];
        if board.life != life || board.is_connected() && board.line.link > 0 {
            return;
        }
        if !self.broker_up || board.line.up_cut || board.line.down_cut {
            let again_ms = self.chance.between(500, 3_000);
            self.after(again_ms, Event::Dial { board: at, life });
            return;
        }
        // The broker drops an older connection under the same id, and says so.
        self.fire_will(at);
        let board = &mut self.boards[at];
        let Some(agent) = &board.agent else {
            return;
        };
        board.line.link += 1;
        board.line.session += 1;
        let link = board.line.link;
        let will =
            Gone { incarnation: agent.incarnation(), boot: agent.boot(), link, orderly: false };
        board.line.will = Some(will);
        self.note(|world| format!("{} is connected, link {link}", world.boards[at].id));
        self.tell_agent(at, AgentInput::LinkUp { link });
    }

    fn fire_will(&mut self, at: usize) {
        if let Some(gone) = self.boards[at].line.will.take()
            && self.broker_up
        {
            for after_ms in self.journeys() {
                self.after(after_ms, Event::Will { board: at, gone });
            }
        }
    }

    /// A connection is noticed to be dead, by both of its ends.
    pub fn line_dies(&mut self, at: usize, session: u64, only_if_cut: bool) {
        let line = &self.boards[at].line;
        let cut = line.up_cut || line.down_cut;
        if line.session == session && (cut || !only_if_cut) {
            self.break_line(at);
        }
    }

    pub fn break_line(&mut self, at: usize) {
        if self.boards[at].line.will.is_none() {
            return;
        }
        self.note(|world| format!("{} loses its connection", world.boards[at].id));
        let connected = self.boards[at].is_connected();
        self.fire_will(at);
        if connected {
            self.tell_agent(at, AgentInput::LinkDown { reason: "broken".to_owned() });
            let life = self.boards[at].life;
            let after_ms = self.chance.between(200, 4_000);
            self.after(after_ms, Event::Dial { board: at, life });
        }
    }

    pub fn cut_line(&mut self, at: usize, up: bool, down: bool) {
        let line = &mut self.boards[at].line;
        line.up_cut |= up;
        line.down_cut |= down;
        let session = line.session;
        // Keep-alive notices, or does not: TCP may live where messages do not get through.
        if self.chance.percent(60) {
            let after_ms = self.chance.between(8_000, 20_000);
            self.after(after_ms, Event::LineDead { board: at, session, only_if_cut: true });
        }
        let heal_ms = if self.chance.percent(70) {
            self.chance.between(500, 15_000)
        } else {
            self.chance.between(15_000, 120_000)
        };
        self.after(heal_ms, Event::Heal { board: at });
    }

    pub fn heal_line(&mut self, at: usize) {
        self.note(|world| format!("{} is healed", world.boards[at].id));
        self.boards[at].line.up_cut = false;
        self.boards[at].line.down_cut = false;
    }

    pub fn broker_comes_up(&mut self) {
        self.note(|_| "broker is up".to_owned());
        self.broker_up = true;
    }

    /// The broker forgets every session; its wills come out, or die with it.
    pub fn restart_broker(&mut self) {
        let wills = self.chance.percent(50);
        self.note(|_| format!("broker restarts, wills {wills}"));
        for at in 0..self.boards.len() {
            if !wills && self.boards[at].agent.is_none() {
                self.boards[at].line.will = None;
            }
            self.break_line(at);
        }
        if !wills {
            self.broker_up = false;
        }
        self.core_link_goes_down();
        let down_ms = self.chance.between(10, 8_000);
        self.after(down_ms, Event::BrokerUp);
    }
}
