//! `learn diff`: laws, bounds, and that no name of a workload gets out of its place (issue 7).

use std::fs;
use std::path::Path;

use learn::diff::{Change, Direction, Item, Kind, Side, compare};
use learn::event::Outcome;
use learn::fact::{Access, Fact, FileFact};
use learn::infer::{Options, infer};
use learn::path::AbsPath;
use learn::policy::apparmor::AppArmor;
use learn::policy::caps::Caps;
use learn::policy::seccomp::Seccomp;
use learn::record::{Moment, Record, RunId, file};
use proptest::prelude::*;
use pulldown_cmark::{Event, Parser};

use crate::strategies::record;
use crate::tool::{Ended, learn, samples};

/// What is compared of a record: itself, and the policies that it gives.
fn sides(record: &Record) -> Vec<Side<'_>> {
    let needs = infer(record, &Options::default());
    vec![
        Side::of_needs(&needs),
        Side::of_seccomp(&Seccomp::new(&needs)),
        Side::of_apparmor(&AppArmor::new(&needs)),
        Side::of_caps(&Caps::new(&needs)),
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
    // The parts of a moved item are told of its new name.
    let names = if back { (from, name) } else { (name, from) };
    (format!("{:?} {}", change.item.kind, names.0), names.1, direction, parts)
}

proptest! {
    #[test]
    fn nothing_differs_from_itself(a in record()) {
        for side in sides(&a) {
            prop_assert_eq!(compare(&side, &side), vec![]);
        }
    }

    #[test]
    fn swapped_sides_mirror(a in record(), b in record()) {
        for (one, other) in sides(&a).iter().zip(&sides(&b)) {
            let mut forth: Vec<_> = compare(one, other).iter().map(|change| core(change, false)).collect();
            let mut back: Vec<_> = compare(other, one).iter().map(|change| core(change, true)).collect();
            forth.sort();
            back.sort();
            prop_assert_eq!(forth, back);
        }
    }

    #[test]
    fn what_was_added_and_what_was_there_covers_the_new_side(a in record(), b in record()) {
        for (old, new) in sides(&a).iter().zip(&sides(&b)) {
            let mut all = old.clone();
            for change in compare(old, new) {
                // A move is told by its new name; parts that are empty are not told, and come with the item.
                if matches!(change.direction, Direction::Added | Direction::Widened | Direction::Moved) {
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
fn text_moves_no_cursor() {
    let record = with_files(HOSTILE.iter().map(|name| (*name).to_owned()));
    let ended = diff_with(&record, &[]);
    assert!(!ended.stdout.contains(['\u{1b}', '\u{202e}']), "{}", ended.stdout);
    assert_eq!(ended.stdout.matches("added file").count(), HOSTILE.len());
}

#[test]
fn a_hundred_thousand_differences_are_counted_and_not_all_written() {
    let record = with_files((0..100_000).map(|number| format!("/etc/x{number}y")));
    for format in ["text", "json", "markdown", "sarif"] {
        let ended = diff_with(&record, &["--format", format]);
        assert_eq!((ended.code, ended.stderr.as_str()), (1, ""), "{format}");
        assert!(ended.stdout.contains("100000"), "{format}");
        let most = if format == "markdown" { 65_536 } else { 16 << 20 };
        assert!(ended.stdout.len() < most, "{format}: {}", ended.stdout.len());
    }
    assert_eq!(diff_with(&record, &["--fail-on", "syscall"]).code, 0);
    assert_eq!(diff_with(&record, &["--fail-on", "critical"]).code, 1, "writes below /etc");
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
    for policy in ["seccomp.json", "capabilities.txt"] {
        let policy = expected.join(policy);
        assert_eq!(diff(&record, &policy).code, 0);
        assert_eq!(diff(&policy, &record).code, 0);
        assert_eq!(diff(&policy, &policy).code, 0);
    }
    let mixed = diff(&expected.join("seccomp.json"), &expected.join("capabilities.txt"));
    assert_eq!(mixed.code, 2);
    assert!(mixed.stderr.contains("compare the same kind"), "{}", mixed.stderr);
    let folder = tempfile::tempdir().unwrap();
    let wider = folder.path().join("wider.json");
    let text = fs::read_to_string(expected.join("seccomp.json")).unwrap();
    fs::write(&wider, text.replace("\"accept4\"", "\"accept4\", \"bpf\"")).unwrap();
    let ended = diff(&record, &wider);
    assert_eq!(ended.code, 1);
    assert!(ended.stdout.contains("+ added syscall bpf (x86_64): loads programs"), "{}", ended.stdout);
}

#[test]
fn what_cannot_be_compared_is_named() {
    let sample = samples()[0].join("learned.json");
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other");
    let text = fs::read_to_string(&sample).unwrap();
    for (content, told) in [
        (text[..text.len() / 2].to_owned(), "not a readable record"),
        (text.replacen("\"schema\": 2", "\"schema\": 99", 1), "layout 99"),
        ("{\"defaultAction\": \"SCMP_ACT_ALLOW\"".to_owned(), "not a readable profile"),
        ("hello\n".to_owned(), "neither a record"),
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
