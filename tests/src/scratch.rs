//! The one folder a test writes to, and the promise that nothing of the test outlives it: not the
//! folder (unless the test failed), not a process, not even when the test itself is killed.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Waits for the end of its standard input, which comes with the end of the test however that
/// dies, and then ends every process that works in the folder or names it.
const JANITOR: &str = r#"
read -r _
for process in /proc/[0-9]*; do
  pid=${process#/proc/}
  [ "$pid" = "$$" ] && continue
  case "$(readlink "$process/cwd" 2>/dev/null)$(tr '\0' ' ' 2>/dev/null < "$process/cmdline")" in
    *"$1"*) kill -KILL "$pid" 2>/dev/null ;;
  esac
done
rm -rf "$1"
"#;

/// Writes a file that only its owner may read, as secrets must be.
///
/// # Panics
/// When it cannot be written.
pub fn write_private(path: &Path, text: &str) {
    let mut options = fs::OpenOptions::new();
    let file = options.create(true).truncate(true).write(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).expect("a private file");
}

/// A folder for one test, removed at its end with all that runs in it. Kept when the test fails.
#[derive(Debug)]
pub struct Scratch {
    folder: Option<TempDir>,
    path: PathBuf,
    janitor: Child,
    _until: Option<ChildStdin>,
}

impl Scratch {
    /// Makes one, readable for nobody else.
    ///
    /// # Panics
    /// When the system's folder for such things cannot be written to.
    #[must_use]
    pub fn new() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("ambit-e2e-")
            .tempdir()
            .expect("a temporary folder; TMPDIR must name one that can be written to");
        let path = folder.path().to_path_buf();
        let mut janitor = Command::new("/bin/sh")
            .args(["-c", JANITOR, "janitor"])
            .arg(&path)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Not in the test's group, which whoever stops the test kills.
            .process_group(0)
            .spawn()
            .expect("a shell");
        let until = janitor.stdin.take();
        Self { folder: Some(folder), path, janitor, _until: until }
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of something in it.
    #[must_use]
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Kills every process that works in it, and those that they start meanwhile.
    pub fn sweep(&self) {
        sweep(&self.path);
    }
}

/// Processes that work below a folder or name something below it on their command line, with that
/// command line.
#[must_use]
pub fn processes_in(folder: &Path) -> Vec<(Pid, String)> {
    let wanted = format!("{}/", folder.display());
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| {
            let id: u32 = entry.file_name().to_str()?.parse().ok()?;
            let words = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&words).replace('\0', " ");
            // A zombie has no command line and no folder any more.
            let cwd = fs::read_link(entry.path().join("cwd")).unwrap_or_default();
            let works_there = line.contains(&wanted) || cwd.starts_with(folder);
            let pid = Pid::from_raw(i32::try_from(id).ok()?)?;
            (works_there && id != std::process::id()).then_some((pid, line))
        })
        .collect()
}

/// Kills all of them, and those that they start meanwhile.
pub fn sweep(folder: &Path) {
    let begun = Instant::now();
    loop {
        let left = processes_in(folder);
        if left.is_empty() || begun.elapsed() > Duration::from_secs(10) {
            return;
        }
        for (pid, _) in left {
            // It may have ended meanwhile.
            let _ = kill_process(pid, Signal::KILL);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = self.janitor.kill();
        let _ = self.janitor.wait();
        self.sweep();
        if let Some(folder) = self.folder.take()
            && std::thread::panicking()
        {
            eprintln!("everything the test left behind is in {}", folder.keep().display());
        }
    }
}
