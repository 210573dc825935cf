//! What is said at the end of a run: ten seconds of reading.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::io::visible;
use super::outputs::Outputs;
use super::session::{Learned, status_of};
use crate::event::Finished;
use crate::infer::{Needs, risk};
use crate::record::Counts;

/// How many lines each list may have.
const LINES: usize = 6;

/// What there is to tell.
pub(super) struct Told<'a, 'r> {
    pub(super) learned: &'a Learned,
    pub(super) needs: &'a Needs<'r>,
    pub(super) outputs: &'a Outputs,
    /// What was known before this run.
    pub(super) before: Counts,
    pub(super) finished: &'a Finished,
    pub(super) folder: &'a Path,
    pub(super) written: &'a [PathBuf],
}

/// Prints the summary on standard error.
#[expect(clippy::print_stderr, reason = "standard error is for talk")]
pub(super) fn print(told: &Told<'_, '_>) {
    eprint!("{}", text(told));
}

fn text(told: &Told<'_, '_>) -> String {
    let mut lines = vec![String::new(), headline(told)];
    let mut section = |title: &str, items: Vec<String>| {
        let more = items.len().saturating_sub(LINES);
        let shown = items.into_iter().take(LINES).chain((more > 0).then(|| format!("and {more} more")));
        let titles = std::iter::once(title).chain(std::iter::repeat(""));
        lines.extend(titles.zip(shown).map(|(title, item)| format!("  {title:<9} {}", visible(&item))));
    };
    let needs = told.needs;
    let granted: Vec<_> = needs.capabilities.iter().filter(|need| need.standing.granted()).collect();
    section("learned", learned(told, granted.len()));
    let names: Vec<_> = granted.iter().map(|need| need.capability.name()).collect();
    section("needs", if names.is_empty() { Vec::new() } else { vec![names.join(" ")] });
    let risks = risk::risks(needs);
    section("risky", risks.into_iter().map(|risk| format!("{}: {}", risk.what, risk.why)).collect());
    if let Some(seccomp) = told.outputs.seccomp(needs) {
        section("beyond", seccomp.beyond);
        section("left out", seccomp.denied);
        section("arguments", seccomp.held);
        let added = seccomp.added.iter();
        section(
            "added",
            added.map(|set| format!("{}: {}", set.name, plural(set.calls.len(), "syscall", "syscalls"))).collect(),
        );
    }
    let gaps = told.learned.record.gaps.iter();
    section("not seen", gaps.map(|gap| format!("{} ({})", gap.detail, gap.kind.name())).collect());
    section("written", vec![written(told)]);
    section("try next", next_commands(told, &names));
    lines.iter().fold(String::new(), |mut text, line| {
        let _ = writeln!(text, "{line}");
        text
    })
}

fn headline(told: &Told<'_, '_>) -> String {
    let name = told.learned.record.name().unwrap_or_default();
    let Finished { root, elapsed, peak_processes, peak_threads, .. } = told.finished;
    let end = match root.and_then(status_of) {
        Some(143) if told.learned.stopped => "was ended as asked".to_owned(),
        status => how_it_ended(status),
    };
    let processes = plural(*peak_processes, "process", "processes");
    let threads = plural(*peak_threads, "thread", "threads");
    let seconds = elapsed.as_secs_f64();
    format!("{} {end} after {seconds:.1} s; at most {processes}, {threads} at once", visible(&name))
}

/// The end of a workload, behind its name.
pub(super) fn how_it_ended(status: Option<i32>) -> String {
    match status {
        Some(status @ 129..) => format!("ended by signal {}", status - 128),
        Some(status) => format!("ended with status {status}"),
        None => "was let go".to_owned(),
    }
}

pub(super) fn plural(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn learned(told: &Told<'_, '_>, capabilities: usize) -> Vec<String> {
    let runs = told.learned.record.runs.len();
    let (now, before) = (told.learned.record.counts(), told.before);
    let capabilities = plural(capabilities, "capability", "capabilities");
    let total = [
        plural(now.syscalls, "syscall", "syscalls"),
        plural(now.files, "file", "files"),
        plural(now.network, "socket use", "socket uses"),
        plural(now.executions, "program", "programs"),
        capabilities,
    ];
    let mut lines = vec![total.join(", ")];
    if runs > 1 {
        let added = [
            (now.syscalls.saturating_sub(before.syscalls), "syscall", "syscalls"),
            (now.files.saturating_sub(before.files), "file", "files"),
            (now.network.saturating_sub(before.network), "socket use", "socket uses"),
            (now.executions.saturating_sub(before.executions), "program", "programs"),
        ];
        let added = added.into_iter().filter(|(count, ..)| *count > 0);
        let added: Vec<_> = added.map(|(count, one, many)| format!("+{}", plural(count, one, many))).collect();
        let added = match told.learned.news {
            0 => "nothing new".to_owned(),
            news if added.is_empty() => format!("+{} of what was known", plural(news, "new use", "new uses")),
            _ => added.join(", "),
        };
        lines.push(format!("{added} in this run, number {runs} of this record"));
    }
    lines
}

fn written(told: &Told<'_, '_>) -> String {
    let names = told.written.iter().filter_map(|path| path.file_name()).map(|name| name.to_string_lossy());
    let names: Vec<_> = std::iter::once(super::folder::RECORD.into()).chain(names).collect();
    format!("{}/: {}", told.folder.display(), names.join(", "))
}

/// Commands that use what was written.
fn next_commands(told: &Told<'_, '_>, capabilities: &[&str]) -> Vec<String> {
    let path_of = |ending: &str| told.written.iter().find(|path| path.to_string_lossy().ends_with(ending));
    let mut commands = Vec::new();
    if let Some(seccomp) = path_of("seccomp.json") {
        let kept = capabilities.iter().map(|name| format!(" --cap-add={}", name.trim_start_matches("CAP_")));
        let kept: String = kept.collect();
        commands.push(format!("docker run --security-opt seccomp={} --cap-drop=ALL{kept} IMAGE", seccomp.display()));
    }
    if let Some(apparmor) = path_of(".apparmor") {
        commands.push(format!("apparmor_parser -r {}", apparmor.display()));
    }
    commands
}
