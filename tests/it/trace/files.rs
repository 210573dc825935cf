//! Files by the kernel's own paths, with what was done to them (issue 2).

use learn::fact::GapKind;

use super::{expect, trace};
use crate::support::{fixture, fresh, require};

/// Runs a scenario and compares everything below its directory.
macro_rules! scenarios {
    ($($(#[$attribute:meta])* $test:ident: $scenario:literal, $needs:expr;)*) => {$(
        $(#[$attribute])*
        #[test]
        fn $test() {
            if require(&$needs) {
                expect($scenario);
            }
        }
    )*};
}

scenarios! {
    every_mode_of_open: "open", ["ptrace"];
    failures_are_kept_apart: "open-failures", ["ptrace"];
    modes_owners_times_and_attributes: "metadata", ["ptrace"];
    looks_without_opening: "looks", ["ptrace"];
    names_made_moved_linked_and_removed: "names", ["ptrace"];
    locks: "locks", ["ptrace"];
    executable_mappings: "executable-mappings", ["ptrace"];
    links_at_each_level: "symlinks", ["ptrace"];
    relative_paths: "relative", ["ptrace"];
    a_current_directory_that_was_removed: "removed-directory", ["ptrace"];
    files_without_a_name: "nameless", ["ptrace"];
    paths_inside_another_root: "chroot", ["ptrace", "root", "CAP_SYS_CHROOT"];
    names_that_come_to_mean_something_else: "names-that-change", ["ptrace"];
    hostile_names: "hostile-names", ["ptrace"];
    the_longest_path: "longest-path", ["ptrace"];
    /// Reading beyond the end of a string would fault, reading less would cut it.
    strings_that_end_with_their_page: "page-end", ["ptrace"];
    strings_that_cross_pages: "page-crossing", ["ptrace"];
}

/// A path that no string can name is a gap, and nothing worse.
#[test]
fn a_path_longer_than_the_longest() {
    if !require(&["ptrace"]) {
        return;
    }
    let (_fresh, dir) = fresh();
    let learned = trace([fixture().as_os_str(), "too-deep".as_ref(), dir.as_os_str()]);
    assert_eq!(learned.status(), 0);
    assert_eq!(learned.gaps(), [GapKind::UnknownPath], "{:?}", learned.record.gaps);
}

/// What the kernel could not read either is no gap.
#[test]
fn unreadable_pointers() {
    if require(&["ptrace"]) {
        assert!(expect("bad-pointers").outcomes("openat").contains(&libc::EFAULT));
    }
}
