//! Files by the kernel's own paths, with what was done to them (issue 2).

use learn::fact::{Access, GapKind};
use learn::path::AbsPath;

use super::{MIDWAY, MODES, expect, trace, trace_with};
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

/// A look at an open file by glibc's `fstat(3)` passes a filter, though it points to a path; any other path is seen.
#[test]
fn constant_empty_paths() {
    const TIMES: u64 = 5000;
    if !require(&["ptrace", "python3"]) {
        return;
    }
    let script = format!(
        "import ctypes, os\n\
        look = ctypes.CDLL(None).fstatat\n\
        into = ctypes.create_string_buffer(256)\n\
        os.chdir('/usr/share')\n\
        top = os.open('/', os.O_RDONLY)\n\
        for _ in range({TIMES}): os.fstat(top)\n\
        for at, name in ((top, b'usr/lib'), (-100, b''), (top, b'')): look(at, name, into, 0x1000)\n"
    );
    let script = format!("{script}for _ in range({TIMES}): os.fstat(top)\n");
    for mode in MODES.into_iter().chain([MIDWAY]) {
        let learned = trace_with(mode, ["python3", "-S", "-c", &script]);
        assert_eq!(learned.status(), 0);
        for path in ["/usr/lib", "/usr/share"] {
            let path = AbsPath::new(path.as_bytes()).unwrap();
            let looked = learned.record.subjects.values().filter_map(|subject| subject.files.get(&path));
            assert!(looked.into_iter().any(|used| used.ok.contains(Access::STAT)), "{path} {mode:?}");
        }
        let calls =
            ["newfstatat", "fstat"].map(|name| learned.uses(name).flat_map(|used| used.calls.values()).sum::<u64>());
        let all = calls.iter().sum::<u64>() >= 2 * TIMES;
        // A filter from the first calls on knows of no such place yet.
        assert!(all && mode == ["--no-thin"] || !all && mode.is_empty() || mode.len() == 2, "{calls:?} {mode:?}");
    }
}
