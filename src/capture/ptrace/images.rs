//! What an execve maps: the program and its loader.
//!
//! Which loader that is stands in the program's file, so that a program which was executed just before and did not
//! change needs no look at `/proc/TID/maps`.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::time::Instant;

use rustix::fs::{AtFlags, CWD, StatxFlags, statx};

use super::paths::FRESH;
use crate::event::Mapping;
use crate::path::AbsPath;

/// How many programs are remembered.
const PROGRAMS_MAX: usize = 256;

/// A file as it was when it last changed: device and inode number, and time of the last status change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Version(u32, u32, u64, i64, u32);

#[derive(Debug)]
struct Image {
    mappings: Vec<Mapping>,
    /// Each mapped file, as it was.
    files: Vec<(AbsPath, Version)>,
    since: Instant,
}

/// What was mapped for programs that were executed.
#[derive(Debug, Default)]
pub struct Images(RefCell<HashMap<Version, Image>>);

impl Images {
    /// What is mapped for the program that `link` of `/proc` leads to, which `look` tells when it is not known. The
    /// paths that it has must be those of the learner's own root.
    pub fn get(&self, link: &str, look: impl FnOnce() -> io::Result<Vec<Mapping>>) -> io::Result<Vec<Mapping>> {
        let Ok(program) = version(link.as_ref()) else { return look() };
        let holds = |image: &&Image| {
            let same = |(path, then): &(AbsPath, Version)| version(path.as_bytes()).is_ok_and(|now| now == *then);
            image.since.elapsed() < FRESH && image.files.iter().all(same)
        };
        if let Some(image) = self.0.borrow().get(&program).filter(holds) {
            return Ok(image.mappings.clone());
        }
        let mappings = look()?;
        let mut paths: Vec<_> = mappings.iter().map(|mapping| &mapping.path).collect();
        paths.dedup();
        let files = paths.into_iter().map(|path| Ok((path.clone(), version(path.as_bytes())?)));
        if let Ok(files) = files.collect::<io::Result<_>>() {
            let mut images = self.0.borrow_mut();
            if images.len() >= PROGRAMS_MAX {
                images.clear();
            }
            images.insert(program, Image { mappings: mappings.clone(), files, since: Instant::now() });
        }
        Ok(mappings)
    }
}

fn version(path: &[u8]) -> io::Result<Version> {
    let path = std::ffi::OsStr::from_bytes(path);
    let found = statx(CWD, path, AtFlags::empty(), StatxFlags::INO | StatxFlags::CTIME)?;
    let changed = found.stx_ctime;
    Ok(Version(found.stx_dev_major, found.stx_dev_minor, found.stx_ino, changed.tv_sec, changed.tv_nsec))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

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
            images.get(program.to_str().unwrap(), look).unwrap().len()
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
