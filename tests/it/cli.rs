//! Help, errors and exit codes.

use std::fs;
use std::path::Path;

use insta::assert_snapshot;

use crate::tool::{learn, learn_with, samples};

/// Exit code and standard error of a command that prints nothing else.
fn refused(args: &[&str]) -> String {
    let ended = learn(args);
    assert_eq!(ended.stdout, "", "{args:?}");
    format!("{} {}", ended.code, ended.stderr)
}

/// The same for a command that reads this as its record.
fn refused_record(text: &str) -> String {
    let ended = learn_with(["render", "-", "-o", "-", "--format", "caps"], text.as_bytes());
    assert_eq!(ended.stdout, "");
    format!("{} {}", ended.code, ended.stderr)
}

fn sample() -> String {
    samples()[0].join("learned.json").into_os_string().into_string().unwrap()
}

fn help(args: &[&str]) -> String {
    let ended = learn(args);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    ended.stdout
}

#[test]
#[expect(clippy::too_many_lines, reason = "the help is as long as it is")]
fn help_of_the_program() {
    assert_snapshot!(help(&["--help"]), @r#"
    Learns what a workload needs and writes its least-privilege profiles: seccomp, AppArmor,
    capabilities

    Usage: learn [OPTIONS] -- PROGRAM [ARGS]...
           learn COMMAND ...

    Commands:
      render       Write the profiles of a record again, without running the workload
      merge        Join records into one; a run that is in several of them counts once
      enforce      Run a program under a profile, and tell what it denies
      check        Tell what a record or a run needs that a base does not cover
      minimize     Run a command again and again with less, to prove what it cannot do without
      diff         Compare two records, or two policies of one kind: what is new, graded by risk
      explain      Tell who did something, when, in which runs, and which rules it leads to
      completions  Print the completions for a shell
      man          Print the manual page

    Arguments:
      [PROGRAM]...
              The program to learn from, and its arguments

    Options:
      -o, --output <DIR>
              Folder for the record and the profiles [default: ./PROGRAM.learned]

      -f, --format <LIST>
              Which profiles to write, separated by commas; all of them by default

              Possible values:
              - seccomp:   seccomp profile of the OCI runtime-spec (Docker, Podman, containerd,
                Kubernetes)
              - apparmor:  AppArmor profile, to be loaded by apparmor_parser
              - caps:      capabilities with the evidence for each, for docker run, systemd and
                Kubernetes
              - caps-json: the same as JSON, for programs
              - bpf:       the seccomp profile as the kernel's program, compiled by libseccomp for this
                machine
              - pfc:       the same as libseccomp's pseudo code, for people

          --templates <DIR>
              Folder with templates to use in place of the built-in ones, by file name

          --name <PROFILE>
              Name of the profile; by default that of the program

          --comments
              Tell in every profile who showed what it allows, in one line each

          --for <DURATION>
              End the workload after this time, such as 90s or 5m

          --until-quiet <DURATION>
              End the workload when nothing new was learned for this time

          --user <NAME>
              Run the workload as this user (as root only)

          --fresh
              Start a new record, and keep the old one beside it

          --known <RECORD>
              Another record whose calls need not be seen again, for speed

          --no-thin
              Stop at every call: slow, with exact counts

          --kernel-evidence
              Also ask the kernel which capabilities it asked for (as root, Linux 6.14)

      -q, --quiet
              No status line and no summary

          --strict
              Exit with 125 when anything was not seen, or lies beyond --within

      -v, --verbose...
              Say more on standard error; -vv says everything

      -h, --help
              Print help (see a summary with '-h')

      -V, --version
              Print version

    Seccomp profile:
          --target <READER>
              Who is to read it; what that one would drop or refuse is an error

              Possible values:
              - oci:        linux.seccomp of the OCI runtime-spec: runc, crun, youki
              - docker:     docker run --security-opt seccomp=FILE; with comments
              - podman:     podman run --security-opt seccomp=FILE; with comments
              - containerd: ctr run --seccomp-profile FILE
              - kubernetes: seccompProfile.localhostProfile, by containerd or CRI-O
              - crun-raw:   crun's annotation run.oci.seccomp_bpf_data: compiled, for this machine's ABI
              
              [default: oci]

          --runtime <LIST>
              Container runtimes under which the workload is to start, separated by commas: their own
              calls are added and listed apart

              Possible values:
              - runc: of Docker, containerd and Kubernetes
              - crun: of Podman
              - none: no runtime: exactly what was seen
              
              [default: runc,crun]

          --no-new-privs
              The workload is always started with `no_new_privs`: runtimes need fewer calls then

          --errno <WHAT>
              What happens to a call that is not allowed

              Possible values:
              - eperm:  it fails with EPERM
              - enosys: it fails with ENOSYS, as if the kernel did not have it
              - kill:   the process ends
              - log:    it is made and logged: a profile that only tells
              
              [default: eperm]

          --args <DEGREE>
              How many arguments are held to what was seen

              Possible values:
              - off:  calls are allowed with any arguments
              - safe: socket families, personality, prctl options and new namespaces as seen
              - all:  also socket types, ioctl requests, fcntl commands, socket options, executable
                memory …
              
              [default: safe]

          --portable <LIST>
              For what else the profile is to hold, separated by commas: calls that stand for those that
              were seen are added and listed apart

              Possible values:
              - libc:   another C library or version of it
              - kernel: an older or newer kernel
              - arch:   x86-64 as well as 64-bit ARM

          --vdso
              Allow the calls that the vDSO answers on most machines

          --within <MAX>
              Never allow more than this profile, or than what this record holds

          --deny <WHAT>
              Leave calls of high risk out though they were seen, unless they are justified
              
              [possible values: high-risk]

          --fail-on <LEVEL>
              Fail when a call of this risk or worse is in the profile and not justified (critical,
              high)

          --justify <FILE>
              Calls of high risk that somebody answers for: TOML as for `learn diff --accept`, of kind
              "syscall"

    AppArmor profile:
          --globs <DEGREE>
              How far paths are generalised

              Possible values:
              - off:  nothing but the paths that were observed
              - safe: names that the record proves to differ from run to run
              - wide: also homes, architectures, library versions and directories read as a whole
              
              [default: safe]

          --exec <HOW>
              What the programs that the workload executes run under

              Possible values:
              - inherit:  one profile for all of them
              - child:    a nested profile for each, with what this program was seen to need
              - separate: the same as profiles of their own, named PROFILE.PROGRAM
              
              [default: inherit]

          --abstractions <WHICH>
              Abstractions that may be included, each only when it covers rules that are needed: `none`,
              `base`, `auto` for those that pay, or names with commas
              
              [default: none]

          --abi <VERSION>
              Version of AppArmor's policy

              Possible values:
              - 3.0: AppArmor 3
              - 4.0: AppArmor 4: with rules for unix sockets, user namespaces and message queues
              
              [default: 3.0]

          --container <NAME>
              Make the profile of a container, for `--security-opt apparmor=NAME`

          --container-denies
              Deny it the kernel's and the host's files that containers are usually denied

    Examples:
      learn -- nginx -g 'daemon off;'        learn until Ctrl-C; profiles are in ./nginx.learned/
      learn -o out --format seccomp,caps -- ./server --port 8080
      learn --for 60s -- npm test            end the workload after a minute
      learn --until-quiet 30s -- redis-server
      learn render nginx.learned/learned.json --format seccomp -o -
      learn merge a.json b.json -o all.json
      learn diff old.learned new.learned     what the new release needs anew, graded by risk
      learn explain nginx.learned CAP_CHOWN  why it is there
    "#);
}

#[test]
#[expect(clippy::too_many_lines, reason = "the help is as long as it is")]
fn help_of_render() {
    assert_snapshot!(help(&["render", "--help"]), @r#"
    Write the profiles of a record again, without running the workload

    Usage: learn render [OPTIONS] <RECORD>

    Arguments:
      <RECORD>
              The record, a learned.json; `-` for standard input

    Options:
      -o, --output <OUT>
              Folder to write to, by default the record's own; `-` for standard output

      -f, --format <LIST>
              Which profiles to write, separated by commas; all of them by default

              Possible values:
              - seccomp:   seccomp profile of the OCI runtime-spec (Docker, Podman, containerd,
                Kubernetes)
              - apparmor:  AppArmor profile, to be loaded by apparmor_parser
              - caps:      capabilities with the evidence for each, for docker run, systemd and
                Kubernetes
              - caps-json: the same as JSON, for programs
              - bpf:       the seccomp profile as the kernel's program, compiled by libseccomp for this
                machine
              - pfc:       the same as libseccomp's pseudo code, for people

          --templates <DIR>
              Folder with templates to use in place of the built-in ones, by file name

          --name <PROFILE>
              Name of the profile; by default that of the program

          --comments
              Tell in every profile who showed what it allows, in one line each

          --strict
              Exit with 1 when anything was not seen, or lies beyond --within

      -v, --verbose...
              Say more on standard error; -vv says everything

      -h, --help
              Print help (see a summary with '-h')

    Seccomp profile:
          --target <READER>
              Who is to read it; what that one would drop or refuse is an error

              Possible values:
              - oci:        linux.seccomp of the OCI runtime-spec: runc, crun, youki
              - docker:     docker run --security-opt seccomp=FILE; with comments
              - podman:     podman run --security-opt seccomp=FILE; with comments
              - containerd: ctr run --seccomp-profile FILE
              - kubernetes: seccompProfile.localhostProfile, by containerd or CRI-O
              - crun-raw:   crun's annotation run.oci.seccomp_bpf_data: compiled, for this machine's ABI
              
              [default: oci]

          --runtime <LIST>
              Container runtimes under which the workload is to start, separated by commas: their own
              calls are added and listed apart

              Possible values:
              - runc: of Docker, containerd and Kubernetes
              - crun: of Podman
              - none: no runtime: exactly what was seen
              
              [default: runc,crun]

          --no-new-privs
              The workload is always started with `no_new_privs`: runtimes need fewer calls then

          --errno <WHAT>
              What happens to a call that is not allowed

              Possible values:
              - eperm:  it fails with EPERM
              - enosys: it fails with ENOSYS, as if the kernel did not have it
              - kill:   the process ends
              - log:    it is made and logged: a profile that only tells
              
              [default: eperm]

          --args <DEGREE>
              How many arguments are held to what was seen

              Possible values:
              - off:  calls are allowed with any arguments
              - safe: socket families, personality, prctl options and new namespaces as seen
              - all:  also socket types, ioctl requests, fcntl commands, socket options, executable
                memory …
              
              [default: safe]

          --portable <LIST>
              For what else the profile is to hold, separated by commas: calls that stand for those that
              were seen are added and listed apart

              Possible values:
              - libc:   another C library or version of it
              - kernel: an older or newer kernel
              - arch:   x86-64 as well as 64-bit ARM

          --vdso
              Allow the calls that the vDSO answers on most machines

          --within <MAX>
              Never allow more than this profile, or than what this record holds

          --deny <WHAT>
              Leave calls of high risk out though they were seen, unless they are justified
              
              [possible values: high-risk]

          --fail-on <LEVEL>
              Fail when a call of this risk or worse is in the profile and not justified (critical,
              high)

          --justify <FILE>
              Calls of high risk that somebody answers for: TOML as for `learn diff --accept`, of kind
              "syscall"

    AppArmor profile:
          --globs <DEGREE>
              How far paths are generalised

              Possible values:
              - off:  nothing but the paths that were observed
              - safe: names that the record proves to differ from run to run
              - wide: also homes, architectures, library versions and directories read as a whole
              
              [default: safe]

          --exec <HOW>
              What the programs that the workload executes run under

              Possible values:
              - inherit:  one profile for all of them
              - child:    a nested profile for each, with what this program was seen to need
              - separate: the same as profiles of their own, named PROFILE.PROGRAM
              
              [default: inherit]

          --abstractions <WHICH>
              Abstractions that may be included, each only when it covers rules that are needed: `none`,
              `base`, `auto` for those that pay, or names with commas
              
              [default: none]

          --abi <VERSION>
              Version of AppArmor's policy

              Possible values:
              - 3.0: AppArmor 3
              - 4.0: AppArmor 4: with rules for unix sockets, user namespaces and message queues
              
              [default: 3.0]

          --container <NAME>
              Make the profile of a container, for `--security-opt apparmor=NAME`

          --container-denies
              Deny it the kernel's and the host's files that containers are usually denied

    Examples:
      learn render nginx.learned/learned.json
      learn render nginx.learned/learned.json --format seccomp -o -
      learn render all.json --format apparmor --name web -o profiles --templates my-templates
    "#);
}

#[test]
fn help_of_merge() {
    assert_snapshot!(help(&["merge", "--help"]), @"
    Join records into one; a run that is in several of them counts once

    Usage: learn merge [OPTIONS] <RECORD>...

    Arguments:
      <RECORD>...  The records; `-` for standard input

    Options:
      -o, --output <OUT>  File to write to; `-` for standard output [default: -]
          --any-program   Join records of different programs too
          --intersect     Keep only what every record holds, with the outcomes that all of them saw
          --skip-damaged  Leave out records that are damaged or cut off; each becomes a gap
      -v, --verbose...    Say more on standard error; -vv says everything
      -h, --help          Print help

    Examples:
      learn merge a.json b.json -o all.json
      learn merge runs/*/learned.json | learn render - --format seccomp -o -
      learn merge --intersect old/*.json -o needed-by-every-run.json
      learn merge --skip-damaged fleet/*.json -o fleet.json
    ");
}

#[test]
fn every_command_has_examples() {
    for command in ["render", "merge", "diff", "explain", "completions", "man"] {
        assert!(help(&[command, "--help"]).contains("\nExamples:\n  learn "), "{command}");
    }
}

#[test]
fn a_workload_stands_behind_the_dashes_only() {
    assert_snapshot!(refused(&["nginx"]), @"
    2 error: there is no command `nginx`; to learn from a program, put it behind `--`: learn -- nginx

    Usage: learn [OPTIONS] -- PROGRAM [ARGS]...
           learn COMMAND ...

    For more information, try '--help'.
    ");
    assert_snapshot!(refused(&["nginx", "-g", "daemon off;"]), @"
    2 error: there is no command `nginx`; to learn from a program, put it behind `--`: learn -- nginx

    Usage: learn [OPTIONS] -- PROGRAM [ARGS]...
           learn COMMAND ...

    For more information, try '--help'.
    ");
    assert_snapshot!(refused(&["-q", "render", "x"]), @"
    2 error: the command `render` comes first, and options of a run are not for it

    Usage: learn [OPTIONS] -- PROGRAM [ARGS]...
           learn COMMAND ...

    For more information, try '--help'.
    ");
    for args in [&[][..], &["-v"], &["--quiet"], &["--"]] {
        let said = refused(args);
        assert!(said.starts_with("2 error: no program to learn from: put it behind `--`"), "{said}");
    }
}

#[test]
fn usage_errors_are_2() {
    for (args, message) in [
        (&["--frmat", "caps", "--", "true"][..], "unexpected argument '--frmat'"),
        (&["--format", "seccomp,foo", "--", "true"], "invalid value 'foo' for '--format <LIST>'"),
        (&["--for", "3 parsecs", "--", "true"], "invalid value '3 parsecs' for '--for <DURATION>'"),
        (&["--name", "a/b", "--", "true"], "invalid value 'a/b' for '--name <PROFILE>'"),
        (&["render"], "<RECORD>"),
        (&["merge"], "<RECORD>"),
        (&["completions", "cmd"], "invalid value 'cmd'"),
    ] {
        let said = refused(args);
        assert!(said.starts_with("2 error: ") && said.contains(message), "{args:?}: {said}");
    }
}

#[test]
fn errors_are_one_line_and_2() {
    let sample = sample();
    for (args, message) in [
        (&["render", "/nonexistent"][..], "cannot open /nonexistent: No such file or directory (os error 2)"),
        (&["render", "/"], "/: cannot read it: Is a directory (os error 21)"),
        (
            &["merge", "/nonexistent/\u{1b}[2J\n"],
            "cannot open /nonexistent/\\u{1b}[2J\\n: No such file or directory (os error 2)",
        ),
        (
            &["merge", &sample, "-o", "/nonexistent/x"],
            "cannot write /nonexistent/x: No such file or directory (os error 2)",
        ),
        (
            &["render", &sample, "-o", "/dev/null/x"],
            "cannot make the folder /dev/null/x: Not a directory (os error 20)",
        ),
        (&["render", &sample, "-o", "-"], "only one format can go to standard output: choose it with --format"),
        (&["render", "-", "--format", "caps"], "say with -o where to write what was read from standard input"),
        (&["man", "frobnicate"], "there is no command frobnicate"),
        (&["merge", &sample, "-o", "/dev/full"], "cannot write /dev/full: No space left on device (os error 28)"),
    ] {
        let said = refused(args);
        assert_eq!(said.trim_end(), format!("2 learn: {message}"), "{args:?}");
    }
}

#[test]
fn damaged_records_are_refused_with_their_place() {
    let record = fs::read_to_string(sample()).unwrap();
    assert_snapshot!(refused_record(""), @"2 learn: standard input: not a readable record: line 1, column 0: EOF while parsing a value");
    assert_snapshot!(refused_record("[]"), @"2 learn: standard input: not a readable record: line 1, column 1: invalid type: sequence, expected a record");
    assert_snapshot!(refused_record("{\"a\": 1}"), @"2 learn: standard input: not a readable record: line 1, column 5: a record begins with `schema`");
    assert_snapshot!(refused_record(&record[..record.find("\"gaps\"").unwrap() + 3]), @"2 learn: standard input: not a readable record: line 28, column 5: EOF while parsing a string");
    assert_snapshot!(refused_record(&format!("{record}x")), @"2 learn: standard input: not a readable record: line 201, column 1: trailing characters");
    assert_snapshot!(refused_record(&record.replace("\"gaps\"", "\"gapz\"")), @"2 learn: standard input: not a readable record: line 28, column 9: unknown field `gapz`");
    assert_snapshot!(refused_record(&record.replace("\"/etc/group\"", "\"etc/group\"")), @"2 learn: standard input: not a readable record: line 131, column 20: `etc/group` is no absolute path without `.` and `..`");
    assert_snapshot!(refused_record(&record.replace("\"ok\": \"exec\"", "\"ok\": \"fly\"")), @"2 learn: standard input: not a readable record: line 46, column 38: unknown file access `fly`");
    assert_snapshot!(refused_record(&format!("{{\"schema\": {}", "[".repeat(100_000))), @"2 learn: standard input: not a readable record: line 1, column 12: invalid type: sequence, expected u32");
    let deep = format!("{{\"schema\": 3, \"program\": null, \"generator\": {}", "[".repeat(100_000));
    assert_snapshot!(refused_record(&deep), @"2 learn: standard input: not a readable record: line 1, column 100044: EOF while parsing a list");
}

#[test]
fn records_of_another_layout_name_their_writer() {
    let newer = "{\"schema\": 99, \"generator\": \"learn 9.1.0\", \"whatever\": [1, 2";
    assert_snapshot!(refused_record(newer), @"2 learn: standard input: written by learn 9.1.0 in layout 99, and this program reads layout 3 only: use that program, or learn anew");
    assert_snapshot!(refused_record("{\"schema\": 0, \"x\": 1}"), @"2 learn: standard input: written by another program in layout 0, and this program reads layout 3 only: use that program, or learn anew");
}

#[test]
fn merging_refuses_other_programs_unless_told() {
    let one = sample();
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other.json");
    let text = fs::read_to_string(&one)
        .unwrap()
        .replace("\"program\": \"/usr/sbin/nginx\",\n  \"runs\"", "\"program\": \"/bin/true\",\n  \"runs\"");
    fs::write(&other, text).unwrap();
    let other = other.to_str().unwrap();
    let said = refused(&["merge", &one, other]);
    assert_eq!(
        said,
        format!(
            "2 learn: {other} does not belong to the others (--any-program joins them): \
             one record is of /usr/sbin/nginx, another of /bin/true\n"
        )
    );
    let merged = learn(["merge", &one, other, "--any-program"]);
    assert_eq!(merged.code, 0);
    assert!(merged.stdout.contains("\"program\": \"/bin/true\""));
    let again = learn_with(["merge", "-", other, &one, "--any-program"], merged.stdout.as_bytes());
    assert_eq!(again.stdout, merged.stdout, "merging again changes nothing");
}

#[test]
fn a_merge_over_one_of_its_inputs_keeps_it_when_it_fails() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("all.json");
    let text = fs::read_to_string(sample()).unwrap();
    fs::write(&path, &text).unwrap();
    let name = path.to_str().unwrap();
    assert_eq!(learn(["merge", name, "/nonexistent", "-o", name]).code, 2);
    assert_eq!(learn(["merge", name, &sample(), "-o", name]).code, 0);
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

fn with_templates(files: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let folder = folder.path().to_str().unwrap();
    let ended = learn(["render", &sample(), "--format", "seccomp", "-o", "-", "--templates", folder]);
    format!("{} {}{}", ended.code, ended.stdout, ended.stderr).replace(folder, "DIR")
}

#[test]
fn templates_can_be_replaced() {
    assert_eq!(with_templates(&[("seccomp.json.hbs", "{{json architectures}}\n")]), "0 [\"SCMP_ARCH_X86_64\"]\n");
    assert_snapshot!(with_templates(&[("seccomp.json.hbs", "[{{#each architectures}}")]), @"2 learn: DIR: template seccomp.json.hbs, line 1: invalid handlebars syntax");
    assert_snapshot!(with_templates(&[("seccomp.json.hbs", "[\n{{json architecture}}]")]), @r#"2 learn: cannot write to standard output: template seccomp.json.hbs, line 2: Failed to access variable in strict mode Some("architecture")"#);
    assert_snapshot!(with_templates(&[("seccomp.json.hbs", "[{{default_action}}]")]), @"2 learn: cannot write to standard output: template seccomp.json.hbs wrote no JSON: expected value at line 1 column 2");
    assert_snapshot!(with_templates(&[("seccmp.hbs", "")]), @"2 learn: DIR: no template is named seccmp.hbs; there are partials/header.hbs, partials/rules.hbs, seccomp.json.hbs, apparmor.hbs, caps.txt.hbs, caps.json.hbs, seccomp.pfc.hbs");
    assert_snapshot!(with_templates(&[]), @"2 learn: DIR holds no template; there are partials/header.hbs, partials/rules.hbs, seccomp.json.hbs, apparmor.hbs, caps.txt.hbs, caps.json.hbs, seccomp.pfc.hbs");
    let header = [("partials/header.hbs", "# {{generatr}}\n")];
    assert!(with_templates(&header).starts_with("0 {"), "seccomp does not use it");
    let missing = learn(["render", &sample(), "--templates", "/nonexistent"]);
    assert_eq!(missing.stderr, "learn: cannot open the folder /nonexistent: No such file or directory (os error 2)\n");
}

#[test]
fn a_profile_can_be_named() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    assert_eq!(learn(["render", &sample(), "--name", "web", "--format", "apparmor,caps", "-o", out]).code, 0);
    let mut names = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
    names.sort();
    assert_eq!(names, ["capabilities.txt", "web.apparmor"]);
    let text = fs::read_to_string(Path::new(out).join("web.apparmor")).unwrap();
    assert!(text.contains("\nprofile web /usr/sbin/nginx {\n"), "{text}");
}

#[test]
fn completions_and_manual_pages_are_printed() {
    for shell in ["bash", "zsh", "fish"] {
        assert!(help(&["completions", shell]).contains("until-quiet"), "{shell}");
    }
    assert!(help(&["man"]).contains(".TH learn 1"));
    assert!(help(&["man", "merge"]).contains("any\\-program"));
}
