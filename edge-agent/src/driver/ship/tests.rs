//! What is sent, in what order, and what is dropped. The text of logs is real in `tests/agent`;
//! here it is lost, which leaves the places.

use std::fs;

use shared::time::Monotonic;
use shared::wire::uplink::LogPiece;

use super::*;

const LIMITS: LogLimits =
    LogLimits { attempt_bytes_max: 1 << 20, bytes_max: 20_000, keep_ms: 3_600_000 };

fn id(attempt: u32) -> AssignmentId {
    format!("01936f2e-8a3c-7d4e-9b1a-2c3d4e5f6a7b.{attempt}").parse().expect("an id")
}

fn at(ms: u64) -> Now {
    Now { wall: Timestamp(0), mono: Monotonic(ms), chance: 0 }
}

/// A data folder.
struct World {
    data: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        Self { data: tempfile::tempdir().expect("a folder") }
    }

    fn shelf(&self) -> Shelf {
        Shelf::in_folder(self.data.path())
    }

    /// A run that is over and of which nothing is left.
    fn lost(&self, attempt: u32, from: u64, to: u64) {
        let nothing = AttemptDir::at(&self.data.path().join("nothing"));
        self.shelf().put(id(attempt), from, to, &nothing).expect("room");
    }

    /// A run that is over, with something that takes room.
    fn kept(&self, attempt: u32, bytes: usize) {
        let run = AttemptDir::at(&self.data.path().join("run"));
        run.create().expect("create");
        fs::write(run.path().join("log.0"), vec![1; bytes]).expect("written");
        self.shelf().put(id(attempt), 0, bytes as u64, &run).expect("room");
    }

    fn shipper(&self, live: &[AssignmentId]) -> Shipper {
        Shipper::new(self.data.path(), LIMITS, &live.iter().copied().collect())
    }
}

fn sent(shipper: &mut Shipper, now: Now) -> Vec<LogChunk> {
    let mut sent = Vec::new();
    shipper.send(now, |message| {
        let Uplink::Logs(chunk) = message else { panic!("something else") };
        sent.push(chunk.clone());
        Ok(())
    });
    sent
}

#[test]
fn what_is_lost_is_told_once_the_core_asks_no_more_and_the_shelf_is_empty() {
    let world = World::new();
    world.lost(1, 0, 500);
    world.lost(1, 500, 700);
    let mut shipper = world.shipper(&[]);
    let first = sent(&mut shipper, at(0));
    let gap = |offset, bytes| vec![LogPiece::Gap { offset, bytes }];
    assert_eq!((first.len(), &first[0].pieces, first[0].last), (1, &gap(0, 500), false));
    assert!(sent(&mut shipper, at(1)).is_empty(), "one at a time");
    shipper.acknowledged(id(1), 500, at(2));
    let second = sent(&mut shipper, at(3));
    assert_eq!((&second[0].pieces, second[0].last), (&gap(500, 200), true));
    // The core was put back: it wants an earlier part, of which nobody knows more.
    shipper.acknowledged(id(1), 100, at(4));
    let again = sent(&mut shipper, at(5));
    assert_eq!((&again[0].pieces, again[0].last), (&gap(100, 400), false));
    shipper.acknowledged(id(1), 700, at(6));
    let end = sent(&mut shipper, at(7));
    assert_eq!((end[0].pieces.len(), end[0].last), (0, true));
    shipper.acknowledged(id(1), 700, at(8));
    assert!(!shipper.has_work() && world.shelf().list().is_empty());
}

#[test]
fn what_is_not_acknowledged_in_time_is_sent_again_ever_more_slowly() {
    let world = World::new();
    world.lost(1, 0, 500);
    let mut shipper = world.shipper(&[]);
    let times: Vec<u64> =
        (0..600).filter(|second| !sent(&mut shipper, at(second * 1_000)).is_empty()).collect();
    assert_eq!(times, [0, 15, 45, 105, 225, 345, 465, 585]);
    shipper.begin_anew();
    assert_eq!(sent(&mut shipper, at(600_000)).len(), 1, "a new connection begins anew");
}

