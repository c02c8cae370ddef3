//! The broker and the ways to it: what is sent is lost, repeated, late and out of order, in each
//! direction by itself; a connection breaks with a last will, or goes on as if nothing were.

use cloud_core_logic::Input as CoreInput;
use cloud_core_logic::change::Credential;
use edge_agent_logic::Input as AgentInput;
use shared::wire::downlink::RefusedBecause;
use shared::wire::uplink::{Gone, Join, LogPiece};
use shared::wire::{Downlink, Uplink};

use crate::coverage::{Kind, down_kind, up_kind};
use crate::describe;
use crate::event::Event;
use crate::parcel::Parcel;
use crate::trace::Who;
use crate::wiretap;
use crate::world::World;

/// What seals the asking to join and its answer.
const JOIN_SEAL: u64 = u64::MAX;
/// After how long without a readable word of the core an agent joins anew, and after how long
/// without an answer to that it goes back to the credential that it has, in milliseconds.
const UNANSWERED_MS: u64 = 300_000;
const JOIN_UNANSWERED_MS: u64 = 60_000;
/// How often it asks to join, and after a refusal, in milliseconds.
const JOIN_MS: u64 = 3_000;
const JOIN_REFUSED_MS: u64 = 30_000;
/// The most copies of one message.
const COPIES_MAX: usize = 4;

/// Whether a fault is planted that lets an agent read what was sealed for another database.
#[cfg(feature = "planted")]
fn opens_any_seal() -> bool {
    edge_agent_logic::planted::is(edge_agent_logic::planted::Fault::OtherIncarnation)
}
#[cfg(not(feature = "planted"))]
fn opens_any_seal() -> bool {
    false
}

impl World {
    /// How long each copy of a message takes; none if it is lost.
    fn journeys(&mut self) -> Vec<u64> {
        if !self.chaos {
            return vec![self.chance.between(1, 20)];
        }
        if self.chance.percent(self.plan.weather.loss_percent) {
            self.coverage.count(Kind::Lost);
            return Vec::new();
        }
        let mut copies = vec![self.journey()];
        while copies.len() < COPIES_MAX && self.chance.percent(self.plan.weather.repeat_percent) {
            self.coverage.count(Kind::Repeated);
            copies.push(self.journey());
        }
        copies
    }

    fn journey(&mut self) -> u64 {
        let weather = self.plan.weather;
        if self.chance.percent(weather.late_percent) {
            self.coverage.count(Kind::Late);
            return self.chance.between(1, weather.late_ms_max);
        }
        self.chance.between(1, weather.delay_ms_max)
    }

    pub fn send_up(&mut self, at: usize, message: Uplink) {
        wiretap::hear(true, &message);
        self.coverage.count(up_kind(&message));
        let line = &self.boards[at].line;
        let joining = matches!(message, Uplink::Join(_));
        let open = self.boards[at].is_connected() || joining;
        if !open || line.up_cut || !self.broker_up {
            return;
        }
        let journeys = self.journeys();
        let words =
            |_: &Self| format!("⟶ {} ({})", describe::up(&message), describe::journeys(&journeys));
        match describe::up_is_chatter(&message) {
            true => self.detail(Who::Board(at), words),
            false => self.note(Who::Board(at), words),
        }
        let seal = if joining { JOIN_SEAL } else { self.boards[at].seal() };
        let parcel = self.pack(message);
        for after_ms in journeys {
            self.after(after_ms, Event::Up { board: at, seal, parcel: parcel.clone() });
        }
    }

    fn pack<T>(&mut self, message: T) -> Parcel<T>
    where
        T: serde::Serialize + serde::de::DeserializeOwned + Clone,
    {
        if self.plan.encoded {
            self.coverage.count(Kind::Encoded);
        }
        Parcel::pack(message, self.plan.encoded)
    }

    /// Whether a message of an agent is sealed as it is to be. The driver's doorman looks; it
    /// proves nothing about anybody otherwise.
    fn is_sealed(&mut self, at: usize, seal: u64) -> bool {
        let known = self.core.maps.credentials.get(&self.boards[at].id);
        let right = known == Some(&seal);
        if !right {
            self.coverage.count(Kind::WrongSeal);
        }
        right
    }

    pub fn arrive_up(&mut self, at: usize, seal: u64, parcel: Parcel<Uplink>) {
        if !self.core.link_up || !self.broker_up {
            return;
        }
        if seal != JOIN_SEAL && !self.is_sealed(at, seal) {
            return;
        }
        let agent = self.boards[at].id.clone();
        let input = match parcel.open() {
            Uplink::Join(join) => {
                let credential =
                    Credential { password_hash: join.nonce.clone(), seal_key: String::new() };
                CoreInput::Join { agent, join, credential }
            }
            Uplink::Logs(logs) => {
                // The driver takes them to the store, past the logic.
                let number = self.boards[at].number;
                let assignment = logs.assignment;
                let upto = logs.pieces.last().map_or(0, LogPiece::end);
                self.send_down(number, Downlink::LogsAcked { assignment, upto });
                CoreInput::Uplink { agent, message: Uplink::Logs(logs) }
            }
            message => CoreInput::Uplink { agent, message },
        };
        self.tell_core(input);
    }

