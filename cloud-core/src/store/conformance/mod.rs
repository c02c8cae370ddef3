//! What every store must do, whichever way it keeps things. A new store passes [`conformance`]
//! and [`random::alike`] against the one in memory before anybody uses it.

pub mod events;
mod history;
mod listing;
pub mod logs;
pub mod random;
pub mod sample;
pub mod schedules;

use cloud_core_logic::change::{Change, Stored};
use cloud_core_logic::placement::Policy;
use shared::assignment::{AssignmentState, Ending};
use shared::id::{Attempt, Revision, Sequence, TaskId};
use shared::mailbox::Inbox;
use shared::report::RefusalReason;
use shared::task::TaskStatus;
use shared::time::Timestamp;

use super::{LATE_REPORTS_MAX, POLICIES_MAX, Reader, Store, StoreError, TaskFilter};
use sample::{
    CORE, added, agent_id, agent_row, assigned, assignment_put, assignment_row, credential,
    history as told, moved, queued, settled, task_id, task_row, wanted,
};

/// Runs every check, each against a fresh store of the core [`CORE`].
///
/// # Panics
/// When the store does not pass.
pub fn conformance(make: impl Fn() -> Box<dyn Store>) {
    a_new_store_is_empty(&mut *make());
    what_is_committed_is_loaded(&mut *make());
    settled_tasks_leave_the_working_set_and_stay_readable(&mut *make());
    an_outcome_is_written_once(&mut *make());
    a_batch_is_kept_whole_or_not_at_all(&mut *make());
    what_contradicts_the_store_is_refused(&mut *make());
    listing::a_task_is_found_by_its_key(&mut *make());
    listing::a_list_goes_newest_first_page_by_page(&mut *make());
    listing::a_list_is_filtered(&mut *make());
    listing::a_cursor_from_elsewhere_is_refused(&mut *make());
    late_reports_are_kept_once_and_bounded(&mut *make());
    desired_state_is_one_row_per_assignment(&mut *make());
    counters_of_any_size_survive(&mut *make());
    odd_texts_survive(&mut *make());
    an_explanation_knows_who_refused(&mut *make());
    what_is_told_of_an_unknown_task_is_there_to_be_asked_for(&mut *make());
    a_store_that_is_no_backup_recovers_from_nothing(&mut *make());
    the_policy_that_was_put_last_is_loaded(&mut *make());
    the_latest_policies_are_kept_by_version(&mut *make());
    events::every_event_is_told_once_in_order(&mut *make());
    events::an_event_is_there_exactly_when_its_change_is(&mut *make());
    events::what_was_taken_away_is_told_as_a_gap(&mut *make());
    events::a_number_that_was_never_given_is_told_as_a_gap(&mut *make());
    logs::a_log_is_taken_once_however_often_it_comes(&mut *make());
    logs::a_log_is_taken_from_its_own_agent_only(&mut *make());
    logs::of_one_task_the_oldest_goes_first(&mut *make());
    logs::of_all_logs_the_oldest_goes_first(&mut *make());
    logs::old_logs_go_in_small_steps(&mut *make());
    logs::a_long_log_is_read_part_by_part_in_both_directions(&mut *make());
    history::what_is_settled_goes_whole_when_it_is_old(&mut *make());
    history::what_is_too_much_goes_oldest_first(&mut *make());
    history::what_runs_long_does_not_keep_what_came_after_it(&mut *make());
    history::a_key_outlives_its_task_and_is_free_after_its_time(&mut *make());
    history::of_too_many_keys_the_oldest_go_first(&mut *make());
    history::a_list_goes_on_while_tasks_come_and_go(&mut *make());
    history::what_is_gone_does_not_come_back(&mut *make());
    history::what_was_told_of_nothing_that_is_here_goes_when_it_is_old(&mut *make());
    schedules::a_schedule_is_found_by_its_name_and_moves_on(&mut *make());
    schedules::firings_go_latest_first_page_by_page(&mut *make());
    schedules::old_firings_go_and_those_that_wait_stay(&mut *make());
    schedules::tasks_are_found_by_the_schedule_that_made_them(&mut *make());
}

fn commit(store: &mut dyn Store, changes: &[Change]) {
    store.commit(changes).expect("commit");
}

fn refused(store: &mut dyn Store, changes: &[Change]) {
    let before = store.load().expect("load");
    let error = store.commit(changes).expect_err("refused");
    assert!(matches!(error, StoreError::Contradiction { .. }), "{error}");
    assert!(error.is_permanent());
    assert_eq!(store.load().expect("load"), before, "a refused commit left something");
}

fn ids(reader: &dyn Reader, filter: &TaskFilter) -> Vec<TaskId> {
    let page = reader.tasks(filter, 100, None).expect("list");
    assert_eq!(page.next_cursor, None);
    page.items.iter().map(|item| item.id).collect()
}

