//! Every example of the README and of the manuals does what it is there for: each fenced block is
//! run against real programs, or read by what reads such documents in earnest. A block that nobody
//! can check has no place in a manual, and fails here.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};
use shared::api::{
    BatchDocument, EventDocument, HookCalled, LogRecord, PolicyDocument, PreviewDocument,
    ProblemDocument,
};
use tests::binaries;
use tests::port::Port;
use tests::scratch::{Scratch, write_private};
use tests::wait::{check, eventually};

/// What is not run here, by how it begins, and why that is no gap.
const NOT_RUN: &[(&str, &str)] = &[
    ("git clone ", "whoever runs this has a clone"),
    ("cargo build ", "what it builds is what runs here"),
    ("export PATH=", "the programs are found here as it says"),
    ("make demo", "the pipeline runs it to its end"),
    ("make test", "it runs this"),
    ("make bench", "it takes minutes, and is run for docs/BENCHMARKS.md"),
    ("make soak-placement", "it looks for hours, where a test looks for seconds"),
    ("cargo test ", "it runs tests beside this one"),
];

/// The task whose id the manuals use.
const TASK: &str = "01936f2e-8a3c-7d4e-9b1a-2c3d4e5f6a7b";

/// A fenced block.
struct Block {
    /// Where it stands: `docs/API.md:36`.
    place: String,
    kind: String,
    text: String,
}

/// The blocks of a manual, in order.
fn blocks(file: &str) -> Vec<Block> {
    let text = fs::read_to_string(binaries::repository().join(file)).expect("a manual");
    let mut blocks: Vec<Block> = Vec::new();
    let mut open = false;
    for (index, line) in text.lines().enumerate() {
        match (line.trim_start().strip_prefix("```"), open) {
            (Some(kind), false) => {
                let (place, kind) = (format!("{file}:{}", index + 1), kind.trim().to_owned());
                blocks.push(Block { place, kind, text: String::new() });
                open = true;
            }
            (Some(_), true) => open = false,
            (None, true) => {
                let block = blocks.last_mut().expect("an open block");
                block.text += line;
                block.text.push('\n');
            }
            (None, false) => {}
        }
    }
    assert!(!open, "{file}: a block that never ends");
    blocks
}

fn manuals() -> Vec<String> {
    let folder = fs::read_dir(binaries::repository().join("docs")).expect("docs");
    let names = folder.flatten().filter_map(|file| file.file_name().into_string().ok());
    let mut files: Vec<String> =
        names.filter(|name| name.ends_with(".md")).map(|name| format!("docs/{name}")).collect();
    files.sort();
    files.insert(0, "README.md".to_owned());
    files
}

/// The commands of a block: a line each, unless the shell wants more of it.
fn commands(block: &Block) -> Vec<String> {
    let mut commands = Vec::new();
    let mut command = String::new();
    for line in block.text.lines() {
        command += line;
        let whole = !line.ends_with('\\') && {
            let mut shell = Command::new("sh");
            let asked = shell.args(["-n", "-c", &command]).stderr(Stdio::null()).status();
            asked.expect("a shell").success()
        };
        command.push('\n');
        if whole {
            commands.push(std::mem::take(&mut command));
        }
    }
    assert!(command.is_empty(), "{}: no shell reads this: {command}", block.place);
    commands.retain(|command| !command.trim().is_empty());
    commands
}

/// Somebody who follows a manual, in a folder and on ports of their own.
struct Reader {
    scratch: Scratch,
    http: Port,
    broker: Port,
    /// What the manual has running: what it is called, and the process.
    running: Vec<(String, Child)>,
    /// The id of the task that the manual speaks of.
    task: String,
}

impl Reader {
    fn new() -> Self {
        let scratch = Scratch::new();
        let configs = binaries::repository().join("configs");
        symlink(configs, scratch.join("configs")).expect("the examples");
        // curl takes a refusal for a failure here, and shows it.
        fs::write(scratch.join(".curlrc"), "fail-with-body\nshow-error\n").expect("written");
        let task = TASK.to_owned();
        Self { scratch, http: Port::reserve(), broker: Port::reserve(), running: Vec::new(), task }
    }

