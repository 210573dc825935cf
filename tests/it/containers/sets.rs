//! The runtimes' own calls, as the project's data has them: with them a container starts, and without any one of them it
//! does not.

use super::*;

/// The runtimes' sets (`src/policy/seccomp/data/runtimes.toml`), as far as it matters here.
#[derive(serde::Deserialize)]
struct Data {
    set: Vec<Set>,
}

#[derive(serde::Deserialize)]
struct Set {
    runtime: String,
    version: String,
    no_new_privs: bool,
    calls: BTreeSet<String>,
}

/// Calls that the runtime of Go, in which runc is written, makes when threads meet or are interrupted: most starts do
/// without them, and for those that do not they are in the sets.
const BY_CHANCE: [&str; 2] = ["futex", "rt_sigreturn"];

/// Calls that may be refused to a runtime: the container starts, but keeps descriptors that were to be closed, or cannot
/// open its standard output again.
const STARTS_WITHOUT: [&str; 4] = ["close", "close_range", "fchown", "fcntl"];

/// How often a container has to start that should.
const STARTS: usize = 5;

/// The set of the runtime that is installed, if it is one that was measured.
fn measured(runtime: Runtime, no_new_privs: bool) -> Option<Set> {
    let data: Data = toml::from_str(include_str!("../../../src/policy/seccomp/data/runtimes.toml")).unwrap();
    let version = runtime.version();
    let is_it = |set: &Set| set.runtime == runtime.name() && set.version == version && set.no_new_privs == no_new_privs;
    let set = data.set.into_iter().find(is_it);
    if set.is_none() {
        eprintln!("not measured: {} {version}, no_new_privs {no_new_privs}", runtime.name());
    }
    set
}

/// What keeps a container from starting by the installed runtime under a profile that does not know it, if that runtime
/// was measured.
pub fn lacking(runtime: Runtime, no_new_privs: bool, profile: &Value) -> Option<Vec<String>> {
    let dispensable = [&BY_CHANCE[..], &STARTS_WITHOUT].concat();
    let lacking = &measured(runtime, no_new_privs)?.calls - &allowed(profile);
    Some(lacking.into_iter().filter(|call| !dispensable.contains(&call.as_str())).collect())
}

/// Containers of what does nothing, by one runtime.
struct Idle {
    place: Place,
    folder: PathBuf,
    data: PathBuf,
    _fresh: [TempDir; 3],
}

impl Idle {
    fn new() -> Self {
        let [(a, dir), (b, folder), (c, data)] = [fresh(), fresh(), fresh()];
        let root = bundle::root(&dir, &[]);
        let probe = root.join(bundle::PROBE.trim_start_matches('/'));
        let command = [probe.as_os_str(), OsStr::new("231")];
        let learned = finish(learn(["--quiet", "-o"]).arg(&folder).arg("--").args(command));
        assert!(learned.status.success(), "{}", String::from_utf8_lossy(&learned.stderr));
        Self { place: Place::new(&dir, &root), folder, data, _fresh: [a, b, c] }
    }

    fn starts(&self, runtime: Runtime, no_new_privs: bool, profile: &Value) -> bool {
        let setup = Setup { no_new_privs, profile: profile.clone(), capabilities: Vec::new(), data: self.data.clone() };
        self.place.starts(runtime, &setup)
    }
}

fn is_enough_and_minimal(runtime: Runtime) {
    if !require(&NEEDS) || !require(&[runtime.name()]) {
        return;
    }
    let idle = Idle::new();
    for no_new_privs in [true, false] {
        let what = format!("{} with no_new_privs {no_new_privs}", runtime.name());
        let profile = render(&idle.folder, &for_runtime(runtime, no_new_privs));
        let exact = render(&idle.folder, &["--runtime", "none"]);
        assert_eq!(allowed(&exact), ["execve", "exit_group"].map(str::to_owned).into());
        let killing = [&for_runtime(runtime, no_new_privs)[..], &["--errno", "kill"]].concat();
        for profile in [&profile, &render(&idle.folder, &killing)] {
            let started = (0..STARTS).filter(|_| idle.starts(runtime, no_new_privs, profile)).count();
            assert_eq!(started, STARTS, "{what}: {:?}", allowed(profile));
        }
        let Some(needed) = lacking(runtime, no_new_privs, &exact) else { continue };
        // Without the whole set it starts only if nothing of it is needed that the workload does not do itself.
        assert_eq!(idle.starts(runtime, no_new_privs, &exact), needed.is_empty(), "{what}: without {needed:?}");
        for call in needed {
            let less = without(&profile, &[call.clone()].into());
            assert!(!idle.starts(runtime, no_new_privs, &less), "{what}: {call} is not needed");
        }
    }
}

#[test]
fn what_runc_needs_itself_is_enough_and_minimal() {
    is_enough_and_minimal(Runtime::Runc);
}

#[test]
fn what_crun_needs_itself_is_enough_and_minimal() {
    is_enough_and_minimal(Runtime::Crun);
}
