//! How far tasks say they are: the last line of the file named in `AMBIT_PROGRESS_FILE`, a
//! fraction and a few words. The task writes what it likes, so everything is read with bounds, and
//! what makes no sense counts as not said.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use shared::id::AssignmentId;

use super::attempt_dir::AttemptDir;

/// The variable that names the file to a task.
pub const PROGRESS_VARIABLE: &str = "AMBIT_PROGRESS_FILE";

/// The longest text that is kept, in characters.
pub const PROGRESS_CHARS_MAX: usize = 200;

/// How much of the end of the file is looked at.
const READ_BYTES_MAX: u64 = 4096;

/// What a task says of how far it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// From 0 to 1, if it said a number.
    pub fraction: Option<f64>,
    /// At most [`PROGRESS_CHARS_MAX`] characters without control characters; may be empty.
    pub text: String,
}

impl Progress {
    /// Reads the last line that makes sense: `0.42 downloading`, `0.42` or `downloading`. A first
    /// word that is a number but not one from 0 to 1 makes the line senseless.
    #[must_use]
    pub fn parse(content: &str) -> Option<Self> {
        content.lines().rev().find_map(Self::parse_line)
    }

    fn parse_line(line: &str) -> Option<Self> {
        let line = line.trim();
        let (first, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let (fraction, text) = match first.parse::<f64>() {
            // Adding nothing makes of a negative zero a plain one.
            Ok(number) if (0.0..=1.0).contains(&number) => (Some(number + 0.0), rest),
            Ok(_) => return None,
            Err(_) => (None, line),
        };
        let text = cleaned(text);
        (fraction.is_some() || !text.is_empty()).then_some(Self { fraction, text })
    }
}

/// Without what would change how the text around it is shown, and not too long.
fn cleaned(text: &str) -> String {
    let spaced = text.chars().map(|c| if c.is_whitespace() { ' ' } else { c });
    let turns = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let kept: String =
        spaced.filter(|&c| !c.is_control() && !turns(c)).take(PROGRESS_CHARS_MAX).collect();
    kept.trim().to_owned()
}

/// What tells that a file was written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: (i64, i64),
    size_bytes: u64,
    inode: u64,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            size_bytes: metadata.size(),
            inode: metadata.ino(),
        }
    }
}

#[derive(Debug)]
struct Watched {
    path: PathBuf,
    stamp: Option<Stamp>,
    /// Whether the file was read once more after it had the stamp: two writes within one tick of
    /// the kernel's clock leave the same stamp.
    settled: bool,
    last: Option<Progress>,
}

/// Follows the progress of attempts. Looks only when it is asked to.
#[derive(Debug)]
pub struct ProgressWatch {
    attempts_dir: PathBuf,
    watched: BTreeMap<AssignmentId, Watched>,
}

impl ProgressWatch {
    /// One that knows of nothing yet; the attempts are in `attempts_dir`, which is `DATA/attempts`.
    #[must_use]
    pub fn new(attempts_dir: &Path) -> Self {
        Self { attempts_dir: attempts_dir.to_owned(), watched: BTreeMap::new() }
    }

    /// What has changed since the last call, of the attempts that are named; all others are
    /// forgotten. Costs one look at each file, and reads those that were written to.
    pub fn poll(
        &mut self,
        attempts: impl IntoIterator<Item = AssignmentId>,
    ) -> Vec<(AssignmentId, Progress)> {
        let mut before = std::mem::take(&mut self.watched);
        let mut changed = Vec::new();
        for id in attempts {
            let known = before.remove(&id).or_else(|| self.begin(id));
            let Some(mut watched) = known else { continue };
            changed.extend(watched.look().map(|progress| (id, progress)));
            self.watched.insert(id, watched);
        }
        changed
    }

    /// `None` if the attempt has no order yet, or one from before there was progress.
    fn begin(&self, id: AssignmentId) -> Option<Watched> {
        let spec = AttemptDir::of(&self.attempts_dir, id).read_spec().ok()?;
        let path = spec.runtime?.progress_file;
        Some(Watched { path, stamp: None, settled: false, last: None })
    }
}

impl Watched {
    fn look(&mut self) -> Option<Progress> {
        let stamp = Stamp::of(&fs::symlink_metadata(&self.path).ok()?);
        let same = self.stamp == Some(stamp);
        if same && self.settled {
            return None;
        }
        (self.stamp, self.settled) = (Some(stamp), same);
        let said = Progress::parse(&read_end(&self.path).ok()?)?;
        if self.last.as_ref() == Some(&said) {
            return None;
        }
        self.last = Some(said.clone());
        Some(said)
    }
}

