//! `learn check` (issue 4).

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use learn::abi::Abi;
use learn::fact::{Capability, CapabilitySet};
use learn::policy::seccomp::{Action, Host, Kernel, Seccomp};
use learn::policy::{Policy, Verdict};

use crate::support::{finish, fresh, learn, require};
use crate::tool::project;

/// `learn check --against BASE REST…`.
fn check<I: IntoIterator<Item: AsRef<OsStr>>>(base: &Path, rest: I) -> (i32, String, String) {
    let mut command = learn(["check".as_ref(), "--against".as_ref(), base.as_os_str()]);
    let Output { status, stdout, stderr } = finish(command.args(rest));
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

fn check_record(base: &Path, new: &Path) -> (i32, String, String) {
    check(base, ["--record".as_ref(), new.as_os_str()])
}

fn moby() -> PathBuf {
    project().join("tests/data/moby-default.json")
}

fn nginx() -> PathBuf {
    project().join("samples/web-server/learned.json")
}

/// Docker's default profile for a machine with these capabilities.
fn settled(abi: Abi, capabilities: &[Capability]) -> Seccomp {
    let capabilities = capabilities.iter().fold(0, |all, capability| all | 1 << *capability as u8);
    let host = Host { abi, kernel: Kernel(6, 1), capabilities: CapabilitySet(capabilities) };
    Seccomp::parse_for(&fs::read_to_string(moby()).unwrap(), &host).unwrap()
}

#[test]
fn dockers_default_profile_is_read_as_docker_does() {
    let call = |abi, name: &str| learn::fact::Fact::Syscall(abi, name.parse().unwrap());
    let without = settled(Abi::X86_64, &[]);
    assert_eq!(without.default_action, Action::Errno(1));
    for abi in [Abi::X86_64, Abi::I386, Abi::X32] {
        assert_eq!(without.permits(&call(abi, "read")), Verdict::Allowed);
        assert_eq!(without.permits(&call(abi, "mount")), Verdict::Denied);
    }
    assert_eq!(without.permits(&call(Abi::Aarch64, "read")), Verdict::Denied);
    assert_eq!(without.permits(&call(Abi::X86_64, "arch_prctl")), Verdict::Allowed);
    assert_eq!(without.permits(&call(Abi::X86_64, "ptrace")), Verdict::Allowed, "since Linux 4.8");
    let nothing = learn::fact::Arguments(Vec::new());
    let clone3 = |profile: &Seccomp| profile.actions(Abi::X86_64, &"clone3".parse().unwrap(), &nothing);
    assert_eq!(clone3(&without), [Action::Errno(38)].into());
    let admin = settled(Abi::X86_64, &[Capability::SysAdmin]);
    assert_eq!(clone3(&admin), [Action::Allow].into());
    assert_eq!(admin.permits(&call(Abi::X86_64, "mount")), Verdict::Allowed);
    let arm = settled(Abi::Aarch64, &[]);
    assert_eq!(arm.permits(&call(Abi::Aarch64, "read")), Verdict::Allowed);
    assert_eq!(arm.permits(&call(Abi::X86_64, "read")), Verdict::Denied);
    assert!(without.compile_asking().is_ok() && admin.compile_asking().is_ok());
}

#[test]
fn a_record_is_checked_against_dockers_default() {
    let (_fresh, folder) = fresh();
    // Which Docker lets through by their arguments, which this record does not hold, or answers for the C library.
    let hangs = "hangs on arguments that were not recorded";
    let expected = format!(
        "syscall x86_64 clone: {hangs}, by /usr/sbin/nginx\n\
         syscall x86_64 clone3: fails with ENOSYS, by /usr/bin/dash\n\
         syscall x86_64 socket: {hangs}, by /usr/sbin/nginx\n"
    );
    assert_eq!(check_record(&moby(), &nginx()), (1, expected.clone(), String::new()));
    let admin = ["--caps", "SYS_ADMIN", "--record"].map(OsStr::new);
    let (status, stdout, _) = check(&moby(), admin.into_iter().chain([nginx().as_os_str()]));
    assert_eq!((status, stdout.lines().count()), (1, 1), "only socket: {stdout}");
    let text = fs::read_to_string(nginx()).unwrap();
    let calls: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(calls.to_string().contains("\"epoll_wait\""));
    let new = folder.join("new.json");
    fs::write(&new, text.replace("\"epoll_wait\"", "\"kexec_load\"")).unwrap();
    let (status, stdout, _) = check_record(&moby(), &new);
    assert_eq!(status, 1);
    assert!(stdout.contains("syscall x86_64 kexec_load: fails with EPERM, by /usr/sbin/nginx\n"), "{stdout}");
    assert_eq!(stdout.lines().count(), expected.lines().count() + 1);
    let (status, stdout, _) = check(&moby(), ["--json".as_ref(), "--record".as_ref(), new.as_os_str()]);
    let json: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((status, &json["covered"]), (1, &false.into()));
    let items = json["uncovered"].as_array().unwrap();
    assert!(items.iter().any(|found| found["item"] == "x86_64 kexec_load"), "{json}");
    let (status, stdout, _) =
        check(&moby(), ["--arch".as_ref(), "aarch64".as_ref(), "--record".as_ref(), new.as_os_str()]);
    assert_eq!(status, 1);
    assert!(stdout.contains("x86_64 read: ends the process: no rules for this ABI"), "{stdout}");
}

#[test]
fn a_record_and_its_own_policies_cover_it() {
    let expected = project().join("samples/web-server/expected");
    for base in [nginx(), expected.join("seccomp.json"), expected.join("capabilities.txt")] {
        assert_eq!(check_record(&base, &nginx()), (0, String::new(), String::new()), "{}", base.display());
    }
    let (_fresh, folder) = fresh();
    let wider = folder.join("wider.json");
    let text = fs::read_to_string(nginx()).unwrap();
    fs::write(&wider, text.replace("\"epoll_wait\"", "\"mount\"")).unwrap();
    let (status, stdout, _) = check_record(&nginx(), &wider);
    assert_eq!(status, 1);
    assert!(stdout.starts_with("syscall mount (x86_64): "), "{stdout}");
    let caps = folder.join("caps.txt");
    fs::write(&caps, "CAP_CHOWN needed\n").unwrap();
    let (status, stdout, _) = check_record(&caps, &nginx());
    assert_eq!(status, 1);
    assert!(stdout.contains("capability CAP_SETUID: "), "{stdout}");
}

#[test]
fn a_run_is_checked_without_being_confined() {
    if !require(&["ptrace", "python3"]) {
        return;
    }
    let (_fresh, folder) = fresh();
    let learned = finish(learn(["-q", "-o"]).arg(&folder).args(["--", "python3", "-c", "import _socket"]));
    assert!(learned.status.success());
    let known = ["--", "python3", "-c", "import _socket"];
    let socket = ["--", "python3", "-c", "import _socket; _socket.socket(1, 2); print('made')"];
    for base in [folder.clone(), folder.join("seccomp.json")] {
        let (status, stdout, stderr) = check(&base, known);
        assert_eq!((status, stdout.as_str()), (0, ""), "{}: {stderr}", base.display());
        let (status, stdout, stderr) = check(&base, socket);
        assert_eq!((status, stderr.as_str()), (1, ""), "{stdout}");
        assert!(stdout.starts_with("made\n"), "it was allowed: {stdout}");
        assert!(stdout.lines().any(|line| line.starts_with("syscall ") && line.contains("socket")), "{stdout}");
        assert!(stdout.contains("/python3"), "{stdout}");
    }
    let base = folder.join("seccomp.json");
    let [first, second] = [(); 2].map(|()| check(&base, ["--json"].into_iter().chain(socket)).1);
    assert_eq!(first, second, "no addresses or other things that differ from run to run");
    let json: serde_json::Value = serde_json::from_str(first.strip_prefix("made\n").unwrap()).unwrap();
    assert_eq!(json["uncovered"][0]["item"], "x86_64 socket");
}

#[test]
fn what_cannot_be_checked_is_a_failure() {
    let (_fresh, folder) = fresh();
    let file = folder.join("base");
    for (text, said) in [
        (String::new(), "neither a record"),
        ("[".repeat(10 << 20), "neither a record"),
        ("{\"defaultAction\": \"SCMP_ACT_MAYBE\"}".to_owned(), "unknown action `SCMP_ACT_MAYBE` at line 1"),
        ("{\"defaultAction\": \"SCMP_ACT_ERRNO\", \"x\": 1}".to_owned(), "unknown field `x`"),
        ("profile x {\n  /a q,\n}\n".to_owned(), ":2: `q` are no permissions of a file"),
        ("x {\n}\n".to_owned(), "neither a record"),
    ] {
        fs::write(&file, text).unwrap();
        let (status, stdout, stderr) = check_record(&file, &nginx());
        assert_eq!((status, stdout.as_str()), (2, ""), "{stderr}");
        assert!(stderr.contains(said) && stderr.lines().count() == 1, "{said}: {stderr}");
    }
    let policy = check_record(&nginx(), &moby());
    assert_eq!(policy.0, 2);
    assert!(policy.2.contains("is a seccomp profile, not a record"), "{}", policy.2);
    assert_eq!(check(&nginx(), ["--", "no-such-program"]).0, 2);
    assert_eq!(check(&nginx(), ["--record", "a", "--", "true"]).0, 2);
    assert_eq!(check(&nginx(), [""; 0]).0, 2);
}
