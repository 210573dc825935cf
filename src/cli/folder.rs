//! The folder of a run: its record and its profiles.

use std::ffi::{CStr, OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::io;
use crate::path::AbsPath;
use crate::record::Record;

/// The record's name in its folder.
pub(super) const RECORD: &str = "learned.json";

/// A folder that can be written to, with the record to add to.
#[derive(Debug)]
pub(super) struct Folder {
    /// Where it is.
    pub(super) path: PathBuf,
    /// What was learned in earlier runs; empty at the first.
    pub(super) record: Record,
}

impl Folder {
    /// Makes the folder, sees whether it can be written to, and reads the record in it; `fresh` sets that aside.
    ///
    /// # Errors
    /// When it cannot be written to, or holds a record that cannot be added to; that record stays as it is.
    pub(super) fn prepare(path: PathBuf, fresh: bool, program: &CStr) -> Result<Self> {
        io::prepare_folder(&path)?;
        let file = path.join(RECORD);
        if !file.try_exists().with_context(|| format!("cannot look for {}", file.display()))? {
            return Ok(Self { path, record: Record::default() });
        }
        if fresh {
            let aside = free_name(&path)?;
            fs::rename(&file, &aside).with_context(|| format!("cannot set {} aside", file.display()))?;
            log::info!("the earlier record is now {}", aside.display());
            return Ok(Self { path, record: Record::default() });
        }
        let record = io::read_record(&file)
            .context("the record of earlier runs cannot be added to (--fresh sets it aside and starts a new one)")?;
        let program = fs::canonicalize(OsStr::from_bytes(program.to_bytes())).ok();
        let program = program.and_then(|path| AbsPath::new(path.as_os_str().as_bytes()).ok());
        if let (Some(earlier), Some(now)) = (&record.program, &program)
            && earlier != now
        {
            let shown = path.display();
            bail!("the record in {shown} is of {earlier}, not of {now}: choose another folder with -o, or --fresh");
        }
        Ok(Self { path, record })
    }
}

/// `./PROGRAM.learned`.
pub(super) fn default_path(program: &OsStr) -> PathBuf {
    let mut name = Path::new(program).file_name().unwrap_or(program).to_owned();
    name.push(OsString::from(".learned"));
    PathBuf::from(name)
}

/// The first of `learned.1.json`, `learned.2.json` and so on that does not exist.
fn free_name(folder: &Path) -> Result<PathBuf> {
    let mut names = (1..10_000).map(|number| folder.join(format!("learned.{number}.json")));
    names.find(|path| !path.exists()).with_context(|| format!("too many old records in {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_record_is_neither_read_nor_lost() {
        let holder = tempfile::tempdir().unwrap();
        let file = holder.path().join(RECORD);
        fs::write(&file, "{").unwrap();
        let prepare = |fresh| Folder::prepare(holder.path().to_owned(), fresh, c"/bin/true");
        assert!(format!("{:#}", prepare(false).unwrap_err()).contains("--fresh"));
        assert_eq!(fs::read(&file).unwrap(), b"{");
        prepare(true).unwrap();
        assert_eq!(fs::read(holder.path().join("learned.1.json")).unwrap(), b"{");
        assert!(!file.exists());
    }

    #[test]
    fn folders_are_named_after_the_program() {
        assert_eq!(default_path(OsStr::new("/usr/sbin/nginx")), Path::new("nginx.learned"));
        assert_eq!(default_path(OsStr::new("./x")), Path::new("x.learned"));
    }
}
