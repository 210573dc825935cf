//! Who may import whom: the graph of the crate documentation, read from the sources.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::tool::project;

/// Each layer with what it may import.
const LAYERS: &[(&str, &[&str])] = &[
    ("abi", &[]),
    ("path", &[]),
    ("fact", &["abi", "path"]),
    ("event", &["abi", "path"]),
    ("capture", &["event", "abi", "path"]),
    ("decode", &["event", "fact", "abi", "path", "record"]),
    ("record", &["event", "fact", "abi", "path"]),
    ("infer", &["record", "fact", "abi", "path"]),
    ("policy", &["infer", "fact", "abi", "path"]),
    ("render", &["policy", "infer", "fact", "abi", "path"]),
    ("diff", &["render", "policy", "infer", "record", "fact", "abi", "path"]),
    ("explain", &["diff", "render", "policy", "infer", "record", "fact", "abi", "path"]),
    ("check", &["policy", "infer", "record", "event", "fact", "abi", "path"]),
];

/// Layers that a source file names with `crate::`, outside of its tests.
fn imports(text: &str) -> BTreeSet<String> {
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    let code = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let name =
        |rest: &str| rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default().to_owned();
    let mut found = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        match rest.strip_prefix('{') {
            Some(group) => found.extend(group.split('}').next().unwrap().split(',').map(|one| name(one.trim()))),
            None => drop(found.insert(name(rest))),
        }
    }
    found.retain(|name| !name.is_empty());
    found
}

fn sources(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(project().join("src")).unwrap().to_str().unwrap().to_owned();
            found.push((name, fs::read_to_string(&path).unwrap()));
        }
    }
}

#[test]
fn only_the_layers_below_are_imported() {
    let allowed = LAYERS.iter().copied().collect::<BTreeMap<_, _>>();
    let mut files = Vec::new();
    sources(&project().join("src"), &mut files);
    assert!(files.len() > 20, "the sources were found");
    let mut wrong = Vec::new();
    for (name, text) in &files {
        let layer = name.split(['/', '.']).next().unwrap();
        if matches!(layer, "cli" | "lib" | "main") {
            continue;
        }
        let allowed =
            allowed.get(layer).unwrap_or_else(|| panic!("{name} is of no layer: give `{layer}` its place here"));
        let forbidden =
            imports(text).into_iter().filter(|import| import != layer && !allowed.contains(&import.as_str()));
        wrong.extend(forbidden.map(|import| format!("{name} imports {import}")));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_program_ends_files_and_streams_in_cli_alone() {
    let mut files = Vec::new();
    sources(&project().join("src"), &mut files);
    for (name, text) in files.iter().filter(|(name, _)| !name.starts_with("cli/") && name != "main.rs") {
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        for word in ["println!", "eprintln!", "process::exit", "env::var", "use clap"] {
            assert!(!code.contains(word), "{name} uses {word}");
        }
    }
}

#[test]
fn imports_are_found_in_every_form() {
    let text =
        "//! crate::doc\nuse crate::abi::Abi;\nuse crate::{fact, path::AbsPath};\nfn x(y: crate::record::Record) {}\n";
    let found = imports(&format!("{text}#[cfg(test)]\nmod tests {{ use crate::cli; }}"));
    assert_eq!(found.into_iter().collect::<Vec<_>>(), ["abi", "fact", "path", "record"]);
}
