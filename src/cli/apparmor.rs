//! Arguments about the AppArmor profile.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};

use super::words::one_of;
use crate::infer::{self, Globs};
use crate::policy::apparmor::text::{self, Files};
use crate::policy::apparmor::{Abstractions, Container, Exec, Options, PolicyAbi, abstractions};
use crate::render::ProfileName;

/// The part of the help in which they stand.
const HEADING: &str = "AppArmor profile";

/// Arguments about the AppArmor profile.
#[derive(Clone, Debug, clap::Args)]
pub struct AppArmorArgs {
    /// How far paths are generalised
    #[arg(long, help_heading = HEADING, value_name = "DEGREE", default_value = "safe", value_parser = one_of(&Globs::NAMES))]
    globs: Globs,

    /// What the programs that the workload executes run under
    #[arg(long, help_heading = HEADING, value_name = "HOW", default_value = "inherit", value_parser = one_of(&Exec::NAMES))]
    exec: Exec,

    /// Abstractions that may be included, each only when it covers rules that are needed: `none`, `base`,
    /// `auto` for those that pay, or names with commas
    #[arg(long, help_heading = HEADING, value_name = "WHICH", default_value = "none")]
    abstractions: String,

    /// Version of AppArmor's policy
    #[arg(long, help_heading = HEADING, value_name = "VERSION", default_value = "3.0", value_parser = one_of(&PolicyAbi::NAMES))]
    abi: PolicyAbi,

    /// Make the profile of a container, for `--security-opt apparmor=NAME`
    #[arg(long, help_heading = HEADING, value_name = "NAME", conflicts_with = "name")]
    container: Option<ProfileName>,

    /// Deny it the kernel's and the host's files that containers are usually denied
    #[arg(long, help_heading = HEADING, requires = "container")]
    container_denies: bool,

    /// Tell in every profile who showed what it allows, in one line each
    #[arg(long)]
    comments: bool,
}

impl AppArmorArgs {
    /// What was asked of needs.
    pub(super) fn needs(&self) -> infer::Options {
        infer::Options { globs: self.globs, comments: self.comments, shares: self.exec != Exec::Inherit }
    }

    /// The container's profile, if it is to be one.
    pub(super) const fn container(&self) -> Option<&ProfileName> {
        self.container.as_ref()
    }

    /// What was asked of the profile.
    ///
    /// # Errors
    /// An abstraction that does not exist or cannot be read.
    pub(super) fn options(&self) -> Result<Options> {
        let container = self.container.as_ref().map(|_| Container { denies: self.container_denies });
        Ok(Options { exec: self.exec, abi: self.abi, abstractions: self.chosen()?, container })
    }

    fn chosen(&self) -> Result<Abstractions> {
        if self.abstractions == "none" {
            return Ok(Abstractions::default());
        }
        let files = included_files()?;
        let frugal = self.abstractions == "auto";
        let names: Vec<_> = if frugal {
            abstractions::names(&files).map(str::to_owned).collect()
        } else {
            self.abstractions.split(',').map(|name| name.trim_start_matches("abstractions/").to_owned()).collect()
        };
        for name in names.iter().filter(|_| !frugal) {
            if !abstractions::names(&files).any(|known| known == name) {
                bail!("--abstractions: no abstraction is named `{name}` in {POLICY}/abstractions");
            }
            abstractions::read(name, &files).with_context(|| format!("--abstractions: {name} cannot be used"))?;
        }
        Ok(Abstractions { names, frugal, files: Arc::new(files) })
    }
}

/// Where AppArmor's policy is installed.
const POLICY: &str = "/etc/apparmor.d";

/// The files that policy includes: those of this machine, or the shipped summaries where there are none.
///
/// # Errors
/// A folder that cannot be read.
pub(super) fn included_files() -> Result<Files> {
    let mut files = Files::new();
    for folder in ["tunables", "abstractions"] {
        gather(Path::new(POLICY), Path::new(folder), &mut files)?;
    }
    Ok(if files.is_empty() { text::shipped() } else { files })
}

fn gather(root: &Path, folder: &Path, files: &mut Files) -> Result<()> {
    let entries = match fs::read_dir(root.join(folder)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries.with_context(|| format!("cannot open {}", root.join(folder).display()))?,
    };
    for entry in entries {
        let entry = entry?;
        let name = folder.join(entry.file_name());
        if entry.path().is_dir() {
            gather(root, &name, files)?;
        } else if let (Ok(text), Some(name)) = (fs::read_to_string(entry.path()), name.to_str()) {
            files.insert(name.to_owned(), text);
        }
    }
    Ok(())
}
