//! Whatever happens in whatever order, what must always hold of the core holds; and the same
//! happenings give the same changes and effects, byte for byte.

mod common;

use cloud_core_logic::Effect;
use cloud_core_logic::input::Operation;
use common::{Board, World, finished, noop};
use proptest::prelude::*;
use shared::id::{AssignmentId, Boot, Incarnation, Revision, Sequence};
use shared::report::{End, RefusalReason, ReportEvent, StopReason};
use shared::spec::{Disconnect, Per, Retry, Spread, TaskSpec, Together};
use shared::task::TaskStatus;
use shared::wire::downlink::{DesiredRow, Want};

const BOARDS: usize = 3;

#[derive(Debug, Clone)]
enum Move {
    Submit { cpu_millis: u64, lost_after_s: u64, replace: bool, deadline_s: Option<u64> },
    Cancel { pick: usize },
    Operate { board: usize, operation: Operation },
    Hello { board: usize },
    Beat { board: usize },
    Gone { board: usize },
    Restart { board: usize },
    NewDatabase { board: usize },
    Report { board: usize, pick: usize, what: u8 },
    Repeat { board: usize },
    Pass { milliseconds: u64 },
    LoseEffects,
    RestartCore,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let board = 0..BOARDS;
    let operation = prop_oneof![
        Just(Operation::Cordon),
        Just(Operation::Uncordon),
        Just(Operation::Drain),
        Just(Operation::Revoke),
        Just(Operation::Readmit)
    ];
    let submit = (0_u64..3_000, 0_u64..30, any::<bool>(), prop::option::of(1_u64..60)).prop_map(
        |(cpu_millis, lost_after_s, replace, deadline_s)| Move::Submit {
            cpu_millis,
            lost_after_s,
            replace,
            deadline_s,
        },
    );
    let one = prop_oneof![
        4 => submit,
        1 => any::<usize>().prop_map(|pick| Move::Cancel { pick }),
        1 => (board.clone(), operation)
            .prop_map(|(board, operation)| Move::Operate { board, operation }),
        3 => board.clone().prop_map(|board| Move::Hello { board }),
        4 => board.clone().prop_map(|board| Move::Beat { board }),
        1 => board.clone().prop_map(|board| Move::Gone { board }),
        1 => board.clone().prop_map(|board| Move::Restart { board }),
        1 => board.clone().prop_map(|board| Move::NewDatabase { board }),
        8 => (board.clone(), any::<usize>(), 0_u8..7)
            .prop_map(|(board, pick, what)| Move::Report { board, pick, what }),
        1 => board.prop_map(|board| Move::Repeat { board }),
        3 => (0_u64..20_000).prop_map(|milliseconds| Move::Pass { milliseconds }),
        1 => Just(Move::LoseEffects),
        1 => Just(Move::RestartCore),
    ];
    prop::collection::vec(one, 1..120)
}

/// A board and what it was told to run, so that it reports about things it has heard of.
struct Player {
    board: Board,
    told: Vec<DesiredRow>,
}

fn event(what: u8) -> ReportEvent {
    match what {
        0 => ReportEvent::Accepted,
        1 => ReportEvent::Started,
        2 => finished(End::Exited { code: 1 }),
        3 => ReportEvent::Refused { reason: RefusalReason::Busy, detail: String::new() },
        4 => finished(End::Stopped { reason: StopReason::Canceled }),
        5 => finished(End::Vanished { message: String::new() }),
        _ => finished(End::Exited { code: 0 }),
    }
}

fn kept_apart(max: u32, together: Together) -> Spread {
    Spread { group: "web".to_owned(), max, together }
}

/// A world with boards that are moved about in it.
struct Game {
    world: World,
    players: Vec<Player>,
    tasks: Vec<shared::id::TaskId>,
}

fn play(moves: &[Move]) -> World {
    let player = |n| Player { board: Board::new(&format!("b{n}")), told: Vec::new() };
    let players = (0..BOARDS).map(player).collect();
    let mut game = Game { world: World::new(), players, tasks: Vec::new() };
    for one in moves {
        let effects = game.make(one.clone());
        for Player { board, told } in &mut game.players {
            told.extend(board.apply(&effects));
        }
    }
    game.world
}

