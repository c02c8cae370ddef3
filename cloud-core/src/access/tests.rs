//! The file and the gate together: what is created lets in, what is not does not.

use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;

use shared::time::{Monotonic, Now, Timestamp};

use super::*;

fn at(seconds: i64) -> Now {
    Now { wall: Timestamp(seconds * 1_000), mono: Monotonic(seconds as u64 * 1_000), chance: 0 }
}

fn wish(name: &str, role: Role) -> Wish {
    Wish { name: name.parse().expect("name"), role, expires_in_s: None }
}

fn here() -> IpAddr {
    [10, 0, 0, 1].into()
}

/// A folder's tokens, and a gate that knows them once `put` is called.
fn world() -> (tempfile::TempDir, TokenFile, Gate) {
    let folder = tempfile::tempdir().expect("folder");
    let file = TokenFile::of(folder.path());
    (folder, file, Gate::new(Limits::default(), true))
}

fn put(gate: &Gate, file: &TokenFile) {
    gate.put(file.read().expect("read"), &file.used());
}

fn bearer(secret: &Secret) -> String {
    format!("Bearer {}", secret.expose())
}

#[test]
fn a_token_lets_in_as_what_it_is_until_it_is_revoked() {
    let (_folder, file, gate) = world();
    assert!(gate.is_open());
    let nobody = gate.admit(None, [127, 0, 0, 1].into(), at(1)).expect("open");
    assert_eq!((&*nobody.name, nobody.role), ("loopback", Role::Operator));
    let (secret, row) = file.create(wish("ci", Role::Submitter), at(1).wall).expect("create");
    put(&gate, &file);
    assert_eq!(gate.admit(None, here(), at(2)), Err(Denied::Missing));
    let caller = gate.admit(Some(&bearer(&secret)), here(), at(2)).expect("in");
    assert_eq!((&*caller.name, caller.role), ("ci", Role::Submitter));
    assert_eq!(gate.take_used(), Some([(row.id.clone(), at(2).wall)].into()));
    assert_eq!(gate.take_used(), None, "unchanged since");
    file.revoke("ci", at(3).wall).expect("revoke");
    put(&gate, &file);
    assert_eq!(gate.admit(Some(&bearer(&secret)), here(), at(4)), Err(Denied::Revoked));
    assert!(!gate.is_open(), "a core whose last token is revoked stays closed");
    assert_eq!(gate.admit(None, [127, 0, 0, 1].into(), at(4)), Err(Denied::Missing));
    assert!(matches!(file.revoke("ci", at(5).wall), Err(TokenFileError::Unknown(_))));
}

#[test]
fn only_the_very_secret_lets_in_and_only_in_time() {
    let (_folder, file, gate) = world();
    let wish = Wish { expires_in_s: Some(10), ..wish("short", Role::Viewer) };
    let (secret, _) = file.create(wish, at(0).wall).expect("create");
    put(&gate, &file);
    let right = bearer(&secret);
    assert!(gate.admit(Some(&right.replace("Bearer", "bearer")), here(), at(9)).is_ok());
    assert_eq!(gate.admit(Some(&right), here(), at(10)), Err(Denied::Expired(at(10).wall)));
    let last = if right.ends_with('0') { "1" } else { "0" };
    let wrong = format!("{}{last}", &right[..right.len() - 1]);
    assert_eq!(gate.admit(Some(&wrong), here(), at(1)), Err(Denied::Wrong));
    for other in ["", "Bearer", "Bearer x", "Basic YTpi", secret.expose(), "Bearer ambit_0_0"] {
        let denied = gate.admit(Some(other), here(), at(1));
        assert_eq!(denied, Err(Denied::Malformed), "{other}");
    }
}

#[test]
fn guessing_is_slow_for_the_guesser_alone() {
    let (_folder, file, gate) = world();
    let (secret, _) = file.create(wish("a", Role::Viewer), at(0).wall).expect("create");
    let (other, _) = file.create(wish("b", Role::Viewer), at(0).wall).expect("create");
    put(&gate, &file);
    let guess = format!("Bearer ambit_{}_{}", secret.id, "0".repeat(64));
    let denied: Vec<_> =
        (0..20).map(|_| gate.admit(Some(&guess), here(), at(1)).expect_err("wrong")).collect();
    assert_eq!(denied[0], Denied::Wrong);
    assert!(matches!(denied[19], Denied::TooManyGuesses { wait_s: 1 }), "{:?}", denied[19]);
    let right = gate.admit(Some(&bearer(&secret)), here(), at(1));
    assert!(matches!(right, Err(Denied::TooManyGuesses { .. })), "not looked at");
    assert!(gate.admit(Some(&bearer(&other)), here(), at(1)).is_ok(), "another token");
    assert!(gate.admit(Some(&bearer(&secret)), [10, 0, 0, 2].into(), at(1)).is_ok());
    assert!(gate.admit(Some(&bearer(&secret)), here(), at(60)).is_ok(), "time heals");
}

