//! `learn diff`: laws, bounds, and that no name of a workload gets out of its place (issue 7).

use std::fmt::Debug;
use std::fs;
use std::path::Path;
use std::process::Command;

use learn::abi::{Abi, Syscall};
use learn::diff::{Change, Direction, Item, Kind, Side, compare};
use learn::event::Outcome;
use learn::fact::{Access, Arguments, Endpoint, Fact, FileFact, NetworkFact, NetworkOperation};
use learn::infer::{Options, infer};
use learn::path::AbsPath;
use learn::policy::apparmor::text::{self, Document};
use learn::policy::caps::Caps;
use learn::policy::seccomp::Seccomp;
use learn::policy::{Policy, Verdict};
use learn::record::{Moment, Record, RunId, file};
use learn::render::Format;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use pulldown_cmark::{Event, Parser};

use crate::laws::rendered;
use crate::releases::sarif_errors;
use crate::strategies::record;
use crate::support::fresh;
use crate::tool::{Ended, learn, project, samples};

/// What is compared of two records: themselves, and the policies of each kind that they give.
fn sides<'r>(record_a: &'r Record, record_b: &'r Record) -> Vec<(Side<'r>, Side<'r>)> {
    let (a, b) = (infer(record_a, &Options::default()), infer(record_b, &Options::default()));
    let apparmor = |record| {
        let text = rendered(Format::named("apparmor").unwrap(), record);
        text::parse("rendered", &text, &text::shipped()).unwrap_or_else(|error| panic!("{error}\n{text}"))
    };
    let seccomp = |a, b| Side::of_seccomp(&Seccomp::new(a), &Seccomp::new(b));
    vec![
        (Side::of_needs(&a), Side::of_needs(&b)),
        seccomp(&a, &b),
        Side::of_apparmor(&apparmor(record_a), &apparmor(record_b)),
        (Side::of_caps(&Caps::new(&a)), Side::of_caps(&Caps::new(&b))),
    ]
}

/// A change without what depends on the direction of the comparison, and with its direction turned if `back`.
fn core(change: &Change<'_>, back: bool) -> (String, String, Direction, Vec<String>) {
    let direction = match change.direction {
        Direction::Added if back => Direction::Removed,
        Direction::Removed if back => Direction::Added,
        Direction::Widened if back => Direction::Narrowed,
        Direction::Narrowed if back => Direction::Widened,
        same => same,
    };
    let mut parts: Vec<_> = change.parts.iter().map(ToString::to_string).collect();
    parts.sort();
    let name = change.item.name.clone();
    let from = change.from.clone().unwrap_or_else(|| name.clone());
    let kind = change.item.kind;
    match direction {
        // Of an item, parts are told of its new name.
        Direction::Moved if !kind.has_names_in_parts() => {
            let names = if back { (from, name) } else { (name, from) };
            (format!("{kind:?} {}", names.0), names.1, direction, vec![])
        }
        // Of a part, or of the parts that another ones stand for.
        Direction::Moved | Direction::Changed => {
            let (before, now) = (from, parts.join(", "));
            let (before, now) = if back { (now, before) } else { (before, now) };
            (format!("{kind:?} {name}"), before, direction, vec![now])
        }
        _ => (format!("{kind:?} {name}"), from, direction, parts),
    }
}

/// Names that releases and runs change.
const VOLATILE: &[&str] = &[
    "/a/lib.so.1.2",
    "/a/lib.so.1.3",
    "/a/lib.so.1.4",
    "/tmp/aa11bb",
    "/tmp/cc22dd",
    "/tmp/ee33ff",
    "/srv/3f9a8c21.key",
    "/srv/77d0aa1b.key",
    "/opt/a-1.4/b",
    "/opt/a-1.5/b",
];

/// A record of anything, and of names that move.
fn moving() -> impl Strategy<Value = Record> {
    let files = vec((select(VOLATILE), 1..1u32 << 12, any::<bool>()), 0..8);
    (record(), files).prop_map(|(mut record, files)| {
        let subject = AbsPath::new(b"/bin/a").unwrap();
        let moment = Moment { run: RunId(1), at_ms: 1, by: None };
        for (name, access, socket) in files {
            let path = AbsPath::new(name.as_bytes()).unwrap();
            let fact = if socket {
                let (local, remote) = (Endpoint::None, Endpoint::Path(path));
                let operation = NetworkOperation::Connect;
                Fact::Network(NetworkFact { family: 1, kind: 1, protocol: 0, operation, local, remote })
            } else {
                let access = Access::from_bits_truncate(access);
                Fact::File(FileFact { path, access, owner: true, directory: false })
            };
            record.absorb(&subject, fact, Outcome::Returned(0), moment);
        }
        record
    })
}

