//! Agents that fall silent, come back, come back as somebody else, or were lost for good.

mod common;

use cloud_core_logic::change::Credential;
use cloud_core_logic::{Effect, Input};
use common::{Board, CORE, World, attempt, finished, leased, noop};
use shared::api::AgentStatus;
use shared::assignment::AssignmentStatus;
use shared::id::{Attempt, Boot, CoreId, Incarnation, Revision, Sequence, Session, TaskId};
use shared::report::{End, Finish, Output, ReportEvent, StopReason};
use shared::spec::{Disconnect, TaskSpec};
use shared::task::{FailureReason, TaskState, TaskStatus};
use shared::wire::downlink::{RefusedBecause, Want};
use shared::wire::uplink::Join;
use shared::wire::{Downlink, Uplink};
use uuid::Uuid;

fn patient(lost_after_s: u64, replace: bool) -> TaskSpec {
    TaskSpec { disconnect: Disconnect { lost_after_s, replace, ..Disconnect::default() }, ..noop() }
}

/// Two agents, and a task that runs on the first.
fn running_on_a(spec: TaskSpec) -> (World, Board, Board, TaskId) {
    let mut world = World::new();
    let (mut a, mut b) = (Board::new("a"), Board::new("b"));
    world.hello(&mut a);
    let (task, effects) = world.submit(spec);
    a.apply(&effects);
    world.report(&mut a, attempt(task, 1), ReportEvent::Accepted);
    world.report(&mut a, attempt(task, 1), ReportEvent::Started);
    world.hello(&mut b);
    (world, a, b, task)
}

fn status(world: &World, task: TaskId, number: u32) -> AssignmentStatus {
    world.maps.assignments[&attempt(task, number)].state.status()
}

fn agent_status(world: &World, board: &Board) -> AgentStatus {
    world.cloud.fleet().get(&board.id).expect("known").status
}

fn wait(world: &mut World, seconds: u64, alive: &mut [&mut Board]) -> Vec<Effect> {
    let mut effects = Vec::new();
    for _ in 0..seconds {
        effects.extend(world.pass(1_000));
        for board in alive.iter_mut() {
            effects.extend(world.beat(board));
        }
    }
    effects
}

#[test]
fn a_short_silence_costs_nothing() {
    let (mut world, mut a, _, task) = running_on_a(patient(60, true));
    world.gone(&a);
    assert_eq!(status(&world, task, 1), AssignmentStatus::Unknown);
    assert_eq!(world.state(task).status(), TaskStatus::Running);
    world.hello(&mut a);
    assert_eq!(status(&world, task, 1), AssignmentStatus::Running);
    wait(&mut world, 120, &mut [&mut a]);
    assert_eq!(world.task(task).life.attempt, Attempt(1));
    world.report(&mut a, attempt(task, 1), finished(End::Exited { code: 0 }));
    assert_eq!(world.state(task).status(), TaskStatus::Succeeded);
}

#[test]
fn a_late_ping_of_a_silent_agent_puts_off_its_silence_and_no_more() {
    let (mut world, a, _, _) = running_on_a(patient(600, true));
    wait(&mut world, 5, &mut []);
    assert_eq!(agent_status(&world, &a), AgentStatus::Offline);
    let session = a.session;
    world.say(&a, Uplink::Ping { nonce: 1, session });
    assert_eq!(agent_status(&world, &a), AgentStatus::Suspect);
    wait(&mut world, 5, &mut []);
    assert_eq!(agent_status(&world, &a), AgentStatus::Offline);
    // One that cannot be heard may join again.
    let join = Join { nonce: "2".repeat(64), incarnation: a.incarnation };
    let credential = Credential { password_hash: "2".repeat(64), seal_key: "2".repeat(64) };
    let effects = world.step(Input::Join { agent: a.id.clone(), join, credential });
    assert!(matches!(&effects[0], Effect::AnswerJoin { message: Downlink::Joined, .. }));
}