    /// One whose core and board run, as the README starts them.
    fn with_a_board() -> Self {
        let mut reader = Self::new();
        for block in blocks("README.md").iter().filter(|block| block.kind == "sh") {
            for command in commands(block) {
                if ["ambit core --listen", "ambit-agent run"].iter().any(|s| command.starts_with(s))
                {
                    reader.follow(&block.place, &command);
                }
            }
        }
        assert_eq!(reader.running.len(), 2, "the README starts a core and a board");
        reader
    }

    /// A command as it is typed here: other ports, and the task that there is.
    fn adapted(&self, command: &str) -> String {
        command
            .replace("127.0.0.1:8080", &self.http.address().to_string())
            .replace("127.0.0.1:1883", &self.broker.address().to_string())
            .replace(TASK, &self.task)
            // What never ends by itself is looked at for a moment.
            .replace("curl -sN ", "curl -sN --max-time 1 ")
    }

    fn shell(&self, command: &str) -> Command {
        let programs = binaries::core();
        let path = std::env::var("PATH").unwrap_or_default();
        let path = format!("{}:{path}", programs.parent().expect("a folder").display());
        let mut shell = Command::new("sh");
        shell.args(["-c", command]).current_dir(self.scratch.path()).stdin(Stdio::null());
        shell
            .env_clear()
            .env("PATH", path)
            .env("HOME", self.scratch.path())
            .env("TMPDIR", self.scratch.path())
            .env("AMBIT_URL", format!("http://{}", self.http.address()))
            // The ports of the README may be in use where this runs.
            .env("AMBIT_BROKER_LISTEN", self.broker.address().to_string())
            .env("AMBIT_EDGE_BROKER_URL", format!("mqtt://{}", self.broker.address()))
            .env("AMBIT_EDGE_CAPACITY_DEVICES", "camera=1");
        shell
    }

    fn run(&self, command: &str) -> Output {
        self.shell(&self.adapted(command)).output().expect("a shell")
    }

    /// Does what a command of a manual says.
    fn follow(&mut self, place: &str, command: &str) {
        if NOT_RUN.iter().any(|(start, _)| command.starts_with(start)) {
            return;
        }
        match command.trim() {
            "ambit dev" => {
                let listen = format!("ambit dev --listen {}", self.http.address());
                self.start(&listen);
                self.until("the fleet", "ambit agent list --status online", "istanbul");
            }
            server if server.starts_with("ambit core --listen") => {
                self.stop("ambit dev");
                self.start(server);
                self.until("the core", "ambit agent list", "no agents");
            }
            board if board.starts_with("ambit-agent run") => {
                self.start(board);
                self.until("the board", "ambit agent list --status online", "board-7");
            }
            command => {
                if command.starts_with("ambit core restore") {
                    self.stop("ambit core");
                }
                let answer = self.run(command);
                let code = answer.status.code();
                let looked_at = command.contains("curl -sN") && code == Some(28);
                assert!(code == Some(0) || looked_at, "{place}: {command}\n{answer:?}");
            }
        }
    }

    fn start(&mut self, command: &str) {
        let log = File::create(self.scratch.join(&format!("{}.log", self.running.len())));
        let log = log.expect("a log");
        let mut shell = self.shell(&format!("exec {}", self.adapted(command)));
        let child = shell.stdout(log.try_clone().expect("the log twice")).stderr(log).spawn();
        self.running.push((command.to_owned(), child.expect("a shell")));
    }

    fn until(&self, who: &str, command: &str, told: &str) {
        eventually(who, || {
            let answer = self.run(command);
            let text = String::from_utf8_lossy(&answer.stdout).into_owned();
            check(text.contains(told), || format!("{answer:?}"))
        });
    }

