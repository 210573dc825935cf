//! Profiles as files: which formats, through which templates, under which name.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use super::apparmor::AppArmorArgs;
use super::io::{self, Destination};
use super::seccomp::{Findings, Seccomp, SeccompArgs};
use crate::explain::Output;
use crate::infer;
use crate::policy;
use crate::policy::seccomp::Derived;
use crate::record::Record;
use crate::render::{FORMATS, Format, ProfileName, SECCOMP, Templates};

/// Arguments about profiles.
#[derive(Debug, clap::Args)]
pub struct OutputArgs {
    /// Which profiles to write, separated by commas; all of them by default
    #[arg(short, long, value_name = "LIST", value_delimiter = ',', value_parser = formats())]
    format: Vec<&'static Format>,

    /// Folder with templates to use in place of the built-in ones, by file name
    #[arg(long, value_name = "DIR")]
    templates: Option<PathBuf>,

    /// Name of the profile; by default that of the program
    #[arg(long, value_name = "PROFILE")]
    name: Option<ProfileName>,

    #[command(flatten)]
    seccomp: SeccompArgs,

    #[command(flatten)]
    apparmor: AppArmorArgs,
}

fn formats() -> impl TypedValueParser<Value = &'static Format> {
    let values = FORMATS.iter().map(|format| PossibleValue::new(format.name).help(format.description));
    PossibleValuesParser::new(values)
        .try_map(|name| Format::named(&name).ok_or_else(|| format!("no format is named {name}")))
}

/// What to write, resolved: templates are read and parsed, so that a mistake is found before a workload starts.
pub struct Outputs {
    formats: Vec<&'static Format>,
    templates: Templates,
    name: Option<ProfileName>,
    generality: infer::Options,
    options: policy::Options,
    seccomp: Seccomp,
}

impl Outputs {
    /// Resolves the arguments.
    ///
    /// # Errors
    /// A folder or template that cannot be read or parsed.
    pub fn new(args: &OutputArgs) -> Result<Self> {
        let replacements = args.templates.as_deref().map_or_else(|| Ok(BTreeMap::new()), read_templates)?;
        let templates = Templates::new(replacements).with_context(|| match &args.templates {
            Some(folder) => folder.display().to_string(),
            None => "built in".to_owned(),
        })?;
        let seccomp = args.seccomp.resolve()?;
        let wanted = |format: &&Format| {
            args.format.is_empty() && !format.asked || args.format.iter().any(|chosen| chosen.name == format.name)
        };
        Ok(Self {
            formats: FORMATS.iter().filter(wanted).collect(),
            templates,
            name: args.apparmor.container().or(args.name.as_ref()).cloned(),
            generality: args.apparmor.needs(),
            options: policy::Options { seccomp: seccomp.options.clone(), apparmor: args.apparmor.options()? },
            seccomp,
        })
    }

    /// The same, once every template has rendered an empty record: most of their mistakes show by that.
    ///
    /// # Errors
    /// The first mistake.
    pub fn tried(self) -> Result<Self> {
        let record = Record::default();
        let needs = self.needs(&record);
        for format in &self.formats {
            self.render(format, &needs, &mut std::io::sink())?;
        }
        Ok(self)
    }

    /// Writes every format into `folder`, which is made when it does not exist. Returns the files, in the order of
    /// [`FORMATS`]; each is replaced as a whole or not at all.
    ///
    /// # Errors
    /// The first file that could not be written, with its name.
    pub fn write(&self, needs: &infer::Needs<'_>, folder: &Path) -> Result<Vec<PathBuf>> {
        io::prepare_folder(folder)?;
        let name = self.profile_name(needs);
        let mut files = Vec::new();
        for format in &self.formats {
            let path = folder.join(format.file_name(&name));
            io::write(&Destination::File(path.clone()), |out| self.render(format, needs, out))?;
            files.push(path);
        }
        Ok(files)
    }

    /// The seccomp profile for these needs, if it is among what is written.
    #[must_use]
    pub fn seccomp(&self, needs: &infer::Needs<'_>) -> Option<Derived> {
        let written = self.formats.iter().any(|format| format.name == SECCOMP);
        written.then(|| Derived::new(needs, &self.options.seccomp))
    }

    /// What is wrong with the seccomp profile by what was asked for.
    #[must_use]
    pub(super) fn findings(&self, needs: &infer::Needs<'_>) -> Findings {
        self.seccomp.findings(needs)
    }

    /// The needs of a record, as they are written.
    #[must_use]
    pub fn needs<'r>(&self, record: &'r Record) -> infer::Needs<'r> {
        infer::infer(record, &self.generality)
    }

    /// Writes the one chosen format to standard output.
    ///
    /// # Errors
    /// When more than one format was chosen, and those of writing.
    pub fn print(&self, needs: &infer::Needs<'_>) -> Result<()> {
        let [format] = self.formats[..] else {
            bail!("only one format can go to standard output: choose it with --format");
        };
        io::write(&Destination::Stdout, |out| self.render(format, needs, out))
    }

    /// The text of every format that is one.
    ///
    /// # Errors
    /// Those of rendering.
    pub fn texts(&self, needs: &infer::Needs<'_>) -> Result<Vec<Output>> {
        let name = self.profile_name(needs);
        let text = |format: &&'static Format| {
            let mut text = Vec::new();
            self.render(format, needs, &mut text)?;
            Ok(Output { file: format.file_name(&name), text: String::from_utf8_lossy(&text).into_owned() })
        };
        self.formats.iter().filter(|format| format.is_text()).map(text).collect()
    }

    /// The name of the profiles for `needs`.
    fn profile_name(&self, needs: &infer::Needs<'_>) -> ProfileName {
        self.name.clone().unwrap_or_else(|| ProfileName::of(needs.origin.name.as_deref()))
    }

    fn render(&self, format: &Format, needs: &infer::Needs<'_>, to: impl Write) -> Result<()> {
        Ok(format.render(needs, &self.options, &self.profile_name(needs), &self.templates, to)?)
    }
}

/// Every template file of a folder that has the name of a built-in one. Other `.hbs` files are mistakes.
fn read_templates(folder: &Path) -> Result<BTreeMap<String, String>> {
    let mut texts = BTreeMap::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot open the folder {}", folder.display()))? {
        let name = PathBuf::from(entry?.file_name());
        if name.extension().is_some_and(|extension| extension == "hbs") {
            texts.insert(name.to_string_lossy().into_owned(), String::new());
        }
    }
    let nested = Templates::files().filter(|file| file.contains('/') && folder.join(file).exists());
    texts.extend(nested.map(|file| (file.to_owned(), String::new())));
    for (name, text) in &mut texts {
        let path = folder.join(name);
        *text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    }
    if texts.is_empty() {
        let known = Templates::files().collect::<Vec<_>>().join(", ");
        bail!("{} holds no template; there are {known}", folder.display());
    }
    Ok(texts)
}
