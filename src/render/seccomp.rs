//! What `seccomp.json.hbs` sees.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Serialize;

use super::RenderError;
use super::context::{Header, header, shown};
use super::escape::Escaped;
use crate::abi::Syscall;
use crate::infer::{Because, Needs};
use crate::policy::seccomp::{Condition, Derived, NamedSet, Options, Rule, Seccomp, Target};

/// A profile with where it comes from.
#[derive(Serialize)]
pub(super) struct SeccompView {
    origin: Header,
    /// What was added to it, and why.
    added: Vec<SetView>,
    /// What arguments are held to.
    held: Vec<Escaped>,
    /// What was seen and is not allowed, and why.
    beyond: Vec<Escaped>,
    denied: Vec<Escaped>,
    /// Who made each call; empty unless that was asked for.
    why: Vec<Escaped>,
    /// The compiled program in base64, in place of the profile; at most one.
    program: Vec<Escaped>,
    default_action: Escaped,
    /// `null` for an action without errno; so are all that may be missing.
    default_errno: Option<u16>,
    architectures: Vec<Escaped>,
    flags: Vec<Escaped>,
    /// At most one.
    listener: Vec<ListenerView>,
    rules: Vec<RuleView>,
}

#[derive(Serialize)]
struct ListenerView {
    path: Escaped,
    /// At most one.
    metadata: Vec<Escaped>,
}

/// A compiled profile as pseudo code.
#[derive(Serialize)]
pub(super) struct PseudoView {
    origin: Header,
    lines: Vec<Escaped>,
}

impl PseudoView {
    /// # Errors
    /// When libseccomp refuses the profile.
    pub(super) fn new(needs: &Needs<'_>, options: &Options) -> Result<Self, RenderError> {
        let policy = Derived::new(needs, options).profile;
        let lines = policy.pseudo_code()?.lines().map(Escaped::line).collect();
        Ok(Self { origin: header(needs, &policy, Escaped::line, &[]), lines })
    }
}

#[derive(Serialize)]
struct SetView {
    name: Escaped,
    reason: Escaped,
    calls: Vec<Escaped>,
    held: Vec<Escaped>,
}

#[derive(Serialize)]
struct RuleView {
    /// At most one.
    comment: Vec<Escaped>,
    names: Vec<Escaped>,
    action: Escaped,
    errno: Option<u16>,
    args: Vec<ConditionView>,
}

#[derive(Serialize)]
struct ConditionView {
    index: u8,
    value: u64,
    value_two: Option<u64>,
    op: Escaped,
}

impl SeccompView {
    /// # Errors
    /// When the reader would not keep all of the profile.
    pub(super) fn new(needs: &Needs<'_>, options: &Options) -> Result<Self, RenderError> {
        const SHARED: &str = "several architectures: the format allows each call for all of them";
        let derived = Derived::new(needs, options).fitting(options)?;
        let policy = &derived.profile;
        let notes = if policy.architectures.len() > 1 { &[SHARED][..] } else { &[] };
        let mut view = Self::of(policy, header(needs, policy, Escaped::for_json, notes));
        view.added = derived.added.iter().map(SetView::new).collect();
        let lines = |lines: &[String]| lines.iter().map(|line| Escaped::for_json(line)).collect();
        view.held = lines(&derived.held);
        view.beyond = lines(&derived.beyond);
        view.denied = lines(&derived.denied);
        view.why = why(needs);
        if options.target.comments() {
            for (rule, purpose) in view.rules.iter_mut().zip(&derived.purposes) {
                rule.comment.push(Escaped::for_json(purpose));
            }
        }
        if options.target == Target::CrunRaw {
            let program = policy.compile()?.program;
            view.program.push(Escaped::for_json(&BASE64.encode(program.as_flattened())));
        }
        Ok(view)
    }

    fn of(policy: &Seccomp, origin: Header) -> Self {
        let listener = policy.listener.iter().map(|listener| ListenerView {
            path: Escaped::for_json(&listener.path),
            metadata: listener.metadata.iter().map(|text| Escaped::for_json(text)).collect(),
        });
        Self {
            origin,
            added: Vec::new(),
            held: Vec::new(),
            beyond: Vec::new(),
            denied: Vec::new(),
            why: Vec::new(),
            program: Vec::new(),
            default_action: Escaped::fixed(policy.default_action.name()),
            default_errno: policy.default_action.errno(),
            architectures: policy.architectures.iter().map(|known| Escaped::fixed(known.name())).collect(),
            flags: policy.flags.iter().map(|flag| Escaped::fixed(flag.name())).collect(),
            listener: listener.collect(),
            rules: policy.syscalls.iter().map(RuleView::new).collect(),
        }
    }
}

