//! The search for the least that a command works with: capabilities one by one, system calls and files by
//! bisecting.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::process::Command as Process;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use indicatif::ProgressBar;
use nix::unistd::geteuid;
use serde::Serialize;

use super::restrict;
use super::trial::{self, Trial};
use crate::abi::Syscall;
use crate::capture::Workload;
use crate::capture::confine::Confinement;
use crate::fact::Capability;
use crate::infer::{self, Needs, Pattern, caps};
use crate::policy::apparmor::{self, AppArmor, FileRule};
use crate::policy::seccomp::Seccomp;
use crate::record::Record;
use crate::render::escape::{Escaped, Tail};

/// Calls without which no program starts or ends.
const ALWAYS: [&str; 4] = ["execve", "execveat", "exit", "exit_group"];

/// What is made less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goal {
    Capabilities,
    Calls,
    Files,
}

/// One run, for the transcript.
#[derive(Serialize)]
pub(super) struct Run {
    /// What it had; `null` for all that there is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) with: Option<Vec<String>>,
    /// What was taken away for it.
    pub(super) without: Vec<String>,
    /// What became of it.
    #[serde(flatten)]
    pub(super) trial: Trial,
}

/// What all runs came to.
#[derive(Serialize)]
pub(super) struct Transcript {
    pub(super) minimal: Vec<String>,
    /// Learned, and tried: it works without.
    pub(super) dropped: Vec<String>,
    /// Learned, and not tried because there were too many runs.
    pub(super) untried: Vec<String>,
    pub(super) runs: Vec<Run>,
}

/// The search.
pub(super) struct Search<'a> {
    pub(super) goal: Goal,
    pub(super) workload: Workload,
    pub(super) before: Option<&'a OsString>,
    pub(super) timeout: Duration,
    /// The most runs.
    pub(super) limit: usize,
    pub(super) bar: ProgressBar,
}

/// What was learned, as profiles from which something is taken away.
struct Policies {
    calls: Seccomp,
    files: AppArmor,
    /// Paths of file rules that cannot be tried without.
    loaded: BTreeSet<String>,
}

impl Policies {
    fn new(needs: &Needs<'_>) -> Self {
        // What the kernel loads by itself is opened by no call: the first program, which counts as its own executor,
        // interpreters of scripts, loaders.
        let loaded = needs.executions.iter().flat_map(|(one, because)| {
            let first = because.iter().any(|cause| *cause.subject == one.program);
            one.loader.iter().chain(Some(&one.program).filter(|_| first || one.file != one.program))
        });
        let loaded = loaded.map(|path| Pattern::Literal(path.clone()));
        let loaded = loaded.map(|path| Escaped::pattern(&path, Tail::File).as_str().to_owned()).collect();
        Self { calls: Seccomp::new(needs), files: AppArmor::new(needs, &apparmor::Options::default()), loaded }
    }
}

/// A search that knows where it starts.
struct Ongoing<'a> {
    search: Search<'a>,
    policies: Policies,
    kept: Vec<String>,
    untried: Vec<String>,
    runs: Vec<Run>,
}