/// A seccomp profile of any shape: other defaults, actions, conditions and architectures.
fn profile() -> impl Strategy<Value = Seccomp> {
    const ACTIONS: &[&str] = &["ALLOW", "ERRNO", "KILL_PROCESS", "LOG", "NOTIFY", "TRAP"];
    let condition = (0..2u8, select(vec!["EQ", "NE", "LE", "MASKED_EQ"]), 0..3u64).prop_map(|(index, op, value)| {
        format!("{{\"index\":{index},\"op\":\"SCMP_CMP_{op}\",\"value\":{value},\"valueTwo\":{value}}}")
    });
    let rule = (subsequence(CALLS, 1..3), select(ACTIONS), any::<bool>(), vec(condition, 0..3));
    let rule = rule.prop_map(|(names, action, enosys, conditions)| {
        let errno = if action == "ERRNO" && enosys { ",\"errnoRet\":38" } else { "" };
        let conditions = conditions.join(",");
        format!("{{\"names\":{names:?},\"action\":\"SCMP_ACT_{action}\"{errno},\"args\":[{conditions}]}}")
    });
    let architectures = subsequence(&["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"], 0..3);
    (select(ACTIONS), architectures, vec(rule, 0..5)).prop_map(|(default, architectures, rules)| {
        let rules = rules.join(",");
        let head = format!("\"defaultAction\":\"SCMP_ACT_{default}\",\"architectures\":{architectures:?}");
        Seccomp::parse(&format!("{{{head},\"syscalls\":[{rules}]}}")).unwrap()
    })
}

/// Rules as people write them.
const RULES: &[&str] = &[
    "/etc/** r,",
    "/etc/a r,",
    "deny /etc/a r,",
    "owner /etc/b rw,",
    "/etc/b w,",
    "/etc/{a,b} rk,",
    "deny owner /etc/{b,c/*} w,",
    "/tmp/* rw,",
    "/tmp/?[0-9] m,",
    "/usr/bin/a ix,",
    "/usr/bin/b ux,",
    "capability,",
    "capability chown,",
    "deny capability chown,",
    "network,",
    "network inet stream,",
    "unix (send) type=stream,",
    "signal,",
    "signal send set=(term) peer=b,",
    "ptrace read,",
    "mount,",
    "mount /a -> /b,",
    "profile b { /etc/a rw, }",
];

/// A profile of AppArmor of any shape.
fn written() -> impl Strategy<Value = Document> {
    (subsequence(RULES, 0..8), any::<bool>()).prop_map(|(rules, complain)| {
        let flags = if complain { "flags=(complain) " } else { "" };
        let text = format!("profile x /usr/bin/x {flags}{{\n{}\n}}\n", rules.join("\n"));
        text::parse("written", &text, &text::shipped()).unwrap_or_else(|error| panic!("{error}\n{text}"))
    })
}

const CALLS: &[&str] = &["read", "socket", "bpf", "clone3", "socketcall"];

/// The changes between two sides and back, in terms of the first comparison.
fn both_ways<'r>(
    (old, new): (&Side<'r>, &Side<'r>),
    (first, second): (&Side<'r>, &Side<'r>),
) -> [Vec<impl Ord + Debug>; 2] {
    let mut forth: Vec<_> = compare(old, new).iter().map(|change| core(change, false)).collect();
    let mut back: Vec<_> = compare(first, second).iter().map(|change| core(change, true)).collect();
    forth.sort();
    back.sort();
    [forth, back]
}

