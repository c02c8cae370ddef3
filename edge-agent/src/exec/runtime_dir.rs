//! The folder for what must not outlive the kernel's boot and should not wear the flash: the
//! lease, the progress of tasks, the switch for logs. In memory where the system offers that.
//! Only the agent's own user may enter it.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use rustix::process::geteuid;
use shared::id::AssignmentId;

use super::lease::LeaseFile;

/// The file whose presence says that no logs are to be written.
const LOGS_OFF: &str = "logs-off";
/// The folder of the attempts.
const ATTEMPTS: &str = "attempts";
/// The file in which a task tells its progress.
const PROGRESS: &str = "progress";

/// A link to the data folder, so that it is known whose this is.
const DATA: &str = "data";

/// File systems in memory, by the number that statfs(2) gives.
const TMPFS: i64 = 0x0102_1994;
const RAMFS: i64 = 0x8584_58f6;

/// The runtime folder of one data folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeDir {
    path: PathBuf,
    in_memory: bool,
}

/// Where one could be.
struct Candidate {
    path: PathBuf,
    /// A folder above it that has to be ours as well, or others could exchange it.
    above: Option<PathBuf>,
    /// Whether it is of use only in memory.
    only_in_memory: bool,
}

impl RuntimeDir {
    /// Chooses and makes the folder for a data folder: below `$RUNTIME_DIRECTORY` (systemd), or
    /// `$XDG_RUNTIME_DIR/ambit-agent`, or `ambit-agent-UID` in `/dev/shm` or `/run`, or else
    /// `runtime` in the data folder itself, which then wears the disk. What belongs to somebody
    /// else is passed over.
    ///
    /// # Errors
    /// Not even the last one can be made.
    pub fn choose(data_dir: &Path) -> io::Result<Self> {
        let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
        Self::choose_in(data_dir, variable("RUNTIME_DIRECTORY"), variable("XDG_RUNTIME_DIR"))
    }

