//! The template engine: Handlebars, strict and without HTML escaping.

use std::collections::BTreeMap;
use std::io::Write;

use handlebars::{
    Context, Handlebars, Helper, HelperResult, Output, RenderContext, RenderErrorReason, TemplateError, no_escape,
};
use serde_json::Value;

use super::escape::is_hidden;
use super::{FORMATS, PARTIALS, RenderError};

/// The templates of all formats, parsed.
pub struct Templates(Handlebars<'static>);

impl Templates {
    /// The built-in templates, with those of `replacements` (by file name, such as `apparmor.hbs`) in their place.
    ///
    /// # Errors
    /// [`RenderError::UnknownTemplate`], or [`RenderError::Template`] for one that cannot be parsed.
    pub fn new(mut replacements: BTreeMap<String, String>) -> Result<Self, RenderError> {
        let mut engine = Handlebars::new();
        engine.set_strict_mode(true);
        engine.register_escape_fn(no_escape);
        engine.register_helper("json", Box::new(json));
        for (name, file, text) in all() {
            let replaced = replacements.remove(file);
            let text = replaced.as_deref().unwrap_or(text);
            engine.register_template_string(name, text).map_err(|error| unparsable(file, &error))?;
        }
        match replacements.into_keys().next() {
            Some(name) => Err(RenderError::UnknownTemplate { name, known: Self::files().collect() }),
            None => Ok(Self(engine)),
        }
    }

    /// The file names of all templates.
    pub fn files() -> impl Iterator<Item = &'static str> {
        all().map(|(_, file, _)| file)
    }

    /// Writes what the template of this file makes of `view`.
    pub(super) fn render(&self, file: &str, view: Value, to: impl Write) -> Result<(), RenderError> {
        self.0.render_with_context_to_write(file, &Context::from(view), to).map_err(|error| failed(file, error))
    }
}

/// Name in the engine, file name and built-in text of every template.
fn all() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    let formats =
        FORMATS.iter().filter(|format| format.is_text()).map(|format| (format.template, format.template, format.text));
    PARTIALS.iter().copied().chain(formats)
}

/// `{{json value}}`: the value as JSON text, with characters that hide or reorder text as `\uXXXX`.
fn json(
    helper: &Helper<'_>,
    _: &Handlebars<'_>,
    _: &Context,
    _: &mut RenderContext<'_, '_>,
    out: &mut dyn Output,
) -> HelperResult {
    let value = helper.param(0).ok_or(RenderErrorReason::ParamNotFoundForIndex("json", 0))?;
    if value.is_value_missing() {
        return Err(RenderErrorReason::MissingVariable(value.relative_path().cloned()).into());
    }
    let text = serde_json::to_string(value.value()).map_err(RenderErrorReason::from)?;
    if !text.contains(is_hidden) {
        return Ok(out.write(&text)?);
    }
    for c in text.chars() {
        if is_hidden(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                out.write(&format!("\\u{unit:04x}"))?;
            }
        } else {
            out.write(c.encode_utf8(&mut [0; 4]))?;
        }
    }
    Ok(())
}

fn unparsable(file: &str, error: &TemplateError) -> RenderError {
    let line = error.pos().map_or(0, |(line, _)| line);
    RenderError::Template { template: file.to_owned(), line, reason: one_line(&error.reason().to_string()) }
}

fn failed(file: &str, error: handlebars::RenderError) -> RenderError {
    let line = error.line_no.unwrap_or(0);
    let name = error.template_name.clone().unwrap_or_else(|| file.to_owned());
    let template = all().find(|(known, ..)| *known == name).map_or(name, |(_, file, _)| file.to_owned());
    match RenderErrorReason::from(error) {
        RenderErrorReason::IOError(error) => RenderError::Io(error),
        reason => RenderError::Template { template, line, reason: one_line(&reason.to_string()) },
    }
}

/// The reason in one line, without the list of everything that the grammar would take instead.
fn one_line(text: &str) -> String {
    let text = text.split(": expected ").next().unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(file: &str, text: &str) -> Result<Templates, RenderError> {
        Templates::new([(file.to_owned(), text.to_owned())].into())
    }

    #[test]
    fn built_in_templates_parse() {
        Templates::new(BTreeMap::new()).unwrap();
    }

    #[test]
    fn a_broken_template_names_its_line() {
        let error = with("apparmor.hbs", "one\n{{#each x}}\ntwo\n").err().unwrap().to_string();
        assert!(error.starts_with("template apparmor.hbs, line ") && !error.contains('\n'), "{error}");
        let error = with("aparmor.hbs", "").err().unwrap().to_string();
        assert!(error.starts_with("no template is named aparmor.hbs; there are "), "{error}");
    }

    #[test]
    fn an_unknown_name_is_an_error() {
        let templates = with("caps.txt.hbs", "one\n{{#if options}}\n{{optoins}}{{/if}}\n").unwrap();
        let view = serde_json::json!({"options": "x"});
        let error = templates.render("caps.txt.hbs", view, Vec::new()).unwrap_err().to_string();
        assert!(error.starts_with("template caps.txt.hbs, line 3: "), "{error}");
    }
}
