//! For what a profile of Docker's form is settled: this machine, or one that was named.

use std::fs;

use anyhow::{Context, Result};
use nix::sys::utsname::uname;

use crate::abi::Abi;
use crate::fact::CapabilitySet;
use crate::policy::seccomp::{Host, Kernel};

/// The capabilities that Docker gives a container (its documentation, "Runtime privilege and Linux capabilities").
pub(super) const DOCKER: CapabilitySet = CapabilitySet(0xa804_25fb);

/// This machine, for a container with these capabilities.
pub(super) fn here(capabilities: CapabilitySet) -> Result<Host> {
    let release = uname().context("cannot ask for the kernel's release (uname(2))")?;
    let release = release.release().to_string_lossy().into_owned();
    let kernel = Kernel::of_release(&release).with_context(|| format!("`{release}` is no release of a kernel"))?;
    Ok(Host { abi: Abi::native(), kernel, capabilities })
}

/// The capabilities that no program of this process can get beyond (`CapBnd`, `proc(5)`).
pub(super) fn bounding() -> Result<CapabilitySet> {
    let status = fs::read_to_string("/proc/self/status").context("cannot read /proc/self/status")?;
    let set = status.lines().find_map(|line| line.strip_prefix("CapBnd:"));
    let set = set.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok());
    set.map(CapabilitySet).context("/proc/self/status tells no CapBnd")
}