    fn choose_in(
        data_dir: &Path,
        systemd: Option<PathBuf>,
        session: Option<PathBuf>,
    ) -> io::Result<Self> {
        let data_dir = fs::canonicalize(data_dir)?;
        for candidate in candidates(&data_dir, systemd, session) {
            match candidate.make() {
                Ok(Some(chosen)) => {
                    chosen.mark(&data_dir);
                    return Ok(chosen);
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(folder = %candidate.path.display(), %error, "a runtime folder cannot be used; trying another");
                }
            }
        }
        let path = data_dir.join("runtime");
        make_private(&path)?;
        Ok(Self { in_memory: is_in_memory(&path), path })
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether what is written here stays in memory. If not, it counts as written to flash.
    #[must_use]
    pub fn is_in_memory(&self) -> bool {
        self.in_memory
    }

    /// Where the agent notes its last renewal.
    #[must_use]
    pub fn lease_file(&self) -> LeaseFile {
        LeaseFile::at(&self.path)
    }

    /// Says whether supervisors keep what tasks write. They ask before each write to the disk;
    /// what they let go meanwhile is a gap in the log.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn keep_logs(&self, keep: bool) -> io::Result<()> {
        let marker = logs_off_in(&self.path);
        if keep {
            return match fs::remove_file(marker) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            };
        }
        make_private(&self.path)?;
        fs::write(marker, "")
    }

    /// Makes the folder in which an attempt tells its progress, and answers the file's path.
    pub(super) fn make_progress(&self, id: AssignmentId) -> io::Result<PathBuf> {
        let dir = self.attempt(id);
        make_private(&dir)?;
        Ok(dir.join(PROGRESS))
    }

    /// Removes what an attempt has here.
    pub(super) fn forget(&self, id: AssignmentId) {
        let dir = self.attempt(id);
        let _ = fs::remove_file(dir.join(PROGRESS));
        let left = |error: &io::Error| error.kind() == io::ErrorKind::DirectoryNotEmpty;
        if fs::remove_dir(&dir).is_err_and(|error| left(&error)) {
            let _ = fs::remove_dir_all(&dir);
        }
    }

    /// The attempts that have something here.
    pub(super) fn attempts(&self) -> Vec<AssignmentId> {
        let entries = fs::read_dir(self.path.join(ATTEMPTS)).into_iter().flatten();
        let names = entries.filter_map(Result::ok).map(|entry| entry.file_name());
        names.filter_map(|name| name.to_str()?.parse().ok()).collect()
    }

    /// Removes the folder if no attempt needs it.
    pub(super) fn tidy(&self) {
        match fs::remove_dir(self.path.join(ATTEMPTS)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return,
            _ => {}
        }
        let _ = fs::remove_file(self.lease_file().path());
        let _ = fs::remove_file(logs_off_in(&self.path));
        let _ = fs::remove_file(self.path.join(DATA));
        let _ = fs::remove_dir(&self.path);
    }

    /// Notes whose folder this is, and removes those beside it whose data folder is gone: nobody
    /// else would before the machine is restarted.
    fn mark(&self, data_dir: &Path) {
        let _ = symlink(data_dir, self.path.join(DATA));
        let siblings = self.path.parent().map(fs::read_dir);
        for entry in siblings.into_iter().flatten().flatten().filter_map(Result::ok) {
            let link = entry.path().join(DATA);
            if link.is_symlink() && !link.exists() {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }

    fn attempt(&self, id: AssignmentId) -> PathBuf {
        self.path.join(ATTEMPTS).join(id.to_string())
    }
}

/// The file whose presence in a runtime folder says that no logs are to be written.
pub(super) fn logs_off_in(runtime_dir: &Path) -> PathBuf {
    runtime_dir.join(LOGS_OFF)
}

/// Makes a folder that only this user may enter, and those above it that are missing.
///
/// # Errors
/// It cannot be made, is no folder, or belongs to somebody else.
pub(super) fn make_private(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    require_ours(path)?;
    let permissions = fs::symlink_metadata(path)?.permissions();
    if permissions.mode() & 0o077 != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// A number for some bytes: FNV-1a with 64 bits. The same in every version of the agent.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    let mix = |hash: u64, &byte: &u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, mix)
}

fn candidates(
    data_dir: &Path,
    systemd: Option<PathBuf>,
    session: Option<PathBuf>,
) -> Vec<Candidate> {
    let name = format!("{:016x}", hash(data_dir.as_os_str().as_bytes()));
    let of_user = format!("ambit-agent-{}", geteuid().as_raw());
    let mut found = Vec::new();
    // systemd names several with colons between; the first will do.
    let first = systemd.and_then(|list| {
        let bytes = list.as_os_str().as_bytes().split(|&byte| byte == b':').next()?.to_owned();
        Some(PathBuf::from(std::ffi::OsString::from(String::from_utf8(bytes).ok()?)))
    });
    for (base, below) in [(first, ""), (session, "ambit-agent")] {
        if let Some(base) = base.filter(|base| base.is_absolute()) {
            let path = base.join(below).join(&name);
            found.push(Candidate { path, above: Some(base), only_in_memory: false });
        }
    }
    for base in ["/dev/shm", "/run"] {
        let above = Path::new(base).join(&of_user);
        if Path::new(base).is_dir() && is_in_memory(Path::new(base)) {
            let path = above.join(&name);
            found.push(Candidate { path, above: Some(above), only_in_memory: true });
        }
    }
    found
}

impl Candidate {
    /// `None` if it is of no use.
    fn make(&self) -> io::Result<Option<RuntimeDir>> {
        if let Some(above) = &self.above {
            if self.only_in_memory {
                make_private(above)?;
            }
            require_ours(above)?;
        }
        make_private(&self.path)?;
        let in_memory = is_in_memory(&self.path);
        let is_of_use = in_memory || !self.only_in_memory;
        Ok(is_of_use.then(|| RuntimeDir { path: self.path.clone(), in_memory }))
    }
}

fn require_ours(path: &Path) -> io::Result<()> {
    let metadata = fs::symlink_metadata(path)?;
    if !metadata.is_dir() {
        return Err(io::Error::new(io::ErrorKind::NotADirectory, "it is not a folder"));
    }
    if metadata.uid() != geteuid().as_raw() {
        let belongs = format!("it belongs to user {}", metadata.uid());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, belongs));
    }
    Ok(())
}

fn is_in_memory(path: &Path) -> bool {
    rustix::fs::statfs(path).is_ok_and(|found| [TMPFS, RAMFS].contains(&kind_of(&found)))
}

