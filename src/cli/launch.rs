//! From a command line to a workload: where the program lies and who runs it.

use std::env;
use std::ffi::{CString, NulError, OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, User, access, getgrouplist, getuid};

use crate::capture;

/// Why a command cannot be started; nothing was run.
#[derive(Debug, thiserror::Error)]
pub(super) enum LaunchError {
    #[error("program `{0}` is in no directory of PATH")]
    NotInPath(String),
    #[error("there is no program `{0}`")]
    Missing(String),
    #[error("`{program}` cannot be executed: {reason}")]
    NotExecutable { program: String, reason: String },
    #[error("there is no user `{0}`")]
    NoUser(String),
    #[error("cannot look up user `{user}`")]
    Lookup { user: String, source: io::Error },
    #[error("running as another user (`{0}`) needs root")]
    NotRoot(String),
    #[error("the command holds a NUL byte")]
    Nul(#[from] NulError),
}

/// The workload that `command` (program and arguments) stands for, run as `user` or as the caller.
pub(super) fn workload(command: &[OsString], user: Option<&str>) -> Result<capture::Workload, LaunchError> {
    let program = command.first().map(OsString::as_os_str).unwrap_or_default();
    let path = find(program)?;
    let account = user.map(account).transpose()?;
    let environment = environment(account.as_ref());
    Ok(capture::Workload {
        program: CString::new(path.as_os_str().as_bytes())?,
        arguments: command.iter().map(|argument| CString::new(argument.as_bytes())).collect::<Result<_, _>>()?,
        environment: environment.into_iter().map(CString::new).collect::<Result<_, _>>()?,
        user: account.as_ref().map(identity).transpose()?,
        confinement: capture::confine::Confinement::default(),
    })
}

/// The file that a command name means: itself with a slash in it, else the first executable one in `PATH`.
fn find(program: &OsStr) -> Result<PathBuf, LaunchError> {
    let shown = || program.display().to_string();
    if program.as_bytes().contains(&b'/') {
        let path = PathBuf::from(program);
        return match path.try_exists() {
            Ok(false) => Err(LaunchError::Missing(shown())),
            _ => executable(&path).map(|()| path),
        };
    }
    let search = env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
    let candidates = env::split_paths(&search).map(|directory| directory.join(program));
    let mut refused = LaunchError::NotInPath(shown());
    for path in candidates.filter(|path| path.is_file()) {
        match executable(&path) {
            Ok(()) => return Ok(path),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

fn executable(path: &Path) -> Result<(), LaunchError> {
    let refuse =
        |reason: &str| LaunchError::NotExecutable { program: path.display().to_string(), reason: reason.into() };
    if path.is_dir() {
        return Err(refuse("it is a directory"));
    }
    access(path, AccessFlags::X_OK).map_err(|errno| refuse(errno.desc()))
}

fn account(name: &str) -> Result<User, LaunchError> {
    let lookup = |errno: nix::errno::Errno| LaunchError::Lookup { user: name.into(), source: errno.into() };
    let found = User::from_name(name).map_err(lookup)?.ok_or_else(|| LaunchError::NoUser(name.into()))?;
    if getuid().is_root() { Ok(found) } else { Err(LaunchError::NotRoot(name.into())) }
}

/// A user's ids, all groups included, as `initgroups(3)` would set them.
fn identity(user: &User) -> Result<capture::User, LaunchError> {
    let lookup = |errno: nix::errno::Errno| LaunchError::Lookup { user: user.name.clone(), source: errno.into() };
    let name = CString::new(user.name.as_bytes())?;
    let groups = getgrouplist(&name, user.gid).map_err(lookup)?;
    Ok(capture::User {
        uid: user.uid.as_raw(),
        gid: user.gid.as_raw(),
        groups: groups.into_iter().map(nix::unistd::Gid::as_raw).collect(),
    })
}

/// The caller's environment; of another user with that one's HOME, USER, LOGNAME and SHELL.
fn environment(account: Option<&User>) -> Vec<Vec<u8>> {
    let of_account = account.map_or_else(Vec::new, |user| {
        vec![
            (OsString::from("HOME"), user.dir.clone().into_os_string()),
            ("USER".into(), user.name.clone().into()),
            ("LOGNAME".into(), user.name.clone().into()),
            ("SHELL".into(), user.shell.clone().into_os_string()),
        ]
    });
    let replaced = |name: &OsString| of_account.iter().any(|(own, _)| own == name);
    let inherited: Vec<_> = env::vars_os().filter(|(name, _)| !replaced(name)).collect();
    let joined = |(name, value): (OsString, OsString)| [name.as_bytes(), b"=", value.as_bytes()].concat();
    inherited.into_iter().chain(of_account).map(joined).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_as_a_shell_does() {
        assert!(find(OsStr::new("sh")).unwrap().is_absolute());
        assert!(matches!(find(OsStr::new("no-such-program")), Err(LaunchError::NotInPath(_))));
        assert!(matches!(find(OsStr::new("/no/such")), Err(LaunchError::Missing(_))));
        assert!(matches!(find(OsStr::new("/")), Err(LaunchError::NotExecutable { .. })));
        assert!(matches!(find(OsStr::new("/etc/passwd")), Err(LaunchError::NotExecutable { .. })));
        assert!(matches!(find(OsStr::new("")), Err(LaunchError::NotInPath(_))));
    }
}
