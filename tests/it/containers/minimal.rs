//! A profile holds nothing that its workload does not ask for: each call of it is asked for again by the same exercise, or
//! is one of a named set.

use std::fs::OpenOptions;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;

/// How many calls are taken out of a profile.
const TAKEN: usize = 20;
/// How many of them in a container, which takes longer.
const TAKEN_IN_CONTAINERS: usize = 3;
/// How often a server is exercised before a call counts as one that it does not make: some come by chance.
const EXERCISES: usize = 3;

/// A number by which calls are chosen: another one each time, or that of a time that failed.
fn seed() -> u64 {
    let given = std::env::var("LEARN_TEST_SEED").ok().map(|text| text.parse().unwrap());
    let seed = given.unwrap_or_else(|| getrandom::u64().unwrap());
    eprintln!("LEARN_TEST_SEED={seed}");
    seed
}

/// Some of these calls, by chance.
fn chosen(calls: &BTreeSet<String>, seed: u64) -> Vec<&String> {
    let mut calls: Vec<_> = calls.iter().collect();
    calls.sort_by_cached_key(|call| {
        let mut hasher = DefaultHasher::new();
        (seed, call).hash(&mut hasher);
        hasher.finish()
    });
    calls
}

/// The calls that `learn enforce` denies, or would, to a server in its exercise.
fn denied(learned: &Learned, profile: &Value) -> BTreeSet<String> {
    let (_fresh, dir) = fresh();
    let (file, log) = (dir.join("seccomp.json"), dir.join("log"));
    fs::write(&file, profile.to_string()).unwrap();
    learned.server.exercise(&|command| {
        let mut enforce = learn(["enforce", "--complain", "-v", "--profile"]);
        enforce.arg(&file).arg("--").args(command).env_clear().env("PATH", PATH);
        let log = OpenOptions::new().create(true).append(true).open(&log).unwrap();
        Running::start(enforce.stdin(Stdio::null()).stderr(log))
    });
    let log = fs::read_to_string(&log).unwrap();
    let told = log.lines().filter(|line| line.contains("would be denied"));
    told.filter_map(|line| Some(line.split_once(": x86_64 ")?.1.split_once('(')?.0.to_owned())).collect()
}

fn holds_nothing_in_excess(learned: &Learned) {
    let exact = allowed(&render(&learned.folder, &["--runtime", "none"]));
    let profile = learned.profile(Runtime::Runc, false);
    let (all, seed) = (allowed(&profile), seed());
    let taken: BTreeSet<_> = chosen(&all, seed).into_iter().take(TAKEN).cloned().collect();
    let less = without(&profile, &taken);
    let mut missed = BTreeSet::new();
    for _ in 0..EXERCISES {
        let told = denied(learned, &less);
        assert!(told.is_subset(&taken), "denied, but not taken out: {:?}", &told - &taken);
        missed.extend(told);
    }
    // What was not seen is there for the runtime, and the profile lists it apart.
    assert_eq!(missed, &taken & &exact, "of {taken:?}");
    let listed = profile["x-learn"].to_string();
    for call in &all - &exact {
        assert!(listed.contains(&format!("\"{call}\"")), "{call} is not accounted for: {listed}");
    }
}

/// A server does not get through its exercise in a container that is killed for a call of it.
fn breaks_without(learned: &Learned) {
    let (_fresh, dir) = fresh();
    let root = bundle::root(&dir, &[learned.server.program()]);
    let place = Place::new(&dir, &root);
    let exact = allowed(&render(&learned.folder, &["--runtime", "none"]));
    let seed = seed();
    for runtime in Runtime::ALL.into_iter().filter(|runtime| require(&[runtime.name()])) {
        let profile = learned.profile(runtime, true);
        for call in chosen(&exact, seed).into_iter().take(TAKEN_IN_CONTAINERS) {
            let mut killing = without(&profile, &[call.clone()].into());
            let rule = json!({"names": [call], "action": "SCMP_ACT_KILL_PROCESS"});
            killing["syscalls"].as_array_mut().unwrap().push(rule);
            let setup = learned.setup(true, killing);
            let exercise = || learned.server.exercise(&|command| place.start(Engine::Oci(runtime), &setup, command));
            assert!(catch_unwind(AssertUnwindSafe(exercise)).is_err(), "{runtime:?}: {call} is not needed");
        }
    }
}

#[test]
fn nothing_of_nginx_is_in_excess() {
    if require(&NEEDS) && require(&["nginx", "curl"]) {
        let learned = Learned::of(Nginx::new);
        holds_nothing_in_excess(&learned);
        breaks_without(&learned);
    }
}

#[test]
fn nothing_of_redis_is_in_excess() {
    if require(&NEEDS) && require(&["redis-server", "redis-cli"]) {
        let learned = Learned::of(Redis::new);
        holds_nothing_in_excess(&learned);
        breaks_without(&learned);
    }
}
