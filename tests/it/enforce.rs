//! `learn enforce` on real programs (issue 4).

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use crate::support::{finish, fresh, learn, require};

const ALLOWING: &str = r#"{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"]"#;

fn run<I: IntoIterator<Item: AsRef<OsStr>>>(arguments: I) -> (i32, String, String) {
    let Output { status, stdout, stderr } = finish(&mut learn(arguments));
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

/// `learn enforce OPTIONS --profile PROFILE -- COMMAND`.
fn enforce(profile: &Path, options: &[&str], command: &[&str]) -> (i32, String, String) {
    let start = ["enforce".as_ref(), "--profile".as_ref(), profile.as_os_str()];
    let options = options.iter().chain(&["--"]).chain(command).map(OsStr::new);
    run(start.into_iter().chain(options))
}

/// What was learned from a program.
fn learned(folder: &Path, command: &[&str]) {
    let start = ["--quiet".as_ref(), "-o".as_ref(), folder.as_os_str(), "--".as_ref()];
    let (status, _, stderr) = run(start.into_iter().chain(command.iter().map(OsStr::new)));
    assert_eq!(status, 0, "{stderr}");
}

/// A profile that allows everything but for these rules.
fn denying(folder: &Path, rules: &str) -> PathBuf {
    let file = folder.join("denying.json");
    fs::write(&file, format!("{ALLOWING}, \"syscalls\": [{rules}]}}")).unwrap();
    file
}

const SOCKET: [&str; 3] = ["python3", "-c", "import _socket; _socket.socket(1, 2)"];

#[test]
fn denials_are_told_with_their_remedy_and_learned() {
    if !require(&["ptrace", "python3"]) {
        return;
    }
    let (_fresh, folder) = fresh();
    // A traceback is written in the end.
    learned(&folder, &["python3", "-c", "import _socket, os; os.write(2, b'.\\n')"]);
    let (status, _, told) = enforce(&folder, &[], &SOCKET);
    assert_eq!(status, 1, "python's own status: {told}");
    assert!(told.contains("PermissionError: [Errno 1]"), "{told}");
    assert!(told.contains("python3 ended with status 1; the profile denied 1 call of 1 kind"), "{told}");
    assert!(told.contains("x86_64 socket(0x1, 0x80002, 0x0) fails"), "{told}");
    assert!(told.contains("fails with EPERM"), "{told}");
    assert!(told.contains(r#"allowed by {"action":"SCMP_ACT_ALLOW","names":["socket"]}"#), "{told}");
    assert!(told.contains("/python3"), "the executable: {told}");

    let (status, _, told) = enforce(&folder, &["--complain", "--learn"], &SOCKET);
    assert_eq!(status, 0, "{told}");
    assert!(told.contains("the profile would deny 1 call of 1 kind"), "{told}");
    assert!(told.contains("learned.json: 2 new things"), "the call and its arguments: {told}");
    let record = folder.join("learned.json");
    let (status, ..) = run(["render".as_ref(), record.as_os_str(), "-o".as_ref(), folder.as_os_str()]);
    assert_eq!(status, 0);
    let (status, _, told) = enforce(&folder, &["--strict", "--learn"], &SOCKET);
    assert_eq!(status, 0, "{told}");
    assert!(told.contains("denied nothing") && told.contains("nothing to add to"), "{told}");
}

#[test]
fn strictness_is_asked_for() {
    if !require(&["ptrace"]) {
        return;
    }
    let (_fresh, folder) = fresh();
    let profile = denying(&folder, r#"{"names": ["umask"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}"#);
    let command = ["sh", "-c", "umask >/dev/null; exit 7"];
    let (status, _, told) = enforce(&profile, &[], &command);
    assert_eq!(status, 7, "{told}");
    assert!(told.contains("umask(") && told.contains("fails with ENOSYS"), "{told}");
    assert_eq!(enforce(&profile, &["--strict"], &command).0, 1);
    assert_eq!(enforce(&profile, &["--strict", "--complain"], &command).0, 1);
    assert_eq!(enforce(&profile, &["--strict", "--quiet"], &["sh", "-c", "exit 7"]), (7, String::new(), String::new()));
}

#[test]
fn every_action_ends_a_call_as_the_kernel_does() {
    if !require(&["ptrace", "python3"]) {
        return;
    }
    let (_fresh, folder) = fresh();
    let trapped = "import os, signal; signal.signal(31, lambda *_: os._exit(9)); os.umask(0)";
    for (action, code, status) in [
        ("KILL_PROCESS", "import os; os.umask(0)", 159),
        ("TRAP", "import os; os.umask(0)", 159),
        ("TRAP", trapped, 9),
        ("KILL_THREAD", "import os; os.umask(0)", 159),
        ("NOTIFY", "import os; os.umask(0)", 1),
        ("LOG", "import os; os.umask(0)", 0),
    ] {
        let profile = denying(&folder, &format!("{{\"names\": [\"umask\"], \"action\": \"SCMP_ACT_{action}\"}}"));
        let (ended, _, told) = enforce(&profile, &[], &["python3", "-c", code]);
        assert_eq!(ended, status, "{action}: {told}");
        assert_eq!(told.contains("umask("), action != "LOG", "{action}: {told}");
    }
}

#[test]
fn arguments_are_told_apart() {
    if !require(&["ptrace", "python3"]) {
        return;
    }
    let (_fresh, folder) = fresh();
    let rules = r#"{"names": ["socket"], "action": "SCMP_ACT_ERRNO", "args": [
        {"index": 0, "op": "SCMP_CMP_MASKED_EQ", "value": 4294967295, "valueTwo": 2}]}"#;
    let profile = denying(&folder, rules);
    let code =
        "import _socket\nfor family in 1, 2, 2:\n try: _socket.socket(family, 2)\n except OSError: print(family)";
    let (status, stdout, told) = enforce(&profile, &[], &["python3", "-c", code]);
    assert_eq!((status, stdout.as_str()), (0, "2\n2\n"));
    assert!(told.contains("denied 2 calls of 1 kind"), "{told}");
    let rule = r#""args":[{"index":0,"op":"SCMP_CMP_MASKED_EQ","value":4294967295,"valueTwo":2}]"#;
    assert!(told.contains(rule), "{told}");
}

#[test]
fn the_execve_that_starts_the_workload_is_told() {
    if !require(&["ptrace"]) {
        return;
    }
    let (_fresh, folder) = fresh();
    let profile = denying(&folder, r#"{"names": ["execve"], "action": "SCMP_ACT_ERRNO"}"#);
    let (status, stdout, told) = enforce(&profile, &["--complain"], &["sh", "-c", "exec /bin/echo said"]);
    assert_eq!((status, stdout.as_str()), (0, "said\n"), "{told}");
    assert!(told.contains("the profile would deny 2 calls of 1 kind"), "{told}");
    assert!(!told.contains("/learn: "), "it is the workload's, not ours: {told}");
}

#[test]
fn children_are_confined_and_named() {
    if !require(&["ptrace", "python3"]) {
        return;
    }
    let (_fresh, folder) = fresh();
    let profile = denying(&folder, r#"{"names": ["umask"], "action": "SCMP_ACT_ERRNO"}"#);
    let (status, _, told) = enforce(&profile, &[], &["sh", "-c", "python3 -c 'import os; os.umask(0)'; exit 3"]);
    assert_eq!(status, 3, "{told}");
    let line = told.lines().find(|line| line.contains("umask(")).unwrap();
    assert!(line.contains("/python3"), "{told}");
}

#[test]
fn capabilities_are_reduced() {
    if !require(&["ptrace", "CAP_SETPCAP"]) {
        return;
    }
    let status = |options: &[&str]| {
        let start = ["enforce"].iter().chain(options).chain(&["--", "cat", "/proc/self/status"]);
        let (code, stdout, stderr) = run(start);
        assert_eq!(code, 0, "{stderr}");
        let value = |key: &str| stdout.lines().find_map(|line| line.strip_prefix(key)).unwrap().trim().to_owned();
        ["CapBnd:", "CapPrm:", "CapEff:", "CapInh:", "NoNewPrivs:"].map(value)
    };
    let (none, chown) = ("0000000000000000", "0000000000000001");
    assert_eq!(status(&["--caps", "none", "--no-new-privs"]), [none, none, none, none, "1"]);
    assert_eq!(status(&["--caps", "CHOWN"])[..3], [chown, chown, chown]);
    assert_eq!(status(&["--caps", "CHOWN"])[4], "0");
}

#[test]
fn profiles_that_cannot_be_used_are_refused_before_anything_runs() {
    let (_fresh, folder) = fresh();
    let file = folder.join("bad.json");
    let rule = |names: &str, rest: &str| {
        format!("{ALLOWING}, \"syscalls\": [{{\"names\": [{names}], \"action\": \"SCMP_ACT_ERRNO\"{rest}}}]}}")
    };
    let map = r#", "archMap": [{"architecture": "SCMP_ARCH_X86_64"}]}"#;
    for (text, said) in [
        (String::new(), "bad.json: the profile is empty"),
        ("[".repeat(10 << 20), "a profile is an object"),
        ("{\"syscalls\":".repeat(1 << 20), "invalid type: map"),
        (format!("{ALLOWING}, \"x-learn\": {}", "[".repeat(10 << 20)), "EOF while parsing"),
        (format!("{ALLOWING}, \"syscalls\": {}", "[".repeat(10 << 20)), "at line 1 column"),
        (rule("\"raed\"", ""), "unknown system call `raed` at line 1"),
        (rule("\"execve\"", ""), "bad.json forbids execve"),
        (rule("\"read\"", ", \"errnoRet\": 5000"), "errno 5000 is out of range: at most 4095"),
        (rule("\"read\"", ", \"args\": [{\"index\": 6, \"value\": 0, \"op\": \"SCMP_CMP_EQ\"}]"), "calls have 0 to 5"),
        (rule("\"read\"", "").replace("ERRNO", "ALLOW\", \"errnoRet\": 1, \"x\": \""), "unknown field `x`"),
        (rule("\"read\"", ", \"errnoRet\": 1").replace("ACT_ERRNO", "ACT_ALLOW"), "errnoRet with SCMP_ACT_ALLOW"),
        (format!("{ALLOWING}, \"defaultErrnoRet\": 1}}"), "defaultErrnoRet with SCMP_ACT_ALLOW"),
        (format!("{ALLOWING}{map}"), "`architectures` and `archMap` exclude each other"),
    ] {
        fs::write(&file, &text).unwrap();
        let witness = folder.join("ran");
        let (status, stdout, told) = enforce(&file, &[], &["touch", witness.to_str().unwrap()]);
        assert_eq!((status, stdout.as_str()), (2, ""), "{said}: {told}");
        assert!(told.contains(said) && told.lines().count() == 1, "{said}: {told}");
        assert!(!witness.exists(), "{said}");
    }
    let missing = folder.join("none");
    assert_eq!(enforce(&missing, &[], &["true"]).0, 2);
    assert_eq!(enforce(&denying(&folder, ""), &["--caps", "FLY"], &["true"]).0, 2);
    let (status, _, told) = enforce(&denying(&folder, ""), &["--learn"], &["true"]);
    assert_eq!(status, 2);
    assert!(told.contains("--learn adds to the record beside the profile"), "{told}");
    assert_eq!(run(["enforce", "--", "true"]).0, 2, "neither a profile nor capabilities");
    assert_eq!(enforce(&denying(&folder, ""), &[], &["no-such-program"]).0, 127);
}
