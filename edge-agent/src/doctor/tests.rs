//! Boards in good and in bad health.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use edge_agent_logic::Change;
use edge_agent_logic::change::LinkSeen;
use shared::id::Incarnation;
use shared::time::Timestamp;
use shared_runtime::clock::{Clock, new_uuid_v4};
use shared_runtime::disk::create_private_folder;
use shared_runtime::seal::{JoinToken, Nonce};

use super::*;
use crate::config::credential_in;
use crate::folder::Folder;
use crate::identity::CredentialFile;
use crate::store::{FlashDay, Store};

/// A board with an agent that has joined.
struct Board {
    root: tempfile::TempDir,
    broker: TcpListener,
}

impl Board {
    fn healthy() -> Self {
        let root = tempfile::tempdir().expect("a folder");
        let broker = TcpListener::bind("127.0.0.1:0").expect("a port");
        let board = Self { root, broker };
        create_private_folder(&board.data()).expect("a folder");
        let now = Clock::new().now().wall;
        let mut store = board.store();
        store
            .commit(&[
                Change::Heard { at: now },
                Change::Believed { at: now },
                Change::LinkMoved { seen: LinkSeen::Connected, at: now },
            ])
            .expect("commit");
        let agent = "board-7".parse().expect("an id");
        let token = JoinToken::from_text("0123456789abcdef").expect("a token");
        let credential = CredentialFile::of(&credential_in(&board.data()), &agent);
        credential.write(&token.root(&agent, &Nonce::fresh())).expect("written");
        board
    }

    fn data(&self) -> PathBuf {
        self.root.path().join("data")
    }

    fn store(&self) -> Store {
        let agent = "board-7".parse().expect("an id");
        Store::open(&database_in(&self.data()), &agent, Incarnation(new_uuid_v4())).expect("open")
    }

    fn args(&self) -> RunArgs {
        let port = self.broker.local_addr().expect("an address").port();
        RunArgs {
            id: Some("board-7".parse().expect("an id")),
            broker: Some(format!("mqtt://127.0.0.1:{port}").parse().expect("a broker")),
            data: Some(self.data()),
            ..RunArgs::default()
        }
    }

    fn findings(&self) -> Vec<Finding> {
        examine(&self.args(), Clock::new().now())
    }
}

/// What was found about one thing.
fn of<'a>(findings: &'a [Finding], what: &str) -> &'a Finding {
    let found = findings.iter().find(|finding| finding.what == what);
    found.unwrap_or_else(|| panic!("nothing about {what}: {findings:#?}"))
}

fn verdict(findings: &[Finding], what: &str) -> Verdict {
    of(findings, what).verdict
}

#[test]
fn a_healthy_board_has_no_failure_and_nothing_is_changed_by_looking() {
    let board = Board::healthy();
    let list = |data: &Path| {
        let entries = std::fs::read_dir(data).expect("the folder");
        let names = entries.map(|entry| entry.expect("entry").file_name());
        // What SQLite puts beside a database while somebody reads it is no change.
        let own = |name: &std::ffi::OsString| !name.to_string_lossy().contains("sqlite-");
        let mut names: Vec<_> = names.filter(own).collect();
        names.sort();
        names
    };
    let before = list(&board.data());
    let findings = board.findings();
    assert_eq!(list(&board.data()), before);
    for finding in &findings {
        // An agent that does not run and ballast that it has not made yet are worth a word.
        let expected = ["agent", "ballast"].contains(&finding.what);
        assert_eq!(finding.verdict != Verdict::Ok, expected, "{finding:?}");
    }
    assert_eq!(worst(&findings), Verdict::Warn);
    let _folder = Folder::take(&board.data()).expect("free");
    let findings = board.findings();
    assert_eq!(verdict(&findings, "agent"), Verdict::Ok);
    assert!(of(&findings, "core").detail.contains("connected"), "{findings:#?}");
    let text = as_text(&findings, Some(60));
    assert!(text.lines().all(|line| line.chars().count() <= 75), "{text}");
    let json: serde_json::Value = serde_json::from_str(&as_json(&findings)).expect("JSON");
    assert_eq!(json["verdict"], "warn");
}

#[test]
fn a_board_where_nothing_ever_ran_says_what_is_missing() {
    let root = tempfile::tempdir().expect("a folder");
    let args = RunArgs { data: Some(root.path().join("none")), ..RunArgs::default() };
    let findings = examine(&args, Clock::new().now());
    assert_eq!(verdict(&findings, "data folder"), Verdict::Fail);
    let detail = &of(&findings, "credential").detail;
    assert!(detail.contains("--join-token-file FILE"), "{detail}");
    assert_eq!(worst(&findings), Verdict::Fail);
}

