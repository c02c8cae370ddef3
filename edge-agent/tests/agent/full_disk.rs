//! A disk that fills up while tasks run: new work is refused by name, what was taken on comes to
//! its end, and every end is told. On a small file system of its own, which only root can make.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use shared::id::AssignmentId;
use shared::report::{End, RefusalReason, ReportEvent};
use shared::wire::uplink::NumberedReport;

use crate::bench::{Bench, Memory};

/// A small file system in the place of the data folder. It ends with the test.
struct SmallDisk {
    place: PathBuf,
}

impl SmallDisk {
    /// `None`, and says so, where it cannot be made.
    fn at(place: &Path) -> Option<Self> {
        fs::create_dir_all(place).expect("create");
        let mount = ["-t", "tmpfs", "-o", "size=20m,mode=700", "none"];
        let mounted = Command::new("mount").args(mount).arg(place).stderr(Stdio::null()).status();
        if !mounted.is_ok_and(|status| status.success()) {
            eprintln!("no file system can be mounted here (not root?), so no disk was filled");
            return None;
        }
        Some(Self { place: place.to_owned() })
    }

    fn filler(&self) -> PathBuf {
        self.place.join("filler")
    }

    /// Takes every block that is left.
    fn fill(&self) {
        let mut file =
            OpenOptions::new().create(true).append(true).open(self.filler()).expect("open");
        for bytes in [65_536, 4_096, 512] {
            while file.write_all(&vec![7; bytes]).is_ok() {}
        }
    }

    /// Leaves a little: far less than is to stay free.
    fn shrink(&self) {
        let file = OpenOptions::new().write(true).open(self.filler()).expect("open");
        let length = file.metadata().expect("metadata").len();
        file.set_len(length - (1 << 20)).expect("shrink");
    }

    fn empty(&self) {
        fs::remove_file(self.filler()).expect("remove");
    }

    fn ballast_bytes(&self) -> u64 {
        fs::metadata(self.place.join("ballast")).map_or(0, |found| found.len())
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

async fn until(what: &str, so: impl Fn() -> bool) {
    let begun = std::time::Instant::now();
    while !so() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what} did not happen");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn refused(memory: &Memory, task: AssignmentId) -> Option<RefusalReason> {
    memory.reports.iter().find_map(|item| match item.report.event {
        ReportEvent::Refused { reason, .. } if item.report.assignment == task => Some(reason),
        _ => None,
    })
}

/// Asks for small tasks until one of them is answered like this.
async fn ask_until(bench: &Bench, what: &str, so: impl Fn(&Memory, AssignmentId) -> bool) {
    let begun = std::time::Instant::now();
    loop {
        let next = bench.core.run("echo small").await;
        let answered = |memory: &Memory| {
            let accepted = |item: &NumberedReport| {
                item.report.assignment == next && item.report.event == ReportEvent::Accepted
            };
            refused(memory, next).is_some() || memory.reports.iter().any(accepted)
        };
        bench.core.until("an answer", answered).await;
        if bench.core.see(|memory| so(memory, next)) {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{what} did not happen");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// A task has ended as it should, and its end was told whole.
async fn done(bench: &Bench, task: AssignmentId, code: i32, said: &str) {
    let finish = bench.core.finish_of(task).await;
    assert_eq!(finish.end, End::Exited { code });
    let tail = finish.output.stdout_tail;
    assert!(tail.ends_with(said), "{said}: {tail}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_costs_logs_and_ballast_but_no_outcome() {
    let mut bench = Bench::new();
    let Some(disk) = SmallDisk::at(&bench.data()) else { return };
    bench.keys = "disk_reserve_mib = 3".to_owned();
    bench.tables = "[disk]\nballast_mib = 2".to_owned();
    bench.limits = "running_max = 2".to_owned();
    let (running, _shutdown) = bench.agent();
    bench.core.until("hello", |memory| !memory.hellos.is_empty()).await;
    until("the ballast", || disk.ballast_bytes() >= 2 << 20).await;

    let gate = |name: &str| {
        let path = bench.path(name);
        (format!("until [ -e {} ]; do sleep 0.05; done", path.display()), path)
    };
    let (wait, open_loud) = gate("loud");
    let loud = bench.core.run(&format!("seq 1 9000; {wait}; seq 1 90000; echo loud >&2")).await;
    let (wait, open_quiet) = gate("quiet");
    let quiet = bench.core.run(&format!("{wait}; echo quiet; exit 7")).await;
    bench.core.started(loud).await;
    bench.core.started(quiet).await;
    // It has a place, and waits for its turn.
    let waits = bench.core.run("echo waited").await;
    let has = |memory: &Memory| memory.reports.iter().any(|it| it.report.assignment == waits);
    bench.core.until("the acceptance", has).await;

    disk.fill();
    let full = Some(RefusalReason::DiskFull);
    ask_until(&bench, "a refusal", |memory, task| refused(memory, task) == full).await;
    fs::write(&open_quiet, "").expect("open");
    done(&bench, quiet, 7, "quiet\n").await;
    disk.fill();
    fs::write(&open_loud, "").expect("open");
    done(&bench, loud, 0, "90000\n").await;
    assert!(bench.core.log_of(loud).await.gaps > 0, "something had to go");
    assert_eq!(disk.ballast_bytes(), 0, "and that was not enough");

    // Power goes while there is not a byte, and comes back.
    running.abort();
    let _ = running.await;
    disk.fill();
    if let Err(error) = bench.try_agent() {
        let sentence = error.to_string();
        assert!(sentence.contains("free space"), "{sentence}");
    }
    disk.shrink();
    let hellos = bench.core.see(|memory| memory.hellos.len());
    let (running, shutdown) = bench.agent();
    bench.core.until("the return", |memory| memory.hellos.len() > hellos).await;

    disk.empty();
    done(&bench, waits, 0, "waited\n").await;
    until("the ballast again", || disk.ballast_bytes() >= 2 << 20).await;
    ask_until(&bench, "new work", |memory, task| refused(memory, task).is_none()).await;
    shutdown.request();
    running.await.expect("ends");
}
