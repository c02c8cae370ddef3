//! A file system of its own in a file, so that every byte that reaches its disk is counted, those
//! of its journal included, and nobody else's. Needs root.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The unit in which the kernel counts, whatever the disk's own sectors are.
const SECTOR_BYTES: u64 = 512;

/// An ext4 file system on a loop device, mounted while this lives.
pub struct Volume {
    point: PathBuf,
    device: String,
}

impl Volume {
    /// Makes one with its image beside the folder on which it is mounted; `None` when this user
    /// may not.
    pub fn mount(image: &Path, point: &Path) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        fs::create_dir_all(point).ok()?;
        fs::File::create(image).and_then(|file| file.set_len(64 * 1024 * 1024)).ok()?;
        let image = image.to_str()?;
        // Nothing is left to be written later.
        let now = "lazy_itable_init=0,lazy_journal_init=0,nodiscard";
        run("mkfs.ext4", &["-q", "-F", "-E", now, image])?;
        let device = run("losetup", &["--show", "--find", image])?.trim().to_owned();
        let place = point.to_str()?;
        let mounted = run("mount", &["-o", "noatime", &device, place]);
        // It goes with its last user.
        run("losetup", &["--detach", &device]);
        mounted?;
        Some(Self { point: point.to_owned(), device })
    }

    /// Bytes written to its disk since it was made.
    pub fn bytes_written(&self) -> u64 {
        run("sync", &["--file-system", &self.point.display().to_string()]);
        let name = self.device.rsplit('/').next().unwrap_or_default();
        let text = fs::read_to_string(format!("/sys/block/{name}/stat")).unwrap_or_default();
        let sectors = text.split_whitespace().nth(6).and_then(|text| text.parse::<u64>().ok());
        sectors.unwrap_or(0) * SECTOR_BYTES
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        run("umount", &["--lazy", &self.point.display().to_string()]);
    }
}

/// What a program says, when it succeeds.
fn run(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}