#[test]
fn without_a_network_it_says_what_goes_on() {
    let mut board = Board::healthy();
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a port");
    let args = board.args();
    board.broker = nobody;
    let broker = of(&examine(&args, Clock::new().now()), "broker").clone();
    assert_eq!(broker.verdict, Verdict::Warn, "{broker:?}");
    assert!(broker.way_out.is_some_and(|way_out| way_out.contains("what runs runs on")));
    let reason = "no route".to_owned();
    let at = Clock::new().now().wall;
    board
        .store()
        .commit(&[Change::LinkMoved { seen: LinkSeen::Down { reason }, at }])
        .expect("commit");
    let _folder = Folder::take(&board.data()).expect("free");
    let findings = board.findings();
    let core = of(&findings, "core");
    assert_eq!(core.verdict, Verdict::Warn);
    assert!(core.detail.contains("no route") && core.detail.contains("last heard"), "{core:?}");
}

#[test]
fn a_board_that_woke_up_in_1970_is_told_so() {
    let board = Board::healthy();
    let now = Clock::new().now();
    let woken = Now { wall: Timestamp(7_000), ..now };
    let clock = of(&examine(&board.args(), woken), "clock").clone();
    assert_eq!(clock.verdict, Verdict::Warn);
    assert!(clock.detail.contains("1970-01-01T00:00:07"), "{clock:?}");
    let way_out = clock.way_out.expect("a way out");
    assert!(way_out.contains("timedatectl") && way_out.contains("Nothing is decided"), "{way_out}");
    let confirmed = Now { wall: now.wall.plus_ms(5_000), ..now };
    assert_eq!(verdict(&examine(&board.args(), confirmed), "clock"), Verdict::Ok);
}

#[test]
fn whatever_is_wrong_with_the_data_has_a_name_and_a_way_out() {
    let board = Board::healthy();
    let set_mode = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("chmod");
    };
    set_mode(&board.data(), 0o755);
    let findings = board.findings();
    let folder = of(&findings, "data folder");
    assert_eq!(folder.verdict, Verdict::Warn);
    assert!(folder.way_out.as_ref().is_some_and(|it| it.contains("chmod 700")), "{folder:?}");

    let credential = credential_in(&board.data());
    set_mode(&credential, 0o644);
    assert_eq!(verdict(&board.findings(), "credential"), Verdict::Fail);
    std::fs::remove_file(&credential).expect("removed");
    assert_eq!(verdict(&board.findings(), "credential"), Verdict::Fail);

    let other = RunArgs { id: Some("board-8".parse().expect("an id")), ..board.args() };
    let findings = examine(&other, Clock::new().now());
    assert!(of(&findings, "agent id").detail.contains("--id board-7"), "{findings:#?}");

    let database = database_in(&board.data());
    let mut bytes = std::fs::read(&database).expect("read");
    for byte in bytes.iter_mut().skip(4_096).take(3_000) {
        *byte = 0x5a;
    }
    std::fs::write(&database, &bytes).expect("written");
    let findings = board.findings();
    let found = of(&findings, "database");
    assert_eq!(found.verdict, Verdict::Fail, "{found:?}");
    std::fs::write(&database, b"not a database at all, but something else").expect("written");
    assert_eq!(verdict(&board.findings(), "database"), Verdict::Fail);

    let wrong = board.root.path().join("edge.toml");
    std::fs::write(&wrong, "tasks_maxx = 1\n").expect("written");
    let args = RunArgs { config: Some(wrong), ..board.args() };
    let findings = examine(&args, Clock::new().now());
    assert!(of(&findings, "configuration").detail.contains("did you mean `tasks_max`?"));
    assert_eq!(worst(&findings), Verdict::Fail);
}

#[test]
fn lines_are_wrapped_where_words_allow() {
    assert_eq!(wrapped("a bb ccc", 4), ["a bb", "ccc"]);
    assert_eq!(wrapped("abcdefgh i", 4), ["abcdefgh", "i"]);
    assert_eq!(wrapped("", 4), [""]);
}

#[test]
fn what_was_written_today_is_held_against_the_budget() {
    let board = Board::healthy();
    let now = Clock::new().now();
    let day = u64::try_from(now.wall.0).expect("after 1970") / (24 * 3_600 * 1_000);
    let written = |board: &Board, day, bytes| {
        let flash = FlashDay { day, bytes, ran_ms: 1 };
        board.store().commit_with(&[], Some(flash)).expect("commit");
        of(&examine(&board.args(), now), "flash").clone()
    };
    let some = written(&board, day, 64 << 20);
    assert_eq!(
        (some.verdict, some.detail.as_str()),
        (Verdict::Ok, "64.0 of 256 MiB written today")
    );
    let all = written(&board, day, 256 << 20);
    assert_eq!(all.verdict, Verdict::Warn);
    assert!(all.way_out.is_some_and(|way_out| way_out.contains("flash.bytes_per_day")));
    assert_eq!(written(&board, day - 1, 256 << 20).detail, "0.0 of 256 MiB written today");
}
