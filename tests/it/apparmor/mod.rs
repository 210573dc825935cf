//! AppArmor profiles as the parser and the kernel read them.

mod dfa;

use std::collections::BTreeMap;
use std::sync::Arc;

use learn::fact::Fact;
use learn::infer::{self, infer, outcome};
use learn::path::AbsPath;
use learn::policy::apparmor::abstractions;
use learn::policy::apparmor::text::{self, Document, Files};
use learn::policy::apparmor::{Abstractions, AppArmor, Container, Exec, Options, Permissions, PolicyAbi};
use learn::policy::{self, Policy, Verdict};
use learn::record::{Record, file};
use learn::render::{Format, ProfileName, Templates};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;

use crate::parsers::{compile, compile_for, random};
use crate::strategies;
use crate::support::fresh;
use crate::tool::{learn, require, samples, say};
use dfa::Dfa;

const SHARES: infer::Options = infer::Options { globs: infer::Globs::Safe, comments: true, shares: true };

/// Everything that can be asked of a profile that the parser of abi 3.0 takes.
fn options() -> impl Strategy<Value = Options> {
    let exec = select(vec![Exec::Inherit, Exec::Child, Exec::Separate]);
    let container = proptest::option::of(any::<bool>().prop_map(|denies| Container { denies }));
    (exec, 0..3u8, container).prop_map(|(exec, abstractions, container)| {
        let names = ["base", "nameservice"].map(str::to_owned).to_vec();
        let names = if abstractions == 0 { Vec::new() } else { names };
        let abstractions = Abstractions { names, frugal: abstractions == 1, files: text::shipped().into() };
        Options { exec, container, abstractions, abi: PolicyAbi::V3 }
    })
}

/// The same for either ABI.
fn any_options() -> impl Strategy<Value = Options> {
    (options(), select(vec![PolicyAbi::V3, PolicyAbi::V4])).prop_map(|(options, abi)| Options { abi, ..options })
}

/// The profile for `record`.
pub fn rendered(record: &Record, options: &Options) -> String {
    let mut text = Vec::new();
    let format = Format::named("apparmor").unwrap();
    let name = ProfileName::of(record.program.as_ref().map(AbsPath::file_name));
    let templates = Templates::new(BTreeMap::new()).unwrap();
    let options = policy::Options { apparmor: options.clone(), ..policy::Options::exact() };
    format.render(&infer(record, &SHARES), &options, &name, &templates, &mut text).unwrap();
    String::from_utf8(text).unwrap()
}

