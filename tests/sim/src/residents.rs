//! What agents do with the schedules that they hold, held against a look at every moment; and whether
//! what they fired arrives. A disk has an account of its own, which is copied and put back with it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloud_core_logic::Change as CoreChange;
use edge_agent_logic::Change;
use edge_agent_logic::change::AttemptRow;
use edge_agent_logic::resident::{ResidentRow, Standing};
use shared::id::{AgentId, AssignmentId, Incarnation, ScheduleId, Sequence, TaskId};
use shared::report::{NotFiredBecause, Report, ReportEvent};
use shared::schedule::{Overlap, Rules, Timetable, Window};
use shared::spec::Run;
use shared::time::Timestamp;
use shared::wire::downlink::{Order, ResidentSchedule};

use crate::coverage::Kind;
use crate::describe;
use crate::failure::{ensure, fail};
use crate::moments::{self, Due};
use crate::world::World;
use crate::zones::Bundled;

/// How far what is dealt with may be ahead of the clock before it goes back, in milliseconds.
const AHEAD_MS_MIN: u64 = 3_600_000;
/// How far ahead of its clock a core takes a moment, in milliseconds.
const TAKEN_AHEAD_MS: u64 = 3_000_000;

/// A board's clock when something was decided.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    pub wall: Timestamp,
    /// Whether it was believed; `None` if that changed meanwhile.
    pub trusted: Option<bool>,
}

/// A schedule that is held, as it is on disk.
#[derive(Debug, Clone)]
struct Held {
    hold: Arc<ResidentSchedule>,
    timetable: Timetable,
    standing: Standing,
    /// What the clock showed when this version was taken, if it was believed.
    since: Option<Timestamp>,
}

impl Held {
    fn name(&self) -> String {
        format!("{} version {}", self.hold.name, self.hold.version)
    }

    fn due(&self, wall: Timestamp) -> Due {
        let ResidentSchedule { missed, missed_max, catch_up_s, offset_ms, .. } = *self.hold;
        let rules = Rules { missed, missed_max, catch_up_s };
        moments::due(&self.timetable, rules, offset_ms, self.standing.through, wall)
    }
}

/// When a schedule that an agent holds fires, by the zones of the world and not by what was sent.
fn timetable(hold: &ResidentSchedule) -> Timetable {
    let window = Window {
        starts_at: hold.starts_at,
        ends_at: hold.ends_at,
        exclude_days: hold.exclude_days.clone(),
    };
    Timetable::new(&hold.trigger, &window, hold.created_at, &Bundled).unwrap_or_default()
}

/// A moment that an agent fired, as it will tell its core.
#[derive(Debug, Clone)]
pub struct Fired {
    task: TaskId,
    schedule: ScheduleId,
    version: u32,
    moment: Timestamp,
    run: Run,
}

/// An attempt that a schedule made on a board.
#[derive(Debug, Clone)]
struct Made {
    schedule: ScheduleId,
    /// Counts acceptances.
    number: u64,
    run: Run,
}

/// The schedules on a disk, and everything that became of their moments.
#[derive(Debug, Clone, Default)]
pub struct Shelf {
    /// Which database it is in.
    by: Option<Incarnation>,
    held: BTreeMap<ScheduleId, Held>,
    /// Moments of which was told that they fired or why not, each up to which.
    told: BTreeMap<ScheduleId, BTreeMap<Timestamp, Timestamp>>,
    fired: BTreeSet<(ScheduleId, Timestamp)>,
    /// Attempts that schedules made, with what they run; and those that are not over.
    made: BTreeMap<AssignmentId, Made>,
    live: BTreeSet<AssignmentId>,
    /// Those that run alone.
    alone: BTreeSet<AssignmentId>,
    /// Tasks of which anything was ever heard or told here: what is known does not fire again.
    known: BTreeSet<TaskId>,
    /// What was told of each schedule since it was last seen how far it has come.
    fresh: BTreeMap<ScheduleId, Vec<(Timestamp, Option<u32>)>>,
}

impl Shelf {
    /// Takes what is committed; says what fired.
    pub fn take(
        &mut self,
        changes: &[Change],
        by: Incarnation,
        clock: Clock,
    ) -> Vec<(Sequence, Fired)> {
        self.by = Some(by);
        let mut fired = Vec::new();
        for change in changes {
            match change {
                Change::ScheduleHeld(row) => self.hold(row, clock),
                Change::ScheduleMoved { schedule, standing } => {
                    self.moved(*schedule, standing, clock);
                }
                Change::ScheduleDropped { schedule, .. } => {
                    if let Some(held) = self.held.remove(schedule) {
                        self.ensure_told(*schedule, &held, &held.standing.queue, clock);
                    }
                }
                Change::AttemptAdded(row) => {
                    self.known.insert(row.id.task);
                    self.added(row);
                }
                Change::AttemptFinished { id, .. } | Change::AttemptForgotten { id } => {
                    self.live.remove(id);
                }
                Change::ReportAdded { seq, report } => {
                    self.known.insert(report.assignment.task);
                    fired.extend(self.report(report, clock).map(|it| (*seq, it)));
                }
                _ => {}
            }
        }
        fired
    }

