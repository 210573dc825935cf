//! What the templates of capabilities see: the list with its evidence, and the same for each of its users.

use serde::Serialize;

use super::ProfileName;
use super::context::{Header, Made, header, shown};
use super::escape::Escaped;
use crate::fact::{Capability, EndFact, IdentityFact};
use crate::infer::caps::{Reason, Standing};
use crate::infer::ids::{Ids, Lower, Start};
use crate::infer::{Because, CapabilityNeed, Needs};
use crate::policy::caps::{Caps, DOCKER, granted};

/// How many reasons of one capability are written out.
const REASONS: usize = 12;

/// How many executables that ended as one user are named.
const ENDED: usize = 3;

/// What `caps.txt.hbs` and `caps.json.hbs` see.
#[derive(Serialize)]
pub(super) struct CapsView {
    origin: Header,
    kept: Vec<CapabilityView>,
    /// Granted by the kernel's word, and by no rule.
    asked: Vec<CapabilityView>,
    denied: Vec<CapabilityView>,
    /// Options for `docker run`.
    options: Escaped,
    /// The kept ones with their prefix, separated by spaces.
    bounding: Escaped,
    /// The same of a service that is not started as root.
    ambient: Escaped,
    /// The kept ones without prefix.
    short: Vec<Escaped>,
    /// Those of Docker's default set that are not kept, and those kept that it lacks; without prefix.
    docker_drop: Vec<Escaped>,
    docker_add: Vec<Escaped>,
    docker_total: usize,
    /// Lines about users and groups.
    users: Vec<Escaped>,
    starts: Vec<StartView>,
    ends: Vec<EndView>,
}

/// Who the workload was started as.
#[derive(Serialize)]
struct StartView {
    user: u32,
    group: u32,
    groups: Vec<u32>,
}

/// Who processes were when they ended.
#[derive(Serialize)]
struct EndView {
    user: u32,
    group: u32,
}

#[derive(Serialize)]
struct CapabilityView {
    name: Escaped,
    standing: Escaped,
    /// Who showed it, in one line; at most one, and only when that was asked for.
    shown: Vec<Escaped>,
    reasons: Vec<Escaped>,
    /// How many reasons more there are.
    more: usize,
}

impl CapsView {
    /// The view for text.
    pub(super) fn text(needs: &Needs<'_>, _: &ProfileName) -> Self {
        Self::new(needs, Escaped::line)
    }

    /// The view for JSON.
    pub(super) fn json(needs: &Needs<'_>, _: &ProfileName) -> Self {
        Self::new(needs, Escaped::for_json)
    }

    fn new(needs: &Needs<'_>, made: Made) -> Self {
        let policy = Caps::new(needs);
        let kept = &policy.kept;
        let view = |need: &CapabilityNeed<'_>| CapabilityView {
            name: Escaped::fixed(need.capability.name()),
            standing: Escaped::fixed(need.standing.name()),
            shown: needs.options.comments.then(|| made(&shown(&need.because()))).into_iter().collect(),
            reasons: need.reasons.iter().take(REASONS).map(|one| made(&reason(one))).collect(),
            more: need.reasons.len().saturating_sub(REASONS),
        };
        let options = kept.iter().map(|one| format!(" --cap-add={}", short(*one)));
        let names = kept.iter().map(|one| one.name()).collect::<Vec<_>>().join(" ");
        let ambient = !needs.ids.starts.is_empty() && needs.ids.starts.iter().all(|start| start.user != 0);
        let users = lines(&needs.ids);
        let start = |&Start { user, group, groups }: &Start<'_>| StartView { user, group, groups: groups.to_vec() };
        Self {
            origin: header(needs, &policy, made, &[]),
            kept: granted(&needs.capabilities).map(view).collect(),
            asked: needs.capabilities.iter().filter(|need| need.standing == Standing::Asked).map(view).collect(),
            denied: needs.capabilities.iter().filter(|need| need.standing == Standing::Denied).map(view).collect(),
            options: made(&format!("--cap-drop=ALL{}", options.collect::<String>())),
            ambient: made(if ambient { &names } else { "" }),
            bounding: made(&names),
            short: shorts(kept),
            docker_drop: shorts(DOCKER.iter().filter(|one| !kept.contains(one))),
            docker_add: shorts(kept.iter().filter(|one| !DOCKER.contains(one))),
            docker_total: DOCKER.len(),
            users: users.iter().map(|line| made(line)).collect(),
            starts: needs.ids.starts.iter().map(start).collect(),
            ends: needs.ids.ends.keys().map(|&&EndFact { user, group }| EndView { user, group }).collect(),
        }
    }
}