fn read(text: &str) -> Document {
    text::parse("profile", text, &text::shipped()).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// The files that the parser of this machine includes.
fn installed() -> Files {
    let mut files = Files::new();
    for folder in ["tunables", "tunables/home.d", "tunables/multiarch.d", "tunables/xdg-user-dirs.d", "abstractions"] {
        for entry in std::fs::read_dir(format!("/etc/apparmor.d/{folder}")).into_iter().flatten() {
            let path = entry.unwrap().path();
            if let Ok(text) = std::fs::read_to_string(&path) {
                files.insert(path.strip_prefix("/etc/apparmor.d").unwrap().to_str().unwrap().to_owned(), text);
            }
        }
    }
    files
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_is_read_back_says_the_same(record in strategies::record(), fact in strategies::fact(), options in any_options()) {
        let needs = infer(&record, &SHARES);
        let written = AppArmor::new(&needs, &options);
        let text = rendered(&record, &options);
        let parsed = read(&text);
        prop_assert_eq!(&parsed.unread, &[]);
        prop_assert_eq!(parsed.all().count(), 1 + written.programs.len());
        // A record of chance may execute the root directory.
        let real = |fact: &Fact| match fact {
            Fact::Execution(fact) => fact.file != AbsPath::root(),
            Fact::File(fact) => fact.path != AbsPath::root(),
            _ => true,
        };
        // One end of a deed may be allowed by a rule of the profile and the other by one of an abstraction.
        let halves = |fact: &Fact| matches!(fact, Fact::Signal(_) | Fact::Trace(_)) && text.contains("include <abstractions");
        for (_, fact, outcomes) in record.facts().filter(|(_, fact, _)| real(fact)) {
            let verdict = written.permits(&fact);
            prop_assert!(parsed.permits(&fact) == verdict || halves(&fact), "{:?}: {:?}\n{}", fact, verdict, text);
            let needed = outcome::is_needed(&fact, &outcomes) && written.gaps().is_empty();
            prop_assert!(!needed || verdict != Verdict::Denied, "{:?}: {:?}\n{}", options.exec, fact, text);
        }
        let (ours, read) = (written.permits(&fact), parsed.permits(&fact));
        prop_assert!(!real(&fact) || halves(&fact) || ours == read || read == Verdict::Unknown, "{:?}: {:?} {:?}\n{}", fact, ours, read, text);
    }

    #[test]
    fn no_text_is_too_odd(text in "[a-z/@{}()\"\\\\,#<>=+ \n*?^\\[\\]-]{0,80}", inside in any::<bool>()) {
        let text = if inside { format!("profile x {{\n{text}") } else { text };
        // Refused or read, never a panic; an error tells where.
        if let Err(error) = text::parse("odd", &text, &text::shipped()) {
            prop_assert!(error.place.line >= 1 && error.to_string().starts_with("odd:"), "{}", error);
        }
    }
}

#[test]
fn the_parser_takes_whatever_is_asked_for() {
    let Some(parser) = require("apparmor_parser") else { return };
    let mut runner = TestRunner::deterministic();
    for _ in 0..64 {
        let record = random(&mut runner, &strategies::record());
        let text = rendered(&record, &random(&mut runner, &options()));
        compile(&parser, &text).unwrap_or_else(|said| panic!("{said}\n{text}"));
    }
}

#[test]
fn a_parser_of_abi_4_takes_its_rules() {
    const FEATURES: &str = "/etc/apparmor.d/abi/4.0";
    let Some(parser) = require("apparmor_parser") else { return };
    if !std::path::Path::new(FEATURES).exists() {
        say(&format!("not tested: {FEATURES} is absent, the parser is an older one"));
        return;
    }
    let mut runner = TestRunner::deterministic();
    for _ in 0..64 {
        let record = random(&mut runner, &strategies::record());
        let options = Options { abi: PolicyAbi::V4, ..random(&mut runner, &options()) };
        let text = rendered(&record, &options);
        compile_for(&parser, FEATURES, &text).unwrap_or_else(|said| panic!("{said}\n{text}"));
    }
}

fn pattern() -> impl Strategy<Value = String> {
    let piece = select(vec![
        "/", "/", "/", "a", "b", "ab", ".", "*", "*", "**", "?", "[ab]", "[^a]", "[a-c]", "{a,b}", "{,a}", "{a/,}",
        "{*,b}", "\\*", "\\?", "\\{", "\\101", "\\x42", "@{pid}", "-", "+", ",b",
    ]);
    let end = select(vec!["", "", "", "/", "/*", "/**", "*", "**", "{,/}", "{,/**}"]);
    let start = select(vec![
        "/",
        "/",
        "/",
        "/",
        "@{PROC}/",
        "@{HOME}/",
        "@{run}/",
        "/@{PROC}/",
        "/@{HOME}",
        "/@{run}/",
        "@{HOME}",
    ]);
    let pieces = proptest::collection::vec(piece, 0..6);
    (start, pieces, end).prop_map(|(start, pieces, end)| format!("{start}{}{end}", pieces.concat()))
}

fn rule() -> impl Strategy<Value = String> {
    let qualifier = select(vec!["", "", "", "owner ", "deny ", "audit deny owner "]);
    let letters = select(vec!["r", "w", "rw", "a", "k", "l", "m", "mr", "ix", "rix", "rwk", "wl"]);
    (qualifier, pattern(), letters).prop_map(|(qualifier, pattern, letters)| {
        // The parser has no way to deny a kind of execution.
        let letters = if qualifier.contains("deny") { letters.replace("ix", "x") } else { letters.to_owned() };
        format!("  {qualifier}\"{pattern}\" {letters},\n")
    })
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    let piece = select(vec![
        "/", "/", "/", "a", "b", "c", "ab", ".", "*", "?", "{", "A", "B", "proc/", "proc/12/", "home/a/", "run/", "-",
        "+", ",b", "\u{e9}", "var/run/",
    ]);
    proptest::collection::vec(piece, 0..7).prop_map(|pieces| {
        let mut name = format!("/{}", pieces.concat()).into_bytes();
        // The kernel has no empty names.
        name.dedup_by(|next, before| *next == b'/' && *before == b'/');
        name
    })
}

#[test]
fn permissions_are_those_of_the_compiled_profile() {
    let Some(parser) = require("apparmor_parser") else { return };
    let files = installed();
    let mut runner = TestRunner::deterministic();
    let names: Vec<_> = (0..600).map(|_| random(&mut runner, &name())).collect();
    let (mut granted, mut compared) = (0, 0);
    for _ in 0..48 {
        let rules: String = random(&mut runner, &proptest::collection::vec(rule(), 1..16)).concat();
        let text = format!("abi <abi/3.0>,\ninclude <tunables/global>\nprofile x {{\n{rules}}}\n");
        let profile = text::parse("x", &text, &files).unwrap_or_else(|error| panic!("{error}\n{text}"));
        assert_eq!(profile.unread, [], "{text}");
        let compiled = compile(&parser, &text).unwrap_or_else(|said| panic!("{said}\n{text}"));
        let dfa = Dfa::of_files(&compiled);
        for name in &names {
            for owner in [true, false] {
                let (ours, kernels) = (profile.profiles[0].granted(name, owner), dfa.granted(name, owner));
                compared += 1;
                granted += usize::from(kernels != Permissions::empty());
                assert_eq!(ours, kernels, "{} as owner {owner} of\n{text}", name.escape_ascii());
            }
        }
    }
    assert!(granted > compared / 20 && granted < compared, "both verdicts are compared: {granted} of {compared}");
}

#[test]
fn installed_abstractions_are_understood() {
    if require("apparmor_parser").is_none() {
        return;
    }
    let files = installed();
    let mut read = 0;
    for name in files.keys().filter(|name| name.starts_with("abstractions/")) {
        let text = format!("include <tunables/global>\nprofile x {{\n  include <{name}>\n}}\n");
        let document = text::parse("x", &text, &files).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(document.unread, [], "{name}");
        read += 1;
    }
    assert!(read > 50, "abstractions are installed");
}

#[test]
fn installed_abstractions_can_be_chosen_from() {
    let Some(parser) = require("apparmor_parser") else { return };
    let record = file::read(std::fs::File::open(samples()[0].join("learned.json")).unwrap()).unwrap();
    let files = Arc::new(installed());
    let names: Vec<_> = abstractions::names(&files).map(str::to_owned).collect();
    let chosen = |names, frugal| {
        let abstractions = Abstractions { names, frugal, files: Arc::clone(&files) };
        let options = Options { abstractions, ..Options::default() };
        let text = rendered(&record, &options);
        compile(&parser, &text).unwrap_or_else(|said| panic!("{said}\n{text}"));
        let parsed = text::parse("sample", &text, &files).unwrap();
        let policy = AppArmor::new(&infer(&record, &SHARES), &options);
        for (_, fact, outcomes) in record.facts().filter(|(_, fact, outcomes)| outcome::is_needed(fact, outcomes)) {
            assert_ne!(policy.permits(&fact), Verdict::Denied, "{fact:?}");
            assert_eq!(parsed.permits(&fact), policy.permits(&fact), "{fact:?}, {outcomes:?}\n{text}");
        }
        (text, policy.includes)
    };
    let (text, includes) = chosen(names, true);
    let base = includes.iter().find(|included| included.name == "base").unwrap_or_else(|| panic!("{includes:?}"));
    assert!(base.covers >= 3 && !base.excess.is_empty() && base.excess.len() < base.rules, "{base:?}");
    assert!(text.contains("  include <abstractions/base>\n") && !text.contains("ld.so.cache"), "{text}");
    assert!(text.contains(&format!("{} of its {} rules were not needed", base.excess.len(), base.rules)), "{text}");
    let (text, includes) = chosen(vec!["dconf".to_owned()], false);
    assert!(includes.is_empty() && text.contains("No abstraction is included"), "it covers nothing: {text}");
}

#[test]
fn a_record_is_checked_against_a_profile_by_hand() {
    let (_guard, folder) = fresh();
    let profile = folder.join("web");
    let record = samples()[0].join("learned.json");
    let check = |text: &str| {
        std::fs::write(&profile, text).unwrap();
        learn(["check".as_ref(), "--against".as_ref(), profile.as_os_str(), "--record".as_ref(), record.as_os_str()])
    };
    let all = "capability,\n network,\n signal,\n ptrace,\n mount,\n umount,\n remount,\n pivot_root,\n";
    let wide = check(&format!("profile web {{\n file,\n {all}}}\n"));
    assert_eq!((wide.code, wide.stdout.as_str()), (0, ""), "{}", wide.stderr);
    let narrow =
        check(&format!("include <tunables/global>\nprofile web {{\n file,\n deny @{{run}}/nginx.pid w,\n {all}}}\n"));
    assert_eq!(narrow.code, 1, "{}", narrow.stderr);
    let lines: Vec<_> = narrow.stdout.lines().collect();
    assert!(
        matches!(&lines[..], [line] if line.starts_with("file /run/nginx.pid (") && line.contains("no rule allows it, by /")),
        "{lines:?}"
    );
    let broken = check("profile web {\n  /etc/nginx/** q,\n}\n");
    assert_eq!(
        (broken.code, broken.stderr.as_str()),
        (
            2,
            format!("learn: {}: not a readable profile: line:2: `q` are no permissions of a file\n", profile.display())
                .as_str()
        )
    );
}

#[test]
fn profiles_are_compared_by_their_rules() {
    let (_guard, folder) = fresh();
    let [old, new] = ["old.apparmor", "new.apparmor"].map(|name| folder.join(name));
    std::fs::write(&old, "profile web {\n  capability chown,\n  /etc/web r,\n}\n").unwrap();
    std::fs::write(&new, "profile web {\n  /etc/web rw,\n  capability chown,\n  capability sys_admin,\n}\n").unwrap();
    let diff =
        |one: &std::path::Path, other: &std::path::Path| learn(["diff".as_ref(), one.as_os_str(), other.as_os_str()]);
    let told = diff(&old, &new);
    assert!(
        told.stdout.contains("CAP_SYS_ADMIN") && told.stdout.contains("/etc/web"),
        "{}{}",
        told.stdout,
        told.stderr
    );
    assert!(!told.stdout.contains("CAP_CHOWN"), "{}", told.stdout);
    assert_eq!(diff(&old, &old).code, 0);
    // What a record gives is written and read back.
    let sample = &samples()[0];
    let same = diff(&sample.join("expected/nginx.apparmor"), &sample.join("learned.json"));
    assert!(!same.stdout.contains("added") && !same.stdout.contains("removed"), "{}{}", same.stdout, same.stderr);
}