fn the_latest_policies_are_kept_by_version(store: &mut dyn Store) {
    let policy = |version| Policy { version, distance_m_ref: version as f64, ..Policy::default() };
    let reader = store.reader();
    assert_eq!(reader.policy(1).expect("read"), None);
    let count = POLICIES_MAX as u64 + 7;
    for version in 1..=count {
        commit(store, &[Change::PolicyPut(Box::new(policy(version)))]);
        let kept = |version| reader.policy(version).expect("read").is_some();
        assert_eq!((kept(version), kept(version + 1)), (true, false));
    }
    for version in 1..=count {
        let kept = (version > count - POLICIES_MAX as u64).then(|| policy(version));
        assert_eq!(reader.policy(version).expect("read"), kept);
    }
    // Put once more, as the one before the next is.
    commit(store, &[Change::PolicyPut(Box::new(policy(count)))]);
    assert_eq!(reader.policy(count).expect("read"), Some(policy(count)));
    assert_eq!(store.load().expect("load").policy, Some(policy(count)));
}

fn the_policy_that_was_put_last_is_loaded(store: &mut dyn Store) {
    for version in [2, 3] {
        let policy = Policy { version, distance_m_ref: 0.1, ..Policy::default() };
        commit(store, &[Change::PolicyPut(Box::new(policy.clone()))]);
        assert_eq!(store.load().expect("load").policy, Some(policy));
    }
    let lost = Policy { version: 4, ..Policy::default() };
    commit(store, &[added(&task_row(1))]);
    refused(store, &[Change::PolicyPut(Box::new(lost)), added(&task_row(1))]);
}

fn a_new_store_is_empty(store: &mut dyn Store) {
    assert_eq!(store.load().expect("load"), Stored::empty(CORE));
    commit(store, &[]);
    let reader = store.reader();
    assert!(ids(&*reader, &TaskFilter::default()).is_empty());
    assert_eq!(reader.task(task_id(1)).expect("read"), None);
    assert_eq!(reader.placement_input(task_id(1)).expect("read"), None);
    assert_eq!(reader.task_by_key("k").expect("read"), None);
}

fn what_is_committed_is_loaded(store: &mut dyn Store) {
    let task = task_row(1);
    let agent = agent_row("a");
    let first = assignment_row(1, 1, "a");
    let second = assignment_row(1, 2, "a");
    let row = wanted(1, 2, 9);
    commit(
        store,
        &[
            added(&task),
            Change::AgentPut(Box::new(agent.clone())),
            Change::CredentialPut { agent: agent_id("b"), credential: credential(1) },
            assignment_put(&first),
            assignment_put(&second),
            moved(1, assigned(2, "a")),
        ],
    );
    // A second batch changes what the first one wrote.
    let inbox = Inbox { acked: Sequence(8), ..agent.inbox };
    commit(
        store,
        &[
            Change::WantedPut { agent: agent_id("a"), row },
            Change::InboxMoved { agent: agent_id("a"), inbox },
            Change::CredentialPut { agent: agent_id("b"), credential: credential(2) },
            Change::CredentialPut { agent: agent_id("c"), credential: credential(3) },
            Change::CredentialRemoved { agent: agent_id("c") },
            Change::CredentialRemoved { agent: agent_id("never") },
        ],
    );
    let mut expected = Stored::empty(CORE);
    expected.tasks = vec![cloud_core_logic::change::TaskRow { life: assigned(2, "a"), ..task }];
    // The earlier one is not over either: it was given up, and may come back.
    expected.assignments = vec![first, second];
    expected.agents =
        vec![cloud_core_logic::change::AgentRow { inbox, desired_rev: Revision(9), ..agent }];
    expected.credentials = vec![(agent_id("b"), credential(2))];
    expected.wanted = vec![(agent_id("a"), row)];
    assert_eq!(store.load().expect("load"), expected);
}

fn settled_tasks_leave_the_working_set_and_stay_readable(store: &mut dyn Store) {
    let first = assignment_row(2, 1, "a");
    commit(store, &[added(&task_row(1)), added(&task_row(2)), assignment_put(&first)]);
    commit(store, &[moved(2, settled(1, "a", 7))]);
    let stored = store.load().expect("load");
    assert_eq!(stored.tasks.iter().map(|task| task.id).collect::<Vec<_>>(), [task_id(1)]);
    assert!(stored.assignments.is_empty());
    let task = store.reader().task(task_id(2)).expect("read").expect("there");
    assert_eq!(task.summary.status, TaskStatus::Failed);
    let outcome = task.outcome.expect("an outcome");
    assert_eq!((outcome.exit_code, outcome.agent), (Some(7), Some(agent_id("a"))));
    assert_eq!(task.assignments.len(), 1);
}

