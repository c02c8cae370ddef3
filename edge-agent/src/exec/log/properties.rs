//! Whatever is written, refused, switched off, turned over or torn: what is read is what the task
//! wrote, at its place, and what is missing is a gap. Checked against a model that simply keeps
//! everything.

use std::fs::{self, OpenOptions};
use std::path::PathBuf;

use proptest::prelude::*;
use shared::time::{Monotonic, Now, Timestamp};

use super::*;
use crate::exec::attempt_dir::AttemptDir;
use crate::exec::record::{End, ExitRecord};

/// What can happen to a log.
#[derive(Debug, Clone)]
enum Move {
    Write {
        stream: Stream,
        bytes: usize,
    },
    Pass {
        milliseconds: u64,
    },
    Flush,
    Switch {
        off: bool,
    },
    Refuse {
        refuses: bool,
    },
    /// Somebody reads, in pieces of this size, from this part of the log.
    Read {
        bytes_max: usize,
        per_mille: u64,
    },
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let stream = || any::<bool>().prop_map(|out| if out { Stream::Stdout } else { Stream::Stderr });
    let write = |bytes| (stream(), bytes).prop_map(|(stream, bytes)| Move::Write { stream, bytes });
    let one = prop_oneof![
        12 => write(0_usize..120),
        3 => write(1_000..9_000),
        1 => write(60_000..80_000),
        4 => (0_u64..1_500).prop_map(|milliseconds| Move::Pass { milliseconds }),
        3 => Just(Move::Flush),
        1 => any::<bool>().prop_map(|off| Move::Switch { off }),
        1 => any::<bool>().prop_map(|refuses| Move::Refuse { refuses }),
        3 => (1_usize..5_000, 0_u64..1_100)
            .prop_map(|(bytes_max, per_mille)| Move::Read { bytes_max, per_mille }),
    ];
    prop::collection::vec(one, 1..80)
}

/// What the model knows of one byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Not given to the disk yet.
    Waiting,
    /// Given to the disk when this much had been written before.
    Written { before: u64 },
    /// Let go because logs were switched off.
    LetGo,
    /// Given to a disk that refused: some of it may be there.
    Refused,
}

struct World {
    root: tempfile::TempDir,
    dir: AttemptDir,
    bytes_max: u64,
    log: LogWriter,
    reader: LogReader,
    fates: Vec<(Stream, Fate)>,
    now_ms: u64,
    off: bool,
    refuses: bool,
}

/// What stands at an offset: never the same sequence twice within a record's length.
fn byte_at(offset: u64) -> u8 {
    u8::try_from((offset ^ (offset >> 8) ^ (offset >> 16).wrapping_mul(37)) & 0xff).unwrap_or(0)
}

impl World {
    fn new(bytes_max: u64) -> Self {
        let root = tempfile::tempdir().expect("a temporary directory");
        let dir = AttemptDir::at(&root.path().join("attempt"));
        dir.create().expect("create");
        let log = LogWriter::new(dir.log_paths(), bytes_max, Some(root.path().join("off")));
        let reader = LogReader::open(&dir);
        let (fates, now_ms, off, refuses) = (Vec::new(), 1_000, false, false);
        Self { root, dir, bytes_max, log, reader, fates, now_ms, off, refuses }
    }

    fn aside(&self) -> PathBuf {
        self.root.path().join("aside")
    }

    fn now(&self) -> Now {
        let wall = Timestamp(self.now_ms.cast_signed());
        Now { wall, mono: Monotonic(self.now_ms), chance: 0 }
    }

    fn make(&mut self, next: &Move) {
        let before = self.log.written_bytes();
        let now = self.now();
        match *next {
            Move::Write { stream, bytes } => {
                let from = self.fates.len() as u64;
                let written: Vec<u8> = (from..from + bytes as u64).map(byte_at).collect();
                self.fates.extend(written.iter().map(|_| (stream, Fate::Waiting)));
                self.log.push(stream, &written, &now);
            }
            Move::Pass { milliseconds } => {
                self.now_ms += milliseconds;
                self.log.flush_if_due(&self.now());
            }
            Move::Flush => self.log.flush(&now),
            Move::Switch { off } => {
                let marker = self.root.path().join("off");
                match off {
                    true => fs::write(marker, "").expect("write"),
                    false => drop(fs::remove_file(marker)),
                }
                self.off = off;
            }
            // A folder that is not where it was takes no new segment.
            Move::Refuse { refuses } if refuses != self.refuses => {
                let (here, aside) = (self.dir.path().to_owned(), self.aside());
                let (from, to) = if refuses { (here, aside) } else { (aside, here) };
                fs::rename(from, to).expect("rename");
                self.refuses = refuses;
                // Whatever it refused, it is asked again.
                self.now_ms += if refuses { 0 } else { 20_000 };
            }
            Move::Refuse { .. } | Move::Read { .. } => {}
        }
        if self.log.due_in_ms(&now).is_none() {
            self.settle(before);
        }
    }

