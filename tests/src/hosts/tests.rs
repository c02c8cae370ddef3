//! The network is as commanded, seen by a connection between two hosts.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use super::*;

const PORT: u16 = 7;
/// How long silence lasts before it counts as such.
const SILENCE: Duration = Duration::from_millis(400);

/// Two hosts, `a` and `b`, and on `b` whoever sends something gets it back.
fn two() -> Option<Hosts> {
    let mut hosts = Hosts::or_skip()?;
    hosts.add("a");
    hosts.add("b");
    let listener =
        hosts.within("b", || TcpListener::bind(("0.0.0.0", PORT)).expect("a port of its own"));
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut buffer = [0; 64];
                while let Ok(length @ 1..) = stream.read(&mut buffer) {
                    let _ = stream.write_all(&buffer[..length]);
                }
            });
        }
    });
    Some(hosts)
}

fn connect(hosts: &Hosts) -> std::io::Result<TcpStream> {
    let server = SocketAddr::from((hosts.host("b").address(), PORT));
    hosts.within("a", || TcpStream::connect_timeout(&server, Duration::from_secs(2)))
}

/// Sends something and waits for it to come back.
fn echo(stream: &mut TcpStream, patience: Duration) -> Result<Duration, ErrorKind> {
    let begun = Instant::now();
    stream.set_read_timeout(Some(patience)).expect("set");
    let mut buffer = [0; 4];
    let there_and_back = stream.write_all(b"ping").and_then(|()| stream.read_exact(&mut buffer));
    there_and_back.map(|()| begun.elapsed()).map_err(|error| error.kind())
}

#[test]
fn a_cut_is_told_and_a_half_open_link_is_not() {
    let Some(mut hosts) = two() else {
        return;
    };
    let patience = Duration::from_secs(20);
    let mut stream = connect(&hosts).expect("connected");
    echo(&mut stream, patience).expect("an echo");

    hosts.half_open("a");
    assert_eq!(echo(&mut stream, SILENCE), Err(ErrorKind::WouldBlock), "nobody says a word");
    hosts.heal("a");
    // The echo of what was held back, and one more.
    echo(&mut stream, patience).expect("what was sent arrives after all");
    stream.read_exact(&mut [0; 4]).expect("both do");

    hosts.cut("a");
    assert_eq!(echo(&mut stream, patience), Err(ErrorKind::ConnectionReset));
    assert_eq!(connect(&hosts).expect_err("refused").kind(), ErrorKind::ConnectionRefused);
    hosts.heal("a");
    echo(&mut connect(&hosts).expect("connected"), patience).expect("an echo");

    hosts.unplug("a");
    assert!(connect(&hosts).is_err());
    hosts.heal("a");
    echo(&mut connect(&hosts).expect("connected"), patience).expect("an echo");
}

#[test]
fn one_way_is_one_way() {
    let Some(mut hosts) = two() else {
        return;
    };
    let listener = hosts.within("b", || std::net::UdpSocket::bind(("0.0.0.0", PORT)).expect("b"));
    listener.set_read_timeout(Some(SILENCE)).expect("set");
    let sender = hosts.within("a", || std::net::UdpSocket::bind(("0.0.0.0", PORT)).expect("a"));
    sender.set_read_timeout(Some(SILENCE)).expect("set");
    let (a, b) = (hosts.host("a").address(), hosts.host("b").address());
    for (way, out, back) in [(Way::In, true, false), (Way::Out, false, true)] {
        hosts.cut_one_way("a", way);
        sender.send_to(b"x", (b, PORT)).expect("sent");
        assert_eq!(listener.recv(&mut [0; 8]).is_ok(), out, "{way:?}");
        listener.send_to(b"y", (a, PORT)).expect("sent");
        assert_eq!(sender.recv(&mut [0; 8]).is_ok(), back, "{way:?}");
    }
}

#[test]
fn packets_are_late_and_lost_as_commanded() {
    let Some(mut hosts) = two() else {
        return;
    };
    let delay = Duration::from_millis(60);
    match hosts.delay("a", delay, Duration::ZERO, 0.0) {
        Ok(how) => println!("{how}"),
        Err(why) => return system::skip(&why),
    }
    let mut stream = connect(&hosts).expect("connected");
    let took = echo(&mut stream, Duration::from_secs(20)).expect("an echo");
    assert!(took >= 2 * delay, "{took:?}");

    hosts.delay("a", Duration::ZERO, Duration::ZERO, 50.0).expect("as before");
    let listener = hosts.within("b", || std::net::UdpSocket::bind(("0.0.0.0", PORT)).expect("b"));
    listener.set_read_timeout(Some(SILENCE)).expect("set");
    let sender = hosts.within("a", || std::net::UdpSocket::bind(("0.0.0.0", 0)).expect("a"));
    let server = SocketAddr::from((hosts.host("b").address(), PORT));
    let sent = 400;
    for _ in 0..sent {
        sender.send_to(b"x", server).expect("sent");
    }
    let came = std::iter::from_fn(|| listener.recv(&mut [0; 8]).ok()).count();
    assert!((100..300).contains(&came), "{came} of {sent}");
}

#[test]
fn a_power_cut_leaves_nothing_and_a_host_leaves_no_trace() {
    let Some(mut hosts) = two() else {
        return;
    };
    let mounts = || std::fs::read_to_string("/proc/self/mounts").expect("/proc");
    let folder = tempfile::tempdir().expect("a folder");
    let before = mounts();
    let boot_id = || std::fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("/proc");
    let own_boot = boot_id();
    let host = hosts.host("a");
    host.mount_disk(folder.path(), 1);
    host.reboot();
    host.run(&format!("echo inside > '{}/file'", folder.path().display()));
    assert_ne!(host.run("cat /proc/sys/kernel/random/boot_id"), own_boot);
    assert_eq!(boot_id(), own_boot);
    let seen = host.seen(&folder.path().join("file"));
    assert_eq!(std::fs::read_to_string(seen).expect("seen"), "inside\n");
    assert!(std::fs::read_dir(folder.path()).expect("the folder").next().is_none());
    assert_eq!(mounts(), before);

    // A process that makes another one, which outlives it.
    let mut shell = hosts.host("a").command("/bin/sh");
    let mut shell = shell.args(["-c", "sleep 600 & sleep 600"]).spawn().expect("a shell");
    eventually("both to run", || {
        let there = hosts.host("a").processes().len();
        check(there >= 3, || format!("{there} processes"))
    });
    hosts.power_cut(&["a"]);
    assert!(hosts.host("a").processes().is_empty());
    let _ = shell.wait();
    let keeper = hosts.host("a").keeper();
    let home = host::network_of_this_thread();
    hosts.enter("a");
    drop(hosts);
    let same = |one: &OwnedFd, other: &OwnedFd| {
        rustix::fs::fstat(one).expect("stat").st_ino
            == rustix::fs::fstat(other).expect("stat").st_ino
    };
    assert!(same(&home, &host::network_of_this_thread()), "the thread is where it was");
    assert!(!Path::new(&format!("/proc/{keeper}/ns")).exists());
}

#[test]
fn a_wall_clock_is_set_for_one_host_only() {
    let Some(mut hosts) = Hosts::or_skip() else {
        return;
    };
    hosts.add("a");
    let host = hosts.host("a");
    if let Err(why) = host.set_clock(WallClock::Since1970(60)) {
        return system::skip(&why);
    }
    assert_eq!(host.run("env -i date -u +%Y").trim(), "1970");
    assert_ne!(
        system::run(Command::new("date").args(["-u", "+%Y"]), "").expect("date").trim(),
        "1970"
    );
}
