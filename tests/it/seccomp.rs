//! What the options of the seccomp profile do, from the command line (issue 4).

use std::fs;
use std::path::{Path, PathBuf};

use learn::policy::seccomp::{Seccomp, Target};
use serde_json::Value;

use crate::support::fresh;
use crate::tool::{Ended, learn, project};

fn sample() -> PathBuf {
    project().join("samples/web-server/learned.json")
}

/// `learn render` of the sample's seccomp profile to standard output.
fn render(record: &Path, options: &[&str]) -> Ended {
    let start = ["render", record.to_str().unwrap(), "--format", "seccomp", "-o", "-"];
    learn(start.iter().chain(options).copied())
}

fn rendered(record: &Path, options: &[&str]) -> Value {
    let ended = render(record, options);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{options:?}");
    serde_json::from_str(&ended.stdout).unwrap()
}

/// Whether the profile allows a call with any arguments.
fn allows(profile: &Value, name: &str) -> bool {
    profile["syscalls"].as_array().unwrap().iter().any(|rule| {
        let named = rule["names"].as_array().unwrap().iter().any(|one| one == name);
        named && rule["action"] == "SCMP_ACT_ALLOW" && rule["args"].is_null()
    })
}

/// The sample with one of its calls replaced.
fn with_call(folder: &Path, call: &str) -> PathBuf {
    let file = folder.join("learned.json");
    let text = fs::read_to_string(sample()).unwrap();
    fs::write(&file, text.replace("\"epoll_wait\"", &format!("\"{call}\""))).unwrap();
    file
}

#[test]
fn every_target_is_written_as_its_golden() {
    let folder = project().join("samples/web-server/targets");
    for (target, name, _) in Target::NAMES.iter().filter(|(target, ..)| *target != Target::CrunRaw) {
        let ended = render(&sample(), &["--target", name]);
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{name}");
        let file = folder.join(format!("{name}.json"));
        if std::env::var_os("LEARN_UPDATE").is_some() {
            fs::create_dir_all(&folder).unwrap();
            fs::write(&file, &ended.stdout).unwrap();
        }
        assert!(ended.stdout == fs::read_to_string(&file).unwrap(), "{name}: LEARN_UPDATE=1 writes it anew");
        assert_eq!(ended.stdout.contains("\"comment\""), target.comments(), "{name}");
        assert!(ended.stdout.len() < 1 << 20);
        assert!(Seccomp::parse(&ended.stdout).unwrap().syscalls.len() <= 128, "{name}");
    }
    let raw = rendered(&sample(), &["--target", "crun-raw"]);
    assert_eq!(raw["defaultAction"], Value::Null);
    let program = raw["annotations"]["run.oci.seccomp_bpf_data"].as_str().unwrap();
    // Instructions of eight bytes, in base64.
    assert!(program.len() > 1000 && program.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte)));
}

#[test]
fn sets_are_added_when_asked_for_and_named() {
    let exact = rendered(&sample(), &["--runtime", "none", "--args", "off"]);
    assert_eq!(exact["x-learn"]["added"].as_array().unwrap().len(), 0);
    assert!(!allows(&exact, "capset") && !allows(&exact, "statx") && !allows(&exact, "clock_gettime"));
    let wide = rendered(&sample(), &["--portable", "libc,kernel", "--vdso"]);
    assert!(allows(&wide, "capset") && allows(&wide, "statx") && allows(&wide, "clock_gettime"));
    assert!(!allows(&wide, "open_by_handle_at"));
    let sets = wide["x-learn"]["added"].as_array().unwrap();
    assert!(sets.iter().any(|set| set["set"] == "vdso" && set["reason"].as_str().unwrap().contains("vDSO")));
    let arm = rendered(&sample(), &["--portable", "arch"]);
    assert_eq!(arm["architectures"], serde_json::json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"]));
    let said = render(&sample(), &["--runtime", "none,crun"]);
    assert_eq!((said.code, said.stderr.contains("--runtime none stands alone")), (2, true), "{}", said.stderr);
}

#[test]
fn nothing_beyond_the_limit_is_allowed() {
    let (_fresh, folder) = fresh();
    let moby = project().join("tests/data/moby-default.json");
    let record = with_call(&folder, "kexec_load");
    let within = ["--within", moby.to_str().unwrap()];
    let ended = render(&record, &within);
    assert_eq!(ended.code, 0);
    assert!(ended.stderr.contains("beyond --within: kexec_load, by /usr/sbin/nginx\n"), "{}", ended.stderr);
    let profile: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert!(!allows(&profile, "kexec_load") && !allows(&profile, "clone") && allows(&profile, "read"));
    let beyond = profile["x-learn"]["beyond"].as_array().unwrap();
    assert!(beyond.contains(&"kexec_load, by /usr/sbin/nginx".into()), "{beyond:?}");
    assert_eq!(render(&record, &[&within[..], &["--strict"]].concat()).code, 1);
    let own = sample();
    let within = ["--within", own.to_str().unwrap()];
    let ended = render(&sample(), &within);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "a record is within itself");
    assert!(render(&record, &within).stderr.contains("beyond --within: kexec_load"));
}

