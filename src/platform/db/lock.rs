//! Locks between processes of one machine, on a file beside the `SQLite` file. They end with the process, however it ends.

use std::{
    fs::File,
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};

/// A lock that is held until it is dropped.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "the open file is the lock")] File);

fn beside(database: &Path, what: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(what);
    PathBuf::from(name)
}

fn open(path: &Path) -> io::Result<File> {
    File::options().create(true).truncate(false).write(true).mode(0o600).open(path)
}

impl Lock {
    /// Only one process serves a `SQLite` file, or replaces it. `None` when another does.
    pub fn for_serving(database: &Path) -> io::Result<Option<Self>> {
        let file = open(&beside(database, ".serving"))?;
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
}
