//! Locks between processes of one machine, on a file beside the `SQLite` file. They end with the process, however it ends.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown},
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};

use super::keep::folder_of;

/// A lock that is held until it is dropped.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "the open file is the lock")] File);

/// Beside the file itself, by whichever name it was reached.
fn beside(file: &Path, what: &str) -> PathBuf {
    let itself = file.canonicalize().ok();
    let in_its_folder = || Some(folder_of(file).canonicalize().ok()?.join(file.file_name()?));
    let mut name = itself.or_else(in_its_folder).unwrap_or_else(|| file.to_owned()).into_os_string();
    name.push(what);
    PathBuf::from(name)
}

fn open(path: &Path) -> io::Result<File> {
    match File::options().create_new(true).write(true).mode(0o600).open(path) {
        Ok(file) => {
            // Made by the superuser for a command, it must not keep the server out. Others cannot give a file away.
            let owner = fs::metadata(folder_of(path))?;
            drop(fchown(&file, Some(owner.uid()), Some(owner.gid())));
            Ok(file)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => File::options().write(true).open(path),
        Err(error) => Err(error),
    }
}

impl Lock {
    /// Only one process serves a `SQLite` file, or replaces it. `None` when another does.
    pub fn for_serving(database: &Path) -> io::Result<Option<Self>> {
        Self::at_once(&beside(database, ".serving"))
    }

    /// Only one process turns the key of a key file. `None` when another does.
    pub fn for_turning(key_file: &Path) -> io::Result<Option<Self>> {
        Self::at_once(&beside(key_file, ".turning"))
    }

    fn at_once(path: &Path) -> io::Result<Option<Self>> {
        let file = open(path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self(file))),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Only one process changes the schema at a time; the others wait for it.
    pub(super) fn for_migrating(database: &Path) -> io::Result<Self> {
        let file = open(&beside(database, ".migrating"))?;
        flock(&file, FlockOperation::LockExclusive)?;
        Ok(Self(file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_file_is_served_once_and_again_after_that() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("v.sqlite");
        let first = Lock::for_serving(&database).unwrap();
        assert!(first.is_some() && Lock::for_serving(&database).unwrap().is_none());
        drop(first);
        assert!(Lock::for_serving(&database).unwrap().is_some());
    }

    #[test]
    fn one_file_is_one_file_under_every_name() {
        let folder = tempfile::tempdir().unwrap();
        let (real, other) = (folder.path().join("real"), folder.path().join("other"));
        fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink(&real, &other).unwrap();
        // Before the file is there, and after.
        for turn in 0..2 {
            let first = Lock::for_serving(&real.join("v.sqlite")).unwrap();
            assert!(first.is_some() && Lock::for_serving(&other.join("v.sqlite")).unwrap().is_none(), "{turn}");
            fs::write(real.join("v.sqlite"), "").unwrap();
        }
        std::os::unix::fs::symlink(real.join("v.sqlite"), folder.path().join("w.sqlite")).unwrap();
        let _first = Lock::for_serving(&real.join("v.sqlite")).unwrap().unwrap();
        assert!(Lock::for_serving(&folder.path().join("w.sqlite")).unwrap().is_none());
    }
}