    /// Nothing waits any more: it was written, let go or refused.
    fn settle(&mut self, before: u64) {
        let fate = match (self.off, self.refuses) {
            (true, _) => Fate::LetGo,
            (false, true) => Fate::Refused,
            (false, false) => Fate::Written { before },
        };
        for (_, known) in self.fates.iter_mut().filter(|(_, known)| *known == Fate::Waiting) {
            *known = fate;
        }
    }

    /// Whether a byte has to be there: too little was written since to displace it.
    fn must_be_there(&self, offset: u64) -> bool {
        let half = self.bytes_max / 2;
        let index = usize::try_from(offset).expect("small");
        match self.fates[index].1 {
            Fate::Written { before } => {
                half >= 512 && self.log.written_bytes() - before + 24 < half
            }
            _ => false,
        }
    }

    /// Reads in pieces, and checks all that has to be true of them.
    fn check(&mut self, from: u64, bytes_max: usize) -> Result<u64, TestCaseError> {
        let mut next = from;
        loop {
            let pieces = self.reader.read_from(next, bytes_max).expect("readable");
            if pieces.is_empty() {
                return Ok(next);
            }
            let mut read = 0;
            for piece in pieces {
                self.check_piece(&piece, next)?;
                next = piece.end_offset();
                read += if let LogPiece::Data { bytes, .. } = &piece { bytes.len() } else { 0 };
            }
            prop_assert!(read <= bytes_max);
        }
    }

    fn check_piece(&self, piece: &LogPiece, next: u64) -> Result<(), TestCaseError> {
        match piece {
            LogPiece::Data { offset, stream, bytes, at } => {
                prop_assert_eq!(*offset, next);
                prop_assert!(!bytes.is_empty() && at.0 <= self.now_ms.cast_signed());
                for (at, &byte) in (*offset..).zip(bytes) {
                    let (written_to, fate) = self.fates[usize::try_from(at).expect("small")];
                    prop_assert_eq!((byte, *stream), (byte_at(at), written_to), "at {}", at);
                    prop_assert!(!matches!(fate, Fate::LetGo | Fate::Waiting), "at {}", at);
                }
            }
            LogPiece::Gap { offset, bytes } => {
                prop_assert_eq!(*offset, next);
                prop_assert!(*bytes > 0);
                for at in *offset..offset + bytes {
                    prop_assert!(!self.must_be_there(at), "{} is missing", at);
                }
            }
        }
        Ok(())
    }

    fn end(&mut self, per_mille: u64) -> u64 {
        self.fates.len() as u64 * per_mille / 1_000
    }

    fn size_on_disk(&self) -> u64 {
        let lengths = self.dir.log_paths().map(|path| fs::metadata(path).map_or(0, |m| m.len()));
        lengths.iter().sum()
    }