impl Search<'_> {
    /// Does it.
    pub(super) fn minimize(self) -> Result<Transcript> {
        self.prepare("learning", 0)?;
        let (record, trial) = trial::learn(&self.workload, self.timeout)?;
        if !trial.succeeded() {
            bail!("the command has to succeed with all that it may have, and it {}", trial.told());
        }
        let needs = infer::infer(&record, &infer::Options::default());
        let policies = Policies::new(&needs);
        let (all, groups) = self.learned(&record, &policies);
        let runs = vec![Run { with: None, without: Vec::new(), trial }];
        let mut search = Ongoing { search: self, policies, kept: all.clone(), untried: Vec::new(), runs };
        if !search.works(all.clone(), &[])? {
            bail!("the command fails with what was learned alone ({}): what else it needs was not seen", all.join(" "));
        }
        for group in groups {
            search.reduce(&group)?;
        }
        let Ongoing { search, kept, untried, runs, .. } = search;
        search.bar.finish_and_clear();
        let dropped = all.into_iter().filter(|one| !kept.contains(one)).collect();
        Ok(Transcript { minimal: kept, dropped, untried, runs })
    }

    /// What was learned, and in which groups it is tried to do without.
    fn learned(&self, record: &Record, policies: &Policies) -> (Vec<String>, Vec<Vec<String>>) {
        if self.goal == Goal::Calls {
            let rules = policies.calls.syscalls.iter();
            let names: BTreeSet<_> = rules.flat_map(|rule| &rule.names).filter_map(Syscall::name).collect();
            let all: Vec<_> = names.into_iter().filter(|name| !ALWAYS.contains(name)).map(str::to_owned).collect();
            return (all.clone(), vec![all]);
        }
        if self.goal == Goal::Files {
            let rules = policies.files.files.iter().map(file_name);
            let mut all: Vec<_> = rules.filter(|name| !policies.loaded.contains(name)).collect();
            all.sort();
            return (all.clone(), vec![all]);
        }
        let mut needs: Vec<_> = caps::needs(record).into_iter().filter(|need| need.standing.granted()).collect();
        let name = |need: &caps::CapabilityNeed<'_>| need.capability.name().to_owned();
        let all = needs.iter().map(name).collect();
        // What is likely first: it may go, and then what remains is tried without it.
        needs.sort_by_key(|need| need.standing);
        (all, needs.iter().map(|need| vec![name(need)]).collect())
    }

    fn prepare(&self, what: &str, run: usize) -> Result<()> {
        self.bar.set_length(self.limit as u64);
        self.bar.set_position(run as u64 + 1);
        self.bar.set_message(what.to_owned());
        self.bar.tick();
        let Some(command) = self.before else { return Ok(()) };
        let status = Process::new("sh").arg("-c").arg(command).status().context("cannot run sh for --before")?;
        if status.success() { Ok(()) } else { Err(anyhow!("the command of --before failed: {status}")) }
    }
}

impl Ongoing<'_> {
    /// Does without `group`, or without as much of it as possible.
    fn reduce(&mut self, group: &[String]) -> Result<()> {
        if self.runs.len() >= self.search.limit {
            self.untried.extend_from_slice(group);
            return Ok(());
        }
        let fewer: Vec<_> = self.kept.iter().filter(|one| !group.contains(one)).cloned().collect();
        if self.works(fewer.clone(), group)? {
            self.kept = fewer;
        } else if group.len() > 1 {
            let (first, second) = group.split_at(group.len() / 2);
            self.reduce(first)?;
            self.reduce(second)?;
        }
        Ok(())
    }

    /// Whether it works with these, `without` having been taken away.
    fn works(&mut self, with: Vec<String>, without: &[String]) -> Result<bool> {
        let what = if without.is_empty() {
            "with what was learned".to_owned()
        } else {
            format!("without {}", without.join(" "))
        };
        self.search.prepare(&what, self.runs.len())?;
        let (workload, confinement) = (&self.search.workload, self.confinement(&with)?);
        let trial = if self.search.goal == Goal::Files {
            let mut profile = self.policies.files.clone();
            let kept = |name: String| with.contains(&name) || self.policies.loaded.contains(&name);
            profile.files.retain(|rule| kept(file_name(rule)));
            trial::rehearsed(workload, confinement, &profile, self.search.timeout)?
        } else {
            trial::confined(workload, confinement, self.search.timeout)?
        };
        let works = trial.succeeded();
        self.runs.push(Run { with: Some(with), without: without.to_vec(), trial });
        Ok(works)
    }

    fn confinement(&self, with: &[String]) -> Result<Confinement> {
        if self.search.goal == Goal::Capabilities {
            let kept = Capability::ALL.iter().filter(|one| with.iter().any(|name| name == one.name()));
            let kept = kept.fold(0, |set, one| set | 1 << *one as u8);
            return Ok(Confinement { capabilities: Some(kept), ..Confinement::default() });
        }
        let mut profile = self.policies.calls.clone();
        if self.search.goal == Goal::Files {
            profile = restrict::asking(&profile.architectures);
        }
        for rule in profile.syscalls.iter_mut().filter(|_| self.search.goal == Goal::Calls) {
            let kept = |name: &str| ALWAYS.contains(&name) || with.iter().any(|one| one == name);
            rule.names.retain(|call| call.name().is_some_and(kept));
        }
        let filter = Some(profile.compile_asking()?.program);
        Ok(Confinement { filter, no_new_privs: !geteuid().is_root(), ..Confinement::default() })
    }
}

/// The path of a file rule as the profile has it.
fn file_name(rule: &FileRule) -> String {
    let tail = if rule.directory { Tail::Directory } else { Tail::File };
    Escaped::pattern(&rule.pattern, tail).as_str().to_owned()
}