#[test]
fn a_silent_agent_is_suspect_then_offline_and_its_work_is_done_elsewhere() {
    let (mut world, mut a, mut b, task) = running_on_a(patient(10, true));
    wait(&mut world, 2, &mut [&mut b]);
    assert_eq!(agent_status(&world, &a), AgentStatus::Suspect);
    wait(&mut world, 2, &mut [&mut b]);
    assert_eq!(agent_status(&world, &a), AgentStatus::Offline);
    assert_eq!(status(&world, task, 1), AssignmentStatus::Unknown);
    let effects = wait(&mut world, 7, &mut [&mut b]);
    assert_eq!(status(&world, task, 1), AssignmentStatus::Lost);
    assert_eq!(b.apply(&effects)[0].assignment, attempt(task, 2));
    // The first copy comes back with a result: fenced, kept, and told to stop.
    let effects = world.hello(&mut a);
    let rows = a.apply(&effects);
    assert_eq!(rows[0].want, Want::Stop { reason: StopReason::Superseded });
    world.report(&mut a, attempt(task, 1), finished(End::Exited { code: 0 }));
    assert_eq!(world.state(task).status(), TaskStatus::Assigned);
    assert_eq!(world.maps.late.len(), 1);
    world.report(&mut b, attempt(task, 2), finished(End::Exited { code: 0 }));
    assert_eq!(world.state(task).status(), TaskStatus::Succeeded);
}

#[test]
fn a_lost_task_that_may_not_be_replaced_fails() {
    let (mut world, _, mut b, task) = running_on_a(patient(10, false));
    wait(&mut world, 20, &mut [&mut b]);
    let TaskState::Settled { outcome } = world.state(task) else { panic!("settled") };
    assert_eq!(outcome.verdict.reason(), Some(FailureReason::Lost));
}

#[test]
fn an_exclusive_task_is_never_replaced_while_its_agent_may_still_run_it() {
    let (mut world, mut a, mut b, task) =
        running_on_a(TaskSpec { exclusive: true, ..patient(10, true) });
    // Silent since it was last heard, it is offline long before its lease is over.
    let over_ms = world.settings.lease_over_ms(10);
    wait(&mut world, over_ms / 1_000 - 5, &mut [&mut b]);
    assert_eq!(world.task(task).life.attempt, Attempt(1));
    assert_eq!(status(&world, task, 1), AssignmentStatus::Unknown);
    // Heard again in time, it goes on where it is.
    let mut back = World { cloud: world.cloud, ..world };
    back.hello(&mut a);
    back.report(&mut a, attempt(task, 1), finished(End::Exited { code: 0 }));
    assert_eq!(back.state(task).status(), TaskStatus::Succeeded);
}

#[test]
fn an_exclusive_task_is_replaced_when_its_lease_is_over_and_the_old_copy_is_fenced() {
    let (mut world, mut a, mut b, task) =
        running_on_a(TaskSpec { exclusive: true, ..patient(10, true) });
    let over_ms = world.settings.lease_over_ms(10);
    wait(&mut world, over_ms / 1_000 + 10, &mut [&mut b]);
    assert_eq!(status(&world, task, 1), AssignmentStatus::Lost);
    assert_eq!(world.maps.assignments[&attempt(task, 2)].agent, b.id);
    // However its agent comes back, its copy is not taken for the task any more.
    world.hello(&mut a);
    world.report(&mut a, attempt(task, 1), finished(End::Exited { code: 0 }));
    assert_eq!(world.state(task).status(), TaskStatus::Assigned);
    assert_eq!(world.maps.late.len(), 1);
}

#[test]
fn a_copy_that_says_that_an_exclusive_task_is_gone_is_not_believed_before_its_lease_is_over() {
    let unseen = |end: End| {
        ReportEvent::Finished(Box::new(Finish {
            end,
            started_at: None,
            ran_ms: None,
            output: Output::default(),
        }))
    };
    let vanished = unseen(End::Vanished { message: String::new() });
    let stopped = unseen(End::Stopped { reason: StopReason::Disconnected });
    for (copied, unseen) in [(true, &vanished), (false, &vanished), (true, &stopped)] {
        let (mut world, a, mut b, task) =
            running_on_a(TaskSpec { exclusive: true, ..patient(10, true) });
        wait(&mut world, 5, &mut [&mut b]);
        // Started once more than the original: it looks like a restart, on another board or not.
        let (boot, session, link) = (Boot(2), Session(7), 0);
        let board = if copied { 2 } else { a.board };
        let mut second = Board { boot, session, link, board, ..a.clone() };
        let hello = world.hello(&mut second);
        let welcomed =
            |effect: &Effect| matches!(effect, Effect::Send { message: Downlink::Welcome(_), .. });
        assert!(hello.iter().any(welcomed));
        // Until the original's lease is over, it gets none of its own.
        let ping = shared::wire::Uplink::Ping { nonce: 1, session };
        assert_eq!(leased(&world.say(&second, ping.clone())), !copied);
        if copied {
            // A restart of the core forgets nothing of it.
            world.restart();
            world.hello(&mut second);
            assert!(!leased(&world.say(&second, ping.clone())));
        }
        world.report(&mut second, attempt(task, 1), unseen.clone());
        world.pass(1);
        let placed = world.maps.assignments.contains_key(&attempt(task, 2));
        assert_eq!(placed, !copied, "the original may run it on the other board");
        let over_s = world.settings.lease_over_ms(10) / 1_000;
        wait(&mut world, over_s + 2, &mut [&mut b, &mut second]);
        assert!(world.maps.assignments.contains_key(&attempt(task, 2)));
        assert!(leased(&world.say(&second, ping)));
    }
}