#[test]
fn each_token_has_its_own_limit() {
    let (_folder, file, _) = world();
    let gate = Gate::new(Limits { requests_per_second: 1, requests_burst: 2 }, false);
    let (one, _) = file.create(wish("one", Role::Viewer), at(0).wall).expect("create");
    let (two, _) = file.create(wish("two", Role::Viewer), at(0).wall).expect("create");
    put(&gate, &file);
    let ask = |secret: &Secret, now| gate.admit(Some(&bearer(secret)), here(), now).is_ok();
    assert!(ask(&one, at(1)) && ask(&one, at(1)));
    let denied = gate.admit(Some(&bearer(&one)), here(), at(1));
    assert_eq!(denied, Err(Denied::TooManyRequests { per_second: 1, wait_s: 1 }));
    assert!(ask(&two, at(1)));
    put(&gate, &file);
    assert!(!ask(&one, at(1)), "reading the file again gives nothing back");
    assert!(ask(&one, at(2)) && !ask(&one, at(2)));
}

#[test]
fn the_file_holds_no_secret_and_is_its_owners_alone() {
    let (folder, file, _) = world();
    let (secret, row) = file.create(wish("ci", Role::Operator), at(0).wall).expect("create");
    let text = std::fs::read_to_string(file.path()).expect("read");
    let random = secret.expose().rsplit('_').next().expect("random").to_owned();
    assert!(!text.contains(&random) && text.contains("\"operator\""), "{text}");
    assert!(!format!("{secret:?} {row:?}").contains(&random));
    assert!(!format!("{row:?}").contains(&row.hash));
    let mode = std::fs::metadata(file.path()).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    std::fs::set_permissions(file.path(), PermissionsExt::from_mode(0o620)).expect("mode");
    assert!(matches!(file.read(), Err(TokenFileError::Exposed { .. })));
    std::fs::write(folder.path().join("tokens.json"), "{").expect("write");
    std::fs::set_permissions(file.path(), PermissionsExt::from_mode(0o600)).expect("mode");
    assert!(matches!(file.read(), Err(TokenFileError::Broken { .. })));
}

#[test]
fn names_are_unique_while_they_hold_and_say_who_somebody_is() {
    let (_folder, file, _) = world();
    let first = file.create(wish("ci", Role::Viewer), at(0).wall).expect("create").1;
    let taken = file.create(wish("ci", Role::Viewer), at(0).wall);
    assert!(matches!(taken, Err(TokenFileError::NameTaken(_))));
    assert_eq!(file.revoke(&first.id.0, at(1).wall).expect("by id").id, first.id);
    let second = file.create(wish("ci", Role::Viewer), at(2).wall).expect("free again").1;
    assert_eq!(file.revoke("ci", at(3).wall).expect("by name").id, second.id);
    for wrong in ["", "a b", "a\n", "ä", &"x".repeat(65)] {
        assert_eq!(wrong.parse::<TokenName>(), Err(NameError::Malformed), "{wrong}");
    }
    assert!(matches!("loopback".parse::<TokenName>(), Err(NameError::Reserved(_))));
}

#[test]
fn what_is_no_token_is_not_read_as_one() {
    let fresh = Secret::fresh();
    assert!(Secret::parse(fresh.expose()).is_some());
    let long = format!("{}0", fresh.expose());
    let upper = fresh.expose().to_uppercase();
    for text in ["", "ambit_", "ambit__", "ambit_0011", &long, &upper] {
        assert!(Secret::parse(text).is_none(), "{text}");
    }
}

#[tokio::test]
async fn a_running_core_learns_of_tokens_without_a_restart() {
    let (_folder, file, gate) = world();
    let gate = std::sync::Arc::new(gate);
    let keeper = Keeper::start(file.clone(), gate.clone()).expect("start");
    let (secret, _) = file.create(wish("ci", Role::Viewer), at(0).wall).expect("create");
    while gate.tokens() == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert!(gate.admit(Some(&bearer(&secret)), here(), at(5)).is_ok());
    file.revoke("ci", at(1).wall).expect("revoke");
    while gate.admit(Some(&bearer(&secret)), here(), at(5)).is_ok() {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    keeper.stop();
    assert_eq!(file.used().values().copied().collect::<Vec<_>>(), [at(5).wall]);
}
