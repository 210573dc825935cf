//! Explanations: every line of every profile, and what is asked by name (issue 7).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;

use insta::assert_snapshot;
use learn::explain::{Answer, Book, Explanation, Output};
use learn::fact::{Access, Fact, FileFact, Gap, GapKind};
use learn::infer::{Globs, Needs, Options, infer};
use learn::path::AbsPath;
use learn::policy::seccomp::{Refusal, Target};
use learn::policy::{self, apparmor};
use learn::record::{Caller, Invocation, Moment, Record, RunId, file};
use learn::render::{FORMATS, ProfileName, Templates};
use proptest::prelude::*;

use crate::strategies::record;
use crate::tool::{Ended, learn, samples};

/// Everything that is rendered of needs.
fn outputs(needs: &Needs<'_>, options: &policy::Options) -> Vec<Output> {
    let templates = Templates::new(BTreeMap::new()).unwrap();
    let name = ProfileName::of(Some(b"workload"));
    let render = |format: &learn::render::Format| {
        let mut text = Vec::new();
        format.render(needs, options, &name, &templates, &mut text).unwrap();
        Output { file: format.file_name(&name), text: String::from_utf8(text).unwrap() }
    };
    // A compiled program has no lines.
    FORMATS.iter().filter(|format| format.is_text()).map(render).collect()
}

/// Lines that allow something.
fn rules(output: &Output) -> Vec<&str> {
    let text = output.text.as_str();
    match output.file.as_str() {
        "seccomp.json" => {
            let names = text.split("\"names\": [").skip(1).flat_map(|rest| rest.split(']').next().unwrap().lines());
            names.filter(|line| !line.trim().is_empty()).collect()
        }
        // Every line of pseudo code is explained; who made a call is asked of the profile.
        "seccomp.pfc" => Vec::new(),
        "capabilities.txt" => text.lines().filter(|line| line.starts_with("CAP_")).collect(),
        "capabilities.json" => text.lines().filter(|line| line.contains("\"name\": \"CAP_")).collect(),
        _ => {
            let rule = |line: &&str| line.starts_with("  ") && line.trim_end().ends_with(',');
            text.lines().filter(rule).filter(|line| !line.trim_start().starts_with('#')).collect()
        }
    }
}

/// What is allowed though nobody was seen to need it: the explanation has to say why.
const UNSEEN: &[&str] = &["nobody sent these", "of the set", "it is refused", "an abstraction", "it refuses"];

/// Fails unless each line of each profile is explained, and each rule by who showed it.
fn every_line_is_explained<'r>(record: &'r Record, needs: &Needs<'r>, options: &policy::Options) -> usize {
    let outputs = outputs(needs, options);
    let book = Book::new(record, needs, &outputs);
    let mut explained = 0;
    for output in &outputs {
        let rules = rules(output);
        // Pseudo code says the same again and again.
        for line in output.text.lines().collect::<BTreeSet<_>>() {
            let Answer::Explained { explanations, .. } = book.explain(line) else {
                panic!("{}: {line:?} is not explained: {:?}", output.file, book.explain(line));
            };
            let shown = |one: &Explanation| !one.by.is_empty() && one.by.iter().all(|by| !by.runs.is_empty());
            let unseen =
                |one: &Explanation| one.notes.iter().any(|note| UNSEEN.iter().any(|why| note.starts_with(why)));
            if rules.contains(&line) {
                explained += 1;
                let fine = explanations.iter().any(|one| shown(one) || unseen(one));
                assert!(fine, "{}: nobody showed {line:?}: {explanations:?}", output.file);
            }
        }
    }
    explained
}