#[test]
fn a_process_that_another_took_the_place_of_is_not_listened_to() {
    let (mut world, mut a, _, task) = running_on_a(patient(60, true));
    let mut second = Board { boot: Boot(2), session: Session(7), link: 0, ..a.clone() };
    world.hello(&mut second);
    world.report(&mut a, attempt(task, 1), finished(End::Exited { code: 0 }));
    assert_eq!(world.state(task).status(), TaskStatus::Running);
    world.report(&mut second, attempt(task, 1), finished(End::Exited { code: 0 }));
    assert_eq!(world.state(task).status(), TaskStatus::Succeeded);
}

#[test]
fn an_answered_ping_renews_the_lease_and_a_strangers_does_not() {
    let (mut world, a, mut b, task) =
        running_on_a(TaskSpec { exclusive: true, ..patient(10, true) });
    let over_s = world.settings.lease_over_ms(10) / 1_000;
    wait(&mut world, over_s - 5, &mut [&mut b]);
    let ping = |session| shared::wire::Uplink::Ping { nonce: 1, session };
    let answered = |effects: &[Effect]| {
        let pong =
            |effect: &Effect| matches!(effect, Effect::Send { message: Downlink::Pong { .. }, .. });
        effects.iter().any(pong)
    };
    let effects = world.say(&a, ping(shared::id::Session(a.session.0 + 1)));
    assert!(!answered(&effects), "another process of the same name");
    let effects = world.say(&a, ping(a.session));
    assert!(answered(&effects));
    wait(&mut world, over_s - 5, &mut [&mut b]);
    assert_eq!(world.task(task).life.attempt, Attempt(1), "renewed, so not over");
    wait(&mut world, 20, &mut [&mut b]);
    assert_eq!(world.task(task).life.attempt, Attempt(2));
}

#[test]
fn a_task_that_is_lost_again_and_again_does_not_work_its_way_through_the_fleet() {
    let mut world = World::new();
    let (task, _) = world.submit(patient(0, true));
    for number in 1..=world.settings.losses_max + 1 {
        let mut board = Board::new(&format!("board-{number}"));
        let mut effects = world.hello(&mut board);
        effects.extend(world.pass(0));
        assert_eq!(board.apply(&effects).len(), 1);
        world.gone(&board);
        world.pass(0);
    }
    let TaskState::Settled { outcome } = world.state(task) else { panic!("settled") };
    assert_eq!(outcome.verdict.reason(), Some(FailureReason::Lost));
}

