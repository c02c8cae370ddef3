//! The repository as text: its files, and the parts of a Rust file that the rules look at.

use std::fs;
use std::path::{Path, PathBuf};

use tests::binaries::repository;

/// Folders that hold nothing of ours.
const FOREIGN: &[&str] = &["target", ".git", "node_modules"];

/// A text file of the repository.
#[derive(Debug, Clone)]
pub struct Source {
    /// Its path from the root, with `/`.
    pub path: String,
    /// What it says.
    pub text: String,
}

impl Source {
    /// A file that is not there, to try a rule on.
    pub fn example(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    /// Whether it is part of a program, not of its tests.
    pub fn is_production(&self) -> bool {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        let in_tests = self.path.split('/').any(|part| part == "tests");
        self.path.ends_with(".rs") && !in_tests && !name.contains("tests.rs")
    }

    /// Its lines of code with their numbers, up to its test module, without comments.
    pub fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().enumerate().map(|(index, line)| (index + 1, line));
        lines
            .take_while(|(_, line)| !line.starts_with("#[cfg(test)]"))
            .map(|(number, line)| (number, line.split("//").next().unwrap_or_default()))
    }
}

/// Every text file of the repository.
pub fn all() -> Vec<Source> {
    let root = repository();
    let mut files = Vec::new();
    walk(&root, &mut files);
    files.sort();
    let sources: Vec<Source> = files
        .into_iter()
        .filter_map(|file| {
            let path = file.strip_prefix(&root).ok()?.to_str()?.to_owned();
            Some(Source { path, text: fs::read_to_string(&file).ok()? })
        })
        .collect();
    assert!(sources.len() > 50, "the repository is not at {}", root.display());
    sources
}

/// Every Rust file of the repository.
pub fn rust() -> Vec<Source> {
    all().into_iter().filter(|source| source.path.ends_with(".rs")).collect()
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let name = entry.file_name();
        let kind = entry.file_type().expect("a kind of file");
        if kind.is_dir() && !FOREIGN.iter().any(|foreign| name == *foreign) {
            walk(&entry.path(), files);
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
}

/// Whether `word` stands in `text` by itself, not within a longer name.
pub fn names(text: &str, word: &str) -> bool {
    let part_of_name = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        !before.is_some_and(part_of_name) && !after.is_some_and(part_of_name)
    })
}

/// Fails with all faults at once.
pub fn assert_none(faults: &[String]) {
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn only_code_is_looked_at_and_only_whole_words_are_found() {
    let source = Source::example("a.rs", "use x; // y\n#[cfg(test)]\nmod tests { use z; }\n");
    assert_eq!(source.code().collect::<Vec<_>>(), [(1, "use x; ")]);
    assert!(names("use actix_web::App", "actix_web"));
    assert!(!names("use actix_webbing::App", "actix_web"));
    assert!(!Source::example("a/tests/b.rs", "").is_production());
    assert!(Source::example("a/src/b.rs", "").is_production());
}
