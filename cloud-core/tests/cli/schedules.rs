//! Schedule files and calls that are written wrongly.

use std::path::Path;

use super::shown;

const FILES: [(&str, &str); 7] = [
    ("cron.toml", "name = 'a'\n[trigger]\ncron = 30\n[task.run.noop]\n"),
    (
        "two-ways.yaml",
        "name: a\ntrigger:\n  cron: '@daily'\n  interval_s: 5\ntask: {run: {noop: {}}}\n",
    ),
    (
        "mistyped.json",
        "{\"name\": \"a\",\n \"trigger\": {\"interval_s\": 5},\n \"overlapp\": \"allow\",\n \"task\": {\"run\": {\"noop\": {}}}}\n",
    ),
    (
        "task.toml",
        "name = 'a'\n[trigger]\ninterval_s = 5\n[task]\npriority = 101\n[task.run.noop]\n",
    ),
    (
        "goes-ill.toml",
        "name = 'a'\noverlap = 'queue'\n[trigger]\ninterval_s = 5\nafter_end = true\n[task.run.noop]\n",
    ),
    ("nothing.json", "{}\n"),
    (
        "event.json",
        "{\"name\": \"a\", \"trigger\": {\"event\": {\"webhook\": {}}}, \"task\": {\"run\": {\"noop\": {}}}}\n",
    ),
];
const AT: &[(&str, &str)] = &[("AMBIT_URL", "http://127.0.0.1:1")];

#[test]
fn wrong_schedules_are_told_with_file_line_and_field() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in FILES {
        std::fs::write(folder.path().join(name), text).expect("written");
    }
    let mut text = String::new();
    for (name, _) in &FILES[..6] {
        text.push_str(&shown(folder.path(), &["schedule", "create", "-f", name], AT));
    }
    for words in [
        &["schedule", "create"][..],
        &["schedule", "create", "-f", "-"],
        &["schedule", "preview"],
        &["schedule", "preview", "-f", "event.json"],
        &["schedule", "preview", "--cron", "@daily", "--from", "soon"],
        &["schedule", "preview", "--cron", "@daily", "--count", "1001"],
        &["schedule", "preview", "-f", "event.json", "--zone", "UTC"],
        &["schedule", "status", "a/b"],
        &["schedule", "pause"],
        &["schedule", "create", "-f", "event.json"],
    ] {
        text.push_str(&shown(folder.path(), words, AT));
    }
    insta::assert_snapshot!(text);
}

#[test]
fn every_example_is_a_schedule() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/schedules");
    let mut count = 0;
    for file in std::fs::read_dir(examples).expect("examples").flatten() {
        let path = file.path();
        let words = ["schedule", "create", "-f", path.to_str().expect("text")];
        // One that is in order comes as far as the core that is not there.
        let (code, _, told) = super::ambit(Path::new("."), &words, AT);
        assert_eq!(code, 5, "{}: {told}", path.display());
        count += 1;
    }
    assert_eq!(count, 4, "TOML, YAML and JSON, and one for messages");
}
