//! Files, standard streams and the terminal.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::record::{Record, file};

pub use crate::render::escape::visible;

/// Reads a record; `-` is standard input.
///
/// # Errors
/// With the file's name and what is wrong with it.
pub fn read_record(path: &Path) -> Result<Record> {
    if path == Path::new("-") {
        return file::read(io::stdin().lock()).context("standard input");
    }
    let bytes = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    file::read(bytes).with_context(|| path.display().to_string())
}

/// Makes a folder unless it is there, and makes sure that files can be made in it.
///
/// # Errors
/// Those of the file system, with the folder's name.
pub fn prepare_folder(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let probe = tempfile::tempfile_in(folder).map_err(without_path);
    probe.map(drop).with_context(|| format!("cannot write to the folder {}", folder.display()))
}

/// Writes a record; see [`write()`].
///
/// # Errors
/// Those of [`write()`].
pub fn write_record(to: &Destination, record: &Record) -> Result<()> {
    write(to, |out| Ok(file::write(record, out)?))
}

/// Where data goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Standard output.
    Stdout,
    /// A file.
    File(PathBuf),
}

impl From<&OsStr> for Destination {
    fn from(name: &OsStr) -> Self {
        if name == "-" { Self::Stdout } else { Self::File(name.into()) }
    }
}

/// Writes what `content` produces. A file gets its name only when it is whole: it is written beside that name, flushed
/// to the disk and renamed, with mode 0666 less the umask. What is no regular file (a device, a pipe) is written to as
/// it stands.
///
/// # Errors
/// Those of the file system, with the file's name, and those of `content`. The old file is untouched then.
pub fn write(to: &Destination, content: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    match to {
        Destination::Stdout => {
            let mut out = BufWriter::new(io::stdout().lock());
            content(&mut out).and_then(|()| Ok(out.flush()?)).context("cannot write to standard output")
        }
        Destination::File(path) => {
            let special = fs::metadata(path).is_ok_and(|meta| !meta.is_file());
            let done = if special { write_through(path, content) } else { replace(path, content) };
            done.with_context(|| format!("cannot write {}", path.display()))
        }
    }
}

fn write_through(path: &Path, content: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let mut out = BufWriter::new(File::options().write(true).open(path)?);
    content(&mut out)?;
    Ok(out.flush()?)
}

fn replace(path: &Path, content: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    // A link stays a link: what it points to is replaced.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let mut out = tempfile::Builder::new()
        .prefix(".learn-")
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(directory)
        .map(BufWriter::new)
        .map_err(without_path)?;
    content(&mut out)?;
    let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.as_file().sync_all()?;
    file.persist(&path)?;
    Ok(())
}

/// An error of `tempfile` without the temporary name that it adds.
fn without_path(error: io::Error) -> io::Error {
    match error.to_string().split_once(" at path ") {
        Some((plain, _)) => io::Error::new(error.kind(), plain.to_owned()),
        None => error,
    }
}

/// A line of the log on standard error.
pub(super) fn log_line(out: &mut env_logger::fmt::Formatter, record: &log::Record<'_>) -> io::Result<()> {
    let text = record.args().to_string();
    match record.level() {
        log::Level::Warn | log::Level::Info => writeln!(out, "learn: {}", visible(&text)),
        level => writeln!(out, "learn: {}: {}", level.as_str().to_ascii_lowercase(), visible(&text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x");
        let to = Destination::File(path.clone());
        write(&to, |out| Ok(out.write_all(b"old")?)).unwrap();
        let failed = write(&to, |out| {
            out.write_all(b"new")?;
            anyhow::bail!("disk full")
        });
        assert_eq!(format!("{:#}", failed.unwrap_err()), format!("cannot write {}: disk full", path.display()));
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn links_and_devices_stay_what_they_are() {
        let directory = tempfile::tempdir().unwrap();
        let (link, real) = (directory.path().join("link"), directory.path().join("real"));
        fs::write(&real, "old").unwrap();
        std::os::unix::fs::symlink("real", &link).unwrap();
        write(&Destination::File(link.clone()), |out| Ok(out.write_all(b"new")?)).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&real).unwrap(), b"new");
        write(&Destination::File("/dev/null".into()), |out| Ok(out.write_all(b"new")?)).unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }

    #[test]
    fn folders_are_probed() {
        let directory = tempfile::tempdir().unwrap();
        let nested = directory.path().join("a/b");
        prepare_folder(&nested).unwrap();
        assert_eq!(fs::read_dir(&nested).unwrap().count(), 0);
        let said = format!("{:#}", prepare_folder(Path::new("/proc/self")).unwrap_err());
        assert!(said.starts_with("cannot write to the folder /proc/self: "), "{said}");
        assert!(!said.contains("at path"), "{said}");
    }

    #[test]
    fn files_are_as_readable_as_the_umask_says() {
        let directory = tempfile::tempdir().unwrap();
        let (written, plain) = (directory.path().join("written"), directory.path().join("plain"));
        write(&Destination::File(written.clone()), |_| Ok(())).unwrap();
        fs::write(&plain, "").unwrap();
        let mode = |path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(written), mode(plain));
    }
}