    /// Sends to whoever is connected under an agent's id.
    pub fn send_down(&mut self, agent: usize, message: Downlink) {
        wiretap::hear(false, &message);
        self.coverage.count(down_kind(&message));
        if !self.core.link_up || !self.broker_up {
            return;
        }
        let journeys = self.journeys();
        let words = |_: &Self| {
            let (text, times) = (describe::down(&message), describe::journeys(&journeys));
            format!("⟶ agent-{agent} {text} ({times})")
        };
        match describe::down_is_chatter(&message) {
            true => self.detail(Who::Core, words),
            false => self.note(Who::Core, words),
        }
        let seal = match message {
            Downlink::Joined | Downlink::JoinRefused(_) => JOIN_SEAL,
            _ => self.core.maps.credentials.get(&self.boards[agent].id).copied().unwrap_or(0),
        };
        let parcel = self.pack(message);
        for after_ms in journeys {
            self.after(after_ms, Event::Down { agent, seal, parcel: parcel.clone() });
        }
    }

    pub fn arrive_down(&mut self, agent: usize, seal: u64, parcel: Parcel<Downlink>) {
        if !self.broker_up {
            return;
        }
        let message = parcel.open();
        let open = |at: &usize| {
            let board = &self.boards[*at];
            // Each asks to join over a connection of its own, and is answered there.
            let asks = board.agent.is_some() && board.nonce.is_some();
            let there = if seal == JOIN_SEAL { asks } else { board.is_connected() };
            board.number == agent && there && !board.line.down_cut
        };
        let Some(at) = (0..self.boards.len()).find(open) else {
            return;
        };
        let board = &mut self.boards[at];
        if seal == JOIN_SEAL {
            self.hear_of_join(at, &message);
        } else if board.seal() == seal || opens_any_seal() {
            board.line.heard_ms = self.now_ms;
            board.heard_ms = self.now_ms;
            self.tell_agent(at, AgentInput::Downlink(message));
        } else {
            self.coverage.count(Kind::WrongSeal);
        }
    }

    fn hear_of_join(&mut self, at: usize, message: &Downlink) {
        let now_ms = self.now_ms;
        let board = &mut self.boards[at];
        match message {
            Downlink::Joined => {
                board.credential = board.nonce.take();
                let life = board.life;
                self.after(100, Event::Dial { board: at, life });
            }
            Downlink::JoinRefused(refusal) => {
                board.line.heard_ms = now_ms;
                board.join_at_ms = now_ms + JOIN_REFUSED_MS;
                if refusal.reason == RefusedBecause::OlderDatabase {
                    self.is_barred(at, Kind::OlderDatabase);
                }
            }
            _ => {}
        }
    }

    pub fn arrive_will(&mut self, at: usize, seal: u64, gone: Gone) {
        if self.core.link_up && self.broker_up && self.is_sealed(at, seal) {
            self.coverage.count(Kind::WillFired);
            self.coverage.count(Kind::UpGone);
            let agent = self.boards[at].id.clone();
            self.tell_core(CoreInput::Uplink { agent, message: Uplink::Gone(gone) });
        }
    }

    /// Asks to be let in, until it is. The nonce stays the same.
    pub fn ask_to_join(&mut self, at: usize, life: u64) {
        let word = self.chance.word().max(1);
        let now_ms = self.now_ms;
        let board = &mut self.boards[at];
        if board.life != life || board.credential.is_some() {
            return;
        }
        if board.former.is_some() && now_ms - board.line.heard_ms > JOIN_UNANSWERED_MS {
            // A core that is down answers nobody, and the credential is the one to wait with.
            (board.credential, board.nonce) = (board.former.take(), None);
            self.after(1_000, Event::Dial { board: at, life });
            return;
        }
        if now_ms < board.join_at_ms {
            self.after(JOIN_MS, Event::Join { board: at, life });
            return;
        }
        let (incarnation, nonce) = (board.incarnation, *board.nonce.get_or_insert(word));
        let nonce = format!("{nonce:064x}");
        self.send_up(at, Uplink::Join(Join { nonce, incarnation }));
        self.after(JOIN_MS, Event::Join { board: at, life });
    }

