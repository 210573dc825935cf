//! Texts of policies, through templates.
//!
//! # Adding a format
//!
//! Write `templates/NAME.hbs`, a view for it in `context.rs` and a row in [`FORMATS`]; for a new kind of rule also a
//! type in [`crate::policy`]. The property tests and goldens run over all of `FORMATS`, so they find the new row.
//!
//! Templates are Handlebars without logic (`each`, `if`, `unless`, partials) and strict: a name that the view lacks is
//! an error. Nothing is escaped by the engine, since views hold [`escape::Escaped`] text only; in a JSON template every
//! value goes through the `json` helper.

mod apparmor;
mod caps;
mod context;
mod engine;
pub mod escape;
mod name;
mod seccomp;

use std::io::{self, Write};

use serde_json::Value;

use crate::infer::Needs;
use crate::policy::apparmor::AppArmor;
use crate::policy::caps::Caps;
use crate::policy::seccomp::{CompileError, Derived, TargetError, fits};
use crate::policy::{Options, Policy};

pub use context::date;
pub use engine::Templates;
pub use name::{BadName, ProfileName};

/// Compiles a program out of needs.
type Compile = fn(&Needs<'_>, &Options) -> Result<Vec<u8>, RenderError>;

/// One output format.
#[derive(Debug)]
pub struct Format {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is, for help.
    pub description: &'static str,
    /// The file that it is written to; `%` stands for the profile's name.
    file: &'static str,
    /// The template's file.
    template: &'static str,
    /// The template that is built in.
    text: &'static str,
    /// Its typed rules.
    policy: fn(&Needs<'_>, &Options) -> Box<dyn Policy>,
    /// What its template sees.
    view: fn(&Needs<'_>, &ProfileName, &Options) -> Result<Value, RenderError>,
    /// Whether the text must be JSON; it is read back before it is handed out.
    json: bool,
    /// Whether it is written only when it is asked for by name.
    pub asked: bool,
    /// Makes a program, which is no text and has no template.
    program: Option<Compile>,
}

/// The name of the format whose readers bound its length.
pub const SECCOMP: &str = "seccomp";

/// Every format, in the order in which they are written and shown.
pub const FORMATS: &[Format] = &[
    Format {
        name: SECCOMP,
        description: "seccomp profile of the OCI runtime-spec (Docker, Podman, containerd, Kubernetes)",
        file: "seccomp.json",
        template: "seccomp.json.hbs",
        text: include_str!("../../templates/seccomp.json.hbs"),
        policy: |needs, options| Box::new(Derived::new(needs, &options.seccomp).profile),
        view: |needs, _, options| Ok(serde_json::to_value(seccomp::SeccompView::new(needs, &options.seccomp)?)?),
        json: true,
        asked: false,
        program: None,
    },
    Format {
        name: "apparmor",
        description: "AppArmor profile, to be loaded by apparmor_parser",
        file: "%.apparmor",
        template: "apparmor.hbs",
        text: include_str!("../../templates/apparmor.hbs"),
        policy: |needs, options| Box::new(AppArmor::new(needs, &options.apparmor)),
        view: |needs, name, options| Ok(apparmor::view(needs, name, &options.apparmor)?),
        json: false,
        asked: false,
        program: None,
    },
    Format {
        name: "caps",
        description: "capabilities with the evidence for each, for docker run, systemd and Kubernetes",
        file: "capabilities.txt",
        template: "caps.txt.hbs",
        text: include_str!("../../templates/caps.txt.hbs"),
        policy: |needs, _| Box::new(Caps::new(needs)),
        view: |needs, name, _| Ok(serde_json::to_value(caps::CapsView::text(needs, name))?),
        json: false,
        asked: false,
        program: None,
    },
    Format {
        name: "caps-json",
        description: "the same as JSON, for programs",
        file: "capabilities.json",
        template: "caps.json.hbs",
        text: include_str!("../../templates/caps.json.hbs"),
        policy: |needs, _| Box::new(Caps::new(needs)),
        view: |needs, name, _| Ok(serde_json::to_value(caps::CapsView::json(needs, name))?),
        json: true,
        asked: false,
        program: None,
    },
    Format {
        name: "bpf",
        description: "the seccomp profile as the kernel's program, compiled by libseccomp for this machine",
        file: "seccomp.bpf",
        template: "",
        text: "",
        policy: |needs, options| Box::new(Derived::new(needs, &options.seccomp).profile),
        view: |_, _, _| Ok(Value::Null),
        json: false,
        asked: true,
        program: Some(|needs, options| {
            let profile = Derived::new(needs, &options.seccomp).profile;
            Ok(profile.compile()?.program.as_flattened().to_vec())
        }),
    },
    Format {
        name: "pfc",
        description: "the same as libseccomp's pseudo code, for people",
        file: "seccomp.pfc",
        template: "seccomp.pfc.hbs",
        text: include_str!("../../templates/seccomp.pfc.hbs"),
        policy: |needs, options| Box::new(Derived::new(needs, &options.seccomp).profile),
        view: |needs, _, options| Ok(serde_json::to_value(seccomp::PseudoView::new(needs, &options.seccomp)?)?),
        json: false,
        asked: true,
        program: None,
    },
];

/// Templates that others include, by the name in `{{> name}}`.
const PARTIALS: &[(&str, &str, &str)] = &[
    ("header", "partials/header.hbs", include_str!("../../templates/partials/header.hbs")),
    ("rules", "partials/rules.hbs", include_str!("../../templates/partials/rules.hbs")),
];

/// Why nothing was rendered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RenderError {
    /// A template is wrong.
    #[error("template {template}, line {line}: {reason}")]
    Template {
        /// Its file.
        template: String,
        /// The line, from 1; 0 when the engine does not tell.
        line: usize,
        /// What is wrong, in one line.
        reason: String,
    },
    /// A name that no template has.
    #[error("no template is named {name}; there are {}", known.join(", "))]
    UnknownTemplate {
        /// The name given.
        name: String,
        /// The names that there are.
        known: Vec<&'static str>,
    },
    /// What a JSON template wrote is no JSON.
    #[error("template {template} wrote no JSON")]
    NotJson {
        /// Its file.
        template: String,
        /// Where and why.
        #[source]
        reason: serde_json::Error,
    },
    /// What a template is to see cannot be told.
    #[error("a view of the profile cannot be made")]
    View(#[from] serde_json::Error),
    /// Its reader would not take the profile as it is.
    #[error(transparent)]
    Unfit(#[from] TargetError),
    /// libseccomp cannot compile it.
    #[error("cannot compile the profile")]
    Uncompiled(#[from] CompileError),
    /// The text could not be written.
    #[error(transparent)]
    Io(io::Error),
}

impl Format {
    /// The row of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        FORMATS.iter().find(|format| format.name == name)
    }

    /// Whether it is a text rather than a program.
    #[must_use]
    pub const fn is_text(&self) -> bool {
        self.program.is_none()
    }

    /// The file that a profile of this name is written to.
    #[must_use]
    pub fn file_name(&self, profile: &ProfileName) -> String {
        self.file.replace('%', profile.as_str())
    }

    /// The typed rules for `needs`.
    #[must_use]
    pub fn policy(&self, needs: &Needs<'_>, options: &Options) -> Box<dyn Policy> {
        (self.policy)(needs, options)
    }

    /// Writes the profile for `needs`. Equal needs and options give equal bytes.
    ///
    /// # Errors
    /// See [`RenderError`]. With an error some of the text may have been written to `to`, except in JSON.
    pub fn render(
        &self,
        needs: &Needs<'_>,
        options: &Options,
        profile: &ProfileName,
        templates: &Templates,
        mut to: impl Write,
    ) -> Result<(), RenderError> {
        let not_json = |reason| RenderError::NotJson { template: self.template.to_owned(), reason };
        if let Some(program) = self.program {
            return to.write_all(&program(needs, options)?).map_err(RenderError::Io);
        }
        let view = (self.view)(needs, profile, options)?;
        if !self.json {
            return templates.render(self.template, view, to);
        }
        let mut text = Vec::new();
        templates.render(self.template, view, &mut text)?;
        serde_json::from_slice::<serde::de::IgnoredAny>(&text).map_err(not_json)?;
        if self.name == SECCOMP {
            fits(text.len())?;
        }
        to.write_all(&text).map_err(RenderError::Io)
    }
}
