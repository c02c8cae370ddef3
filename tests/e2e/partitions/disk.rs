//! A board whose disk fills up while it works: it takes nothing new and says why, brings to an end
//! what it has, loses nothing, and goes on when there is room again.

use shared::api::TaskDocument;
use shared::task::TaskStatus;
use tests::api::in_brief;
use tests::builder::once;
use tests::evidence::Traces;
use tests::spec::{on, with};
use tests::wait::{check, eventually, within};
use tests::{AgentSetup, BrokerKind, ClusterBuilder, Hosts, PATIENCE};

use super::{HEARTBEAT_MS, Site};

/// The size of its disk, and how much of that is to stay free, in MiB.
const DISK_MIB: u32 = 48;
const RESERVE_MIB: u64 = 8;
/// The file that takes the room of everything else.
const FILLER: &str = "filler";

/// An agent `a` on a disk of its own, which holds two processes at a time, and an agent `b` on the
/// usual one.
fn with_a_small_disk() -> Option<Site> {
    let mut hosts = Hosts::or_skip()?;
    let small = AgentSetup::at("a", 0.0, 0.0).disk_reserve_mib(RESERVE_MIB).running_max(2);
    let builder = ClusterBuilder::new(BrokerKind::Embedded).agent(small);
    let builder = builder.agent(AgentSetup::at("b", 0.0, 1.0)).heartbeat_ms(HEARTBEAT_MS);
    let mut cluster = builder.lay_out_on(&mut hosts);
    let data = cluster.agent("a").data().to_path_buf();
    std::fs::create_dir_all(&data).expect("the agent's folder");
    hosts.host("a").mount_disk(&data, DISK_MIB);
    cluster.start();
    Some(Site { cluster, hosts })
}

impl Site {
    /// Fills the disk of agent `a` up to so many KiB.
    fn fill(&mut self, left_kib: u64) {
        let data = self.cluster.agent("a").data().display().to_string();
        let left = self.hosts.host("a").run(&format!(
            "cd '{data}'
             free=$(df --output=avail --block-size=1K . | tail -n 1)
             # Its end comes with the end of the disk.
             head -c $(((free - {left_kib}) * 1024)) /dev/zero >> {FILLER} || true
             df --output=avail --block-size=1K . | tail -n 1"
        ));
        println!("{} KiB are left", left.trim());
    }

    /// Waits until agent `a` has written a line.
    fn logged(&mut self, line: &str) {
        within(2 * PATIENCE, &format!("agent a to say: {line}"), || {
            let log = self.cluster.agent("a").daemon.log();
            check(log.contains(line), || "nothing of the kind".to_owned())
        });
    }
}

/// The attempt that was refused, in the agent's words.
fn refusal(task: &TaskDocument) -> Option<String> {
    let details = task.assignments.iter().filter_map(|row| row.detail.clone());
    details.into_iter().find(|detail| detail.contains("DiskFull") || detail.contains("disk_full"))
}

#[test]
fn a_full_disk_refuses_new_work_by_name_and_loses_nothing() {
    let Some(mut site) = with_a_small_disk() else {
        return;
    };
    let api = site.cluster.api;
    let submit = |site: &Site, script: &str| api.submit(&on(once(&site.cluster, script), &["a"]));
    // One ends when the disk is nearly full, one when it is quite full, having said a lot.
    let (script, gate_nearly) = site.gated("nearly", "echo nearly full");
    let nearly = submit(&site, &script);
    let (script, gate_quite) = site.gated("quite", "seq 1 200000; echo quite full");
    let quite = submit(&site, &script);
    api.running(&nearly);
    api.running(&quite);
    let waiting = submit(&site, "echo waited");
    site.holds("a", &waiting, "accepted");

    site.fill(RESERVE_MIB * 1024 / 2);
    site.logged("the disk is nearly full");
    let refused = submit(&site, "echo refused");
    let task = api.task_when(&refused, "to be refused by name", |task| refusal(task).is_some());
    println!("{}", refusal(&task).unwrap_or_default());
    assert!(!task.summary.status.is_settled(), "it waits for room: {}", in_brief(&task));
    assert_eq!(site.cluster.evidence.of(&refused, 1), Traces::default(), "it never ran");
    // Who may go elsewhere does.
    let elsewhere = serde_json::json!({"where": {"agents": ["a", "b"]}});
    let moved = api.submit(&with(once(&site.cluster, "echo moved"), elsewhere));
    let done = api.settled(&moved);
    assert_eq!(done.summary.agent.as_ref().map(|agent| agent.as_str()), Some("b"));
    // What is there comes to its end, and that is told, and what was accepted has its turn.
    gate_nearly.open();
    site.assert_done_at_once(&nearly);
    site.assert_done_at_once(&waiting);

    // Not a byte more.
    site.fill(0);
    gate_quite.open();
    site.ended(&quite, 1);
    // Even to refuse may need a byte.
    let unheard = submit(&site, "echo unheard");
    eventually("agent a to refuse it, or to say that it can write nothing", || {
        let refused = refusal(&api.task(&unheard)?).is_some();
        let log = site.cluster.agent("a").daemon.log();
        check(refused || log.contains("disk is full"), || "neither".to_owned())
    });
    let told = api.task(&quite).expect("it").summary.status.is_settled();
    println!("with no byte left the outcome was {}", if told { "told" } else { "held back" });
    site.assert_open(&unheard);

    let filler = site.cluster.agent("a").data().join(FILLER);
    std::fs::remove_file(site.hosts.host("a").seen(&filler)).expect("room again");
    site.assert_done_at_once(&quite);
    let outcome = api.settled(&quite).outcome.expect("an outcome");
    assert!(outcome.stdout_tail.ends_with("200000\nquite full\n"), "{}", outcome.stdout_tail);
    site.logged("the disk has room again");
    let again = submit(&site, "echo again");
    site.assert_done_at_once(&again);
    // What was refused waits for its next try, which may be half a minute away.
    for id in [&refused, &unheard] {
        api.cancel(id);
        let done = api.settled(id);
        let fate = (done.summary.status, site.cluster.evidence.of(id, 1).starts);
        let fair = matches!(fate, (TaskStatus::Canceled, 0) | (TaskStatus::Succeeded, 1));
        assert!(fair, "{}", in_brief(&done));
    }
    site.cluster.wait_until_idle();
    assert_eq!(site.cluster.evidence.doubled(), []);
}
