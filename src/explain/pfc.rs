//! Lines of a filter in libseccomp's pseudo code (`seccomp_export_pfc(3)`).

use super::Reading;
use super::item;
use super::topic::Topic;
use crate::abi::{Abi, Syscall, is_call};

/// How the text begins, behind its header.
pub(super) const MARK: &str = "# pseudo filter code start";

/// What each line of a whole text is.
pub(super) fn read(text: &str) -> Vec<(&str, Reading)> {
    let (mut abi, mut block) = (None, Reading::fixed("a comment: it allows nothing"));
    let mut read = Vec::new();
    for line in text.lines() {
        let plain = line.trim();
        if let Some(rest) = plain.strip_prefix("# filter for arch ") {
            let arch = rest.split(' ').next().unwrap_or_default();
            abi = item::abi(&format!("SCMP_ARCH_{}", arch.to_ascii_uppercase()));
            block = abi.map_or(Reading::Unknown, |abi| Reading::Detail(vec![Topic::Abi(abi)]));
        } else if let Some(call) = call(plain, abi) {
            block = Reading::Detail(vec![Topic::Syscall(call, None)]);
        } else if plain == "# default action" {
            block = Reading::fixed("what happens to every call that no rule names: nobody was seen to make it");
        } else if plain == "# invalid architecture action" {
            block = Reading::fixed("what happens to calls of ABIs that nobody was seen to use");
        } else if plain.is_empty() || plain.starts_with('#') {
            read.push((line, super::apparmor::line(plain)));
            continue;
        }
        let known = ["#", "if (", "else", "action "].iter().any(|start| plain.starts_with(start));
        read.push((line, if known { block.clone() } else { Reading::Unknown }));
    }
    read
}

/// What a line is of which nobody knows where it stood: the comment before the rules of a call.
pub(super) fn line(line: &str) -> Reading {
    call(line.trim(), None).map_or(Reading::Unknown, |call| Reading::rule(Topic::Syscall(call, None)))
}

/// The call of `# filter for syscall "openat" (257) [priority: 65535]`; of one that libseccomp does not know by its number.
fn call(line: &str, abi: Option<Abi>) -> Option<Syscall> {
    let (name, rest) = line.strip_prefix("# filter for syscall \"")?.split_once("\" (")?;
    if is_call(name) {
        return Some(Syscall::Named(name.into()));
    }
    let number = rest.split(')').next()?.parse().ok()?;
    Some(abi.unwrap_or(Abi::native()).syscall(number))
}