#[test]
fn a_new_database_under_an_old_id_means_that_its_work_is_gone() {
    let (mut world, mut a, mut b, task) = running_on_a(patient(3_600, true));
    let mut new = Board { incarnation: Incarnation(uuid::Uuid::from_u128(99)), ..a.clone() };
    (new.boot, new.link, new.applied) = (Boot(1), 0, Revision(0));
    (new.seq, new.acked) = (Sequence(0), Sequence(0));
    // While the old one is heard, the newcomer is an impostor.
    let effects = world.hello(&mut new);
    let refused = effects.iter().any(|effect| match effect {
        Effect::Send { message: Downlink::Refused(refusal), .. } => {
            refusal.reason == RefusedBecause::IdInUse
        }
        _ => false,
    });
    assert!(refused, "{effects:?}");
    assert_eq!(status(&world, task, 1), AssignmentStatus::Running);
    world.gone(&a);
    let effects = world.hello(&mut new);
    assert_eq!(status(&world, task, 1), AssignmentStatus::Lost);
    assert!(new.apply(&effects).iter().all(|row| row.assignment != attempt(task, 1)));
    let placed = b.apply(&effects).len() + new.apply(&effects).len();
    let second = world.maps.assignments.contains_key(&attempt(task, 2));
    assert!(second, "attempt 2 was made, {placed} rows");
    // What the old database still says is not believed, and it does not come back.
    let effects = world.hello(&mut a.clone());
    let refused = effects.iter().any(|effect| match effect {
        Effect::Send { message: Downlink::Refused(refusal), .. } => {
            refusal.reason == RefusedBecause::OlderDatabase
        }
        _ => false,
    });
    assert!(refused, "{effects:?}");
    let message =
        a.queue(attempt(task, 1), shared::time::Timestamp(0), finished(End::Exited { code: 0 }));
    world.say(&a, message);
    assert_eq!(world.state(task).status(), TaskStatus::Assigned);
}

#[test]
fn while_the_core_is_cut_off_silence_says_nothing() {
    let (mut world, mut a, _, task) = running_on_a(patient(1, true));
    world.step(cloud_core_logic::Input::Broker { up: false });
    wait(&mut world, 600, &mut []);
    assert_eq!(agent_status(&world, &a), AgentStatus::Online);
    world.step(cloud_core_logic::Input::Broker { up: true });
    world.beat(&mut a);
    wait(&mut world, 1, &mut []);
    assert_eq!(status(&world, task, 1), AssignmentStatus::Running);
}

#[test]
fn a_stale_will_takes_nobody_down() {
    let (mut world, mut a, _, _) = running_on_a(patient(0, true));
    let before = a.clone();
    world.hello(&mut a);
    world.gone(&before);
    assert_eq!(agent_status(&world, &a), AgentStatus::Online);
}

#[test]
fn a_restarted_core_goes_on_where_it_stopped() {
    let (mut world, mut a, _, task) = running_on_a(patient(60, true));
    let (waiting, _) = world.submit(TaskSpec {
        needs: shared::capacity::Resources { cpu_millis: 1 << 30, ..Default::default() },
        ..noop()
    });
    world.restart();
    assert_eq!(world.state(waiting).status(), TaskStatus::Pending);
    // The agent never noticed: it goes on with heartbeats and is asked who it is.
    let effects = world.beat(&mut a);
    assert!(matches!(effects[..], [Effect::Send { message: Downlink::WhoIsThere, .. }]));
    world.hello(&mut a);
    assert_eq!(agent_status(&world, &a), AgentStatus::Online);
    world.report(&mut a, attempt(task, 1), finished(End::Exited { code: 0 }));
    assert_eq!(world.state(task).status(), TaskStatus::Succeeded);
    assert!(world.cloud.fleet().get(&a.id).expect("a").used.is_zero());
}

#[test]
fn an_agent_that_lost_an_assignment_it_was_told_of_loses_it_here_too() {
    let (mut world, a, mut b, task) = running_on_a(patient(3_600, true));
    world.gone(&a);
    let mut amnesiac = Board { forgetful: true, ..a };
    let effects = world.hello(&mut amnesiac);
    assert_eq!(status(&world, task, 1), AssignmentStatus::Lost);
    b.apply(&effects);
}

#[test]
fn a_late_word_of_an_older_attempt_on_the_same_agent_changes_nothing() {
    let mut world = World::new();
    let mut a = Board::new("a");
    world.hello(&mut a);
    let (task, effects) = world.submit(patient(0, true));
    a.apply(&effects);
    world.report(&mut a, attempt(task, 1), ReportEvent::Accepted);
    world.gone(&a);
    world.pass(0);
    assert_eq!(status(&world, task, 1), AssignmentStatus::Lost);
    // It is gone there, by its agent's word, so another is made.
    a.forgetful = true;
    world.hello(&mut a);
    a.forgetful = false;
    let effects = wait(&mut world, 3, &mut [&mut a]);
    a.apply(&effects);
    assert_eq!(status(&world, task, 2), AssignmentStatus::Offered);
    world.report(&mut a, attempt(task, 1), finished(End::Exited { code: 0 }));
    assert_eq!(status(&world, task, 2), AssignmentStatus::Offered);
    assert_eq!(world.state(task).status(), TaskStatus::Assigned);
    assert_eq!(world.maps.late.len(), 1);
}

