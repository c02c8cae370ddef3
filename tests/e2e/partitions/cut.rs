//! A link that is cut, and everybody knows it: the board goes on, tells its own people what it
//! does, and tells the core when it can. The same across a reboot without a link.

use serde_json::json;
use shared::api::AgentStatus;
use shared::task::{FailureReason, TaskStatus};
use tests::api::in_brief;
use tests::builder::once;
use tests::evidence::Traces;
use tests::spec::{on, with};
use tests::{AgentSetup, BrokerKind, ClusterBuilder};

use super::{Site, site};

/// How long a board waits for its core before it runs again what a power cut ended.
const LONELY_MS: u64 = 1_000;

tests::on_both_brokers!(
    what_runs_runs_on_what_waits_starts_and_results_arrive_once,
    after_a_reboot_without_a_link_work_goes_on,
);

/// Two agents, `a` with room for so many processes at a time.
fn two(kind: BrokerKind, running_max: u32) -> Option<Site> {
    let builder = ClusterBuilder::new(kind)
        .agent(AgentSetup::at("a", 0.0, 0.0).running_max(running_max).lonely_ms(LONELY_MS))
        .agent(AgentSetup::at("b", 0.0, 1.0));
    site(builder)
}

/// Submits a task that waits on agent `a` for its turn.
fn waiting_on_a(site: &Site, script: &str) -> String {
    let api = site.cluster.api;
    let id = api.submit(&on(once(&site.cluster, script), &["a"]));
    api.task_when(&id, "to be accepted", |task| {
        task.assignments.iter().any(|row| row.accepted_at.is_some())
    });
    id
}

fn what_runs_runs_on_what_waits_starts_and_results_arrive_once(kind: BrokerKind) {
    let Some(mut site) = two(kind, 1) else {
        return;
    };
    let api = site.cluster.api;
    let (script, gate) = site.gated("gate", "echo offline");
    let running = api.submit(&on(once(&site.cluster, &script), &["a"]));
    api.running(&running);
    let waiting = waiting_on_a(&site, "echo too");
    site.holds("a", &waiting, "accepted");

    site.hosts.cut("a");
    api.agent_is("a", AgentStatus::Offline);
    site.knows_it_is_cut_off("a");
    gate.open();
    // The board's own word, while nobody else can hear it: both are over, and neither is told.
    site.holds("a", &running, "finished");
    let (_, unsent) = site.holds("a", &waiting, "finished");
    assert!(unsent >= 2, "both ends at least: {unsent}");
    site.ended(&running, 1);
    site.ended(&waiting, 1);
    site.assert_open(&running);
    site.assert_open(&waiting);
    // The others are none the worse.
    let meanwhile = api.submit(&on(once(&site.cluster, "exit 0"), &["b"]));
    site.assert_done_at_once(&meanwhile);

    site.hosts.heal("a");
    for (id, said) in [(&running, "offline\n"), (&waiting, "too\n")] {
        site.assert_done_at_once(id);
        let outcome = api.settled(id).outcome.expect("an outcome");
        assert_eq!(outcome.stdout_tail, said);
    }
    api.agent_is("a", AgentStatus::Online);
    site.cluster.wait_until_idle();
}

fn after_a_reboot_without_a_link_work_goes_on(kind: BrokerKind) {
    let Some(mut site) = two(kind, 2) else {
        return;
    };
    let api = site.cluster.api;
    let only_here = json!({"disconnect": {"replace": false}});
    let (script, _gate) = site.gated("gate", "exit 0");
    let broken_off = api.submit(&with(on(once(&site.cluster, &script), &["a"]), only_here));
    api.running(&broken_off);
    // Its first run never ends; the next one is quick.
    let marker = site.cluster.scratch.join("marker").display().to_string();
    let script = format!("[ -e {marker} ] || {{ touch {marker}; sleep 600; }}; echo again");
    let begun_again = api.submit(&on(once(&site.cluster, &script), &["a"]));
    api.running(&begun_again);
    let waiting = waiting_on_a(&site, "echo after all");

    site.hosts.cut("a");
    api.agent_is("a", AgentStatus::Offline);
    site.knows_it_is_cut_off("a");
    site.hosts.power_cut(&["a"]);
    site.cluster.agent("a").daemon.kill();
    site.hosts.host("a").reboot();
    site.cluster.agent("a").daemon.start();
    // Still cut: what waited is run, and so is once more what may be; of what may not it is known
    // that it is over.
    for id in [&waiting, &begun_again] {
        site.ended(id, 1);
        site.holds("a", id, "finished");
    }
    site.holds("a", &broken_off, "finished");
    let view = site.own_view("a", "status").expect("its status");
    assert_eq!((view["link"].as_str(), view["boot"].as_u64()), (Some("down"), Some(2)), "{view}");
    for id in [&waiting, &begun_again, &broken_off] {
        site.assert_open(id);
    }

    site.hosts.heal("a");
    site.assert_done_at_once(&waiting);
    let done = api.settled(&begun_again);
    assert_eq!(done.outcome.as_ref().map(|outcome| &*outcome.stdout_tail), Some("again\n"));
    let attempts: Vec<u32> = done.assignments.iter().map(|row| row.retries).collect();
    assert_eq!(attempts, [1], "one attempt, begun again once: {}", in_brief(&done));
    assert_eq!(site.cluster.evidence.of(&begun_again, 1), Traces { starts: 2, ends: 1 });
    let done = api.settled(&broken_off);
    assert_eq!(done.summary.reason, Some(FailureReason::Lost), "{}", in_brief(&done));
    assert_eq!(done.summary.status, TaskStatus::Failed);
    let detail = done.assignments[0].detail.clone().unwrap_or_default();
    assert!(detail.contains("power cut"), "{detail}");
    assert_eq!(site.cluster.evidence.of(&broken_off, 1), Traces { starts: 1, ends: 0 });
    site.cluster.wait_until_idle();
}