fn an_outcome_is_written_once(store: &mut dyn Store) {
    commit(store, &[added(&task_row(1)), moved(1, settled(1, "a", 0))]);
    let before = store.reader().task(task_id(1)).expect("read");
    refused(store, &[moved(1, settled(1, "a", 9))]);
    refused(store, &[moved(1, queued())]);
    refused(store, &[added(&task_row(2)), moved(2, settled(1, "a", 0)), moved(2, queued())]);
    assert_eq!(store.reader().task(task_id(1)).expect("read"), before);
    assert_eq!(store.reader().task(task_id(2)).expect("read"), None);
}

fn a_batch_is_kept_whole_or_not_at_all(store: &mut dyn Store) {
    commit(
        store,
        &[
            added(&task_row(1)),
            Change::AgentPut(Box::new(agent_row("a"))),
            Change::WantedPut { agent: agent_id("a"), row: wanted(1, 1, 1) },
        ],
    );
    let assignment = sample::assignment_id(1, 1);
    let batch = [
        added(&task_row(2)),
        moved(1, assigned(1, "a")),
        assignment_put(&assignment_row(1, 1, "a")),
        Change::AgentPut(Box::new(agent_row("b"))),
        Change::CredentialPut { agent: agent_id("b"), credential: credential(1) },
        Change::WantedPut { agent: agent_id("a"), row: wanted(1, 2, 2) },
        Change::WantedRemoved { agent: agent_id("a"), assignment },
        Change::LateReport { task: task_id(1), entry: Box::new(told("a", 1, 3)) },
        moved(99, queued()),
    ];
    refused(store, &batch);
    let reader = store.reader();
    assert_eq!(reader.task(task_id(2)).expect("read"), None);
    let first = reader.task(task_id(1)).expect("read").expect("there");
    assert!(first.late_reports.is_empty() && first.assignments.is_empty());
    assert_eq!(ids(&*reader, &TaskFilter::default()), [task_id(1)]);
    // The same without what was wrong goes through: nothing of the first try is in the way.
    commit(store, &batch[..batch.len() - 1]);
    assert_eq!(reader.task(task_id(1)).expect("read").expect("there").late_reports.len(), 1);
}

fn what_contradicts_the_store_is_refused(store: &mut dyn Store) {
    let mut keyed = task_row(1);
    keyed.key = sample::key("k");
    commit(store, &[added(&keyed)]);
    let agent = agent_id("nobody");
    let inbox = agent_row("a").inbox;
    let mut same_key = task_row(2);
    same_key.key = sample::key("k");
    refused(store, &[added(&task_row(1))]);
    refused(store, &[added(&same_key)]);
    refused(store, &[moved(3, queued())]);
    refused(store, &[assignment_put(&assignment_row(3, 1, "a"))]);
    refused(store, &[Change::InboxMoved { agent: agent.clone(), inbox }]);
    refused(store, &[Change::WantedPut { agent, row: wanted(1, 1, 1) }]);
    // To take away what is not there is no contradiction: it is not there, as was wanted.
    let assignment = sample::assignment_id(1, 1);
    commit(store, &[Change::WantedRemoved { agent: agent_id("nobody"), assignment }]);
}

fn late_reports_are_kept_once_and_bounded(store: &mut dyn Store) {
    commit(store, &[added(&task_row(1))]);
    let late = |task, agent: &str, attempt, code| Change::LateReport {
        task: task_id(task),
        entry: Box::new(told(agent, attempt, code)),
    };
    // Also of a task that this store has never heard of.
    commit(store, &[late(1, "a", 1, 0), late(1, "a", 1, 0), late(404, "a", 1, 0)]);
    commit(
        store,
        &[late(1, "a", 1, 0), late(1, "b", 1, 0), late(1, "a", 2, 0), late(1, "a", 1, 9)],
    );
    let kept = store.reader().task(task_id(1)).expect("read").expect("there").late_reports;
    let expected = [("a", 1, 0), ("b", 1, 0), ("a", 2, 0), ("a", 1, 9)];
    assert_eq!(kept, expected.map(|(agent, attempt, code)| told(agent, attempt, code)));
    let many: Vec<Change> =
        (0..2 * LATE_REPORTS_MAX).map(|code| late(1, "a", 1, 1_000 + code as i32)).collect();
    commit(store, &many);
    let kept = store.reader().task(task_id(1)).expect("read").expect("there").late_reports;
    assert_eq!(kept.len(), LATE_REPORTS_MAX);
    assert_eq!(kept[4], told("a", 1, 1_000), "the first ones stay");
}