    fn hold(&mut self, row: &ResidentRow, clock: Clock) {
        let (hold, standing) = (Arc::clone(&row.hold), row.standing.clone());
        let since = (clock.trusted == Some(true)).then_some(clock.wall);
        if let Some(before) = self.held.get(&row.schedule) {
            // A change takes with it what its jitter would have fired after it.
            let come =
                clock.wall.plus_ms(-i64::try_from(before.hold.offset_ms).unwrap_or(i64::MAX));
            let through = standing.through.min(come.max(before.standing.through));
            self.moved(row.schedule, &Standing { through, ..standing.clone() }, clock);
        }
        // Without room to tell of them, moments wait.
        let before = self.held.get(&row.schedule);
        let since = since.filter(|wall| before.is_some_and(|it| it.due(*wall).is_empty()));
        let again = before.is_some_and(|before| before.hold.version == hold.version);
        let since = if again { before.and_then(|before| before.since) } else { since };
        let timetable = timetable(&hold);
        self.held.insert(row.schedule, Held { hold, timetable, standing, since });
        self.fresh.remove(&row.schedule);
    }

    fn added(&mut self, row: &AttemptRow) {
        let Some((schedule, held)) = row.schedule.and_then(|it| Some((it, self.held.get(&it)?)))
        else {
            return;
        };
        let order = Order { firing: None, ..Order::clone(&row.order) };
        ensure(order == *held.hold.order, "what_fires_runs_what_is_held", || held.name());
        let alone = held.hold.overlap != Overlap::Allow;
        let beside = self.live.iter().find(|id| self.made[id].schedule == schedule);
        ensure(beside.is_none() || !alone, "what_may_not_overlap_does_not", || {
            format!("{} fires beside {}", held.name(), describe::attempt(*beside.expect("one")))
        });
        if alone {
            self.alone.insert(row.id);
        }
        self.live.insert(row.id);
        let (number, run) = (row.number, row.order.run.clone());
        self.made.insert(row.id, Made { schedule, number, run });
    }

    fn report(&mut self, report: &Report, clock: Clock) -> Option<Fired> {
        match report.event {
            ReportEvent::Fired { schedule, version, moment } => {
                let first = self.fired.insert((schedule, moment));
                ensure(first, "a_moment_fires_once_on_a_disk", || {
                    format!("{moment} of {schedule}")
                });
                self.ensure_own(schedule, version, moment, clock);
                self.tell(schedule, moment, moment, None);
                let run = self.made.get(&report.assignment)?.run.clone();
                Some(Fired { task: report.assignment.task, schedule, version, moment, run })
            }
            ReportEvent::NotFired { schedule, moment, upto, count, because, .. } => {
                let missed = (because == NotFiredBecause::Missed).then_some(count);
                self.tell(schedule, moment, upto, missed);
                None
            }
            _ => None,
        }
    }

    fn tell(
        &mut self,
        schedule: ScheduleId,
        first: Timestamp,
        upto: Timestamp,
        missed: Option<u32>,
    ) {
        let told = self.told.entry(schedule).or_default().entry(first).or_insert(upto);
        *told = (*told).max(upto);
        self.fresh.entry(schedule).or_default().push((first, missed));
    }

    /// What fires is a moment of the version that is held, and none from before that was.
    fn ensure_own(&self, schedule: ScheduleId, version: u32, moment: Timestamp, clock: Clock) {
        let Some(held) = self.held.get(&schedule) else {
            fail("what_is_not_held_does_not_fire", format!("{schedule} for {moment}"));
        };
        ensure(version == held.hold.version, "a_firing_is_of_the_version_that_ran", || {
            format!("{} is told as version {version}", held.name())
        });
        if !held.timetable.is_timed() || held.standing.queue.contains(&moment) {
            return;
        }
        let own = held.timetable.next(moment.plus_ms(-1)) == Some(moment);
        ensure(own, "only_moments_of_its_own_fire", || format!("{} for {moment}", held.name()));
        let old = held.since.is_some_and(|since| moment < since) && clock.trusted == Some(true);
        ensure(!old, "a_change_holds_from_the_next_moment_on", || {
            format!("{} fires for {moment}, and is held since {:?}", held.name(), held.since)
        });
    }

