//! What tasks write and how far they have come, read at the core: also of hours without a link.

use serde_json::json;
use shared::api::AgentStatus;
use shared::task::TaskStatus;
use tests::api::{Api, in_brief};
use tests::builder::once;
use tests::spec::{sh, task};
use tests::wait::{check, eventually};
use tests::{AgentSetup, BrokerKind, ClusterBuilder};

tests::on_both_brokers!(the_log_of_dark_hours_arrives_whole,);

/// The log of a task as plain text.
fn log(api: Api, id: &str, query: &str) -> Result<String, String> {
    let path = format!("/v1/tasks/{id}/logs?format=text{query}");
    let answer = api.request("GET", &path, None).map_err(|error| error.to_string())?;
    check(answer.status == 200, || answer.to_string())?;
    Ok(answer.body)
}

fn lines(what: &str, count: usize) -> String {
    (1..=count).map(|number| format!("{what} {number}\n")).collect()
}

fn the_log_of_dark_hours_arrives_whole(kind: BrokerKind) {
    let mut cluster =
        ClusterBuilder::new(kind).agent(AgentSetup::at("a", 0.0, 0.0).faulty()).start();
    let api = cluster.api;
    let gate = |name: &str| cluster.scratch.join(name);
    let (dark, bright) = (gate("dark"), gate("bright"));
    let write = |what: &str, count: usize| {
        format!("n=1; while [ $n -le {count} ]; do echo {what} $n; n=$((n+1)); done")
    };
    let wait =
        |gate: &std::path::Path| format!("until [ -e '{}' ]; do sleep 0.05; done", gate.display());
    let script = [
        write("early", 100),
        "echo '0.25 a quarter' > \"$AMBIT_PROGRESS_FILE\"".to_owned(),
        wait(&dark),
        write("dark", 3_000),
        "echo complaint >&2".to_owned(),
        wait(&bright),
        write("late", 100),
    ];
    let id = api.submit(&once(&cluster, &script.join("; ")));
    let whole = lines("early", 100);
    eventually("what was written first", || {
        let log = log(api, &id, "")?;
        check(log == whole, || format!("{} bytes", log.len()))
    });
    api.task_when(&id, "to tell of its progress", |task| {
        let progress = task.assignments[0].progress.as_ref();
        progress.is_some_and(|at| at.fraction == Some(0.25) && at.text == "a quarter")
    });

    cluster.agent("a").link().cut();
    api.agent_is("a", AgentStatus::Offline);
    std::fs::write(&dark, "").expect("the gate opens");
    cluster.agent("a").link().restore();
    let whole = whole + &lines("dark", 3_000);
    eventually("what was written in the dark", || {
        let log = log(api, &id, "&stream=stdout")?;
        check(log == whole, || format!("{} of {} bytes", log.len(), whole.len()))
    });
    // The two streams are read one after the other, so the complaint may come a little later.
    eventually("what was complained in the dark", || {
        let log = log(api, &id, "&stream=stderr")?;
        check(log == "complaint\n", || format!("{log:?}"))
    });

    cluster.core.daemon.kill();
    std::fs::write(&bright, "").expect("the gate opens");
    cluster.core.start();
    cluster.core.wait_until_ready();
    let done = api.settled(&id);
    assert_eq!(done.summary.status, TaskStatus::Succeeded, "{}", in_brief(&done));
    // Until nothing more will come. The order between the two streams is that in which they were
    // read, so each is looked at by itself.
    let whole = whole + &lines("late", 100);
    let followed = eventually("the log to be followed to its end", || {
        log(api, &id, "&stream=stdout&follow=true")
    });
    let end = &followed[followed.len().saturating_sub(200)..];
    assert!(followed == whole, "{} of {} bytes, ending in {end}", followed.len(), whole.len());
    assert_eq!(log(api, &id, "&stream=stderr").expect("a log"), "complaint\n");
    assert_eq!(log(api, &id, "&tail=2").expect("a log"), "late 99\nlate 100\n");
    cluster.wait_until_idle();
}

#[test]
fn a_flood_of_logs_is_bounded_and_holds_nothing_up() {
    let cluster = ClusterBuilder::new(BrokerKind::Embedded).agents(2).start();
    let api = cluster.api;
    let flood = "n=0; while [ $n -lt 40 ]; do head -c 100000 /dev/zero | tr '\\0' x | fold -w 80; \
                 n=$((n+1)); sleep 0.05; done; echo; echo end";
    let floods: Vec<String> = (0..6).map(|_| api.submit(&task(sh(flood)))).collect();
    for _ in 0..20 {
        let id = api.submit(&once(&cluster, "true"));
        assert_eq!(api.settled(&id).summary.status, TaskStatus::Succeeded);
    }
    for id in &floods {
        assert_eq!(api.settled(id).summary.status, TaskStatus::Succeeded);
        eventually("the end of a flood", || {
            let log = log(api, id, "")?;
            check(log.ends_with("end\n") && log.starts_with("[… "), || {
                format!("{} bytes", log.len())
            })?;
            check(log.len() <= 1024 * 1024, || format!("{} bytes are kept", log.len()))
        });
    }
    let kept = api.metric("ambit_logs_kept_bytes").expect("the metrics");
    assert!(kept <= 6.0 * 1024.0 * 1024.0 + 20.0 * 1024.0, "{kept} bytes are kept");
    let path = format!("/v1/tasks/{}/logs?tail=1", floods[0]);
    let last = api.request("GET", &path, None).expect("an answer");
    assert_eq!(last.json()["text"], json!("end\n"), "{last}");
}
