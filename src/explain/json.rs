//! Lines of profiles in JSON, as the templates write them: one value on each line.

use serde_json::Value;

use super::Reading;
use super::item;
use super::topic::Topic;
use crate::abi::{Syscall, is_call};
use crate::policy::seccomp::Test;
use crate::record::class_name;

/// A place that is open around a line: a key of an object, or the number of an element.
enum Open {
    Key(String),
    Element(usize),
}

/// What each line of a whole text is.
pub(super) fn read(text: &str) -> Vec<(&str, Reading)> {
    let root = serde_json::from_str(text).unwrap_or(Value::Null);
    let mut walk = Walk { root: &root, open: Vec::new(), elements: Vec::new() };
    text.lines().map(|line| (line, walk.line(line.trim().trim_end_matches(',')))).collect()
}

struct Walk<'v> {
    root: &'v Value,
    open: Vec<Open>,
    /// How many elements each open array or object has so far.
    elements: Vec<usize>,
}

impl Walk<'_> {
    fn line(&mut self, line: &str) -> Reading {
        const FORM: &str = "part of the form of the file: it allows nothing by itself";
        if line.starts_with(['}', ']']) {
            self.open.pop();
            self.elements.pop();
            return Reading::fixed(FORM);
        }
        let (key, value) = match key_of(line) {
            Some((key, value)) => (Some(key), value),
            None => (None, line),
        };
        if let Some(count) = self.elements.last_mut() {
            *count += 1;
        } else if line != "{" {
            return Reading::Unknown;
        }
        let begun = self.elements.last().map_or(0, |count| count.saturating_sub(1));
        let here = key.map_or(Open::Element(begun), Open::Key);
        if value == "{" || value == "[" {
            if !self.elements.is_empty() {
                self.open.push(here);
            }
            self.elements.push(0);
            return Reading::fixed(FORM);
        }
        let Ok(value) = serde_json::from_str::<Value>(value) else {
            return Reading::Unknown;
        };
        self.open.push(here);
        let reading = self.value(&value);
        self.open.pop();
        reading
    }

    /// Where the line stands: `syscalls[].names[]`.
    fn place(&self) -> String {
        let mut place = String::new();
        for open in &self.open {
            match open {
                Open::Key(key) if place.is_empty() => place.push_str(key),
                Open::Key(key) => {
                    place.push('.');
                    place.push_str(key);
                }
                Open::Element(_) => place.push_str("[]"),
            }
        }
        place
    }

    /// The innermost object around the line.
    fn object(&self) -> &Value {
        let mut value = self.root;
        let mut object = value;
        for open in &self.open {
            let inner = match open {
                Open::Key(key) => value.get(key),
                Open::Element(number) => value.get(number),
            };
            value = inner.unwrap_or(&Value::Null);
            if value.is_object() {
                object = value;
            }
        }
        object
    }

    fn value(&self, value: &Value) -> Reading {
        let text = value.as_str().unwrap_or_default();
        let place = self.place();
        match place.as_str() {
            "defaultAction" | "defaultErrnoRet" => {
                Reading::fixed("what happens to every call that no rule names: nobody was seen to make it")
            }
            "architectures[]" => item::abi(text).map_or(Reading::Unknown, |abi| Reading::rule(Topic::Abi(abi))),
            "syscalls[].names[]" => self.call(Syscall::Named(text.into())),
            "syscalls[].args[]" => self.argument(value),
            "syscalls[].action" | "syscalls[].errnoRet" | "syscalls[].comment" => {
                Reading::fixed("what happens to the calls of this rule, and what the rule is for")
            }
            "flags[]" | "listenerPath" | "listenerMetadata" => Reading::fixed("how the filter is loaded"),
            "x-learn.gaps[]" => {
                let kind = item::gap(text);
                kind.map_or(Reading::Unknown, |kind| Reading::rule(Topic::Gap(kind)))
            }
            "x-learn.why[]" => {
                let call = text.split(':').next().unwrap_or_default();
                Reading::Detail(vec![Topic::Syscall(Syscall::Named(call.into()), None)])
            }
            "x-learn.gaps" => gaps(value),
            "x-learn.added[].calls[]" => Reading::rule(Topic::Member(Syscall::Named(text.into()), self.set())),
            "x-learn.added[].set" | "x-learn.added[].reason" => Reading::Fixed(self.set()),
            _ if place.starts_with("annotations.") => Reading::fixed("the whole filter, compiled for one reader"),
            "docker.drop" => Reading::fixed("of what Docker grants by default nothing here needs these"),
            "docker.add" => capabilities(value),
            "capabilities[].name" => self.kept(Reading::rule),
            _ if ["].name", "].standing", "].more", "].shown", "].reasons[]"]
                .iter()
                .any(|end| place.ends_with(end)) =>
            {
                self.kept(|topic| Reading::Detail(vec![topic]))
            }
            _ if place.starts_with("x-learn.") => Reading::fixed("where the profile comes from: it allows nothing"),
            _ => Reading::Unknown,
        }
    }

    /// A call of a rule that allows it, or that says how it fails.
    fn call(&self, call: Syscall) -> Reading {
        let action = self.object().get("action").and_then(Value::as_str).unwrap_or_default();
        if matches!(action, "SCMP_ACT_ALLOW" | "SCMP_ACT_LOG") {
            return Reading::rule(Topic::Syscall(call, None));
        }
        let errno = self.object().get("errnoRet").and_then(Value::as_u64);
        let errno = errno.and_then(|errno| u16::try_from(errno).ok()).map(class_name);
        let how = errno.map_or_else(|| action.to_owned(), |errno| format!("it fails with {errno}"));
        Reading::rule(Topic::Member(call, format!("it is refused in a way of its own: {how}")))
    }

    /// What set the line is of, and why that is there.
    fn set(&self) -> String {
        let of = |name| self.object().get(name).and_then(Value::as_str).unwrap_or_default();
        format!("of the set {}, whatever the workload does: {}", of("set"), of("reason"))
    }

    /// The capability that the line speaks of.
    fn kept(&self, as_reading: fn(Topic) -> Reading) -> Reading {
        let name = self.object().get("name").and_then(Value::as_str).unwrap_or_default();
        item::capability(name).map(Topic::Capability).map_or(Reading::Unknown, as_reading)
    }

    /// A condition on an argument, of the calls of its rule.
    fn argument(&self, value: &Value) -> Reading {
        let rule = self.open.get(..2).map(|open| Walk {
            root: self.root,
            open: open.iter().map(Open::copy).collect(),
            elements: Vec::new(),
        });
        let names = rule.as_ref().and_then(|rule| rule.object().get("names")).and_then(Value::as_array);
        let names = names.into_iter().flatten().filter_map(Value::as_str);
        let calls = names.map(|name| Syscall::Named(name.into())).collect();
        let number = |name: &str| value.get(name).and_then(Value::as_u64);
        let test = value.get("op").and_then(Value::as_str).and_then(Test::named);
        match (number("index").and_then(|index| u8::try_from(index).ok()), test, number("value")) {
            (Some(index), Some(test), Some(operand)) => {
                Reading::rule(Topic::Argument(calls, index, test(operand, number("valueTwo").unwrap_or(0))))
            }
            _ => Reading::Unknown,
        }
    }
}

