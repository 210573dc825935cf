//! What tests share: the program, fresh directories, and what must be present.

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::PATH;

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// Runs `learn` with these arguments, without input.
pub fn learn(args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Ended {
    learn_with(args, b"")
}

/// Runs `learn` with these arguments and this input.
pub fn learn_with(args: impl IntoIterator<Item = impl AsRef<OsStr>>, input: &[u8]) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_learn"));
    command.args(args).env("PATH", PATH).env_remove("COLUMNS").current_dir(env!("CARGO_MANIFEST_DIR"));
    run(&mut command, input)
}

/// Runs a command to its end.
pub fn run(command: &mut Command, input: &[u8]) -> Ended {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    // A command that ends early closes its input.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    Ended {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The project's own folder.
pub fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The program of this name, when it is installed. What is absent is said; it fails the test when
/// `LEARN_TEST_REQUIRE`, a list with commas, names it.
pub fn require(name: &str) -> Option<PathBuf> {
    let found = std::env::split_paths(PATH).map(|folder| folder.join(name)).find(|file| file.is_file());
    if found.is_none() {
        let required = std::env::var("LEARN_TEST_REQUIRE").unwrap_or_default();
        assert!(!required.split(',').any(|one| one == name), "{name} is required and absent");
        say(&format!("not tested: {name} is absent"));
    }
    found
}

/// Writes to standard error. Not by a macro, whose text would be captured.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Every folder below `samples` that holds a record.
pub fn samples() -> Vec<PathBuf> {
    let folders = std::fs::read_dir(project().join("samples")).unwrap().map(|entry| entry.unwrap().path());
    let mut folders = folders.filter(|folder| folder.join("learned.json").exists()).collect::<Vec<_>>();
    folders.sort();
    assert!(!folders.is_empty(), "there are samples");
    folders
}