/// The same for every degree of generalisation, with comments and without, and for every reader of a seccomp profile;
/// gives the fewest rules.
pub fn every_line_of_every_profile_is_explained(record: &Record) -> usize {
    let mut fewest = usize::MAX;
    for (globs, comments) in Globs::NAMES.iter().flat_map(|(globs, ..)| [(*globs, false), (*globs, true)]) {
        let mut options = Options::default();
        (options.globs, options.comments) = (globs, comments);
        let explained = every_line_is_explained(record, &infer(record, &options), &policy::Options::default());
        fewest = fewest.min(explained);
    }
    // A compiled program has no lines.
    let targets = Target::NAMES.iter().map(|(target, ..)| *target).filter(|target| *target != Target::CrunRaw);
    let refusals = Refusal::NAMES.iter().map(|(refusal, ..)| (Target::Oci, *refusal));
    for setting in targets.map(|target| (target, Refusal::Eperm)).chain(refusals) {
        let mut options = policy::Options::default();
        (options.seccomp.target, options.seccomp.refusal) = setting;
        every_line_is_explained(record, &infer(record, &Options::default()), &options);
    }
    for apparmor in apparmor_options() {
        let options = policy::Options { apparmor, ..policy::Options::default() };
        let needs = infer(record, &Options { shares: true, comments: true, ..Options::default() });
        every_line_is_explained(record, &needs, &options);
    }
    fewest
}

/// Each thing that an AppArmor profile may be asked to be.
fn apparmor_options() -> Vec<apparmor::Options> {
    let files = Arc::new(apparmor::text::shipped());
    let names = ["base", "nameservice", "openssl"].map(str::to_owned).to_vec();
    let abstractions = apparmor::Abstractions { names, frugal: false, files };
    let container = Some(apparmor::Container { denies: true });
    vec![
        apparmor::Options { exec: apparmor::Exec::Child, abi: apparmor::PolicyAbi::V4, ..Default::default() },
        apparmor::Options { exec: apparmor::Exec::Separate, abstractions, ..Default::default() },
        apparmor::Options { container, ..Default::default() },
    ]
}

