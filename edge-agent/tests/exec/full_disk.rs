//! A disk without room: costs logs, never an outcome. On a small file system of its own, which
//! only root can make.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use edge_agent::exec::{End, ExecEventKind, LogReader};

use super::world::{Agent, World, agent_at, block_on, command, id, until};

/// A small file system that ends with the test.
struct SmallDisk {
    place: PathBuf,
}

impl SmallDisk {
    /// `None`, and says so, where it cannot be made.
    fn new(world: &World) -> Option<Self> {
        let place = world.path("small");
        fs::create_dir(&place).expect("create");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=512k", "none"])
            .arg(&place)
            .stderr(Stdio::null())
            .status();
        if !mounted.is_ok_and(|status| status.success()) {
            eprintln!("no file system can be mounted here (not root?), so no disk was filled");
            return None;
        }
        Some(Self { place })
    }

    fn agent(&self) -> Agent {
        agent_at(&self.place)
    }

    /// Fills it, but for this much.
    fn fill(&self, free_bytes: usize) {
        let path = self.place.join("filling");
        let mut file = File::create(&path).expect("create");
        let mut filled = 0;
        while file.write_all(&[0; 4096]).is_ok() {
            filled += 4096;
        }
        file.set_len(filled - free_bytes as u64).expect("shrink");
    }

    /// Until what was forgotten has given its room back: that comes after the answer.
    async fn only_attempts(&self, count: usize) {
        until("what was forgotten is removed", || {
            let entries = fs::read_dir(self.place.join("attempts")).into_iter().flatten();
            entries.flatten().filter(|entry| entry.path().is_dir()).count() == count
        })
        .await;
    }

    fn empty(&self) {
        fs::remove_file(self.place.join("filling")).expect("remove");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if let Ok(runtime) = edge_agent::exec::RuntimeDir::choose(&self.place) {
            let _ = fs::remove_dir_all(runtime.path());
        }
        let _ = Command::new("umount").arg("--lazy").arg(&self.place).status();
    }
}

fn in_place(place: &Path, task: u128, script: &str) -> edge_agent::exec::ExecOrder {
    let mut order = command(task, "/bin/sh", &["-c", script]);
    order.env.insert("W".to_owned(), place.display().to_string());
    order
}

#[test]
fn a_task_that_fills_the_disk_keeps_its_outcome() {
    block_on(async {
        let world = World::new();
        let Some(disk) = SmallDisk::new(&world) else { return };
        let mut agent = disk.agent();
        // More output than there is room for, most of it after the disk is full.
        let script = "echo before; sleep 1.5; cat /dev/zero > $W/all 2> /dev/null; \
                      seq 1 20000; echo last >&2; exit 3";
        let record = agent.run(&in_place(&disk.place, 1, script)).await;
        assert_eq!((record.end, &*record.stderr_tail), (End::Exited { code: 3 }, "last\n"));
        assert!(record.stdout_tail.ends_with("19999\n20000\n") && record.stdout_truncated);
        assert_eq!(record.stdout_tail.len(), 8192);
        // What the disk refused is a gap, up to the end.
        let mut log = LogReader::open(&agent.executor.attempt_dir(id(1)));
        let pieces = log.read_from(0, usize::MAX).expect("readable");
        let end = pieces.last().map(edge_agent::exec::LogPiece::end_offset);
        assert_eq!(end, Some(record.log_end_offset));
        let has_gap = pieces.iter().any(|p| matches!(p, edge_agent::exec::LogPiece::Gap { .. }));
        assert!(has_gap, "{} pieces", pieces.len());
    });
}

#[test]
fn output_that_json_makes_longer_than_the_room_is_shortened() {
    block_on(async {
        let world = World::new();
        let Some(disk) = SmallDisk::new(&world) else { return };
        let mut agent = disk.agent();
        let script = "cat /dev/zero > $W/all 2> /dev/null; head -c 20000 /dev/zero; echo end";
        let order = edge_agent::exec::ExecOrder {
            stdout_tail_bytes: 16 * 1024,
            ..in_place(&disk.place, 1, script)
        };
        let record = agent.run(&order).await;
        assert_eq!(record.end, End::Exited { code: 0 });
        assert!(record.stdout_truncated && record.stdout_tail.ends_with("\0end\n"));
        assert!(record.stdout_tail.len() < 16 * 1024, "{}", record.stdout_tail.len());
    });
}

#[test]
fn a_task_that_could_not_tell_its_outcome_is_not_started() {
    block_on(async {
        let world = World::new();
        let Some(disk) = SmallDisk::new(&world) else { return };
        let mut agent = disk.agent();
        agent.run(&command(1, "true", &[])).await;
        agent.executor.forget(id(1)).await.expect("forgotten");
        let order = |task| in_place(&disk.place, task, "echo > $W/ran");
        disk.only_attempts(0).await;
        // Room for the order, not for the outcome.
        disk.fill(16 * 1024);
        agent.start(&order(2));
        let ExecEventKind::SpawnFailed { message } = agent.next().await.kind else {
            panic!("it was started")
        };
        assert!(message.starts_with("The agent's disk is full"), "{message}");
        assert!(message.contains("attempts/") && message.contains("make room"), "{message}");
        agent.executor.forget(id(2)).await.expect("forgotten");
        disk.only_attempts(0).await;
        // No room at all.
        disk.fill(0);
        let error = agent.executor.start(&order(3)).expect_err("no room");
        assert!(error.message.starts_with("The agent's disk is full"), "{error}");
        assert!(agent.executor.list().is_empty() && !disk.place.join("ran").exists());
        disk.empty();
        assert_eq!(agent.run(&order(4)).await.end, End::Exited { code: 0 });
    });
}