    /// A schedule has come farther: every moment on the way is accounted for, by its rule.
    fn moved(&mut self, schedule: ScheduleId, standing: &Standing, clock: Clock) {
        let fresh = self.fresh.remove(&schedule).unwrap_or_default();
        let Some(held) = self.held.get(&schedule) else {
            return;
        };
        let (before, after) = (held.standing.through, standing.through);
        let right = after >= before || before.since_ms(clock.wall) > AHEAD_MS_MIN;
        ensure(right, "what_is_dealt_with_stays_so", || {
            format!("{} goes from {before} back to {after}", held.name())
        });
        let left = held.standing.queue.iter().filter(|at| !standing.queue.contains(at));
        let left: Vec<Timestamp> = left.copied().collect();
        self.ensure_told(schedule, held, &left, clock);
        let most = match held.hold.overlap {
            Overlap::Queue => held.hold.queue_max as usize,
            Overlap::Replace => 1,
            _ => 0,
        };
        let waiting = standing.queue.len();
        let grown = waiting > held.standing.queue.len();
        ensure(!grown || waiting <= most, "no_more_firings_wait_than_may", || {
            format!("{waiting} of {} wait", held.name())
        });
        if held.timetable.is_timed() && after >= before {
            self.ensure_accounted(schedule, held, standing);
            if clock.trusted == Some(true) {
                ensure_by_rule(held, standing, &fresh, clock.wall);
            }
        }
        if let Some(held) = self.held.get_mut(&schedule) {
            // By a clock that ran ahead it was held since a time that has not come.
            held.since =
                held.since.map(|since| if after < before { since.min(after) } else { since });
            held.standing = standing.clone();
        }
    }

    fn ensure_accounted(&self, schedule: ScheduleId, held: &Held, standing: &Standing) {
        let told = self.told.get(&schedule);
        let mut at = held.standing.through;
        while let Some(next) = held.timetable.next(at).filter(|next| *next <= standing.through) {
            let told = told.and_then(|told| told.range(..=next).next_back()).map(|(_, upto)| *upto);
            at = match told.filter(|upto| *upto >= next) {
                Some(upto) => upto,
                None if standing.queue.contains(&next) => next,
                // An older copy of the disk hears from the core what became of it.
                None if self.knows(schedule, next) => next,
                None => fail(
                    "every_moment_on_an_agent_is_accounted_for",
                    format!("{} for {next}", held.name()),
                ),
            };
        }
    }

    fn knows(&self, schedule: ScheduleId, moment: Timestamp) -> bool {
        let task = self.by.map(|by| TaskId::of_firing(schedule, moment, by));
        task.is_some_and(|task| self.known.contains(&task))
    }

    /// What waited and waits no more was told of, unless it lies ahead of a clock that went back.
    fn ensure_told(&self, schedule: ScheduleId, held: &Held, left: &[Timestamp], clock: Clock) {
        let told = self.told.get(&schedule);
        for at in left {
            let known = told.is_some_and(|told| told.contains_key(at));
            ensure(known || *at > clock.wall, "what_waited_is_told_of", || {
                format!("{} for {at}", held.name())
            });
        }
    }

    /// Whether an attempt was made to run alone, after another of the same schedule.
    pub fn is_behind(&self, id: AssignmentId, other: AssignmentId) -> bool {
        let (Some(made), Some(before)) = (self.made.get(&id), self.made.get(&other)) else {
            return false;
        };
        let same = made.schedule == before.schedule && before.number < made.number;
        self.alone.contains(&id) && same
    }
}

/// By a clock that is believed, what was missed and what fires follows the rule.
fn ensure_by_rule(
    held: &Held,
    standing: &Standing,
    fresh: &[(Timestamp, Option<u32>)],
    wall: Timestamp,
) {
    let due = held.due(wall);
    let on_the_way = |at: &Timestamp| *at > held.standing.through && *at <= standing.through;
    for (at, missed) in fresh.iter().filter(|(at, _)| on_the_way(at)) {
        let right = match missed {
            Some(count) => due.missed.is_some_and(|missed| (missed.0, missed.2) == (*at, *count)),
            None => due.fire.contains(at),
        };
        ensure(right, "what_is_missed_follows_the_rule", || {
            format!("{}: {missed:?} at {at}, {due:?} was expected", held.name())
        });
    }
}

/// Firings that cores will be told of.
#[derive(Debug, Default)]
pub struct Arrivals {
    /// All there ever were, by their place in an agent's outbox.
    ever: BTreeMap<(Incarnation, Sequence), (AgentId, u64, Fired)>,
    /// Those of which the core has not heard.
    expected: BTreeMap<Incarnation, BTreeSet<Sequence>>,
    /// Whether the core's clock was ever set wrong: then it may have given schedules from a time on
    /// that has not come, and takes firings before that for old ones.
    pub clock_was_wrong: bool,
    /// Whether the core was ever put back to a backup: what versions made after it, it does not know.
    pub core_forgot: bool,
    /// Databases of which there were ever two: what one of them fired, the other may have told.
    pub copied: BTreeSet<Incarnation>,
}