#[test]
fn of_two_starts_with_one_number_one_has_a_copied_database() {
    let mut world = World::new();
    let mut a = Board::new("a");
    world.hello(&mut a);
    let mut copy = Board { session: Session(9), link: 0, ..a.clone() };
    for gone in [false, true] {
        if gone {
            world.gone(&a);
        }
        let effects = world.hello(&mut copy);
        let [Effect::Send { message: Downlink::Refused(refusal), .. }] = &effects[..] else {
            panic!("{effects:?}")
        };
        assert_eq!(refusal.reason, RefusedBecause::Cloned);
        assert_eq!(refusal.session, Some(Session(9)));
        assert!(refusal.detail.contains("remove the data"), "{}", refusal.detail);
    }
    // A restart of the first is none.
    let mut again = Board { session: Session(3), boot: Boot(2), link: 0, ..a };
    world.hello(&mut again);
    assert_eq!(agent_status(&world, &again), AgentStatus::Suspect);
}

#[test]
fn a_database_put_back_to_an_earlier_state_is_told_so() {
    let mut world = World::new();
    let mut a = Board::new("a");
    let older = a.clone();
    a.boot = Boot(5);
    world.hello(&mut a);
    // While the other is heard, one of the two is a copy; the answer names the process it means.
    let mut older = Board { session: Session(2), ..older };
    let effects = world.hello(&mut older);
    let [Effect::Send { message: Downlink::Refused(refusal), .. }] = &effects[..] else {
        panic!("{effects:?}")
    };
    assert_eq!(refusal.reason, RefusedBecause::Cloned);
    assert_eq!(refusal.session, Some(Session(2)));
    world.gone(&a);
    let mut copy = older;
    let effects = world.hello(&mut copy);
    let [Effect::Send { message: Downlink::Refused(refusal), .. }] = &effects[..] else {
        panic!("{effects:?}")
    };
    assert_eq!(refusal.reason, RefusedBecause::OlderDatabase);
    assert_eq!(agent_status(&world, &a), AgentStatus::Offline);
}

#[test]
fn an_agent_that_has_deleted_more_than_the_core_knows_is_asked_who_it_is() {
    let (mut world, mut a, _, task) = running_on_a(patient(60, true));
    a.acked = Sequence(a.acked.0 + 5);
    a.seq = a.acked;
    assert!(asks_who_is_there(&world.beat(&mut a)));
    let effects = world.hello(&mut a);
    // It is told how far the core is, and tells the rest again.
    let told = effects.iter().find_map(|effect| match effect {
        Effect::Send { message: Downlink::Welcome(welcome), .. } => Some(welcome.acked_seq),
        _ => None,
    });
    a.acked = told.expect("a welcome");
    assert_eq!(a.acked, Sequence(2));
    world.report(&mut a, attempt(task, 1), finished(End::Exited { code: 0 }));
    assert_eq!(world.state(task).status(), TaskStatus::Succeeded);
}

#[test]
fn an_agent_of_which_only_a_late_hello_is_known_is_asked_who_it_is() {
    // A late hello is all that this core knows of it.
    let (mut world, mut a, _, _) = running_on_a(patient(60, true));
    assert!(!asks_who_is_there(&world.beat(&mut a)));
    a.core = None;
    assert!(asks_who_is_there(&world.beat(&mut a)));
    a.core = Some(CoreId(Uuid::from_u128(2)));
    assert!(asks_who_is_there(&world.beat(&mut a)));
    // A newer hello of the same connection never came.
    (a.core, a.hello) = (Some(CORE), a.hello + 1);
    assert!(asks_who_is_there(&world.beat(&mut a)));
    world.hello(&mut a);
    assert!(!asks_who_is_there(&world.beat(&mut a)));
}

fn asks_who_is_there(effects: &[Effect]) -> bool {
    let asks =
        |effect: &Effect| matches!(effect, Effect::Send { message: Downlink::WhoIsThere, .. });
    effects.iter().any(asks)
}