#[test]
fn limits_that_cannot_be_used_are_refused() {
    let (_fresh, folder) = fresh();
    let file = folder.join("max.json");
    let profile = |rule: &str| format!("{{\"defaultAction\": \"SCMP_ACT_ERRNO\", \"syscalls\": [{rule}]}}");
    let read = "{\"names\": [\"read\"], \"action\": \"SCMP_ACT_ALLOW\"}";
    for (text, said) in [
        (String::new(), "it is empty"),
        (profile(read), "forbids execve"),
        (profile(&read.replace("read", "raed")), "unknown system call `raed` at line 1"),
        (profile(&read.replace("\"action\"", "\"errnoRet\": 1, \"action\"")), "errnoRet with SCMP_ACT_ALLOW"),
        ("[".repeat(10 << 20), "neither a record"),
    ] {
        fs::write(&file, text).unwrap();
        let ended = render(&sample(), &["--within", file.to_str().unwrap()]);
        assert_eq!((ended.code, ended.stdout.as_str()), (2, ""), "{said}: {}", ended.stderr);
        assert!(ended.stderr.contains(said) && ended.stderr.lines().count() == 1, "{said}: {}", ended.stderr);
        let witness = folder.join("ran");
        let options = ["--within", file.to_str().unwrap(), "--", "touch", witness.to_str().unwrap()];
        assert_eq!(learn(options).code, 2, "{said}");
        assert!(!witness.exists(), "{said}");
    }
    let moby = project().join("tests/data/moby-default.json");
    let ended = render(&sample(), &["--errno", "log", "--within", moby.to_str().unwrap()]);
    assert_eq!((ended.code, ended.stderr.contains("--errno log lets every call through")), (2, true));
}

#[test]
fn calls_of_high_risk_are_denied_or_justified() {
    let (_fresh, folder) = fresh();
    let record = with_call(&folder, "ptrace");
    assert!(allows(&rendered(&record, &[]), "ptrace"));
    let denied = rendered(&record, &["--deny", "high-risk"]);
    assert!(!allows(&denied, "ptrace"));
    assert_eq!(denied["x-learn"]["denied"], serde_json::json!(["ptrace, by /usr/sbin/nginx"]));
    let failed = render(&record, &["--fail-on", "high"]);
    assert_eq!(failed.code, 1);
    assert!(failed.stderr.contains("not justified: ptrace by /usr/sbin/nginx, first at 2025-11-"), "{}", failed.stderr);
    assert_eq!(render(&record, &["--fail-on", "high", "--deny", "high-risk"]).code, 0, "it is not in the profile");
    let file = folder.join("justified.toml");
    let line = |item: &str, expires: &str| {
        format!("[[accept]]\nkind = \"syscall\"\nitem = \"{item}\"\nreason = \"a debugger\"\nexpires = {expires}\n")
    };
    let justify = ["--fail-on", "high", "--deny", "high-risk", "--justify", file.to_str().unwrap()];
    fs::write(&file, line("ptrace", "9999-01-01") + &line("mount", "9999-01-01")).unwrap();
    let ended = render(&record, &justify);
    assert_eq!(ended.code, 0);
    assert!(ended.stderr.contains("accepted syscall `mount` stands for no difference"), "{}", ended.stderr);
    assert!(allows(&serde_json::from_str(&ended.stdout).unwrap(), "ptrace"), "somebody answers for it");
    fs::write(&file, line("ptrace", "2020-01-01")).unwrap();
    let ended = render(&record, &["--fail-on", "high", "--justify", file.to_str().unwrap()]);
    assert_eq!(ended.code, 1);
    assert!(ended.stderr.contains("expired on 2020-01-01"), "{}", ended.stderr);
    fs::write(&file, "nonsense").unwrap();
    assert_eq!(render(&record, &justify).code, 2);
}

#[test]
fn programs_are_exported() {
    let (_fresh, folder) = fresh();
    let sample = sample();
    let out = folder.to_str().unwrap();
    assert_eq!(learn(["render", sample.to_str().unwrap(), "--format", "bpf,pfc", "-o", out]).code, 0);
    let program = fs::read(folder.join("seccomp.bpf")).unwrap();
    assert!(program.len() > 1000 && program.len() % 8 == 0);
    let text = fs::read_to_string(folder.join("seccomp.pfc")).unwrap();
    assert!(text.starts_with("# Written by learn ") && text.contains("pseudo filter code start"), "{text}");
    assert!(text.contains("action ERRNO(38);"), "{text}");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
}
