//! Task files that are wrong: each mistake is told with file, line and field, and nothing is
//! submitted.

use std::path::Path;

use super::shown;

/// Nobody listens there.
const AT: &[(&str, &str)] = &[("AMBIT_URL", "http://127.0.0.1:1")];

/// Files, and what they hold.
const FILES: &[(&str, &str)] = &[
    ("empty.yaml", ""),
    ("empty.toml", ""),
    ("empty.json", ""),
    ("word.yaml", "hello\n"),
    ("unknown.txt", "run = 1\n"),
    ("syntax.toml", "name = 'a'\nrun = {\n"),
    ("syntax.json", "{\"run\": {\"noop\": {}},\n \"name\": }\n"),
    ("syntax.yaml", "run:\n  noop: {}\n name: x\n"),
    ("tabs.yaml", "run:\n\tnoop: {}\n"),
    ("twice.toml", "name = 'a'\nname = 'b'\n"),
    ("twice.yaml", "name: a\nname: b\n"),
    ("alias.yaml", "name: &x a\nlabels: {y: *x}\n"),
    ("no-run.toml", "name = 'a'\n"),
    ("mistyped.toml", "name = 'a'\nprioritty = 5\n[run.noop]\n"),
    ("mistyped.yaml", "run: {noop: {}}\nwhere:\n  naer: {latitude: 1, longitude: 2}\n"),
    ("mistyped.json", "{\"run\": {\n  \"exec\": {\"comand\": \"echo\"}\n}}\n"),
    ("norway.yaml", "run: {noop: {}}\nexclusive: no\n"),
    ("far.yaml", "run: {noop: {}}\nwhere:\n  near:\n    latitude: 95\n    longitude: 10\n"),
    ("date.toml", "name = 2026-11-21\n[run.noop]\n"),
    ("inf.toml", "[run.noop]\n[where]\nlatency_ms_max = inf\n"),
    ("reconcile.toml", "[run.noop]\n[disconnect]\nreconcile = 'best_scor'\n"),
    (
        "open.json",
        "{\"run\": {\"noop\": {}}, \"where\": {\"area\": {\"type\": \"Polygon\",\n\
      \"coordinates\": [[[0,0],[1,0],[1,1]]]}}}\n",
    ),
    ("both.toml", "[run.noop]\n[run.exec]\ncommand = 'x'\n"),
    (
        "list.json",
        "[{\"run\": {\"noop\": {}}}, {\"run\": {\"noop\": {}}, \"priority\": 101},\n 7]\n",
    ),
    (
        "lines.ndjson",
        "{\"run\": {\"noop\": {}}}\n\n{\"run\": {\"noop\": {}}, \"nam\": \"x\"}\n[]\n",
    ),
    ("broken.ndjson", "{\"run\": {\"noop\": {}}}\n{\"run\":\n"),
    ("blank.ndjson", "\n \n"),
    (
        "keys.jsonl",
        "{\"run\": {\"noop\": {}}, \"idempotency_key\": \"a b\"}\n\
                    {\"run\": {\"noop\": {}}, \"idempotency_key\": 7}\n",
    ),
    ("several.yaml", "run: {noop: {}}\n---\nrun: {noop: {}}\npriority: 101\n---\nrum: 1\n"),
];

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in FILES {
        std::fs::write(folder.path().join(name), text).expect("written");
    }
    std::fs::write(folder.path().join("binary.json"), [0xff, 0xfe]).expect("written");
    folder
}

#[test]
fn wrong_task_files_are_told_with_file_line_and_field() {
    let folder = folder();
    let submit = |name: &str| shown(folder.path(), &["task", "submit", "-f", name], AT);
    let mut text: String = FILES.iter().map(|(name, _)| submit(name)).collect();
    for name in ["binary.json", "missing.toml", ".", "-"] {
        text.push_str(&submit(name));
    }
    let single = ["task", "run", "-f", "mistyped.toml", "-f", "mistyped.yaml"];
    text.push_str(&shown(folder.path(), &single, AT));
    let lines = ["task", "submit", "-f", "good.ndjson", "--idempotency-key", "k"];
    std::fs::write(folder.path().join("good.ndjson"), "{\"run\": {\"noop\": {}}}\n")
        .expect("written");
    text.push_str(&shown(folder.path(), &lines, AT));
    insta::assert_snapshot!(text);
}

#[test]
fn every_example_is_a_task() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/examples");
    let mut formats = std::collections::BTreeSet::new();
    for file in std::fs::read_dir(examples).expect("examples").flatten() {
        let (path, name) = (file.path(), file.file_name().into_string().expect("a name"));
        if name == "README.md" {
            continue;
        }
        formats.insert(path.extension().map(std::ffi::OsStr::to_owned));
        // A task that is in order comes as far as the core that is not there.
        let words = ["task", "submit", "-f", path.to_str().expect("text")];
        let (code, _, told) =
            super::ambit(Path::new("."), &words, &[("AMBIT_URL", "http://127.0.0.1:1")]);
        assert_eq!(code, 5, "{name}: {told}");
    }
    assert_eq!(formats.len(), 3, "TOML, YAML and JSON");
}