impl Game {
    /// Makes one move; gives what is not lost on the way to the boards.
    fn make(&mut self, one: Move) -> Vec<Effect> {
        let Self { world, players, tasks } = self;
        match one {
            Move::Submit { .. } => self.submit(&one),
            Move::Cancel { pick } if !tasks.is_empty() => world.cancel(tasks[pick % tasks.len()]),
            Move::Cancel { .. } => Vec::new(),
            Move::Operate { board, operation } => world.operate(&players[board].board, operation),
            Move::Hello { board } => world.hello(&mut players[board].board),
            Move::Beat { board } => world.beat(&mut players[board].board),
            Move::Gone { board } => world.gone(&players[board].board),
            Move::Restart { board } => {
                let board = &mut players[board].board;
                (board.boot, board.link) = (board.boot.next(), 0);
                world.hello(board)
            }
            Move::NewDatabase { board } => {
                players[board].forget_everything();
                world.hello(&mut players[board].board)
            }
            Move::Report { board, pick, what } => {
                let Player { board, told } = &mut players[board];
                if !told.is_empty() {
                    world.report(board, told[pick % told.len()].assignment, event(what));
                }
                Vec::new()
            }
            Move::Repeat { board } => self.repeat(board),
            Move::Pass { milliseconds } => world.pass(milliseconds),
            Move::LoseEffects => {
                world.pass(10);
                Vec::new()
            }
            Move::RestartCore => {
                world.restart();
                Vec::new()
            }
        }
    }

    fn submit(&mut self, one: &Move) -> Vec<Effect> {
        let &Move::Submit { cpu_millis, lost_after_s, replace, deadline_s } = one else {
            return Vec::new();
        };
        let spec = TaskSpec {
            needs: shared::capacity::Resources { cpu_millis, ..Default::default() },
            retry: Retry { attempts_max: 2, delay_s: 1, delay_s_max: 5 },
            disconnect: Disconnect { lost_after_s, replace, ..Disconnect::default() },
            deadline_s,
            ..noop()
        };
        let mut spec = spec;
        spec.place.spread = match cpu_millis % 5 {
            0 => vec![kept_apart(1, Together::Per(Per::Agent))],
            1 => vec![kept_apart(2, Together::WithinM(500.0))],
            _ => Vec::new(),
        };
        let (task, effects) = self.world.submit(spec);
        self.tasks.push(task);
        effects
    }

    /// Everything unacknowledged once more, and an entry out of nowhere.
    fn repeat(&mut self, board: usize) -> Vec<Effect> {
        let board = &mut self.players[board].board;
        let nowhere = AssignmentId {
            task: shared::id::TaskId(uuid::Uuid::from_u128(5)),
            attempt: shared::id::Attempt(9),
        };
        let message = board.queue(nowhere, shared::time::Timestamp(0), ReportEvent::Started);
        self.world.say(board, message.clone());
        self.world.say(board, message)
    }
}

impl Player {
    fn forget_everything(&mut self) {
        let Self { board, told } = self;
        let fresh = board.incarnation.0.as_u128() + 1;
        board.incarnation = Incarnation(uuid::Uuid::from_u128(fresh));
        (board.boot, board.link, board.applied) = (Boot(1), 0, Revision(0));
        (board.seq, board.acked) = (Sequence(0), Sequence(0));
        board.outbox.clear();
        told.clear();
    }
}

/// Every board comes back and does whatever it is told; then everything must settle.
fn finish(world: &mut World) {
    let mut players: Vec<Board> = (0..2).map(|n| Board::new(&format!("fresh-{n}"))).collect();
    for board in &mut players {
        board.facts.tasks_max = 1_000;
        board.facts.capacity.cpu_millis = 1_000_000;
    }
    let mut effects = Vec::new();
    for board in &mut players {
        effects.extend(world.hello(board));
    }
    for _ in 0..400 {
        effects.extend(world.pass(1_000));
        let batch = std::mem::take(&mut effects);
        for board in &mut players {
            for row in board.apply(&batch) {
                let end = match row.want {
                    Want::Run(_) => End::Exited { code: 0 },
                    Want::Stop { reason } => End::Stopped { reason },
                };
                let at = shared::time::Timestamp(world.wall);
                let message = board.queue(row.assignment, at, finished(end));
                effects.extend(world.say(board, message));
            }
            effects.extend(world.beat(board));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn everything_settles_exactly_once_in_the_end(moves in moves()) {
        // The world checks the invariants after every step, and its store refuses a second outcome.
        let mut world = play(&moves);
        finish(&mut world);
        for row in world.maps.tasks.values() {
            let status = row.life.state.status();
            prop_assert!(
                matches!(
                    status,
                    TaskStatus::Succeeded | TaskStatus::Failed | TaskStatus::Canceled
                ),
                "{} is still {:?}", row.id, row.life
            );
        }
    }

    #[test]
    fn the_same_happenings_give_the_same_bytes(moves in moves()) {
        let (one, other) = (play(&moves), play(&moves));
        prop_assert!(one.trace == other.trace);
    }

    #[test]
    fn a_restarted_core_knows_what_the_old_one_knew(moves in moves()) {
        let mut world = play(&moves);
        let before: Vec<_> = world.maps.stored().tasks;
        let used: Vec<_> = world.cloud.fleet().iter().map(|a| (a.id.clone(), a.used.clone())).collect();
        world.restart();
        prop_assert_eq!(before.len(), world.maps.stored().tasks.len());
        let after: Vec<_> = world.cloud.fleet().iter().map(|a| (a.id.clone(), a.used.clone())).collect();
        prop_assert_eq!(used, after);
    }
}