#[test]
fn a_core_that_knows_nothing_of_an_attempt_is_not_told_its_end_for_ever() {
    let world = World::new();
    let mut shipper = world.shipper(&[]);
    shipper.is_over(id(1));
    let times = (0..600).filter(|second| !sent(&mut shipper, at(second * 1_000)).is_empty());
    assert_eq!(times.count(), 5);
    assert!(!shipper.has_work());
}

#[test]
fn few_are_under_way_and_fewer_on_a_slow_way() {
    let world = World::new();
    for attempt in 1..=20 {
        world.lost(attempt, 0, 500);
        world.lost(attempt, 500, 900);
    }
    let mut shipper = world.shipper(&[]);
    assert_eq!(sent(&mut shipper, at(0)).len(), 2);
    shipper.acknowledged(id(1), 500, at(100));
    assert_eq!(sent(&mut shipper, at(100)).len(), 2, "a quick answer, and one more");
    let first: Vec<AssignmentId> = shipper.under_way.iter().copied().collect();
    shipper.acknowledged(first[0], 500, at(9_000));
    assert!(sent(&mut shipper, at(9_000)).is_empty(), "a slow one");
    shipper.acknowledged(first[1], 500, at(9_001));
    shipper.acknowledged(first[2], 500, at(9_002));
    assert_eq!(sent(&mut shipper, at(9_003)).len(), 1);
}

#[test]
fn a_run_that_follows_goes_on_where_the_one_before_ended() {
    let world = World::new();
    world.lost(1, 0, 500);
    let mut shipper = world.shipper(&[id(1)]);
    assert_eq!(sent(&mut shipper, at(0)).len(), 1);
    shipper.acknowledged(id(1), 500, at(1));
    assert_eq!(world.shelf().list().len(), 1, "it says where the next run begins");
    let run = AttemptDir::at(&world.data.path().join("run"));
    shipper.begin(id(1), &run);
    shipper.round();
    assert!(sent(&mut shipper, at(2)).is_empty(), "it is silent");
    // Nothing was kept of what it wrote; where it ended nobody knows either.
    shipper.end(id(1), &run, false);
    let end = sent(&mut shipper, at(3));
    assert_eq!((end[0].pieces.len(), end[0].last), (0, true));
    shipper.acknowledged(id(1), 500, at(4));
    assert!(world.shelf().list().is_empty());
}

#[test]
fn the_oldest_gives_way_and_age_counts_only_by_a_clock_that_was_confirmed() {
    let world = World::new();
    for attempt in 1..=4 {
        world.kept(attempt, 8_000);
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let mut shipper = world.shipper(&[]);
    let kept = |shipper: &Shipper| {
        let kept = shipper.logs.iter().filter(|(_, log)| log.parts[0].bytes > 0);
        kept.map(|(id, _)| id.attempt.0).collect::<Vec<_>>()
    };
    assert_eq!(kept(&shipper), [1, 2, 3, 4]);
    shipper.tend(None);
    assert_eq!(kept(&shipper), [3, 4], "8 KiB each, of at most 20,000 bytes");
    let since = world.shelf().list()[3].since().expect("a time");
    shipper.tend(Some(since.plus_ms(3_599_000)));
    assert_eq!(kept(&shipper), [3, 4]);
    shipper.tend(Some(since.plus_ms(3_700_000)));
    assert!(kept(&shipper).is_empty());
    assert_eq!(world.shelf().list().len(), 4, "what is lost can still be told");
    // On a board that was in 1970 when it was put there, it has no known age.
    world.kept(5, 8_000);
    let path = world.shelf().list()[4].dir.path().to_owned();
    let then = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(9);
    fs::File::open(&path).expect("open").set_modified(then).expect("set");
    let mut shipper = world.shipper(&[]);
    shipper.tend(Some(since.plus_ms(3_700_000)));
    assert_eq!(kept(&shipper), [5]);
}

#[test]
fn places_of_what_is_lost_are_bounded() {
    let world = World::new();
    for attempt in 0..u32::try_from(LOST_MAX).expect("small") + 3 {
        world.lost(attempt, 0, 1);
    }
    let mut shipper = world.shipper(&[]);
    shipper.tend(None);
    assert_eq!(world.shelf().list().len(), LOST_MAX);
}
