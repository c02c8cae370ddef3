//! The simulated agent's driver: the real `Agent`, its store, its crash points, and its recovery
//! after a restart. Nothing is sent or started before its batch is committed.

use edge_agent_logic::input::Found;
use edge_agent_logic::memory::MemoryStore;
use edge_agent_logic::{Agent, Effect, Input, Notice, invariant};
use shared::capacity::Resources;
use shared::geo::Position;
use shared::id::{AssignmentId, Incarnation, Sequence};
use shared::wire::Uplink;
use shared::wire::uplink::{Facts, Reports};

use crate::board::{Board, Process};
use crate::world::{Event, World};

impl World {
    pub fn make_board(&mut self, number: usize) -> Board {
        let facts = Facts {
            version: "1".to_owned(),
            position: Position::new(0.0, number as f64).ok(),
            region: Some(format!("region-{}", number % 3)),
            arch: "aarch64".to_owned(),
            capacity: Resources {
                cpu_millis: self.chance.between(2_000, 5_000),
                memory_mib: self.chance.between(1_000, 3_000),
                ..Resources::default()
            },
            tasks_max: u32::try_from(self.chance.between(1, 8)).expect("small"),
            runtimes: vec!["exec".to_owned(), "noop".to_owned()],
            ..Facts::default()
        };
        let id = format!("board-{number}").parse().expect("an id");
        let mut board = Board::new(id, facts, Incarnation(self.chance.uuid()));
        board.drift_ppm = i64::try_from(self.chance.below(400)).expect("small") - 200;
        board
    }

    /// The agent's process starts, and first finds out what became of what ran before it.
    pub fn start_agent(&mut self, at: usize) {
        let chance = self.chance.word();
        let settings = self.plan.agent.clone();
        let now_ms = self.now_ms;
        let board = &mut self.boards[at];
        if board.agent.is_some() {
            return;
        }
        if !board.powered {
            board.powered = true;
            board.booted_ms = now_ms;
        }
        board.line.link = 0;
        let stored = board.store.begin_boot();
        let now = board.now(now_ms, chance);
        let agent = Agent::restore(stored, settings, board.facts.clone(), now);
        let unresolved = agent.unresolved();
        board.agent = Some(agent);
        self.note(|world| format!("{} starts, unresolved {unresolved:?}", world.boards[at].id));
        for assignment in unresolved {
            let found = self.adopt(at, assignment);
            self.boards[at].inputs.push_back(Input::Found { assignment, found });
        }
        self.agent_turn(at);
        self.sweep(at);
        let board = &self.boards[at];
        if board.agent.is_some() {
            let life = board.life;
            let joined = board.joined;
            let dial_ms = self.chance.between(1, 500);
            let event = match joined {
                true => Event::Dial { board: at, life },
                false => Event::Join { board: at, life },
            };
            self.after(dial_ms, event);
        }
    }