fn desired_state_is_one_row_per_assignment(store: &mut dyn Store) {
    let agent = agent_id("a");
    let put = |row| Change::WantedPut { agent: agent_id("a"), row };
    let (first, second, first_again) = (wanted(1, 1, 1), wanted(2, 1, 2), wanted(1, 1, 3));
    commit(store, &[Change::AgentPut(Box::new(agent_row("a"))), put(first), put(second)]);
    commit(store, &[put(first_again)]);
    let stored = store.load().expect("load");
    assert_eq!(stored.wanted, [(agent.clone(), second), (agent.clone(), first_again)]);
    assert_eq!(stored.agents[0].desired_rev, Revision(3));
    let assignment = second.assignment;
    commit(store, &[Change::WantedRemoved { agent: agent.clone(), assignment }]);
    let stored = store.load().expect("load");
    assert_eq!(stored.wanted, [(agent, first_again)]);
    assert_eq!(stored.agents[0].desired_rev, Revision(3), "revisions are never given twice");
}

fn counters_of_any_size_survive(store: &mut dyn Store) {
    let mut agent = agent_row("a");
    agent.boot = shared::id::Boot(u64::MAX);
    agent.link = u64::MAX;
    agent.inbox.acked = Sequence(u64::MAX);
    agent.desired_rev = Revision(u64::MAX);
    let mut row = task_row(1);
    row.life.attempt = Attempt(u32::MAX);
    row.life.losses = u32::MAX;
    row.submitted_at = Timestamp(i64::MIN);
    row.deadline_at = Some(Timestamp(i64::MAX));
    commit(store, &[Change::AgentPut(Box::new(agent.clone())), added(&row)]);
    let stored = store.load().expect("load");
    assert_eq!((stored.agents, stored.tasks), (vec![agent.clone()], vec![row]));
    let rows = [u64::MAX, 1].map(|rev| wanted(u128::from(rev), 1, rev));
    let put = rows.map(|row| Change::WantedPut { agent: agent_id("a"), row });
    commit(store, &put);
    let loaded: Vec<_> =
        store.load().expect("load").wanted.into_iter().map(|(_, row)| row).collect();
    assert_eq!(loaded, [rows[1], rows[0]], "in the order of their revisions");
}

fn odd_texts_survive(store: &mut dyn Store) {
    let odd = "quote ' double \" nul \0 newline \n back\\slash ünï \u{1F300} %_;--";
    let mut row = task_row(1);
    let mut spec = (*row.spec).clone();
    spec.name = Some(odd.to_owned());
    spec.labels.insert(odd.to_owned(), odd.to_owned());
    row.spec = spec.into();
    row.key = sample::key(odd);
    commit(store, &[added(&row)]);
    assert_eq!(store.load().expect("load").tasks, [row]);
    let reader = store.reader();
    let filters = [
        TaskFilter { name: Some(odd.to_owned()), ..TaskFilter::default() },
        TaskFilter { label: Some((odd.to_owned(), Some(odd.to_owned()))), ..TaskFilter::default() },
    ];
    for filter in filters {
        assert_eq!(ids(&*reader, &filter), [task_id(1)], "{filter:?}");
    }
    assert_eq!(reader.task_by_key(odd).expect("read").map(|(id, _)| id), Some(task_id(1)));
}

fn an_explanation_knows_who_refused(store: &mut dyn Store) {
    let refused = |attempt, agent| {
        let ending =
            Ending::Refused { reason: RefusalReason::Busy, detail: "holds enough".to_owned() };
        let state = AssignmentState::Ended { at: Timestamp(9), ending };
        let row = assignment_row(1, attempt, agent);
        assignment_put(&cloud_core_logic::change::AssignmentRow { state, ..row })
    };
    commit(
        store,
        &[
            added(&task_row(1)),
            refused(1, "b"),
            assignment_put(&assignment_row(1, 2, "c")),
            refused(3, "a"),
            refused(4, "b"),
        ],
    );
    let input = store.reader().placement_input(task_id(1)).expect("read").expect("there");
    assert_eq!(input.refused_by, [agent_id("b"), agent_id("a")]);
    assert_eq!(Some(input.task), store.reader().task(task_id(1)).expect("read"));
}

fn what_is_told_of_an_unknown_task_is_there_to_be_asked_for(store: &mut dyn Store) {
    let entry = Box::new(told("a", 4, 0));
    commit(store, &[Change::LateReport { task: task_id(404), entry: entry.clone() }]);
    let reader = store.reader();
    assert_eq!(reader.late_reports(task_id(404)).expect("read"), [*entry]);
    assert!(reader.late_reports(task_id(1)).expect("read").is_empty());
    assert_eq!(reader.task(task_id(404)).expect("read"), None);
}

fn a_store_that_is_no_backup_recovers_from_nothing(store: &mut dyn Store) {
    assert!(!store.load().expect("load").recovering);
    commit(store, &[Change::Recovered]);
    assert_eq!(store.load().expect("load"), Stored::empty(CORE));
}
