//! An attempt's directory under hostile hands.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;

fn lock(pid: u32) -> Lock {
    Lock::Supervisor { supervisor_pid: pid, supervisor_start_ticks: 1, boot_id: "boot".to_owned() }
}

fn fresh() -> (tempfile::TempDir, AttemptDir) {
    let root = tempfile::tempdir().expect("a temporary directory");
    let dir = AttemptDir::at(&root.path().join("attempt"));
    assert!(dir.create().expect("create"));
    (root, dir)
}

#[test]
fn exactly_one_of_many_takes_the_lock_and_nobody_reads_half_of_it() {
    let (_root, dir) = fresh();
    dir.take_lock(&lock(1)).expect("the first takes it");
    let refused = dir.take_lock(&Lock::Tombstone).expect_err("the second does not");
    assert!(matches!(refused, AttemptError::Exists { .. }), "{refused}");
    assert_eq!(dir.read_lock().expect("read"), lock(1));
}

#[test]
fn what_is_not_there_is_missing() {
    let (_root, dir) = fresh();
    assert!(matches!(dir.read_spec(), Err(AttemptError::Missing { .. })));
    assert!(matches!(dir.read_lock(), Err(AttemptError::Missing { .. })));
    assert!(matches!(dir.read_child(), Err(AttemptError::Missing { .. })));
    assert!(matches!(dir.read_exit(), Err(AttemptError::Missing { .. })));
}

#[test]
fn half_written_and_hostile_files_have_a_name() {
    let (_root, dir) = fresh();
    let exit = dir.path().join("exit.json");
    for text in ["", "{", "null", "[]", "{\"end\":{\"kind\":\"exited\"}}", "\u{0}", "{}", "1e999"] {
        fs::write(&exit, text).expect("write");
        assert!(matches!(dir.read_exit(), Err(AttemptError::Damaged { .. })), "{text:?}");
    }
    fs::write(&exit, [0xff, 0xfe]).expect("write");
    assert!(matches!(dir.read_exit(), Err(AttemptError::Damaged { .. })));
    fs::write(&exit, "[".repeat(100_000)).expect("write");
    assert!(matches!(dir.read_exit(), Err(AttemptError::Damaged { .. })));
    fs::write(&exit, vec![b' '; 1024 * 1024 + 1]).expect("write");
    assert!(matches!(dir.read_exit(), Err(AttemptError::TooLarge { .. })));
    fs::remove_file(&exit).expect("remove");
    fs::create_dir(&exit).expect("create");
    assert!(matches!(dir.read_exit(), Err(AttemptError::NotAFile { .. })));
    fs::remove_dir(&exit).expect("remove");
    symlink("/etc/hostname", &exit).expect("link");
    assert!(matches!(dir.read_exit(), Err(AttemptError::NotAFile { .. })));
    fs::remove_file(&exit).expect("remove");
    let pipe = std::process::Command::new("mkfifo").arg(&exit).status().expect("mkfifo");
    assert!(pipe.success());
    assert!(matches!(dir.read_exit(), Err(AttemptError::NotAFile { .. })), "a pipe blocks nobody");
}

#[test]
fn removal_copes_with_write_protected_directories() {
    let (_root, dir) = fresh();
    let protected = dir.make_work().expect("work").join("cache");
    fs::create_dir(&protected).expect("create");
    fs::write(protected.join("file"), "x").expect("write");
    fs::set_permissions(&protected, fs::Permissions::from_mode(0o500)).expect("protect");
    dir.remove().expect("remove");
    assert!(!dir.path().exists());
    dir.remove().expect("nothing to remove is fine");
}

#[test]
fn an_event_is_kept_whole_up_to_its_bound_and_never_cut_within_a_letter() {
    let (_root, dir) = fresh();
    let long = "\u{fc}".repeat(PAYLOAD_BYTES_MAX);
    dir.write_event(&format!("x{long}")).expect("written");
    let kept = fs::read_to_string(dir.event_path()).expect("text");
    assert_eq!(kept.len(), PAYLOAD_BYTES_MAX - 1);
}
