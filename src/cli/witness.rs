//! `--kernel-evidence`: what the kernel says of capabilities, as facts.

use crate::abi::Syscall;
use crate::capture::kernel::{Asked, EvidenceError, KernelEvidence};
use crate::event::{Origin, Outcome, Tid};
use crate::fact::{Capability, CapabilitySet, Check, Fact, Gap, GapKind, Operation};

/// The kernel as a witness of one run; silent when it was not called.
pub(super) struct Witness {
    evidence: Option<KernelEvidence>,
    /// Whether the workload's own program runs: before that it is our child that is asked.
    begun: bool,
    failure: Option<EvidenceError>,
}

impl Witness {
    /// Calls it, when `wanted`.
    pub(super) fn new(wanted: bool) -> Result<Self, EvidenceError> {
        let evidence = wanted.then(KernelEvidence::open).transpose()?;
        Ok(Self { evidence, begun: false, failure: None })
    }

    /// A task appeared.
    pub(super) fn born(&mut self, tid: Tid, origin: Origin) {
        if let (Origin::Root, Some(evidence)) = (origin, &mut self.evidence) {
            self.failure = evidence.follow(tid).err();
        }
    }

    /// A task runs a new program.
    pub(super) fn exec(&mut self) {
        if !std::mem::replace(&mut self.begun, true)
            && let Some(evidence) = &mut self.evidence
        {
            evidence.take();
        }
    }

    /// What it said since the last time: the task, the fact and its outcome.
    pub(super) fn take(&mut self) -> Vec<(Tid, Fact, Outcome)> {
        let asked = self.evidence.as_mut().filter(|_| self.begun).map(KernelEvidence::take).unwrap_or_default();
        asked.into_iter().filter_map(fact).collect()
    }

    /// What it did not see.
    pub(super) fn gap(&mut self) -> Option<Gap> {
        let evidence = self.evidence.as_ref()?;
        let detail = match (self.failure.take(), evidence.told()) {
            (Some(error), _) => format!("the kernel's evidence could not be had: {error}"),
            (None, (false, _)) => {
                "the kernel told nothing about capabilities: learn may be in a PID namespace of its own".to_owned()
            }
            (None, (true, 1..)) => "some of the kernel's evidence about capabilities was lost".to_owned(),
            (None, (true, 0)) => return None,
        };
        Some(Gap { kind: GapKind::Limit, detail })
    }
}

fn fact(asked: Asked) -> Option<(Tid, Fact, Outcome)> {
    let capability = *Capability::ALL.get(usize::from(asked.capability))?;
    let call = Syscall::Named(asked.call.unwrap_or_else(|| "kernel".to_owned()).into());
    let operation = Operation::Observed { capability, by: asked.by };
    let check = Check { call, operation, ids: (0, 0), effective: CapabilitySet::default() };
    let outcome = if asked.granted { Outcome::Returned(0) } else { Outcome::Failed(libc::EPERM) };
    Some((asked.tid, Fact::Check(check), outcome))
}
