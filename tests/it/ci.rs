//! The workflow of `samples/ci`: its own steps are run here, with a `gh` that only writes down what it is asked.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{LEARN, PATH, free_port, fresh, require};
use crate::tool::{Ended, project, run};

/// The commands of the workflow that are ours, in their order.
fn steps() -> Vec<String> {
    let workflow = fs::read_to_string(project().join("samples/ci/workflow.yml")).unwrap();
    let commands = workflow.lines().filter_map(|line| line.trim().strip_prefix("run: sh "));
    commands.map(|command| format!("sh {command}")).collect()
}

/// A repository with a service, and the programs that the steps find.
struct Repository {
    folder: PathBuf,
    port: u16,
}

impl Repository {
    fn new(folder: &Path) -> Self {
        let put = |from: &str, to: &str| {
            let to = folder.join(to);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(project().join("samples").join(from), to).unwrap();
        };
        for file in ["steps.sh", "staging.sh", "accepted.toml"] {
            put(&format!("ci/{file}"), &format!("samples/ci/{file}"));
        }
        put("releases/python/service.py", "service/service.py");
        let gh = folder.join("bin/gh");
        fs::create_dir(folder.join("bin")).unwrap();
        fs::write(&gh, "#!/bin/sh\necho \"$@\" >>asked\n").unwrap();
        fs::set_permissions(&gh, Permissions::from_mode(0o755)).unwrap();
        Self { folder: folder.to_owned(), port: free_port() }
    }

    /// Puts a release of the service's dependency in place.
    fn release(&self, name: &str) {
        let module = project().join("samples/releases/python").join(name).join("report.py");
        fs::copy(module, self.folder.join("service/report.py")).unwrap();
    }

    fn step(&self, command: &str) -> Ended {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", command]).current_dir(&self.folder);
        let path = format!("{}:{PATH}", self.folder.join("bin").display());
        shell.env_clear().env("PATH", path).env("LEARN", LEARN).env("PORT", self.port.to_string());
        shell.env("PULL_REQUEST", "42").env("GITHUB_STEP_SUMMARY", self.folder.join("summary"));
        run(&mut shell, b"")
    }

    /// Every step of the workflow as long as they succeed; gives the last one with the name of its step.
    fn workflow(&self) -> (String, Ended) {
        let mut last = None;
        for command in steps() {
            let ended = self.step(&command);
            let failed = ended.code != 0;
            last = Some((command.split(' ').next_back().unwrap().to_owned(), ended));
            if failed {
                break;
            }
        }
        last.unwrap()
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.join(name)).unwrap()
    }
}

#[test]
fn a_pull_request_with_new_risk_is_told_and_fails() {
    if !require(&["ptrace", "curl", "python3"]) {
        return;
    }
    let names: Vec<_> = steps().iter().map(|step| step.split(' ').next_back().unwrap().to_owned()).collect();
    assert_eq!(names, ["learn", "compare", "comment", "verdict"]);
    let (_fresh, folder) = fresh();
    let repository = Repository::new(&folder);

    repository.release("old");
    let first = repository.step("sh samples/ci/steps.sh learn");
    assert_eq!(first.code, 0, "{}", first.stderr);
    fs::copy(folder.join("least-privilege/staging/learned.json"), folder.join("samples/ci/learned.json")).unwrap();

    let (step, ended) = repository.workflow();
    assert_eq!((step.as_str(), ended.code), ("verdict", 0), "nothing changed: {}{}", ended.stdout, ended.stderr);

    repository.release("new");
    let (step, ended) = repository.workflow();
    assert_eq!((step.as_str(), ended.code, ended.stderr.as_str()), ("verdict", 1, ""), "{}", ended.stdout);
    assert!(ended.stdout.contains("+ added program /usr/bin/date: runs another program"), "{}", ended.stdout);
    let comment = repository.read("least-privilege/comment.md");
    assert!(comment.contains("`added program /usr/bin/date`"), "{comment}");
    assert!(repository.read("summary").ends_with(&comment));
    let asked = repository.read("asked");
    let wanted = "pr comment 42 --edit-last --create-if-none --body-file least-privilege/comment.md";
    assert_eq!(asked.lines().collect::<Vec<_>>(), [wanted, wanted]);

    let accepted =
        "[[accept]]\nkind = \"program\"\nitem = \"/usr/bin/date\"\nreason = \"names the day\"\nexpires = 2999-01-31\n";
    fs::write(folder.join("samples/ci/accepted.toml"), accepted).unwrap();
    let (step, ended) = repository.workflow();
    assert_eq!((step.as_str(), ended.code), ("verdict", 0), "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.contains("names the day"), "{}", ended.stdout);
}

#[test]
fn a_step_that_cannot_be_done_is_no_verdict() {
    let (_fresh, folder) = fresh();
    let repository = Repository::new(&folder);
    // There is no committed record.
    for step in ["compare", "verdict"] {
        let ended = repository.step(&format!("sh samples/ci/steps.sh {step}"));
        assert_eq!(ended.code, 2, "{step}");
        assert!(ended.stderr.contains("learned.json"), "{}", ended.stderr);
    }
    assert_eq!(repository.step("sh samples/ci/steps.sh").code, 2);
}