/// The type of this number differs between processors.
#[allow(clippy::unnecessary_cast)]
fn kind_of(found: &rustix::fs::StatFs) -> i64 {
    (found.f_type as i64) & 0xffff_ffff
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::chown;

    use super::*;

    fn data() -> (tempfile::TempDir, PathBuf) {
        let root = tempfile::tempdir().expect("a temporary directory");
        let data = root.path().join("data");
        fs::create_dir(&data).expect("create");
        (root, data)
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("there").permissions().mode() & 0o777
    }

    #[test]
    fn each_data_folder_has_its_own_below_what_the_system_names() {
        let (root, data) = data();
        let base = root.path().join("run");
        fs::create_dir(&base).expect("create");
        let list = PathBuf::from(format!("{}:/elsewhere", base.display()));
        let chosen =
            RuntimeDir::choose_in(&data, Some(list.clone()), Some("/no".into())).expect("chosen");
        assert!(chosen.path().starts_with(&base) && mode(chosen.path()) == 0o700);
        let by_link = root.path().join("link");
        symlink(&data, &by_link).expect("link");
        let same = RuntimeDir::choose_in(&by_link, Some(list.clone()), None).expect("chosen");
        assert_eq!(chosen, same, "by whatever name");
        let other = root.path().join("other");
        fs::create_dir(&other).expect("create");
        assert_ne!(RuntimeDir::choose_in(&other, Some(list), None).expect("chosen"), chosen);
        let session = RuntimeDir::choose_in(&data, None, Some(base.clone())).expect("chosen");
        assert!(session.path().starts_with(base.join("ambit-agent")));
    }

    #[test]
    fn what_a_removed_data_folder_left_is_removed_by_the_next() {
        let (root, data) = data();
        let base = root.path().join("run");
        fs::create_dir(&base).expect("create");
        let choose = |data: &Path| RuntimeDir::choose_in(data, Some(base.clone()), None);
        let other = root.path().join("other");
        fs::create_dir(&other).expect("create");
        let left = choose(&other).expect("chosen");
        left.lease_file().renew(1).expect("a renewal");
        let chosen = choose(&data).expect("chosen");
        assert!(left.path().exists(), "its data folder is there");
        fs::remove_dir(&other).expect("remove");
        let foreign = base.join("foreign");
        fs::create_dir(&foreign).expect("create");
        assert_eq!(choose(&data).expect("chosen"), chosen);
        assert!(!left.path().exists() && foreign.exists());
        chosen.tidy();
        assert!(!chosen.path().exists());
    }

    #[test]
    fn what_cannot_be_used_is_passed_over() {
        let (_root, data) = data();
        let nowhere = || Some(PathBuf::from("relative"));
        let chosen = RuntimeDir::choose_in(&data, nowhere(), nowhere()).expect("chosen");
        assert!(chosen.is_in_memory() || chosen.path().starts_with(&data));
        chosen.tidy();
        assert!(!chosen.path().exists());
    }

    #[test]
    fn a_folder_of_somebody_else_is_refused() {
        let (root, _) = data();
        let foreign = root.path().join("foreign");
        fs::create_dir(&foreign).expect("create");
        let link = root.path().join("link");
        symlink(&foreign, &link).expect("link");
        assert!(require_ours(&foreign).is_ok() && make_private(&link).is_err());
        if chown(&foreign, Some(12_345), None).is_err() {
            eprintln!("not root: a folder of somebody else cannot be made, so none was tried");
            return;
        }
        let error = make_private(&foreign).expect_err("refused").to_string();
        assert!(error.contains("user 12345"), "{error}");
        let candidate =
            Candidate { path: foreign.join("below"), above: Some(foreign), only_in_memory: false };
        assert!(candidate.make().is_err());
    }

    #[test]
    fn a_folder_that_is_open_to_others_is_closed() {
        let (root, _) = data();
        let open = root.path().join("open");
        fs::create_dir(&open).expect("create");
        fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).expect("chmod");
        make_private(&open).expect("ours");
        assert_eq!(mode(&open), 0o700);
    }

    #[test]
    fn the_switch_for_logs_is_a_file() {
        let (root, _) = data();
        let dir = RuntimeDir { path: root.path().join("run"), in_memory: false };
        dir.keep_logs(true).expect("nothing to do");
        dir.keep_logs(false).expect("off");
        dir.keep_logs(false).expect("still off");
        assert!(logs_off_in(dir.path()).exists());
        dir.keep_logs(true).expect("on");
        assert!(!logs_off_in(dir.path()).exists());
    }

    #[test]
    fn the_number_of_some_bytes_never_changes() {
        // Test vectors of FNV-1a.
        assert_eq!(hash(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(hash(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
