//! What an execve loads: the program, with its capabilities, and its loader.
//!
//! Which loader that is stands in the program's file, so that a program which was executed just before and did not
//! change needs no look at `/proc/TID/maps`.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::time::{Duration, Instant, SystemTime};

use rustix::fs::{AtFlags, CWD, StatxFlags, makedev, statx};

use super::paths::FRESH;
use crate::event::{Image, Inode};
use crate::path::AbsPath;

/// How many programs are remembered.
const PROGRAMS_MAX: usize = 256;

/// Within how long the time of a file's last change may stay the same though it changes once more: more than a tick of
/// the slowest kernel clock.
const GRAIN: Duration = Duration::from_millis(20);

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

    /// Whether a further change would show.
    fn is_settled(self, now: SystemTime) -> bool {
        let Self(.., seconds, nanoseconds) = self;
        let changed = u64::try_from(seconds).map(|seconds| Duration::new(seconds, nanoseconds));
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        changed.is_ok_and(|changed| changed + GRAIN <= now)
    }

    /// Whether it is one of this inode.
    pub fn is_of(self, inode: &Inode) -> bool {
        let Self(major, minor, number, ..) = self;
        inode.id == (makedev(major, minor), number)
    }
}

#[derive(Debug)]
struct Loaded {
    image: Image,
    /// Each other mapped file, as it was.
    files: Vec<(AbsPath, Version)>,
    since: Instant,
}

impl Loaded {
    /// When every file has a version that tells it from a later one.
    fn new(image: &Image, version: Version, now: SystemTime) -> Option<Self> {
        let mut paths: Vec<_> = image.mappings.iter().map(|mapping| &mapping.path).collect();
        paths.retain(|path| **path != image.program);
        paths.dedup();
        let files = paths.into_iter().map(|path| Ok((path.clone(), Version::of(path.as_bytes())?)));
        let files = files.collect::<io::Result<Vec<_>>>().ok()?;
        let mut versions = files.iter().map(|(_, version)| *version).chain([version]);
        let settled = versions.all(|version| version.is_settled(now));
        settled.then(|| Self { image: image.clone(), files, since: Instant::now() })
    }

    fn holds(&self) -> bool {
        let same = |(path, then): &(AbsPath, Version)| Version::of(path.as_bytes()).is_ok_and(|now| now == *then);
        self.since.elapsed() < FRESH && self.files.iter().all(same)
    }
}

/// What was loaded for programs that were executed.
#[derive(Debug, Default)]
pub struct Images(RefCell<HashMap<Version, Loaded>>);

impl Images {
    /// What is loaded for `program`, a file of this version at this time, which `look` tells when it is not known. Paths
    /// are those of the learner's own root.
    pub fn get(
        &self,
        program: &AbsPath,
        version: Version,
        now: SystemTime,
        look: impl FnOnce() -> io::Result<Image>,
    ) -> io::Result<Image> {
        let known = |loaded: &&Loaded| loaded.image.program == *program && loaded.holds();
        if let Some(loaded) = self.0.borrow().get(&version).filter(known) {
            return Ok(loaded.image.clone());
        }
        let image = look()?;
        if let Some(loaded) = Loaded::new(&image, version, now) {
            let mut images = self.0.borrow_mut();
            if images.len() >= PROGRAMS_MAX {
                images.clear();
            }
            images.insert(version, loaded);
        }
        Ok(image)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::ffi::OsStrExt;
    use std::path::Path;

    use crate::event::Mapping;

    fn image(program: &Path, others: &[&Path]) -> Image {
        let path = |path: &Path| AbsPath::new(path.as_os_str().as_bytes()).unwrap();
        let mapped = [program].into_iter().chain(others.iter().copied());
        let mappings = mapped.map(|file| Mapping { start: 0, end: 1, executable: true, path: path(file), inode: None });
        Image { program: path(program), mappings: mappings.collect(), capabilities: Vec::new() }
    }

    #[test]
    fn a_program_with_two_names_is_known_by_each() {
        let holder = tempfile::tempdir().unwrap();
        let names = ["one", "two"].map(|name| holder.path().join(name));
        fs::write(&names[0], "").unwrap();
        fs::hard_link(&names[0], &names[1]).unwrap();
        let images = Images::default();
        for name in names.iter().chain(&names) {
            let image = image(name, &[]);
            let version = Version::of(image.program.as_bytes()).unwrap();
            assert!(version.is_of(&crate::capture::ptrace::view::inode(&fs::metadata(name).unwrap())));
            let later = SystemTime::now() + GRAIN;
            assert_eq!(images.get(&image.program, version, later, || Ok(image.clone())).unwrap(), image);
        }
    }

    #[test]
    fn a_program_is_looked_at_again_when_it_or_its_loader_changed() {
        let holder = tempfile::tempdir().unwrap();
        let [program, loader] = ["program", "loader"].map(|name| holder.path().join(name));
        let images = Images::default();
        let looks = std::cell::Cell::new(0);
        let get_at = |now| {
            let image = image(&program, &[&loader]);
            let version = Version::of(image.program.as_bytes()).unwrap();
            let look = || {
                looks.set(looks.get() + 1);
                Ok(image.clone())
            };
            assert_eq!(images.get(&image.program, version, now, look).unwrap(), image);
        };
        let get = || get_at(SystemTime::now() + GRAIN);
        // A new file has another inode than the one that is still there.
        let replace = |path: &Path| {
            fs::write(path.with_extension("new"), "").unwrap();
            fs::rename(path.with_extension("new"), path).unwrap();
        };
        let looks_of_two = || {
            let before = looks.get();
            get();
            get();
            looks.get() - before
        };
        replace(&program);
        replace(&loader);
        get_at(SystemTime::now() - GRAIN);
        assert_eq!(looks_of_two(), 1, "what changed just now may change again and look the same");
        replace(&loader);
        assert_eq!(looks_of_two(), 1);
        replace(&program);
        assert_eq!(looks_of_two(), 1);
        fs::remove_file(&loader).unwrap();
        assert_eq!(looks_of_two(), 2, "what cannot be told apart is not kept");
    }
}