    /// Ends what was started so, as Ctrl-C or a service manager does.
    fn stop(&mut self, command: &str) {
        for (_, child) in self.running.iter_mut().filter(|(name, _)| name.starts_with(command)) {
            let id = child.id().to_string();
            let _ = Command::new("kill").args(["-TERM", &id]).status();
            let _ = child.wait();
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // What the janitor of the folder would kill, the core and the boards end in order.
        self.stop("");
    }
}

/// Follows the `sh` blocks of a manual from its beginning to its end. What closes the core to those
/// without a token comes late, and what wants it stopped last: the other examples are for a core as
/// it is at first.
fn follow(reader: &mut Reader, file: &str) {
    let mut blocks = blocks(file);
    blocks.retain(|block| block.kind == "sh");
    blocks.sort_by_key(|block| {
        let says = |what| block.text.contains(what);
        (says("ambit core restore"), says("ambit token create"))
    });
    for block in &blocks {
        for command in commands(block) {
            reader.follow(&block.place, &command);
        }
    }
}

#[test]
fn the_readme_works_from_its_beginning_to_its_end() {
    follow(&mut Reader::new(), "README.md");
}

#[test]
fn the_manual_of_the_command_line_works() {
    follow(&mut Reader::with_a_board(), "docs/CLI.md");
}

#[test]
fn the_manual_of_the_api_works() {
    let mut reader = Reader::with_a_board();
    // What it takes for granted: a task that is known and has written something, one in a file,
    // and a policy that was changed before.
    let told = |answer: Output| {
        assert!(answer.status.success(), "{answer:?}");
        String::from_utf8(answer.stdout).expect("text").trim().to_owned()
    };
    told(reader.run("ambit task run --name known -- /bin/echo hello"));
    let status = told(reader.run("ambit task status known -o json"));
    let status: Value = serde_json::from_str(&status).expect("JSON");
    reader.task = status["id"].as_str().expect("an id").to_owned();
    told(reader.run("cp configs/examples/noop.json task.json"));
    for weight in 1..=2 {
        let put = format!(
            "echo '{{\"weights\": {{\"load\": {weight}}}}}' | ambit policy set -f - --format json"
        );
        told(reader.run(&put));
    }
    follow(&mut reader, "docs/API.md");
}

#[test]
fn the_other_manuals_work() {
    for file in manuals() {
        if !["README.md", "docs/CLI.md", "docs/API.md"].contains(&file.as_str()) {
            let mut reader = match file.as_str() {
                "docs/SCHEDULES.md" => Reader::with_a_board(),
                _ => Reader::new(),
            };
            follow(&mut reader, &file);
        }
    }
}

/// The values of a JSON block, one after the other.
fn values(text: &str) -> Vec<Value> {
    let values = serde_json::Deserializer::from_str(text).into_iter();
    values.collect::<Result<_, _>>().unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Whether a value is written as what it is read as: nothing of it is unknown to the reader.
fn is<T: serde::Serialize + serde::de::DeserializeOwned>(value: &Value) -> Result<(), String> {
    let read: T = serde_json::from_value(value.clone()).map_err(|error| error.to_string())?;
    let written = serde_json::to_value(&read).map_err(|error| error.to_string())?;
    check(holds(&written, value), || format!("{value} is read as {written}"))
}

/// Whether everything of `part` stands in `whole`.
fn holds(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => {
            part.iter().all(|(key, part)| whole.get(key).is_some_and(|whole| holds(whole, part)))
        }
        (Value::Array(whole), Value::Array(part)) => {
            whole.len() == part.len() && whole.iter().zip(part).all(|(a, b)| holds(a, b))
        }
        (whole, part) => whole == part || whole.as_f64().is_some_and(|w| part.as_f64() == Some(w)),
    }
}

/// Reads a JSON block as what the API and the agents read and write.
fn check_json(text: &str) -> Result<(), String> {
    // A few fields of a task.
    if text.starts_with('"') {
        let mut task: Value = serde_json::from_str(&format!("{{{text}}}"))
            .map_err(|error| format!("{error}: {text}"))?;
        task["run"] = json!({"noop": {}});
        return shared::spec::parse(&task).map(drop).map_err(|problems| format!("{problems:?}"));
    }
    let documents = values(text);
    if documents.is_empty() {
        return Err("there is nothing in it".to_owned());
    }
    documents.iter().try_for_each(|value| {
        let readers = [
            ("a task", shared::spec::parse(value).map(drop).map_err(|error| format!("{error:?}"))),
            ("the results of a batch", is::<BatchDocument>(value)),
            ("a log's record", is::<LogRecord>(value)),
            ("a policy", is::<PolicyDocument>(value)),
            ("a problem", is::<ProblemDocument>(value)),
            (
                "a schedule",
                shared::schedule::parse(value).map(drop).map_err(|error| format!("{error:?}")),
            ),
            ("a preview", is::<PreviewDocument>(value)),
            ("the answer of a hook", is::<HookCalled>(value)),
        ];
        let all: Vec<String> = readers
            .iter()
            .filter_map(|(what, read)| Some(format!("as {what}: {}", read.as_ref().err()?)))
            .collect();
        check(all.len() < readers.len(), || all.join("\n"))
    })
}

/// A part of the core's configuration, or its file of publishers, as the core reads it.
fn check_toml(text: &str) -> Result<(), String> {
    let scratch = Scratch::new();
    let (file, publishers) = (scratch.join("core.toml"), scratch.join("publishers.toml"));
    if text.contains("topics = ") {
        write_private(&publishers, text);
        fs::write(&file, "[broker]\npublishers_file = 'publishers.toml'\n").expect("written");
    } else {
        fs::write(&file, text).expect("written");
    }
    let asked = Command::new(binaries::core())
        .args(["core", "--check-config", "--data"])
        .arg(scratch.join("data"))
        .arg("--config")
        .arg(&file)
        .output()
        .expect("the program");
    check(asked.status.success(), || String::from_utf8_lossy(&asked.stderr).into_owned())
}

#[test]
fn every_block_of_every_manual_is_run_or_read() {
    let mut count = 0;
    for block in manuals().iter().flat_map(|file| blocks(file)) {
        let checked = match block.kind.as_str() {
            // Run by the other tests, which walk the same list.
            "sh" => commands(&block).is_empty().then(|| Err("it is empty".to_owned())),
            "json" => Some(check_json(&block.text)),
            "toml" => Some(check_toml(&block.text)),
            // What a program prints; what is an event in it is read as one.
            "text" => Some(
                block
                    .text
                    .lines()
                    .filter_map(|line| line.strip_prefix("data: "))
                    .flat_map(values)
                    .try_for_each(|value| is::<EventDocument>(&value)),
            ),
            other => Some(Err(format!("nothing here runs or reads `{other}`"))),
        };
        if let Some(Err(why)) = checked {
            panic!("{}: {why}", block.place);
        }
        count += 1;
    }
    assert!(count > 20, "only {count} blocks");
}

/// The test finds what it is made to find.
#[test]
fn a_wrong_example_is_found() {
    assert!(check_json(r#"{"run": {"noop": {}}, "prioritty": 1}"#).is_err());
    assert!(check_json(r#""exclusve": true"#).is_err());
    assert!(check_toml("[plc]\npassword = 'short'\ntopics = ['a']\n").is_err());
    assert!(check_toml("[http]\nlisen = '127.0.0.1:0'\n").is_err());
    assert!(check_json(r#"{"attempt": 1, "offset": 0, "colour": "red"}"#).is_err());
    let block = |text: &str| Block {
        place: "here".to_owned(),
        kind: "sh".to_owned(),
        text: text.to_owned(),
    };
    let text = "a \\\n  b\necho '{\n}' |\n  cat\n\nfor n in 1 2; do\n  true\ndone\n";
    assert_eq!(commands(&block(text)).len(), 3);
    let wrong = std::panic::catch_unwind(|| {
        Reader::new().follow("here", "ambit task lst");
    });
    assert!(wrong.is_err(), "a command that fails is found");
}
