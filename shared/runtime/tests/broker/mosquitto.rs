//! Starts and stops a real Mosquitto on a free port, with files of its own.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long anything may take; only reached when something is broken.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A broker that is killed when it goes out of scope.
pub struct Mosquitto {
    folder: tempfile::TempDir,
    configuration: String,
    pub port: u16,
    process: Option<Child>,
}

impl Mosquitto {
    /// A broker that lets everyone in.
    pub fn open_to_all() -> Self {
        Self::start(|_| "allow_anonymous true\n".to_owned())
    }

    /// A broker with these lines of configuration, which may name files made in the folder.
    pub fn start(configure: impl Fn(&Path) -> String) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the broker");
        let configuration = configure(folder.path());
        // Another process may take the port between finding and using it: try again.
        for _ in 0..10 {
            let port = free_port();
            let process = spawn(folder.path(), &configuration, port);
            if let Some(process) = process {
                return Self { folder, configuration, port, process: Some(process) };
            }
        }
        panic!("mosquitto does not start; its configuration:\n{configuration}");
    }

    /// As a power cut would.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("kill mosquitto");
            process.wait().expect("wait for mosquitto");
        }
    }

    /// Starts again, on the same port.
    pub fn restart(&mut self) {
        self.kill();
        let start = || spawn(self.folder.path(), &self.configuration, self.port);
        let process = (0..10).find_map(|_| start()).expect("mosquitto starts again on its port");
        self.process = Some(process);
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Makes a file for Mosquitto's configuration to name.
pub fn file(folder: &Path, name: &str, content: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, content).expect("write a file for the broker");
    path
}

/// Makes a password file with one user.
pub fn passwords(folder: &Path, user: &str, password: &str) -> PathBuf {
    let path = file(folder, "passwords", "");
    run(Command::new("mosquitto_passwd").arg("-b").arg(&path).args([user, password]));
    path
}

/// Runs a program that the test cannot do without.
pub fn run(command: &mut Command) {
    let program = command.get_program().to_string_lossy().into_owned();
    match command.stdout(Stdio::null()).stderr(Stdio::null()).status() {
        Ok(status) => assert!(status.success(), "{program} failed: {status}"),
        Err(error) => panic!("this test needs {program}, which cannot be run: {error}"),
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("its number").port()
}

fn spawn(folder: &Path, configuration: &str, port: u16) -> Option<Child> {
    // When started by root, Mosquitto would become another user, who cannot read the files.
    let text = format!(
        "listener {port} 127.0.0.1\n{configuration}persistence false\nuser root\nlog_dest none\n"
    );
    let path = file(folder, "mosquitto.conf", &text);
    let on_path = Command::new("mosquitto").arg("-c").arg(&path).stderr(Stdio::null()).spawn();
    // Debian installs it where only root looks.
    let started = on_path.or_else(|_| {
        Command::new("/usr/sbin/mosquitto").arg("-c").arg(&path).stderr(Stdio::null()).spawn()
    });
    let mut process = started.unwrap_or_else(|error| {
        panic!("this test needs mosquitto (apt install mosquitto), which cannot be run: {error}")
    });
    let since = Instant::now();
    while since.elapsed() < PATIENCE {
        if process.try_wait().expect("wait for mosquitto").is_some() {
            return None;
        }
        if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Some(process);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    process.kill().expect("kill mosquitto");
    process.wait().expect("wait for mosquitto");
    panic!("mosquitto does not listen on port {port}");
}