proptest! {
    #[test]
    fn profiles_of_any_shape_keep_the_laws(a in profile(), b in profile()) {
        let (one, same) = Side::of_seccomp(&a, &a);
        prop_assert_eq!(compare(&one, &same), vec![]);
        let ((old, new), (first, second)) = (Side::of_seccomp(&a, &b), Side::of_seccomp(&b, &a));
        let [forth, back] = both_ways((&old, &new), (&first, &second));
        prop_assert_eq!(forth, back);
        // What only the new one lets through is told.
        let changes = compare(&old, &new);
        let more = |change: &Change<'_>| !matches!(change.direction, Direction::Removed | Direction::Narrowed);
        let told = |name: &str| changes.iter().any(|change| {
            more(change) && (change.item.name == name && change.item.kind == Kind::Syscall)
        });
        let opened = changes.iter().any(|change| {
            more(change) && change.item.kind == Kind::Policy && change.item.name.starts_with("architecture")
        });
        let default = changes.iter().any(|change| more(change) && change.item.name == "default action");
        for abi in [Abi::X86_64, Abi::I386, Abi::X32] {
            for name in CALLS.iter().filter(|name| abi.number(name).is_some()) {
                // A call through socketcall is told by its own name, and a rule for socketcall by that name alone.
                let call = Syscall::Named((*name).into());
                let through = *name == "socketcall" && told("socket");
                let apart = *name == "socketcall" && [&a, &b].iter().any(|one| one.syscalls.iter().any(|rule| rule.names.contains(&call)));
                for value in (0..4).filter(|_| !apart) {
                    let fact = Fact::Arguments(abi, call.clone(), Arguments((0..2).map(|index| (index, value)).collect()));
                    let verdicts = (a.permits(&fact), b.permits(&fact));
                    if verdicts == (Verdict::Denied, Verdict::Allowed) {
                        prop_assert!(told(name) || through || opened || default, "{abi} {name} {value}: {changes:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn written_profiles_keep_the_laws(a in written(), b in written()) {
        let (one, same) = Side::of_apparmor(&a, &a);
        prop_assert_eq!(compare(&one, &same), vec![]);
        let ((old, new), (first, second)) = (Side::of_apparmor(&a, &b), Side::of_apparmor(&b, &a));
        let [forth, back] = both_ways((&old, &new), (&first, &second));
        prop_assert_eq!(forth, back);
        // What only the new one allows is told.
        let changes = compare(&old, &new);
        let told = changes.iter().any(|change| {
            change.item.kind == Kind::File && matches!(change.direction, Direction::Added | Direction::Widened)
        });
        for path in ["/etc/a", "/etc/b", "/etc/c/d", "/tmp/x", "/tmp/a1", "/srv/x"] {
            for (access, owner) in [Access::READ, Access::WRITE, Access::LOCK].map(|access| [(access, true), (access, false)]).concat() {
                let path = AbsPath::new(path.as_bytes()).unwrap();
                let fact = Fact::File(FileFact { path, access, owner, directory: false });
                if (a.permits(&fact), b.permits(&fact)) == (Verdict::Denied, Verdict::Allowed) {
                    prop_assert!(told, "{fact:?}: {changes:?}");
                }
            }
        }
    }

    #[test]
    fn nothing_differs_from_itself(a in moving()) {
        for (one, same) in sides(&a, &a) {
            prop_assert_eq!(compare(&one, &same), vec![]);
        }
    }

    #[test]
    fn swapped_sides_mirror(a in moving(), b in moving()) {
        for ((old, new), (first, second)) in sides(&a, &b).iter().zip(&sides(&b, &a)) {
            let [forth, back] = both_ways((old, new), (first, second));
            prop_assert_eq!(forth, back);
        }
    }

    #[test]
    fn what_was_added_and_what_was_there_covers_the_new_side(a in moving(), b in moving()) {
        for (old, new) in &sides(&a, &b) {
            let mut all = old.clone();
            for change in compare(old, new) {
                // A move is told by its new name; parts that are empty are not told, and come with the item.
                if !matches!(change.direction, Direction::Removed | Direction::Narrowed) {
                    let parts = all.items.entry(change.item).or_default();
                    parts.extend(change.parts.into_iter().map(|part| (part, change.because.clone())));
                }
            }
            for (item, parts) in &new.items {
                let known = all.items.get(item);
                prop_assert!(known.is_some(), "{item:?} is lost");
                let known = known.unwrap();
                prop_assert!(parts.keys().all(|part| part.is_empty() || known.contains_key(part)), "{item:?} {parts:?}");
            }
        }
    }

    #[test]
    fn merged_records_cover_both(a in record(), b in record()) {
        let mut both = a.clone();
        both.join(b.clone());
        let both = infer(&both, &Options::default());
        let whole = Side::of_needs(&both);
        for one in [&a, &b] {
            let needs = infer(one, &Options::default());
            let gone = compare(&Side::of_needs(&needs), &whole);
            let gone = gone.iter().filter(|change| matches!(change.direction, Direction::Removed | Direction::Narrowed));
            // Which of two capabilities grants a call may depend on the other calls, and what one record saw as a file
            // another may have seen as a directory; all else only grows.
            let elsewhere = |change: &&Change<'_>| {
                let item = Item { kind: change.item.kind, name: format!("{}/", change.item.name) };
                change.item.kind != Kind::Capability && !whole.items.contains_key(&item)
            };
            let gone: Vec<_> = gone.filter(elsewhere).collect();
            prop_assert!(gone.is_empty(), "{gone:?}");
        }
    }
}

const HOSTILE: &[&str] = &[
    "/srv/<script>alert(1)</script>",
    "/srv/`</code><img src=x onerror=y>`",
    "/srv/``` \n\n<b>x</b>",
    "/srv/\u{1b}[2J\u{202e}x",
    "/srv/</details>[a](javascript:b)|*c*_d_&lt;",
];

/// The sample's record with files that were read besides.
fn with_files(names: impl IntoIterator<Item = String>) -> Record {
    let mut record = file::read(&fs::read(samples()[0].join("learned.json")).unwrap()[..]).unwrap();
    let program = record.program.clone().unwrap();
    for name in names {
        let path = AbsPath::new(name.as_bytes()).unwrap();
        let fact = FileFact { path, access: Access::WRITE, owner: true, directory: false };
        record.absorb(&program, Fact::File(fact), Outcome::Returned(3), Moment { run: RunId(7), at_ms: 5, by: None });
    }
    record
}

fn diff_with(record: &Record, arguments: &[&str]) -> Ended {
    let folder = tempfile::tempdir().unwrap();
    let new = folder.path().join("learned.json");
    file::write(record, fs::File::create(&new).unwrap()).unwrap();
    let old = samples()[0].join("learned.json");
    let ends = [Path::new("diff"), &old, folder.path()].map(|path| path.to_str().unwrap().to_owned());
    learn(ends.into_iter().chain(arguments.iter().map(|word| (*word).to_owned())))
}

#[test]
fn markdown_shows_no_html_but_its_own() {
    let record = with_files(HOSTILE.iter().map(|name| (*name).to_owned()));
    let ended = diff_with(&record, &["--format", "markdown"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (1, ""));
    let mut code = String::new();
    for event in Parser::new(&ended.stdout) {
        match event {
            Event::Html(html) | Event::InlineHtml(html) => {
                let html = html.trim();
                let own = html == "</details>" || html.starts_with("<details") && html.ends_with("</summary>");
                assert!(own && html.matches('<').count() <= 3, "{html}");
            }
            Event::Code(text) => code.push_str(&text),
            Event::Text(text) => assert!(!text.contains("/srv/"), "{text}"),
            Event::Start(tag) => assert!(!matches!(tag, pulldown_cmark::Tag::Link { .. }), "{tag:?}"),
            _ => {}
        }
    }
    assert!(code.contains("<script>alert(1)</script>"), "the name is shown as it is");
}

#[test]
fn hostile_names_leave_sarif_valid() {
    let record = with_files(HOSTILE.iter().map(|name| (*name).to_owned()));
    let ended = diff_with(&record, &["--format", "sarif"]);
    let log: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(sarif_errors(&log), [""; 0]);
    assert_eq!(log["runs"][0]["results"].as_array().unwrap().len(), {
        let report: serde_json::Value =
            serde_json::from_str(&diff_with(&record, &["--format", "json"]).stdout).unwrap();
        usize::try_from(report["total"].as_u64().unwrap()).unwrap()
    });
    assert!(!ended.stdout.contains('\u{1b}'), "control characters are escaped");
}

#[test]
fn a_comment_is_bounded_whatever_names_and_notes_there_are() {
    // Names as long as the kernel takes them, each of which differs at its end, and notes without number.
    let long = format!("/{}", "`<b>".repeat(50)).repeat(19);
    let record = with_files((0..500).map(|number| format!("/srv{long}/{number}x")));
    let list = tempfile::NamedTempFile::new().unwrap();
    let line = |number| {
        let item = "n".repeat(2000);
        format!("[[accept]]\nkind = \"file\"\nitem = \"/{number}{item}\"\nreason = \"x\"\nexpires = 2999-01-01\n")
    };
    fs::write(list.path(), (0..200).map(line).collect::<Vec<_>>().concat()).unwrap();
    let ended = diff_with(&record, &["--format", "markdown", "--accept", list.path().to_str().unwrap()]);
    assert_eq!((ended.code, ended.stderr.as_str()), (1, ""));
    assert!(ended.stdout.len() <= 65_536, "{}", ended.stdout.len());
    assert!(ended.stdout.contains("500 medium") && ended.stdout.contains("and 180 more notes"), "{}", ended.stdout);
    assert_eq!(ended.stdout.matches("<details").count(), ended.stdout.matches("</details>").count());
}

#[test]
fn text_moves_no_cursor() {
    let record = with_files(HOSTILE.iter().map(|name| (*name).to_owned()));
    let ended = diff_with(&record, &[]);
    assert!(!ended.stdout.contains(['\u{1b}', '\u{202e}']), "{}", ended.stdout);
    assert_eq!(ended.stdout.matches("added file").count(), HOSTILE.len());
    assert!(ended.stdout.lines().all(|line| !line.starts_with("<b>")), "a name stays in its line");
}

#[test]
fn a_hundred_thousand_differences_are_counted_and_not_all_written() {
    let record = with_files((0..100_000).map(|number| format!("/etc/x{number}y")));
    for (format, fail_on, code) in
        [("text", "syscall", 0), ("json", "critical", 1), ("markdown", "file", 1), ("sarif", "noise", 1)]
    {
        let ended = diff_with(&record, &["--format", format, "--fail-on", fail_on]);
        assert_eq!((ended.code, ended.stderr.as_str()), (code, ""), "{format}");
        assert!(ended.stdout.contains("100000"), "{format}");
        let most = if format == "markdown" { 65_536 } else { 16 << 20 };
        assert!(ended.stdout.len() < most, "{format}: {}", ended.stdout.len());
    }
}

#[test]
fn exit_codes_follow_levels_kinds_and_what_is_accepted() {
    let record = with_files(["/srv/data".to_owned(), "/tmp/qX1y2z3".to_owned()]);
    let code = |arguments: &[&str]| diff_with(&record, arguments).code;
    assert_eq!((code(&[]), code(&["--fail-on", "medium"]), code(&["--fail-on", "high"])), (1, 1, 0));
    assert_eq!((code(&["--fail-on", "high,file"]), code(&["--fail-on", "capability"])), (1, 0));
    assert_eq!(diff_with(&Record::default(), &["--fail-on", "critical"]).code, 0, "needs less");
    let wrong = diff_with(&record, &["--fail-on", "awful"]);
    assert_eq!(wrong.code, 2);
    assert!(wrong.stderr.contains("no such level or kind"), "{}", wrong.stderr);

    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("accepted.toml");
    let line = |item: &str, day: &str| {
        format!("[[accept]]\nkind = \"file\"\nitem = \"{item}\"\nreason = \"known\"\nexpires = {day}\n")
    };
    let accept = ["--accept", list.to_str().unwrap(), "--fail-on", "medium"];
    fs::write(&list, line("/srv/*", "2999-01-01") + &line("/none", "2999-01-01")).unwrap();
    let ended = diff_with(&record, &accept);
    assert_eq!(ended.code, 0, "{}", ended.stdout);
    assert!(ended.stdout.contains("/srv/data (write): known") && ended.stdout.contains("`/none` stands for no"));
    fs::write(&list, line("/srv/*", "2001-01-01")).unwrap();
    let ended = diff_with(&record, &accept);
    assert_eq!(ended.code, 1);
    assert!(ended.stdout.contains("expired on 2001-01-01"), "{}", ended.stdout);
}

#[test]
fn policies_compare_with_policies_and_records() {
    let sample = samples()[0].clone();
    let (record, expected) = (sample.join("learned.json"), sample.join("expected"));
    let diff = |old: &Path, new: &Path| learn(["diff".as_ref(), old.as_os_str(), new.as_os_str()]);
    let (_fresh, folder) = fresh();
    for policy in ["seccomp.json", "nginx.apparmor", "capabilities.txt", "capabilities.json"] {
        fs::copy(expected.join(policy), folder.join(policy)).unwrap();
        let policy = expected.join(policy);
        for (old, new) in [(&record, &policy), (&policy, &record), (&policy, &policy), (&folder, &policy)] {
            let ended = diff(old, new);
            assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{}", ended.stdout);
        }
    }
    for other in [&sample, &expected, &folder] {
        let ended = diff(&folder, other);
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{} {}", other.display(), ended.stdout);
    }
    let mixed = diff(&expected.join("seccomp.json"), &expected.join("capabilities.txt"));
    assert_eq!(mixed.code, 2);
    assert!(mixed.stderr.contains("compare the same kind"), "{}", mixed.stderr);

    let wider = folder.join("wider.json");
    let text = fs::read_to_string(expected.join("seccomp.json")).unwrap();
    fs::write(&wider, text.replace("\"accept4\"", "\"accept4\", \"bpf\"")).unwrap();
    let ended = diff(&record, &wider);
    assert_eq!(ended.code, 1);
    assert!(ended.stdout.contains("+ added syscall bpf: loads programs"), "{}", ended.stdout);
    fs::write(&wider, "CHOWN,SYS_ADMIN\n").unwrap();
    let ended = diff(&folder.join("capabilities.json"), &wider);
    assert!(ended.stdout.contains("+ added capability CAP_SYS_ADMIN: covers most"), "{}", ended.stdout);

    // A policy of one folder that the other one lacks is no mere narrowing.
    let (_fresh, fewer) = fresh();
    fs::copy(expected.join("seccomp.json"), fewer.join("seccomp.json")).unwrap();
    assert_eq!(diff(&folder, &fewer).code, 2);
    fs::remove_file(fewer.join("seccomp.json")).unwrap();
    let nothing = diff(&folder, &fewer);
    assert!(nothing.stderr.contains("neither a record (learned.json) nor profiles"), "{}", nothing.stderr);
}

#[test]
fn a_record_is_compared_with_a_written_profile_of_apparmor() {
    let folder = tempfile::tempdir().unwrap();
    let written = folder.path().join("nginx");
    let rules = "include <tunables/global>\nprofile site /usr/{bin,sbin}/nginx {\n  capability,\n  network,\n  signal,\n\
                 /** r,\n  /{usr,lib}** m,\n  /usr/** ix,\n  /dev/null rw,\n  /var/** rwk,\n  @{run}/** rw,\n}\n";
    fs::write(&written, rules).unwrap();
    let diff = |text: &str| {
        fs::write(&written, text).unwrap();
        learn(["diff".as_ref(), written.as_os_str(), samples()[0].as_os_str(), "--fail-on".as_ref(), "medium".as_ref()])
    };
    let covered = diff(rules);
    assert_eq!((covered.code, covered.stderr.as_str()), (0, ""), "{}", covered.stdout);
    let less =
        diff(&rules.replace("  capability,\n", "  capability chown,\n").replace("/var/** rwk", "/var/log/** rwk"));
    assert_eq!(less.code, 1);
    for told in
        ["+ added capability CAP_DAC_OVERRIDE", "+ added file /var/lib/nginx/body/ (write)", "by /usr/sbin/nginx"]
    {
        assert!(less.stdout.contains(told), "{told}: {}", less.stdout);
    }
    let wrong = diff(&rules.replace("/dev/null rw", "/dev/null zz"));
    assert_eq!((wrong.code, wrong.stdout.as_str()), (2, ""));
    assert!(wrong.stderr.contains("line:9:"), "{}", wrong.stderr);
}

#[test]
fn a_hundred_thousand_rules_of_apparmor_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, rules: u32| {
        let file = folder.path().join(name);
        let rules: String = (0..rules).map(|at| format!("/srv/x{at}y rw,\n")).collect::<Vec<_>>().concat();
        fs::write(&file, format!("profile x /usr/bin/x {{\n/opt/*/x r,\n{rules}}}\n")).unwrap();
        file
    };
    let (old, new) = (write("old", 0), write("new", 100_000));
    let ended = learn(["diff".as_ref(), old.as_os_str(), new.as_os_str()]);
    assert_eq!((ended.code, ended.stderr.as_str()), (1, ""));
    assert!(ended.stdout.contains("100000 medium") && ended.stdout.lines().count() < 100, "{}", ended.stdout);
}

#[test]
fn a_record_is_compared_with_dockers_profile() {
    let docker = project().join("tests/data/moby-default.json");
    let ended = learn(["diff".as_ref(), docker.as_os_str(), samples()[0].as_os_str()]);
    assert_eq!((ended.code, ended.stderr.as_str()), (1, ""));
    assert!(!ended.stdout.contains("added"), "Docker lets nginx run: {}", ended.stdout);
    let folder = tempfile::tempdir().unwrap();
    let new = folder.path().join("new.json");
    let text = fs::read_to_string(samples()[0].join("learned.json")).unwrap();
    fs::write(&new, text.replace("\"accept4\"", "\"kexec_load\"")).unwrap();
    let ended = learn(["diff".as_ref(), docker.as_os_str(), new.as_os_str(), "--format".as_ref(), "json".as_ref()]);
    let report: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    let first = &report["changes"][0];
    assert_eq!((&first["item"], &first["level"]), (&"kexec_load".into(), &"critical".into()), "{first}");
    assert_eq!(first["evidence"][0]["executable"], "/usr/sbin/nginx", "who showed it: {first}");
}

/// `learn diff` with standard output at a terminal.
fn at_terminal(set: &[(&str, &str)]) -> String {
    let release = project().join("samples/releases/nginx");
    let mut command = Command::new(env!("CARGO_BIN_EXE_learn"));
    command.arg("diff").args([release.join("old.json"), release.join("new.json")]);
    command.env_remove("NO_COLOR").env("TERM", "xterm").envs(set.iter().copied());
    rexpect::session::spawn_command(command, Some(60_000)).unwrap().exp_eof().unwrap()
}

#[test]
fn colours_are_for_terminals_that_want_them() {
    assert!(at_terminal(&[]).contains("\u{1b}[31mhigh\u{1b}[0m"));
    for plain in [("NO_COLOR", "1"), ("TERM", "dumb"), ("TERM", "")] {
        let text = at_terminal(&[plain]);
        assert!(text.contains("high") && !text.contains('\u{1b}'), "{plain:?}: {text}");
    }
    assert!(at_terminal(&[("NO_COLOR", "")]).contains('\u{1b}'), "an empty NO_COLOR asks for nothing (no-color.org)");
}

#[test]
fn what_cannot_be_compared_is_named() {
    let sample = samples()[0].join("learned.json");
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other");
    let text = fs::read_to_string(&sample).unwrap();
    for (content, told) in [
        (text[..text.len() / 2].to_owned(), "not a readable record"),
        (text.replacen("\"schema\": 3", "\"schema\": 99", 1), "layout 99"),
        ("{\"defaultAction\": \"SCMP_ACT_ALLOW\"".to_owned(), "not a readable profile"),
        ("hello\n".to_owned(), "neither a record"),
        ("\u{0}\u{1}\n".to_owned(), "neither a record"),
        (String::new(), "it is empty"),
        ("{\"anything\": 1}".to_owned(), "not a readable record"),
        ("[\"CAP_FLY\"]".to_owned(), "`CAP_FLY` is none"),
        ("kind: Deployment\n".to_owned(), "neither a record"),
        (text.replace("\"/usr/sbin/nginx\"", "\"/usr/sbin/httpd\""), "--any-program"),
    ] {
        fs::write(&other, content).unwrap();
        let ended = learn(["diff".as_ref(), sample.as_os_str(), other.as_os_str()]);
        assert_eq!((ended.code, ended.stdout.as_str()), (2, ""), "{told}");
        assert!(ended.stderr.contains(told), "{}", ended.stderr);
    }
    fs::write(&other, text.replace("/usr/sbin/nginx", "/opt/nginx-1.4/nginx")).unwrap();
    let newer = folder.path().join("newer");
    fs::write(&newer, text.replace("/usr/sbin/nginx", "/opt/nginx-1.5/nginx")).unwrap();
    let ended = learn(["diff".as_ref(), other.as_os_str(), newer.as_os_str(), "--fail-on".as_ref(), "high".as_ref()]);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{}", ended.stdout);
}