    fn write_exit(&self) {
        let record = ExitRecord {
            end: End::Exited { code: 0 },
            started_wall_ms: 0,
            ended_wall_ms: 0,
            duration_ms: 0,
            stdout_tail: String::new(),
            stderr_tail: String::new(),
            stdout_truncated: false,
            stderr_truncated: false,
            out_of_memory: false,
            log_end_offset: self.log.end_offset(),
            written_bytes: self.log.written_bytes(),
        };
        self.dir.reserve_exit().expect("room").keep(&record).expect("kept");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn what_is_read_was_written_there_and_what_is_missing_is_a_gap(
        bytes_max in prop_oneof![1_000_u64..2_000, 2_000_u64..30_000, 150_000_u64..200_000],
        moves in moves(),
    ) {
        let mut world = World::new(bytes_max);
        for next in &moves {
            world.make(next);
            if let Move::Read { bytes_max, per_mille } = *next {
                let from = world.end(per_mille);
                world.check(from, bytes_max)?;
            }
            prop_assert!(world.size_on_disk() <= bytes_max);
        }
        world.make(&Move::Refuse { refuses: false });
        world.make(&Move::Flush);
        let written_bytes = world.reader.written_bytes().expect("readable");
        prop_assert!(written_bytes >= world.log.written_bytes());
        let end = world.check(0, 20_000)?;
        prop_assert!(end <= world.log.end_offset());
        prop_assert_eq!(world.reader.end_offset().expect("readable"), end);
        for at in end..world.log.end_offset() {
            prop_assert!(!world.must_be_there(at), "{} is missing at the end", at);
        }
        world.write_exit();
        prop_assert!(world.reader.has_ended());
        prop_assert_eq!(world.check(0, 20_000)?, world.log.end_offset());
        prop_assert_eq!(world.reader.end_offset().expect("readable"), world.log.end_offset());
    }

    #[test]
    fn a_torn_end_costs_what_is_torn_and_nothing_before_it(
        writes in prop::collection::vec(1_usize..3_000, 1..60),
        torn_bytes in 0_u64..9_000,
        how in 0_u8..3,
    ) {
        let mut world = World::new(40_000);
        for bytes in writes {
            world.make(&Move::Write { stream: Stream::Stdout, bytes });
            world.make(&Move::Flush);
        }
        let whole = LogReader::open(&world.dir).read_from(0, usize::MAX).expect("readable");
        let newest = world.dir.log_paths().into_iter().max_by_key(|path| {
            fs::metadata(path).and_then(|m| m.modified()).ok()
        });
        let path = newest.filter(|path| path.exists()).expect("a segment");
        let length = fs::metadata(&path).expect("a segment").len();
        let kept = length.saturating_sub(torn_bytes);
        let file = OpenOptions::new().write(true).open(&path).expect("open");
        file.set_len(kept).expect("cut");
        match how {
            // As long as it was, but never written.
            0 => file.set_len(length).expect("grow"),
            // Something else follows.
            1 => fs::write(&path, [fs::read(&path).expect("read"), vec![0xa5; 700]].concat())
                .expect("write"),
            _ => {}
        }
        // Whatever was given to the disk may be gone now.
        for (_, fate) in &mut world.fates {
            *fate = Fate::Refused;
        }
        let end = world.check(0, 2_000)?;
        // Of each piece, what stood before the cut is still there.
        let torn = LogReader::open(&world.dir).read_from(0, usize::MAX).expect("readable");
        let mut lost: u64 = 0;
        for piece in whole.iter().filter(|piece| matches!(piece, LogPiece::Data { .. })) {
            lost += if torn.contains(piece) { 0 } else { 1 };
        }
        let least = torn_bytes.min(length).div_ceil(format::RECORD_HEADER_BYTES as u64 + 1);
        prop_assert!(lost <= least, "{} of {} lost, {} torn", lost, whole.len(), torn_bytes);
        prop_assert!(end <= world.log.end_offset());
    }
}

#[test]
fn a_log_that_was_emptied_under_its_writer_goes_on_after_a_gap() {
    let mut world = World::new(100_000);
    let write = |world: &mut World, bytes| {
        world.make(&Move::Write { stream: Stream::Stdout, bytes });
        world.make(&Move::Flush);
    };
    write(&mut world, 5_000);
    assert_eq!(world.check(0, 100_000).expect("all of it"), 5_000);
    assert!(world.dir.log_bytes() >= 5_000 && world.dir.empty_logs());
    assert!(!world.dir.empty_logs(), "nothing is left to let go");
    for (_, fate) in &mut world.fates {
        *fate = Fate::Refused;
    }
    assert_eq!(world.reader.read_from(5_000, 100).expect("readable"), []);
    // Shorter and longer than what its reader has seen.
    for (bytes, end) in [(3_000, 8_000), (9_000, 17_000)] {
        write(&mut world, bytes);
        assert_eq!(world.check(end - bytes as u64, 100_000).expect("what came since"), end);
    }
    let pieces = world.reader.read_from(0, 100_000).expect("readable");
    assert_eq!(pieces.first(), Some(&LogPiece::Gap { offset: 0, bytes: 5_000 }));
    let other = AttemptDir::at(&world.root.path().join("other"));
    assert!(world.dir.move_logs(&other).expect("moved"));
    assert!(!world.dir.move_logs(&other).expect("nothing there"));
    let moved = LogReader::open(&other).read_from(0, 100_000).expect("readable");
    assert_eq!(moved, pieces);
}

#[test]
fn a_log_that_does_not_exist_is_empty() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let mut reader = LogReader::open(&AttemptDir::at(&root.path().join("none")));
    assert_eq!(reader.read_from(0, 100).expect("readable"), []);
    assert_eq!(reader.read_from(7, 100).expect("readable"), []);
    assert_eq!(reader.end_offset().expect("readable"), 0);
    assert!(!reader.has_ended());
}