fn short(capability: Capability) -> &'static str {
    capability.name().strip_prefix("CAP_").unwrap_or_default()
}

fn shorts<'c>(capabilities: impl IntoIterator<Item = &'c Capability>) -> Vec<Escaped> {
    capabilities.into_iter().map(|one| Escaped::fixed(short(*one))).collect()
}

fn reason(reason: &Reason<'_>) -> String {
    let who = who(&reason.because, usize::MAX);
    let doubt = reason.doubt.as_ref().map(|doubt| format!(": {doubt}")).unwrap_or_default();
    format!("{}: {}, by {who}{doubt}", reason.standing.name(), reason.check.describe())
}

/// The executables of these causes, and how many there are beyond `most`.
fn who(because: &Because<'_>, most: usize) -> String {
    let names = because.iter().take(most).map(|cause| cause.subject.to_string()).collect::<Vec<_>>().join(", ");
    match because.len().saturating_sub(most) {
        0 => names,
        more => format!("{names} and {more} more"),
    }
}

fn start(start: &Start<'_>) -> String {
    let Start { user, group, groups } = start;
    let others = groups.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
    let others = if others.is_empty() { others } else { format!(", other groups {others}") };
    format!("starts as user {user}, group {group}{others}")
}

/// What there is to say of users and groups.
fn lines(ids: &Ids<'_>) -> Vec<String> {
    let mut lines: Vec<_> = ids.starts.iter().map(start).collect();
    lines.extend(ids.becomes.iter().map(|change| {
        let (what, real, effective, saved) = match *change {
            IdentityFact::User(real, effective, saved) => ("user", real, effective, saved),
            IdentityFact::Group(real, effective, saved) => ("group", real, effective, saved),
        };
        if real == effective && real == saved {
            format!("becomes {what} {real}")
        } else {
            format!("becomes {what} {effective} (real {real}, saved {saved})")
        }
    }));
    for (EndFact { user, group }, because) in &ids.ends {
        lines.push(format!("ends as user {user}, group {group}: {}", who(because, ENDED)));
    }
    for (execution, because) in &ids.privileged {
        let who = who(because, usize::MAX);
        lines.push(format!(
            "executes {}, whose set-ID bits or file capabilities give privileges, by {who}",
            execution.file
        ));
    }
    lines.push(match ids.privileged.len() {
        0 => "no_new_privs is possible: no set-ID or file-capability program was executed".to_owned(),
        _ => "under no_new_privs these programs would gain nothing".to_owned(),
    });
    lines.extend(ids.lower.iter().flat_map(lower));
    lines
}

fn lower(lower: &Lower) -> Vec<String> {
    let names = lower.capabilities.iter().map(|one| one.name()).collect::<Vec<_>>().join(" ");
    let with = if names.is_empty() { "no capability".to_owned() } else { names };
    let user = lower.user;
    let mut lines = vec![format!("started as user {user} it would need {with}, if it switches users only as root")];
    lines.extend(lower.obstacles.iter().map(|text| format!("in the way of that: {text}")));
    let (files, count) = &lower.owned;
    if *count > 0 {
        let names = files.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let more = count.saturating_sub(files.len());
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        lines.push(format!("to be given to user {user} where they are root's: {names}{more}"));
    }
    lines
}