#[test]
fn every_line_of_the_samples_is_explained() {
    for sample in samples() {
        let record = file::read(fs::File::open(sample.join("learned.json")).unwrap()).unwrap();
        assert!(every_line_of_every_profile_is_explained(&record) > 50, "{}", sample.display());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_line_of_any_record_is_explained(record in record()) {
        every_line_is_explained(&record, &infer(&record, &Options::default()), &policy::Options::default());
    }

    #[test]
    fn any_item_is_answered(record in record(), item in "[ -~\\n\u{1b}\u{202e}é]{0,24}") {
        let needs = infer(&record, &Options::default());
        let outputs = outputs(&needs, &policy::Options::default());
        let answer = Book::new(&record, &needs, &outputs).explain(&item);
        let text = learn::explain::show::text(&answer);
        prop_assert!(text.ends_with('\n') && !text.chars().any(|c| c.is_control() && c != '\n'), "{:?}", text);
    }
}

#[test]
fn what_an_old_name_has_of_a_new_one_is_explained() {
    let mut record = Record::default();
    let moment = Moment { run: RunId(1), at_ms: 1, by: None };
    let subject = AbsPath::new(b"/bin/a").unwrap();
    for (path, access) in [("/a/file", Access::LINK_TARGET), ("/b/file", Access::LINK | Access::LOCK)] {
        let path = AbsPath::new(path.as_bytes()).unwrap();
        let fact = Fact::File(FileFact { path, access, owner: true, directory: false });
        record.absorb(&subject, fact, learn::event::Outcome::Returned(0), moment);
    }
    every_line_is_explained(&record, &infer(&record, &Options::default()), &policy::Options::default());
}

fn explain(items: &[&str]) -> Ended {
    let record = samples().into_iter().find(|sample| sample.ends_with("web-server")).unwrap();
    let mut args = vec!["explain".as_ref(), record.as_os_str()];
    args.extend(items.iter().map(AsRef::<std::ffi::OsStr>::as_ref));
    learn(args)
}

#[test]
fn users_and_groups_are_explained() {
    let ended = explain(&["# ends as user 33, group 33: /usr/sbin/nginx", "group 0"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    assert_snapshot!(ended.stdout, @"
    user 33
      by /usr/sbin/nginx
        as nginx -g 'daemon off;'
        became user 33
        ended as user 33, group 33
        2025-11-23T22:00:00Z to 2025-11-23T22:01:00Z, in run 5e1ec7ed00000001
      leads to
        capabilities.txt  # becomes user 33
                          # ends as user 33, group 33: /usr/sbin/nginx

    group 0
      the workload was started in this group
      by /usr/sbin/nginx
        as nginx -g 'daemon off;'
        ended as user 0, group 0
        2025-11-23T22:00:00Z to 2025-11-23T22:01:00Z, in run 5e1ec7ed00000001
    ");
}

#[test]
fn capabilities_calls_and_files_are_explained() {
    let ended = explain(&["CAP_CHOWN", "clone", "owner /etc/ssl/openssl.cnf r,"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    assert_snapshot!(ended.stdout, @r#"
    capability CAP_CHOWN
      by /usr/sbin/nginx
        as nginx -g 'daemon off;'
        needed: chown(2) of /var/lib/nginx/body from 0:0 to 33:-
        2025-11-23T22:00:00Z to 2025-11-23T22:01:00Z, in run 5e1ec7ed00000001
      leads to
        nginx.apparmor     capability chown,
        capabilities.txt   CAP_CHOWN needed
        capabilities.json  "name": "CAP_CHOWN",

    syscall clone
      by /usr/sbin/nginx
        as nginx -g 'daemon off;'
        2025-11-23T22:00:00Z to 2025-11-23T22:01:00Z, in run 5e1ec7ed00000001; 2 calls
      leads to
        seccomp.json  "clone",

    file /etc/ssl/openssl.cnf
      by /usr/sbin/nginx
        as nginx -g 'daemon off;'
        read stat
        2025-11-23T22:00:00Z to 2025-11-23T22:01:00Z, in run 5e1ec7ed00000001
      leads to
        nginx.apparmor  owner /etc/ssl/openssl.cnf r,
    "#);
    let ended = explain(&["  \"accept4\",", "port 80", "sigterm", "@{PROC}/@{pid}/status"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    assert_snapshot!(ended.stdout, @r#"
    syscall accept4
      by /usr/sbin/nginx
        as nginx -g 'daemon off;'
        2025-11-23T22:00:00Z to 2025-11-23T22:01:00Z, in run 5e1ec7ed00000001; 1 call
      leads to
        seccomp.json  "accept4",

    port 80
      by /usr/sbin/nginx
        as nginx -g 'daemon off;'
        accept inet stream 10.0.0.9:0
        bind inet stream 0.0.0.0:80
        listen inet stream 0.0.0.0:80
        needed: bind(2) to port 80
        2025-11-23T22:00:00Z to 2025-11-23T22:01:00Z, in run 5e1ec7ed00000001
      leads to
        nginx.apparmor  network inet stream,

    signal term
      by /usr/sbin/nginx
        as nginx -g 'daemon off;'
        term to /usr/sbin/nginx
        2025-11-23T22:00:00Z to 2025-11-23T22:01:00Z, in run 5e1ec7ed00000001
      leads to
        nginx.apparmor  signal (send, receive) set=(chld, term) peer=@{profile_name},

    file @{PROC}/@{pid}/status
      grants beyond what it stands for: any process
      stands for 1 path
        /proc/4127/status
      by /usr/sbin/nginx
        as nginx -g 'daemon off;'
        read stat
        2025-11-23T22:00:00Z to 2025-11-23T22:01:00Z, in run 5e1ec7ed00000001
      leads to
        nginx.apparmor  owner @{PROC}/@{pid}/status r,
    "#);
}

#[test]
fn what_is_not_known_or_not_clear_is_told() {
    let ended = explain(&["/etc/ssl/openssl.cfg", "opnat"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (1, ""));
    assert_snapshot!(ended.stdout, @r#"
    /etc/ssl/openssl.cfg: nothing of it was seen; nearest are
      /etc/ssl/openssl.cnf
      /etc/nsswitch.conf

    opnat: nothing of it was seen; nearest are
      openat
    "#);
    let ended = explain(&["kill"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (2, ""));
    assert_snapshot!(ended.stdout, @r#"
    kill: it could mean several things; say which:
      capability:CAP_KILL
      syscall:kill
    "#);
    for could_mean in ended.stdout.lines().skip(1) {
        let ended = explain(&[could_mean.trim()]);
        assert_eq!((ended.code, ended.stdout.contains("  by /")), (0, true), "{could_mean}: {}", ended.stdout);
    }
    assert_eq!(explain(&["\u{1b}[2J\n/x"]).stdout, "\\u{1b}[2J\\n/x: nothing of it was seen\n");
}

#[test]
fn programs_read_the_same() {
    let ended = explain(&["--json", "CAP_KILL", "kill", "nothing"]);
    assert_eq!(ended.code, 2);
    let answers: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(answers[0]["answer"], "explained");
    let by = &answers[0]["explanations"][0]["by"][0];
    assert_eq!((&by["executable"], &by["runs"][0]), (&"/usr/sbin/nginx".into(), &"5e1ec7ed00000001".into()));
    assert_eq!(by["started"][0]["command"], serde_json::json!(["nginx", "-g", "daemon off;"]));
    assert_eq!((&answers[1]["answer"], &answers[2]["answer"]), (&"ambiguous".into(), &"unknown".into()));
}

#[test]
fn a_pattern_tells_the_paths_that_it_stands_for() {
    let mut record = Record::default();
    let subject = AbsPath::new(b"/usr/bin/a").unwrap();
    let invocation = Invocation::new(Vec::new(), vec!["a".to_owned(), "it's".to_owned()]);
    let by: Option<Caller> = Some(invocation.id());
    record.invoked(&subject, invocation, Moment { run: RunId(1), at_ms: 0, by: None });
    for number in [101, 102, 103] {
        let path = AbsPath::new(format!("/proc/{number}/stat").as_bytes()).unwrap();
        let fact = Fact::File(FileFact { path, access: Access::READ, owner: true, directory: false });
        let moment = Moment { run: RunId(1), at_ms: number, by };
        record.absorb(&subject, fact, learn::event::Outcome::Returned(3), moment);
    }
    let needs = infer(&record, &Options::default());
    let outputs = outputs(&needs, &policy::Options::default());
    let book = Book::new(&record, &needs, &outputs);
    let text = learn::explain::show::text(&book.explain("owner @{PROC}/@{pid}/stat r,"));
    assert_snapshot!(text, @r#"
    file @{PROC}/@{pid}/stat
      grants beyond what it stands for: any process
      stands for 3 paths
        /proc/101/stat
        /proc/102/stat
        /proc/103/stat
      by /usr/bin/a
        as a 'it'\''s'
        read
        1970-01-01T00:00:00Z, in run 0000000000000001
      leads to
        workload.apparmor  owner @{PROC}/@{pid}/stat r,
    "#);
    // A path that is one of them leads to the pattern.
    let text = learn::explain::show::text(&book.explain("/proc/102/stat"));
    assert!(text.contains("owner @{PROC}/@{pid}/stat r,") && !text.contains("stands for"), "{text}");
}

#[test]
fn every_kind_of_gap_can_be_asked_for() {
    let mut record = Record::default();
    for &kind in GapKind::ALL {
        record.gap(Gap { kind, detail: "it was not seen".to_owned() });
    }
    let needs = infer(&record, &Options::default());
    let outputs = outputs(&needs, &policy::Options::default());
    let book = Book::new(&record, &needs, &outputs);
    for kind in GapKind::ALL {
        let answer = book.explain(kind.name());
        assert!(matches!(answer, Answer::Explained { .. }), "{}: {answer:?}", kind.name());
    }
}

/// The short form of it is in every profile, when that is asked for (issue 7).
#[test]
fn comments_are_in_every_profile() {
    let record = file::read(fs::File::open(samples()[0].join("learned.json")).unwrap()).unwrap();
    let texts = |comments| {
        let outputs =
            outputs(&infer(&record, &Options { comments, ..Options::default() }), &policy::Options::default());
        outputs.into_iter().map(|output| output.text).collect::<Vec<_>>()
    };
    let by = "by /usr/sbin/nginx, 2025-11-23T22:00:00Z to 2025-11-23T22:01:00Z, in 1 run";
    for (told, [plain, commented]) in [
        format!("      \"accept4: {by}\",\n"),
        format!("  # {by}\n  capability chown,\n"),
        format!("\nCAP_CHOWN needed\n    # {by}\n"),
        format!("      \"shown\": \"{by}\",\n"),
    ]
    .iter()
    .zip(texts(false).into_iter().zip(texts(true)).map(|(plain, commented)| [plain, commented]))
    {
        assert!(commented.contains(told), "{told} is not in {commented}");
        assert!(!plain.contains(by), "{plain}");
    }
}