#[test]
fn a_reader_keeps_up_with_a_writer_that_turns_over_all_the_time() {
    let mut world = World::new(4_000);
    let dir = world.dir.clone();
    let total = 400_000_u64;
    std::thread::scope(|scope| {
        let writer = scope.spawn(move || {
            for from in (0..total).step_by(100) {
                let bytes: Vec<u8> = (from..from + 100).map(byte_at).collect();
                world.log.push(Stream::Stdout, &bytes, &world.now());
            }
            world.log.flush(&world.now());
            world.write_exit();
            world
        });
        let mut reader = LogReader::open(&dir);
        let (mut next, mut seen) = (0, 0);
        while next < total {
            for piece in reader.read_from(next, 1_500).expect("readable") {
                assert_eq!(next, piece.end_offset() - length_of(&piece));
                if let LogPiece::Data { offset, bytes, .. } = &piece {
                    assert!((*offset..).zip(bytes).all(|(at, &byte)| byte == byte_at(at)));
                    seen += bytes.len() as u64;
                }
                next = piece.end_offset();
            }
        }
        assert!(seen > 0 && next == total);
        drop(writer.join().expect("the writer"));
    });
}

fn length_of(piece: &LogPiece) -> u64 {
    match piece {
        LogPiece::Data { bytes, .. } => bytes.len() as u64,
        LogPiece::Gap { bytes, .. } => *bytes,
    }
}

/// A small file system that ends with the test.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new() -> Option<Self> {
        let place = tempfile::tempdir().expect("a temporary directory");
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=64k", "none"]).arg(place.path());
        let mounted = mount.stderr(std::process::Stdio::null()).status();
        mounted.is_ok_and(|status| status.success()).then_some(Self(place))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let place = self.0.path();
        let _ = std::process::Command::new("umount").arg("--lazy").arg(place).status();
    }
}

#[test]
fn a_disk_that_has_room_again_is_written_after_what_it_refused() {
    for emptied in [false, true] {
        let Some(disk) = SmallDisk::new() else {
            eprintln!("no file system can be mounted here (not root?), so no disk was filled");
            return;
        };
        write_before_and_after_a_full_disk(&disk, emptied);
    }
}

/// The log may be emptied while the disk is full.
fn write_before_and_after_a_full_disk(disk: &SmallDisk, emptied: bool) {
    let dir = AttemptDir::at(&disk.0.path().join("attempt"));
    dir.create().expect("create");
    let mut log = LogWriter::new(dir.log_paths(), 1_000_000, None);
    let at = |ms| Now { wall: Timestamp(0), mono: Monotonic(ms), chance: 0 };
    let write = |log: &mut LogWriter, bytes: u64, now_ms| {
        let from = log.end_offset();
        let written: Vec<u8> = (from..from + bytes).map(byte_at).collect();
        log.push(Stream::Stdout, &written, &at(now_ms));
    };
    write(&mut log, 10_000, 0);
    let filling = disk.0.path().join("filling");
    let mut file = fs::File::create(&filling).expect("create");
    let pages = std::iter::repeat_with(|| std::io::Write::write_all(&mut file, &[0; 4096]));
    let filled = pages.take_while(Result::is_ok).count() as u64;
    file.set_len((filled - 2) * 4096).expect("shrink");
    if emptied {
        assert!(dir.empty_logs());
    }
    // Some of this fits, and that has to go again.
    write(&mut log, 30_000, 0);
    fs::remove_file(&filling).expect("remove");
    write(&mut log, 5_000, 60_000);
    let pieces = LogReader::open(&dir).read_from(0, usize::MAX).expect("readable");
    let shape: Vec<(bool, u64)> = pieces
        .iter()
        .map(|piece| (matches!(piece, LogPiece::Data { .. }), piece.end_offset()))
        .collect();
    let kept = [(true, 10_000), (false, 40_000), (true, 45_000)];
    assert_eq!(shape, if emptied { &kept[1..] } else { &kept[..] });
    let Some(LogPiece::Data { bytes, .. }) = pieces.last() else { panic!("no data") };
    assert!((40_000..).zip(bytes).all(|(at, &byte)| byte == byte_at(at)));
}