    pub fn dial(&mut self, at: usize, life: u64) {
        let board = &self.boards[at];
        let connected = board.is_connected() && board.line.link > 0;
        if board.life != life || connected || board.credential.is_none() {
            return;
        }
        if !self.broker_up || board.line.up_cut || board.line.down_cut {
            let again_ms = self.chance.between(500, 3_000);
            self.after(again_ms, Event::Dial { board: at, life });
            return;
        }
        let known = self.core.maps.credentials.get(&board.id);
        if known != board.credential.as_ref() {
            // The broker refuses a credential that is not in force: the agent joins anew.
            self.coverage.count(Kind::JoinedAnew);
            self.boards[at].leave_credential(self.now_ms);
            let again_ms = self.chance.between(500, 3_000);
            self.after(again_ms, Event::Join { board: at, life });
            return;
        }
        for other in self.boards_of(self.boards[at].number) {
            self.take_over(other, at);
        }
        let board = &mut self.boards[at];
        let Some(agent) = &board.agent else {
            return;
        };
        board.line.link += 1;
        board.line.session += 1;
        board.line.heard_ms = self.now_ms;
        let session = board.line.session;
        let link = board.line.link;
        let (incarnation, boot) = (agent.incarnation(), agent.boot());
        let will = Gone { incarnation, boot, session: agent.session(), link, orderly: false };
        board.line.will = Some(will);
        board.line.seal = board.seal();
        self.note(Who::Board(at), |_| format!("is connected, link {link}"));
        self.after(UNANSWERED_MS, Event::LookForAnswer { board: at, session });
        self.tell_agent(at, AgentInput::LinkUp { link });
    }

    /// Where nothing that the core says can be read for long, the credential may not be the one
    /// in force, whatever the broker thinks of it: the agent joins anew.
    pub fn look_for_answer(&mut self, at: usize, session: u64) {
        let line = &self.boards[at].line;
        if line.session != session || line.will.is_none() {
            return;
        }
        let silent_ms = self.now_ms - line.heard_ms;
        if silent_ms < UNANSWERED_MS {
            self.after(UNANSWERED_MS - silent_ms, Event::LookForAnswer { board: at, session });
            return;
        }
        self.coverage.count(Kind::JoinedAnew);
        self.note(Who::Board(at), |_| "has heard nothing for long: joins anew".to_owned());
        self.boards[at].leave_credential(self.now_ms);
        self.break_line(at);
        let life = self.boards[at].life;
        self.after(1_000, Event::Join { board: at, life });
    }

    /// The boards that use an agent's name: one, unless it was copied.
    pub fn boards_of(&self, number: usize) -> Vec<usize> {
        (0..self.boards.len()).filter(|at| self.boards[*at].number == number).collect()
    }

    /// The broker drops an older connection under the same id, and says so.
    fn take_over(&mut self, at: usize, by: usize) {
        if self.boards[at].line.will.is_none() {
            return;
        }
        self.coverage.count(Kind::TakenOver);
        if at == by {
            self.fire_will(at);
        } else {
            self.break_line(at);
        }
    }

    fn fire_will(&mut self, at: usize) {
        let seal = self.boards[at].line.seal;
        if let Some(gone) = self.boards[at].line.will.take()
            && self.broker_up
        {
            for after_ms in self.journeys() {
                self.after(after_ms, Event::Will { board: at, seal, gone });
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
        self.note(Who::Board(at), |_| "loses its connection".to_owned());
        let connected = self.boards[at].is_connected();
        self.fire_will(at);
        if connected {
            self.tell_agent(at, AgentInput::LinkDown { reason: "broken".to_owned() });
            let life = self.boards[at].life;
            let after_ms = self.chance.spread(200, 4_000);
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
        let heal_ms = match self.plan.slow && self.chance.percent(70) {
            true => self.chance.between(100_000, 1_200_000),
            false => self.chance.spread(500, 120_000),
        };
        self.after(heal_ms, Event::Heal { board: at });
    }

    pub fn heal_line(&mut self, at: usize) {
        let line = &mut self.boards[at].line;
        if line.up_cut || line.down_cut {
            (line.up_cut, line.down_cut) = (false, false);
            self.note(Who::Network, |_| format!("the way to agent-{at} is whole again"));
        }
    }

    pub fn broker_comes_up(&mut self) {
        self.note(Who::Network, |_| "the broker is up".to_owned());
        self.broker_up = true;
    }

    /// The broker drops every connection; its last wills come out, or die with it.
    pub fn restart_broker(&mut self, forgets: bool) {
        for at in 0..self.boards.len() {
            if forgets {
                // No will comes out, but whoever is connected notices.
                let connected = self.boards[at].is_connected();
                self.broker_up = false;
                if !connected {
                    self.boards[at].line.will = None;
                }
            }
            self.break_line(at);
        }
        self.core_link_goes_down();
        let down_ms = self.chance.spread(10, 8_000);
        self.after(down_ms, Event::BrokerUp);
    }
}