impl Open {
    fn copy(&self) -> Self {
        match self {
            Self::Key(key) => Self::Key(key.clone()),
            Self::Element(number) => Self::Element(*number),
        }
    }
}

/// `"key": value`.
fn key_of(line: &str) -> Option<(String, &str)> {
    let mut values = serde_json::Deserializer::from_str(line).into_iter::<String>();
    let key = values.next()?.ok()?;
    let rest = line.get(values.byte_offset()..)?.trim_start();
    Some((key, rest.strip_prefix(':')?.trim_start()))
}

fn capabilities(list: &Value) -> Reading {
    let names = list.as_array().into_iter().flatten().filter_map(Value::as_str);
    let topics: Vec<_> = names.filter_map(item::capability).map(Topic::Capability).collect();
    if topics.is_empty() { Reading::fixed("no capability stands here") } else { Reading::Detail(topics) }
}

fn gaps(list: &Value) -> Reading {
    let texts = list.as_array().into_iter().flatten().filter_map(Value::as_str);
    let kinds = texts.filter_map(item::gap);
    let topics: Vec<_> = kinds.map(Topic::Gap).collect();
    if topics.is_empty() { Reading::fixed("nothing is known to be missing") } else { Reading::Rule(topics) }
}

/// What a line is of which nobody knows where it stood.
pub(super) fn line(line: &str) -> Reading {
    let text = line.trim().trim_end_matches(',');
    let value = key_of(text).map_or(text, |(_, value)| value);
    match serde_json::from_str::<Value>(value) {
        Ok(Value::String(name)) => {
            let call = is_call(&name).then(|| Topic::Syscall(Syscall::Named(name.as_str().into()), None));
            let named = || item::capability(&name).map(Topic::Capability);
            call.or_else(|| item::abi(&name).map(Topic::Abi)).or_else(named).map_or(Reading::Unknown, Reading::rule)
        }
        Ok(list @ Value::Array(_)) => capabilities(&list),
        _ => Reading::Unknown,
    }
}