impl SetView {
    fn new(set: &NamedSet) -> Self {
        Self {
            name: Escaped::for_json(&set.name),
            reason: Escaped::for_json(&set.reason),
            calls: names(set.calls.keys()),
            held: set.held.iter().map(|line| Escaped::for_json(line)).collect(),
        }
    }
}

impl RuleView {
    fn new(rule: &Rule) -> Self {
        Self {
            comment: Vec::new(),
            names: names(&rule.names),
            action: Escaped::fixed(rule.action.name()),
            errno: rule.action.errno(),
            args: rule.conditions.iter().map(ConditionView::new).collect(),
        }
    }
}

/// One line for each call: who made it and when.
fn why(needs: &Needs<'_>) -> Vec<Escaped> {
    let mut by = BTreeMap::<&Syscall, Because<'_>>::new();
    for (call, because) in needs.syscalls.values().flatten().filter(|_| needs.options.comments) {
        by.entry(*call).or_default().extend_from_slice(because);
    }
    by.iter().map(|(call, because)| Escaped::for_json(&format!("{call}: {}", shown(because)))).collect()
}

fn names<'c>(calls: impl IntoIterator<Item = &'c Syscall>) -> Vec<Escaped> {
    calls.into_iter().map(|call| Escaped::for_json(&call.to_string())).collect()
}

impl ConditionView {
    fn new(condition: &Condition) -> Self {
        let (op, value, value_two) = condition.test.parts();
        Self { index: condition.index, value, value_two, op: Escaped::fixed(op) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::{btree_set, vec};
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;
    use crate::abi::Abi;
    use crate::infer::{self, infer};
    use crate::policy::seccomp::{Action, Architecture, Flag, Listener, Test};
    use crate::record::Record;
    use crate::render::Templates;

    fn action() -> impl Strategy<Value = Action> {
        prop_oneof![
            select(vec![Action::Allow, Action::Log, Action::Notify, Action::Trap, Action::KillThread]),
            (0..=4095u16).prop_map(Action::Errno),
            (0..=4095u16).prop_map(Action::Trace),
        ]
    }

    fn condition() -> impl Strategy<Value = Condition> {
        let name = select(vec!["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"]);
        (0..6u8, name, any::<u64>(), any::<u64>()).prop_map(|(index, name, value, two)| Condition {
            index,
            test: Test::named(&format!("SCMP_CMP_{name}")).unwrap()(value, two),
        })
    }

    fn rule() -> impl Strategy<Value = Rule> {
        let name =
            (0..450u32).prop_map(|number| Abi::I386.syscall(number)).prop_filter("named", |call| call.name().is_some());
        (btree_set(name, 1..4), action(), vec(condition(), 0..4)).prop_map(|(names, action, conditions)| Rule {
            names,
            action,
            conditions,
        })
    }

    proptest! {
        // Parsing the templates is what takes time.
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_profile_reads_back_as_it_was(
            default_action in action(),
            architectures in btree_set(select(vec!["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_S390X"]), 0..3),
            flags in btree_set(select(&Flag::ALL[..]), 0..4),
            listener in any::<Option<(String, Option<String>)>>(),
            syscalls in vec(rule(), 0..4),
        ) {
            let record = Record::default();
            let needs = infer(&record, &infer::Options::default());
            let mut profile = Seccomp::new(&needs);
            profile.default_action = default_action;
            profile.architectures = architectures.into_iter().map(|name| Architecture::named(name).unwrap()).collect();
            profile.flags = flags;
            profile.listener = listener.map(|(path, metadata)| Listener { path, metadata });
            profile.syscalls = syscalls;
            let view = SeccompView::of(&profile, header(&needs, &profile, Escaped::for_json, &[]));
            let mut text = Vec::new();
            let templates = Templates::new(BTreeMap::new()).unwrap();
            templates.render("seccomp.json.hbs", serde_json::to_value(view).unwrap(), &mut text).unwrap();
            let text = String::from_utf8(text).unwrap();
            prop_assert_eq!(Seccomp::parse(&text).map_err(|error| format!("{error}\n{text}")), Ok(profile));
        }
    }
}
