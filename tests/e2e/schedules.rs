//! Schedules fired by a real core: made by the client, through the death of the core, and by a signed
//! call.

use std::collections::BTreeMap;
use std::process::{Command, Output, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use shared::api::{
    FiringDocument, FiringStatus, HookDocument, Page, ScheduleDocument, TaskDocument,
};
use shared_runtime::seal::HookKey;
use tests::http::{Answer, Request, request};
use tests::wait::{check, eventually};
use tests::{BrokerKind, Cluster, ClusterBuilder, binaries};

fn ambit(cluster: &Cluster, words: &[&str]) -> Output {
    Command::new(binaries::core())
        .args(words)
        .env("AMBIT_URL", format!("http://{}", cluster.api.address))
        .current_dir(cluster.scratch.path())
        .stdin(Stdio::null())
        .output()
        .expect("the program")
}

fn told(cluster: &Cluster, words: &[&str]) -> String {
    let answer = ambit(cluster, words);
    assert!(answer.status.success(), "{words:?}: {answer:?}");
    String::from_utf8(answer.stdout).expect("text")
}

/// What became of all its moments, the first first.
fn firings(cluster: &Cluster, name: &str) -> Result<Vec<FiringDocument>, String> {
    let mut all = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/v1/schedules/{name}/firings?limit=500{cursor}");
        let answer = cluster.api.request("GET", &path, None).map_err(|error| error.to_string())?;
        let page: Page<FiringDocument> = answer.read()?;
        all.extend(page.items);
        match page.next_cursor {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    all.reverse();
    Ok(all)
}

#[test]
fn each_second_comes_to_one_task_whatever_dies() {
    let mut cluster = ClusterBuilder::new(BrokerKind::Embedded).agents(1).start();
    let file = cluster.scratch.join("tick.toml");
    let text = "name = 'tick'\noverlap = 'allow'\nmissed = 'all'\n[trigger]\ninterval_s = 1\n\
                [task.run.noop]\n";
    std::fs::write(&file, text).expect("written");
    let file = file.display().to_string();
    told(&cluster, &["schedule", "create", "-f", &file]);
    let again = ambit(&cluster, &["schedule", "create", "-f", &file]);
    assert_eq!(again.status.code(), Some(6), "{again:?}");
    told(&cluster, &["schedule", "create", "-f", &file, "--replace"]);
    let enough = |cluster: &Cluster, count: usize| {
        eventually("the schedule to fire", || {
            let firings = firings(cluster, "tick")?;
            check(firings.len() >= count, || format!("{} firings", firings.len()))
        });
    };
    enough(&cluster, 3);
    let status = told(&cluster, &["schedule", "status", "tick"]);
    assert!(status.contains("every 1 s") && status.contains("\nnext\n"), "{status}");
    for round in 1..=3 {
        cluster.core.daemon.kill();
        cluster.core.start();
        cluster.core.wait_until_ready();
        enough(&cluster, 3 + round * 3);
    }
    told(&cluster, &["schedule", "pause", "tick"]);
    let firings = firings(&cluster, "tick").expect("firings");
    let mut tasks = BTreeMap::new();
    let mut expected = None;
    for firing in &firings {
        assert!(expected.is_none_or(|at| at == firing.at), "a hole before {firing:?}");
        assert_eq!(firing.at.0 % 1_000, 0, "{firing:?}");
        expected = Some(firing.upto.unwrap_or(firing.at).plus_ms(1_000));
        assert_eq!(firing.status, FiringStatus::Fired, "all are made up for: {firing:?}");
        let task = firing.task.expect("a task");
        assert!(tasks.insert(task, firing.at).is_none(), "{task} came of two moments");
    }
    let made = cluster.api.tasks("&schedule=tick").expect("tasks");
    assert_eq!(made.len(), tasks.len(), "each moment has its task, and no task has none");
    for task in made {
        let document: TaskDocument = cluster.api.settled(&task.id.to_string());
        let origin = document.schedule.expect("an origin");
        assert_eq!((origin.name.as_str(), Some(&origin.at)), ("tick", tasks.get(&task.id)));
    }
    told(&cluster, &["schedule", "delete", "tick"]);
    let gone = ambit(&cluster, &["schedule", "status", "tick"]);
    assert_eq!(gone.status.code(), Some(3), "{gone:?}");
}

#[test]
fn a_hook_is_called_by_whoever_holds_its_secret() {
    let mut cluster = ClusterBuilder::new(BrokerKind::Embedded).agents(1).start();
    let spec = json!({"name": "door", "overlap": "allow", "task": {"run": {"noop": {}}},
        "trigger": {"event": {"webhook": {}}}});
    let made = cluster.api.request("POST", "/v1/schedules", Some(&spec)).expect("an answer");
    let made: ScheduleDocument = made.read().expect("a schedule");
    let hook = told(&cluster, &["schedule", "hook", "door", "-o", "json"]);
    let hook: HookDocument = serde_json::from_str(&hook).expect("a hook");
    let key = HookKey::from_file(&cluster.core.data().join("hook-key")).expect("the key");
    let secret = key.secret(made.summary.id);
    assert_eq!(secret.expose(), hook.secret);
    let call = |cluster: &Cluster, id: &str, said: &str, signed: &str| -> Answer {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs();
        let now = now.to_string();
        let signature = secret.sign(id, &now, signed.as_bytes());
        let headers = [
            ("webhook-id", id),
            ("webhook-timestamp", now.as_str()),
            ("webhook-signature", signature.as_str()),
        ];
        let path = hook.url.as_str();
        let request = self::request(
            cluster.api.address,
            Request { method: "POST", path, headers: &headers, body: Some(said) },
        );
        request.expect("an answer")
    };
    let right = call(&cluster, "msg_1", "{}", "{}");
    assert_eq!((right.status, &right.json()["fired"]), (200, &Value::Bool(true)), "{right}");
    let wrong = call(&cluster, "msg_2", "{}", "{ }");
    assert_eq!(wrong.status, 401, "{wrong}");
    assert_eq!(call(&cluster, "msg_1", "{}", "{}").body, right.body, "taken once");
    // The secret is the same after a restart.
    cluster.restart_core();
    assert_eq!(call(&cluster, "msg_3", "{}", "{}").status, 200);
    assert_eq!(cluster.api.tasks("&schedule=door").expect("tasks").len(), 2);
}
