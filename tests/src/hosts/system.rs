//! The system's own tools, which make hosts and networks: found, run, and their refusals put into
//! words. Says whether this machine can do it at all; knows nothing of hosts.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// What is needed, and the Debian package it comes from.
const TOOLS: &[(&str, &str)] = &[
    ("unshare", "util-linux"),
    ("nsenter", "util-linux"),
    ("ip", "iproute2"),
    ("tc", "iproute2"),
    ("iptables-restore", "iptables"),
];

/// Where daemons and tools for root are, which a PATH may lack.
const FOLDERS: &[&str] = &["/usr/sbin", "/sbin", "/usr/bin", "/bin"];

/// All that making hosts asks of a system, done where nobody sees it.
const PROBE: &str = "
    echo 1 > /proc/sys/net/ipv4/ip_forward
    ip link add one type veth peer name other
    printf '*filter\\nCOMMIT\\n' | iptables-restore
    mount -t tmpfs tmpfs /tmp";

/// Set to anything, it makes a test that cannot have hosts fail instead of passing by.
const REQUIRED: &str = "AMBIT_PARTITIONS_REQUIRED";

/// The path of a tool.
#[must_use]
pub fn tool(name: &str) -> Option<PathBuf> {
    FOLDERS.iter().map(|folder| Path::new(folder).join(name)).find(|path| path.is_file())
}

/// Whether hosts can be made here.
///
/// # Errors
/// With what is missing, and how to get it.
pub fn check() -> Result<(), String> {
    if !cfg!(target_os = "linux") {
        return Err("network namespaces exist on Linux only".to_owned());
    }
    if !rustix::process::geteuid().is_root() {
        return Err("only root may make network namespaces; run the tests as root".to_owned());
    }
    for (name, package) in TOOLS {
        if tool(name).is_none() {
            return Err(format!("`{name}` is missing; on Debian: apt install {package}"));
        }
    }
    let mut probe = Command::new("unshare");
    probe.args(["--net", "--mount", "--propagation=private", "--", "/bin/sh", "-euc", PROBE]);
    run(&mut probe, "").map(drop).map_err(|why| format!("this system does not allow it: {why}"))
}

/// Says that a test is passed by, and why.
///
/// # Panics
/// When the environment says that it must not be.
pub fn skip(why: &str) {
    let test = std::thread::current();
    let name = test.name().unwrap_or("a test");
    assert!(
        std::env::var_os(REQUIRED).is_none(),
        "{name} cannot run, and {REQUIRED} is set: {why}"
    );
    println!("SKIPPED {name}: {why}");
}

/// Runs a command to its end, with this to read; what it wrote.
///
/// # Errors
/// With what it wrote, when it cannot be started or its status is not 0.
pub fn run(command: &mut Command, input: &str) -> Result<String, String> {
    let said = |output: &Output| {
        let both = [output.stderr.as_slice(), output.stdout.as_slice()].concat();
        String::from_utf8_lossy(&both).trim().to_owned()
    };
    let path = FOLDERS.join(":");
    command.env("PATH", path).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let done = command.spawn().and_then(|mut child| {
        // One that does not read it says why by its status.
        let _ = child.stdin.take().map(|mut stdin| stdin.write_all(input.as_bytes()));
        child.wait_with_output()
    });
    match done {
        Ok(output) if output.status.success() => {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        }
        Ok(output) => Err(format!("{command:?} ended with {}: {}", output.status, said(&output))),
        Err(error) => Err(format!("{command:?} cannot be started: {error}")),
    }
}
