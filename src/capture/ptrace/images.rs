//! What an execve maps: the program and its loader.
//!
//! Which loader that is stands in the program's file, so that a program which was executed just before and did not
//! change needs no look at `/proc/TID/maps`.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::time::Instant;

use rustix::fs::{AtFlags, CWD, StatxFlags, makedev, statx};

use super::paths::FRESH;
use crate::event::{Inode, Mapping};
use crate::path::AbsPath;

/// How many programs are remembered.
const PROGRAMS_MAX: usize = 256;

/// A file as it was when it last changed: device and inode number, and time of the last status change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Version(u32, u32, u64, i64, u32);

impl Version {
    /// That of the file at `path`, links followed.
    ///
    /// # Errors
    /// As `statx(2)`.
    pub fn of(path: &[u8]) -> io::Result<Self> {
        let found = statx(CWD, path, AtFlags::empty(), StatxFlags::INO | StatxFlags::CTIME)?;
        let changed = found.stx_ctime;
        Ok(Self(found.stx_dev_major, found.stx_dev_minor, found.stx_ino, changed.tv_sec, changed.tv_nsec))
    }

    /// Whether it is one of this inode.
    pub fn is_of(self, inode: &Inode) -> bool {
        let Self(major, minor, number, ..) = self;
        inode.id == (makedev(major, minor), number)
    }
}

#[derive(Debug)]
struct Loaded {
    /// By which of its names it was executed.
    program: AbsPath,
    mappings: Vec<Mapping>,
    /// Each other mapped file, as it was.
    files: Vec<(AbsPath, Version)>,
    since: Instant,
}

/// What was mapped for programs that were executed.
#[derive(Debug, Default)]
pub struct Images(RefCell<HashMap<Version, Loaded>>);

impl Images {
    /// What is mapped for `program`, a file of this version, which `look` tells when it is not known. Paths are those of
    /// the learner's own root.
    pub fn get(
        &self,
        program: &AbsPath,
        version: Version,
        look: impl FnOnce() -> io::Result<Vec<Mapping>>,
    ) -> io::Result<Vec<Mapping>> {
        let holds = |loaded: &&Loaded| {
            let same = |(path, then): &(AbsPath, Version)| Version::of(path.as_bytes()).is_ok_and(|now| now == *then);
            loaded.program == *program && loaded.since.elapsed() < FRESH && loaded.files.iter().all(same)
        };
        if let Some(loaded) = self.0.borrow().get(&version).filter(holds) {
            return Ok(loaded.mappings.clone());
        }
        let mappings = look()?;
        let paths = mappings.iter().map(|mapping| &mapping.path).filter(|path| *path != program);
        let mut paths: Vec<_> = paths.collect();
        paths.dedup();
        let files = paths.into_iter().map(|path| Ok((path.clone(), Version::of(path.as_bytes())?)));
        if let Ok(files) = files.collect::<io::Result<_>>() {
            let mut images = self.0.borrow_mut();
            if images.len() >= PROGRAMS_MAX {
                images.clear();
            }
            let loaded = Loaded { program: program.clone(), mappings: mappings.clone(), files, since: Instant::now() };
            images.insert(version, loaded);
        }
        Ok(mappings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::ffi::OsStrExt;
    use std::path::Path;

    #[test]
    fn a_program_with_two_names_is_known_by_each() {
        let holder = tempfile::tempdir().unwrap();
        let names = ["one", "two"].map(|name| holder.path().join(name));
        fs::write(&names[0], "").unwrap();
        fs::hard_link(&names[0], &names[1]).unwrap();
        let images = Images::default();
        for name in names.iter().chain(&names) {
            let mapping = mapping(name);
            let version = Version::of(mapping.path.as_bytes()).unwrap();
            assert!(version.is_of(&crate::capture::ptrace::view::inode(&fs::metadata(name).unwrap())));
            let found = images.get(&mapping.path, version, || Ok(vec![mapping.clone()])).unwrap();
            assert_eq!(found, std::slice::from_ref(&mapping));
        }
    }

    fn mapping(path: &Path) -> Mapping {
        let path = AbsPath::new(path.as_os_str().as_bytes()).unwrap();
        Mapping { start: 0, end: 1, executable: true, path, inode: None }
    }

    #[test]
    fn a_program_is_looked_at_again_when_it_or_its_loader_changed() {
        let holder = tempfile::tempdir().unwrap();
        let [program, loader] = ["program", "loader"].map(|name| holder.path().join(name));
        let images = Images::default();
        let looks = std::cell::Cell::new(0);
        let get = || {
            let look = || {
                looks.set(looks.get() + 1);
                Ok(vec![mapping(&program), mapping(&loader)])
            };
            let name = AbsPath::new(program.as_os_str().as_bytes()).unwrap();
            let version = Version::of(name.as_bytes()).unwrap();
            images.get(&name, version, look).unwrap().len()
        };
        // A new file has another inode than the one that is still there.
        let replace = |path: &Path| {
            fs::write(path.with_extension("new"), "").unwrap();
            fs::rename(path.with_extension("new"), path).unwrap();
        };
        replace(&program);
        replace(&loader);
        assert_eq!((get(), get(), looks.get()), (2, 2, 1));
        replace(&loader);
        assert_eq!((get(), get(), looks.get()), (2, 2, 2));
        replace(&program);
        assert_eq!((get(), get(), looks.get()), (2, 2, 3));
        fs::remove_file(&loader).unwrap();
        assert_eq!((get(), get(), looks.get()), (2, 2, 5), "what cannot be told apart is not kept");
    }
}