impl World {
    /// An agent has committed something about its schedules.
    pub fn watch_shelf(&mut self, at: usize, changes: &[Change], clock: Clock) {
        if self.plan.schedules.is_empty() {
            return;
        }
        let board = &mut self.boards[at];
        let fired = board.disk.shelf.take(changes, board.incarnation, clock);
        let (agent, incarnation, disk) = (board.id.clone(), board.incarnation, board.disk.number);
        for (seq, fired) in fired {
            if clock.trusted == Some(false) {
                self.coverage.count(Kind::FiredWithoutDate);
            }
            // The core has told this agent to hold it, and knows so; one that was put back to a backup
            // may not know that agents ever fired it.
            let row = self.core.maps.residents.get(&(agent.clone(), fired.schedule));
            let forgot = self.arrivals.core_forgot;
            if row.is_some_and(|row| !forgot || (row.held && row.from < fired.moment)) {
                self.arrivals.expected.entry(incarnation).or_default().insert(seq);
            }
            self.arrivals.ever.insert((incarnation, seq), (agent.clone(), disk, fired));
        }
    }

    /// The core is about to be put back to a backup: it will hear again of what it does not know.
    pub fn watch_restored_firings(&mut self, backup: &crate::maps::Maps) {
        self.arrivals.expected.clear();
        self.arrivals.core_forgot = true;
        if self.plan.agent.kept_max < 1_000 {
            return;
        }
        for ((incarnation, seq), (agent, _, fired)) in &self.arrivals.ever {
            let inbox = backup.agents.get(agent).map(|row| row.inbox);
            let taken = inbox.is_some_and(|it| it.incarnation == *incarnation && it.acked >= *seq);
            let row = backup.residents.get(&(agent.clone(), fired.schedule));
            let wanted = row.is_some_and(|row| row.held && row.from < fired.moment);
            if !taken && wanted {
                self.arrivals.expected.entry(*incarnation).or_default().insert(*seq);
            }
        }
    }

    /// The core has committed something: what it has taken of an agent's outbox it has.
    pub fn watch_arrivals(&mut self, changes: &[CoreChange], wall: Timestamp) {
        for change in changes {
            let CoreChange::InboxMoved { agent, inbox } = change else {
                continue;
            };
            let Some(expected) = self.arrivals.expected.get_mut(&inbox.incarnation) else {
                continue;
            };
            let later = expected.split_off(&inbox.acked.next());
            let taken = std::mem::replace(expected, later);
            for seq in taken {
                let (_, disk, fired) = &self.arrivals.ever[&(inbox.incarnation, seq)];
                let alone = !self.arrivals.copied.contains(&inbox.incarnation);
                if alone && self.speaks(agent, *disk) {
                    self.check_arrived(fired, wall);
                }
            }
        }
    }

    fn check_arrived(&self, fired: &Fired, wall: Timestamp) {
        let maps = &self.core.maps;
        let gone = !maps.schedules.contains_key(&fired.schedule);
        let ahead = fired.moment.since_ms(wall) > TAKEN_AHEAD_MS;
        let gone = gone || self.arrivals.clock_was_wrong;
        let Some(row) = maps.known(fired.task) else {
            ensure(gone || ahead, "what_an_agent_fired_arrives", || format!("{fired:?} at {wall}"));
            return;
        };
        let origin = row.origin.as_ref();
        let told = origin.map(|origin| (origin.schedule, origin.version, origin.at));
        let ran = (fired.schedule, fired.version, fired.moment);
        let sure = !self.arrivals.core_forgot && maps.keeps(fired.schedule, fired.version);
        let runs = row.spec.run == fired.run || !sure;
        let same = told == Some(ran) && runs;
        ensure(same, "a_firing_is_of_the_version_that_ran", || format!("{fired:?} is {origin:?}"));
    }

    /// Of two runs of one schedule that may not overlap, one has ended before the other begins.
    pub fn check_runs_alone(&self, at: usize, id: AssignmentId) {
        let board = &self.boards[at];
        for (other, attempt) in &board.attempts {
            let behind = board.disk.shelf.is_behind(id, *other);
            let runs = matches!(attempt.process, crate::board::Process::Runs { .. });
            ensure(!behind || !runs, "what_may_not_overlap_does_not", || {
                format!("{} runs beside {}", describe::attempt(id), describe::attempt(*other))
            });
        }
    }
}