    fn adopt(&mut self, at: usize, id: AssignmentId) -> Found {
        let now_ms = self.now_ms;
        let mono = self.boards[at].mono(now_ms).0;
        let attempts = &mut self.boards[at].attempts;
        let Some(attempt) = attempts.get_mut(&id) else {
            self.coverage.count("found never started");
            return Found::NeverStarted;
        };
        attempt.watched = true;
        let (kind, found) = match &attempt.process {
            Process::Asked => {
                // The question takes the lock: its supervisor will never run it.
                attempts.remove(&id);
                ("found never started", Found::NeverStarted)
            }
            Process::Runs { since_ms, wall } => {
                let ran_ms = mono.saturating_sub(*since_ms);
                ("found running", Found::Running { started_at: *wall, ran_ms })
            }
            Process::Ended(end) => ("found ended", Found::Ended(end.clone())),
            Process::Gone => ("found gone", Found::Gone),
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
            assert!(remembered || !runs, "what_runs_is_remembered: {id} on {}", board.id);
            remembered
        });
    }

    /// The agent's process dies; supervisors and what they run live on.
    pub fn crash_agent(&mut self, at: usize) {
        if self.boards[at].agent.is_none() {
            return;
        }
        self.note(|world| format!("{} crashes", world.boards[at].id));
        self.boards[at].stop_process();
        let session = self.boards[at].line.session;
        let noticed_ms = self.chance.below(1_500);
        self.after(noticed_ms, Event::LineDead { board: at, session, only_if_cut: false });
        let restart_ms = self.chance.between(20, 20_000);
        self.after(restart_ms, Event::AgentStart { board: at });
    }

    /// The board loses its power: nothing that ran is there any more.
    pub fn cut_power(&mut self, at: usize) {
        self.note(|world| format!("{} loses its power", world.boards[at].id));
        self.boards[at].stop_process();
        self.boards[at].powered = false;
        let lost_record = self.chance.percent(10);
        for (id, attempt) in &mut self.boards[at].attempts {
            if let Process::Runs { .. } = attempt.process
                && let Some(running) = self.running.get_mut(&id.task)
            {
                running.remove(&(at, *id));
            }
            if lost_record || !matches!(attempt.process, Process::Ended(_)) {
                attempt.process = Process::Gone;
            }
        }
        let session = self.boards[at].line.session;
        let noticed_ms = self.chance.between(8_000, 20_000);
        self.after(noticed_ms, Event::LineDead { board: at, session, only_if_cut: false });
        let restart_ms = self.chance.between(1_000, 60_000);
        self.after(restart_ms, Event::AgentStart { board: at });
    }

    /// The board comes back with an empty disk.
    pub fn replace_disk(&mut self, at: usize) {
        self.cut_power(at);
        let incarnation = Incarnation(self.chance.uuid());
        let board = &mut self.boards[at];
        board.store = MemoryStore::new(incarnation);
        board.incarnation = incarnation;
        board.joined = false;
        board.attempts.clear();
    }

    pub fn tell_agent(&mut self, at: usize, input: Input) {
        let board = &mut self.boards[at];
        if board.agent.is_none() {
            return;
        }
        board.inputs.push_back(input);
        if !board.turn_due {
            board.turn_due = true;
            let life = board.life;
            let after_ms = self.chance.below(4);
            self.after(after_ms, Event::AgentTurn { board: at, life });
        }
    }

    pub fn agent_turn_due(&mut self, at: usize, life: u64) {
        if self.boards[at].life == life && self.boards[at].agent.is_some() {
            self.boards[at].turn_due = false;
            self.agent_turn(at);
        }
    }

    pub fn agent_wakes(&mut self, at: usize, life: u64) {
        if self.boards[at].life == life && self.boards[at].wake_at == Some(self.now_ms) {
            self.boards[at].wake_at = None;
            self.boards[at].inputs.push_back(Input::Tick);
            self.agent_turn(at);
        }
    }

    fn agent_turn(&mut self, at: usize) {
        let (mut changes, mut effects) = (Vec::new(), Vec::new());
        while let Some(input) = self.boards[at].inputs.pop_front() {
            let chance = self.chance.word();
            let board = &mut self.boards[at];
            let now = board.now(self.now_ms, chance);
            let Some(agent) = board.agent.as_mut() else {
                return;
            };
            let outcome = agent.step(input, now);
            invariant::check(agent).unwrap_or_else(|broken| panic!("{}: {broken}", board.id));
            changes.extend(outcome.changes);
            effects.extend(outcome.effects);
        }
        let crashes = self.chaos && self.chance.ppm(self.plan.agent_crash_ppm);
        let point = if crashes { self.chance.below(3) } else { 3 };
        if point == 0 {
            self.coverage.count("agent crash before commit");
            self.crash_agent(at);
            return;
        }
        if self.trace.is_some() {
            for change in &changes {
                self.note(|world| format!("{} writes {change:?}", world.boards[at].id));
            }
        }
        self.boards[at].store.commit(&changes);
        self.check_outbox(at);
        if point == 1 {
            self.coverage.count("agent crash after commit");
            effects.clear();
        }
        if point == 2 {
            self.coverage.count("agent crash among effects");
            effects.truncate(effects.len() / 2);
        }
        for effect in effects {
            self.agent_acts(at, effect);
        }
        if crashes {
            self.crash_agent(at);
        } else {
            self.sleep_agent(at);
        }
    }

    fn check_outbox(&self, at: usize) {
        let board = &self.boards[at];
        let deleted = board.agent.as_ref().map_or(Sequence(0), |agent| agent.outbox().acked);
        let taken = self.core.maps.taken.get(&board.incarnation).copied().unwrap_or_default();
        let id = &board.id;
        assert!(deleted <= taken, "what_is_deleted_was_taken: {id} {deleted}, core {taken}");
    }

    fn sleep_agent(&mut self, at: usize) {
        let board = &mut self.boards[at];
        let Some(wakeup) = board.agent.as_ref().and_then(Agent::next_wakeup) else {
            return;
        };
        let at_ms = board.true_ms(wakeup).max(self.now_ms + 1);
        if board.wake_at != Some(at_ms) {
            board.wake_at = Some(at_ms);
            let life = board.life;
            self.at(at_ms, Event::AgentWake { board: at, life });
        }
    }

    fn agent_acts(&mut self, at: usize, effect: Effect) {
        match effect {
            Effect::Send(message) => self.send_up(at, &message),
            Effect::SendReports { after, upto } => self.send_reports(at, after, upto),
            Effect::Spawn { assignment, order } => self.spawn(at, assignment, &order),
            Effect::Terminate { assignment } => self.terminate(at, assignment),
            Effect::Kill { assignment } => self.kill(at, assignment),
            Effect::Forget { assignment } => {
                let forgotten = self.boards[at].attempts.remove(&assignment);
                let runs = forgotten.is_some_and(|it| matches!(it.process, Process::Runs { .. }));
                assert!(!runs, "what_is_forgotten_is_over: {assignment}");
            }
            Effect::Note(notice) => self.notice(at, &notice),
        }
    }

    fn notice(&mut self, at: usize, notice: &Notice) {
        self.note(|world| format!("{} notes {notice:?}", world.boards[at].id));
        let kind = match notice {
            Notice::DesiredGap { .. } => "desired gap",
            Notice::OutboxFull { .. } => "outbox full",
            Notice::CoreSilent => "core silent",
            Notice::AheadOfUs { .. } => "acknowledged ahead of us",
            Notice::CoreForgot { .. } => "core forgot",
            Notice::Refused { .. } => "agent refused",
            Notice::Nonsense { .. } => "nonsense",
            _ => return,
        };
        self.coverage.count(kind);
    }

    fn send_reports(&mut self, at: usize, after: Sequence, upto: Sequence) {
        let mut after = after;
        while after < upto {
            let some = usize::try_from(self.chance.between(1, 8)).expect("small");
            let items = self.boards[at].store.reports(after, upto, some);
            let Some(last) = items.last().map(|item| item.seq) else {
                return;
            };
            if self.chaos && self.chance.percent(3) {
                self.coverage.count("reports cut");
                self.tell_agent(at, Input::ReportsCut { sent: after });
                return;
            }
            let incarnation = self.boards[at].incarnation;
            self.send_up(at, &Uplink::Reports(Reports { incarnation, after, items }));
            after = last;
        }
    }
}
