//! The operator's client against a real core and real agents: what a submitter types, what comes
//! back, and with which exit code.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tests::agent::AgentSetup;
use tests::scratch::Scratch;
use tests::{BrokerKind, Cluster, ClusterBuilder, binaries};

/// Who asks, and which core.
struct Client {
    url: String,
}

impl Client {
    fn of(cluster: &Cluster) -> Self {
        Self { url: format!("http://{}", cluster.api.address) }
    }

    fn ask(&self, words: &[&str]) -> Output {
        Command::new(binaries::core())
            .args(words)
            .env("AMBIT_URL", &self.url)
            .current_dir(binaries::repository())
            .stdin(Stdio::null())
            .output()
            .expect("the program")
    }

    /// What it answers when all goes well.
    fn told(&self, words: &[&str]) -> String {
        let answer = self.ask(words);
        assert!(answer.status.success(), "{words:?}: {answer:?}");
        text(&answer.stdout)
    }

    fn json(&self, words: &[&str]) -> Value {
        let told = self.told(&[words, &["-o", "json"]].concat());
        serde_json::from_str(&told).unwrap_or_else(|error| panic!("{words:?}: {error}: {told}"))
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

/// A board in Melbourne with a camera and a sensor.
fn melbourne() -> AgentSetup {
    let mut agent = AgentSetup::at("melbourne", -37.8136, 144.9631).label("sensor=pm25");
    agent.capacity.push_str(",device.camera=1");
    agent
}

#[test]
fn a_task_of_ones_own_runs_near_a_point_and_gives_its_exit_code() {
    let cluster = ClusterBuilder::new(BrokerKind::Embedded).agent(melbourne()).start();
    let client = Client::of(&cluster);
    let near = ["task", "run", "--near", "-37.81,144.96", "--within", "5km"];
    let run = |more: &[&str]| client.ask(&[&near[..], more].concat());

    let answer = run(&["--name", "hello", "--", "/bin/sh", "-c", "echo hello; echo oh >&2"]);
    let (out, told) = (text(&answer.stdout), text(&answer.stderr));
    assert_eq!((answer.status.code(), out.as_str()), (Some(0), "hello\n"), "{told}");
    for part in ["submitted", "melbourne", "m away", "succeeded", "oh\n"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let answer =
        run(&["--quiet", "--logs", "--", "/bin/sh", "-c", "echo one; echo two >&2; exit 7"]);
    let (out, told) = (text(&answer.stdout), text(&answer.stderr));
    assert_eq!((answer.status.code(), &*out, &*told), (Some(7), "one\n", "two\n"));
    let code = |more: &[&str]| run(more).status.code();
    assert_eq!(code(&["--", "/bin/sh", "-c", "kill -9 $$"]), Some(137));
    assert_eq!(code(&["--", "/no/such/program"]), Some(126));
    assert_eq!(code(&["--timeout", "1s", "--", "sleep", "600"]), Some(124));
    assert_eq!(code(&["--env", "CODE=9", "--", "/bin/sh", "-c", "exit $CODE"]), Some(9));

    let status = client.told(&["task", "status", "hello"]);
    assert!(status.contains("succeeded") && status.contains("stdout | hello"), "{status}");
    assert!(!status.contains('\u{1b}'), "no colours in a pipe");
    let list = client.json(&["task", "list", "--status", "failed", "--all"]);
    assert_eq!(list["items"].as_array().map(Vec::len), Some(5), "{list}");
    let yaml = client.told(&["task", "list", "--name", "hello", "-o", "yaml"]);
    assert!(yaml.contains("    name: hello\n"), "{yaml}");
    assert_eq!(client.told(&["task", "logs", "hello", "--stream", "stdout"]), "hello\n");
    cluster.wait_until_idle();
}

#[test]
fn where_a_task_would_go_and_why_one_waits_is_told() {
    let cluster = ClusterBuilder::new(BrokerKind::Embedded).agent(melbourne()).start();
    let client = Client::of(&cluster);
    let plan = client.told(&["task", "plan", "--noop"]);
    assert!(plan.starts_with("would go to melbourne"), "{plan}");
    let nowhere = ["--near", "0,0", "--within", "5km"];
    let plan = client.told(&[&["task", "plan", "--noop"], &nowhere[..]].concat());
    assert!(plan.starts_with("would wait") && plan.contains("too_far"), "{plan}");

    let id = client.told(&[&["task", "submit", "--noop"], &nowhere[..]].concat());
    let id = id.trim();
    let explained = client.told(&["task", "explain", id]);
    assert!(explained.contains("what helps"), "{explained}");
    let doctor = client.told(&["doctor"]);
    assert!(doctor.contains("1 of 1 agents online") && doctor.contains(id), "{doctor}");
    // Somebody follows it when it is called off.
    let mut watch = Command::new(binaries::core())
        .args(["task", "watch", id, "--url", &client.url])
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program");
    let mut lines = BufReader::new(watch.stderr.take().expect("a pipe")).lines();
    assert!(lines.next().expect("a line").expect("text").starts_with("pending"));
    assert_eq!(client.told(&["task", "cancel", id]), format!("{id} canceled\n"));
    assert_eq!(watch.wait().expect("its end").code(), Some(125));

    let missing = client.ask(&["task", "status", "0198c0de-0000-7000-8000-000000000000"]);
    assert_eq!(missing.status.code(), Some(3));
    assert!(text(&missing.stderr).contains("ambit task list"));
    let reused = ["task", "submit", "--idempotency-key", "k", "--noop"];
    let first = client.told(&reused);
    assert_eq!(client.told(&reused), first, "the same task");
    let reused = client.ask(&[&reused[..], &["--name", "other"]].concat());
    assert_eq!(reused.status.code(), Some(6));
    assert!(text(&reused.stderr).contains("--idempotency-key"));
    cluster.wait_until_idle();
}

#[test]
fn the_fleet_is_shown_and_operated() {
    let cluster = ClusterBuilder::new(BrokerKind::Embedded).agent(melbourne()).start();
    let client = Client::of(&cluster);
    let list = client.told(&["agent", "list", "--label", "sensor"]);
    assert!(list.contains("melbourne") && list.contains("-37.8136,144.9631"), "{list}");
    assert_eq!(client.told(&["agent", "list", "--region", "nowhere"]), "no agents\n");
    assert!(client.told(&["agent", "cordon", "melbourne"]).contains("online, cordoned"));
    let drained = client.json(&["agent", "drain", "melbourne"]);
    assert_eq!(drained["id"], "melbourne");
    client.told(&["agent", "uncordon", "melbourne"]);
    let status = client.told(&["agent", "status", "melbourne"]);
    assert!(status.contains("camera: 0 of 1 reserved"), "{status}");
    let missing = client.ask(&["agent", "status", "nobody"]);
    assert_eq!(missing.status.code(), Some(3));
    assert!(text(&missing.stderr).contains("ambit agent list"));
}

#[test]
fn many_tasks_are_submitted_at_once_and_each_is_told_of() {
    let cluster = ClusterBuilder::new(BrokerKind::Embedded).agents(1).pending_max(5_003).start();
    let client = Client::of(&cluster);
    let file = |name: &str, text: &str| {
        let path = cluster.scratch.join(name);
        std::fs::write(&path, text).expect("written");
        path.display().to_string()
    };
    let own = r#"{"run": {"noop": {}}, "name": "own", "idempotency_key": "own-key"}"#;
    let lines = file("two.ndjson", &format!("{own}\n\n{{\"run\": {{\"noop\": {{}}}}}}\n"));
    let list = file("list.json", r#"[{"run": {"noop": {}}}, {"run": {"noop": {}}}]"#);
    let yaml = file("two.yaml", "run: {noop: {}}\n---\nrun: {noop: {}}\n");
    let submit = ["task", "submit", "-f", &lines, "-f", &list, "-f", &yaml];
    let ids = client.told(&submit);
    assert_eq!(ids.lines().count(), 6, "{ids}");
    let answer = client.json(&["task", "submit", "-f", &lines]);
    let results = answer["results"].as_array().expect("results");
    assert_eq!((&results[0]["status"], &results[1]["status"]), (&200.into(), &201.into()));
    assert_eq!(
        results[0]["task"]["id"].as_str(),
        ids.lines().next(),
        "the same key, the same task"
    );
    cluster.wait_until_idle();

    // The key of another task: one of the two is refused, and the other is there.
    let reused = own.replace("\"own\"", "\"other\"");
    let reused = file("reused.ndjson", &format!("{{\"run\": {{\"noop\": {{}}}}}}\n{reused}\n"));
    let answer = client.ask(&["task", "submit", "-f", &reused]);
    let (out, told) = (text(&answer.stdout), text(&answer.stderr));
    assert_eq!((answer.status.code(), out.lines().count()), (Some(6), 1), "{told}");
    assert!(told.contains("reused.ndjson, line 2: "), "{told}");
    assert!(told.ends_with("ambit: 1 of 2 refused; 1 submitted\n"), "{told}");
    cluster.wait_until_idle();

    // More than one request, and more than may wait: those that fit are taken, in order.
    let waits = r#"{"run": {"noop": {}}, "where": {"regions": ["nowhere"]}}"#;
    let many = file("many.ndjson", &format!("{waits}\n").repeat(5_005));
    let answer = client.ask(&["task", "submit", "-f", &many, "-o", "json"]);
    let told = text(&answer.stderr);
    assert_eq!(answer.status.code(), Some(7), "{told}");
    assert!(told.ends_with("ambit: 2 of 5005 refused; 5003 submitted\n"), "{told}");
    assert!(told.starts_with(&format!("{many}, line 5004: ")), "{told}");
    let answer: Value = serde_json::from_slice(&answer.stdout).expect("JSON");
    let results = answer["results"].as_array().expect("results");
    assert_eq!((results.len(), &results[5_004]["status"]), (5_005, &429.into()));
    // Nothing fits any more: the same, with what comes after named.
    let answer = client.ask(&["task", "submit", "-f", &many]);
    let told = text(&answer.stderr);
    assert_eq!((answer.status.code(), text(&answer.stdout)), (Some(7), String::new()), "{told}");
    assert!(told.starts_with(&format!("0 of 5005 sent; those from {many}, line 1 on")), "{told}");
}

#[test]
fn every_example_runs() {
    let cluster = ClusterBuilder::new(BrokerKind::Embedded).agent(melbourne()).start();
    let client = Client::of(&cluster);
    let folder = binaries::repository().join("configs/examples");
    let mut count = 0;
    for file in std::fs::read_dir(folder).expect("examples").flatten() {
        let path = file.path();
        if path.extension().is_some_and(|end| end == "md") {
            continue;
        }
        let answer = client.ask(&["task", "run", "-f", path.to_str().expect("text")]);
        assert_eq!(answer.status.code(), Some(0), "{}: {answer:?}", path.display());
        count += 1;
    }
    assert!(count >= 6, "only {count} examples");
    cluster.wait_until_idle();
}

/// Ends a fleet with its terminal.
struct Fleet(Child);

impl Drop for Fleet {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg("-TERM").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

/// The words after `ambit` in the README's first commands.
fn readme(command: &str) -> Vec<String> {
    let readme = std::fs::read_to_string(binaries::repository().join("README.md"));
    let readme = readme.expect("the README");
    let line = readme.lines().find(|line| line.starts_with(command));
    let line = line.unwrap_or_else(|| panic!("the README has no command `{command}`"));
    line.split_whitespace().skip(1).map(str::to_owned).collect()
}

/// What the README tells a new user to type, in an empty folder, on free ports.
#[test]
fn a_new_user_gets_to_a_task_near_a_point_by_the_readme() {
    let scratch = Scratch::new();
    let in_folder = |words: &[String], folder: &Path| {
        let mut command = Command::new(binaries::core());
        command.args(words).current_dir(folder).env("TMPDIR", folder);
        command
    };
    let mut words = readme("ambit dev");
    words.extend(["--listen".to_owned(), "127.0.0.1:0".to_owned()]);
    let fleet = in_folder(&words, scratch.path()).stdout(Stdio::piped()).spawn();
    let mut fleet = Fleet(fleet.expect("a fleet"));
    // Kept open: the fleet goes on writing.
    let lines = BufReader::new(fleet.0.stdout.take().expect("a pipe")).lines();
    let mut lines = lines.map_while(Result::ok);
    let ready = lines
        .by_ref()
        .find_map(|line| line.split_once("ready ").map(|(_, url)| url.trim().to_owned()));
    let url = ready.expect("the fleet is ready");
    let say = |command: &str| {
        let answer = in_folder(&readme(command), scratch.path()).env("AMBIT_URL", &url).output();
        let answer = answer.expect("the program");
        assert!(answer.status.success(), "{command}: {answer:?}");
        text(&answer.stdout)
    };
    assert!(say("ambit agent list").contains("istanbul"));
    assert_eq!(say("ambit task run"), "hello from the edge\n");
}
