//! SARIF 2.1.0 (OASIS), which code hosts show beside the lines of a change.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::Level;
use super::super::report::{Report, Shown};
use super::{evidence, headline};
use crate::render::escape::visible;

/// The report as a SARIF log.
///
/// # Errors
/// Those of `serde_json`.
pub fn sarif(report: &Report) -> serde_json::Result<String> {
    let all = report.changes.iter().chain(&report.accepted);
    let mut rules = BTreeMap::new();
    for shown in all.clone() {
        rules.entry(rule_id(shown)).or_insert_with(|| {
            let text = format!("{} {}", shown.kind.name(), shown.change.name());
            json!({"id": rule_id(shown), "shortDescription": {"text": text}})
        });
    }
    let results = all.map(|shown| result(report, shown)).collect::<Vec<_>>();
    let log = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "learn",
                "version": env!("CARGO_PKG_VERSION"),
                "informationUri": env!("CARGO_PKG_REPOSITORY"),
                "rules": rules.into_values().collect::<Vec<_>>(),
            }},
            "results": results,
            "properties": {"total": report.total, "omitted": report.omitted, "notes": report.notes},
        }],
    });
    serde_json::to_string_pretty(&log).map(|text| text + "\n")
}

fn rule_id(shown: &Shown) -> String {
    format!("{}-{}", shown.kind.name(), shown.change.name())
}

fn result(report: &Report, shown: &Shown) -> Value {
    let level = match shown.level {
        Level::Critical | Level::High => "error",
        Level::Medium => "warning",
        Level::Low => "note",
        Level::Noise => "none",
    };
    let told = shown.evidence.iter().map(|witness| visible(&evidence(witness)).into_owned()).collect::<Vec<_>>();
    let mut lines = vec![format!("{}: {}", visible(&headline(shown)), shown.why)];
    lines.extend(told);
    let mut result = json!({
        "ruleId": rule_id(shown),
        "level": level,
        "message": {"text": lines.join("\n")},
        "locations": [{
            "physicalLocation": {"artifactLocation": {"uri": uri(&report.new)}, "region": {"startLine": 1}},
            "logicalLocations": [{"name": visible(&shown.item), "kind": shown.kind.name()}],
        }],
        "properties": {"risk": shown.level_name},
    });
    if let (Some(reason), Some(fields)) = (&shown.reason, result.as_object_mut()) {
        fields.insert("suppressions".to_owned(), json!([{"kind": "external", "justification": reason}]));
    }
    result
}

/// A relative reference (RFC 3986): bytes that have a meaning there are written as `%HH`.
fn uri(name: &str) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}