/// The end of the file, from the beginning of a line on. Follows no link and waits at no pipe.
fn read_end(path: &Path) -> io::Result<String> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file: File = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("not a file"));
    }
    let from = metadata.len().saturating_sub(READ_BYTES_MAX);
    let mut bytes = vec![0; usize::try_from(metadata.len() - from).unwrap_or(0)];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, from + filled as u64) {
            Ok(0) => break,
            Ok(length) => filled += length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    if from > 0 {
        let line = bytes.iter().position(|&byte| byte == b'\n').map_or(bytes.len(), |at| at + 1);
        bytes.drain(..line);
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(content: &str) -> Option<(Option<f64>, String)> {
        Progress::parse(content).map(|progress| (progress.fraction, progress.text))
    }

    #[test]
    fn the_last_line_that_makes_sense_wins() {
        let is = |fraction: f64, text: &str| Some((Some(fraction), text.to_owned()));
        assert_eq!(said("0.42 downloading"), is(0.42, "downloading"));
        assert_eq!(said("0.1 a\n0.2 b\n"), is(0.2, "b"));
        assert_eq!(said("0.5\n\n  \n"), is(0.5, ""));
        assert_eq!(said("  1\tall  done \r\n"), is(1.0, "all  done"));
        assert_eq!(said("-0"), is(0.0, ""));
        assert_eq!(said("1e-1 x"), is(0.1, "x"));
        assert_eq!(said("unpacking 3 of 7"), Some((None, "unpacking 3 of 7".to_owned())));
        assert_eq!(said("42% done"), Some((None, "42% done".to_owned())));
        for senseless in ["NaN x", "1.01 x", "-0.1", "inf", "1e999 x", "42"] {
            assert_eq!(said(senseless), None, "{senseless}");
            assert_eq!(said(&format!("0.3 fine\n{senseless}")), is(0.3, "fine"), "{senseless}");
        }
        for nothing in ["", "\n\n", " \t \n", "\u{1b}\u{7}\n"] {
            assert_eq!(said(nothing), None, "{nothing:?}");
        }
        assert!(said("-0").and_then(|(fraction, _)| fraction).is_some_and(f64::is_sign_positive));
    }

    #[test]
    fn the_text_is_short_and_harmless() {
        let text = |content: &str| said(content).expect("progress").1;
        assert_eq!(text("0.1 \u{1b}[31mred\u{7}\u{202e} a\tb\u{0}"), "[31mred a b");
        assert_eq!(text(&format!("0.1 {}", "€".repeat(500))).chars().count(), PROGRESS_CHARS_MAX);
    }

    fn watched(path: PathBuf) -> Watched {
        Watched { path, stamp: None, settled: false, last: None }
    }

    #[test]
    fn only_the_end_of_a_long_file_is_read_and_no_half_line() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let path = root.path().join("progress");
        let lines: String = (0..10_000).map(|n| format!("0.{n:05} step {n}\n")).collect();
        fs::write(&path, &lines).expect("write");
        let read = read_end(&path).expect("readable");
        assert!(read.len() as u64 <= READ_BYTES_MAX && read.starts_with("0."), "{read}");
        assert!(lines.ends_with(&read));
        assert_eq!(watched(path.clone()).look().expect("progress").text, "step 9999");
        // One line that is longer than what is read has no beginning, so it is none.
        fs::write(&path, "x".repeat(10_000)).expect("write");
        assert_eq!(watched(path).look(), None);
    }

    #[test]
    fn what_is_no_file_is_no_progress_and_holds_nobody_up() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let path = root.path().join("progress");
        let mut watched = watched(path.clone());
        assert_eq!(watched.look(), None);
        fs::create_dir(&path).expect("create");
        assert_eq!(watched.look(), None);
        fs::remove_dir(&path).expect("remove");
        std::os::unix::fs::symlink("/etc/hostname", &path).expect("link");
        assert_eq!(watched.look(), None);
        fs::remove_file(&path).expect("remove");
        let pipe = std::process::Command::new("mkfifo").arg(&path).status().expect("mkfifo");
        assert!(pipe.success());
        assert_eq!(watched.look(), None);
        fs::remove_file(&path).expect("remove");
        fs::write(&path, [b'0', b'.', b'5', b' ', 0xff]).expect("write");
        assert_eq!(watched.look().expect("progress").text, "\u{fffd}");
    }

    #[test]
    fn a_second_write_within_one_tick_is_not_missed() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let path = root.path().join("progress");
        let mut watched = watched(path.clone());
        fs::write(&path, "0.1 a").expect("write");
        let modified = fs::metadata(&path).expect("there").modified().expect("a time");
        assert_eq!(watched.look().expect("new").text, "a");
        fs::write(&path, "0.1 b").expect("write");
        File::options()
            .write(true)
            .open(&path)
            .and_then(|f| f.set_modified(modified))
            .expect("set");
        assert_eq!(watched.look().expect("changed").text, "b");
        assert_eq!(watched.look(), None);
        assert!(watched.settled);
    }
}

#[cfg(test)]
mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_file_breaks_the_reader(content in "(?s).{0,200}|([-+0-9.eEinfNa]{0,6} .{0,10}\n?){0,4}") {
            if let Some(progress) = Progress::parse(&content) {
                prop_assert!(progress.fraction.is_none_or(|fraction| (0.0..=1.0).contains(&fraction)));
                prop_assert!(progress.text.chars().count() <= PROGRESS_CHARS_MAX);
                prop_assert!(!progress.text.contains(char::is_control));
            }
        }

        #[test]
        fn what_a_task_says_is_read(fraction in 0.0..=1.0_f64, text in "[a-z]{1,20}( [a-z]{1,9}){0,3}") {
            let read = Progress::parse(&format!("0.1 earlier\n{fraction} {text}\n\n"));
            prop_assert_eq!(read, Some(Progress { fraction: Some(fraction), text }));
        }
    }
}
