//! A `SQLite` file as a whole: a copy of one moment while others write, and putting such a copy into place.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, chown},
    path::{Path, PathBuf},
};

use super::{Arg, DatabaseUrl, open, plain::Plain};
use crate::values::Timestamp;

/// Why a file could not be kept or put back; each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// There is no such file.
    #[error("there is no file {0}")]
    Missing(PathBuf),
    /// It would be overwritten.
    #[error("{0} exists already. Choose another name, or overwrite it with --force")]
    Exists(PathBuf),
    /// It cannot be written, read or moved.
    #[error("cannot write {path}: {why}. Check that its folder exists, may be written to and has room")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
    /// It is damaged, or something else altogether.
    #[error("{path} is no whole database of Vestibule: {why}. Take another backup")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

fn failed(path: &Path) -> impl Fn(io::Error) -> KeepError + '_ {
    |error| KeepError::File { path: path.to_owned(), why: error.to_string() }
}

/// `path` with more behind its name.
fn beside(path: &Path, more: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(more);
    PathBuf::from(name)
}

/// The folder that a file is in.
pub(super) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A rename or a link of this file is there after a power cut when its folder has been written.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}

/// Writes everything that `database` holds at this moment into the file `to`, for this user alone, whole or not at all.
pub async fn write_copy(database: &Path, to: &Path, overwrite: bool) -> Result<u64, KeepError> {
    if !overwrite && to.exists() {
        return Err(KeepError::Exists(to.to_owned()));
    }
    let new = beside(to, &format!(".new-{}", std::process::id()));
    let written = write_new(database, &new).await;
    let put = written.and_then(|size| {
        // A link never takes another file's place, whoever made that meanwhile.
        let put = if overwrite { fs::rename(&new, to) } else { fs::hard_link(&new, to) };
        match put.and_then(|()| sync_folder(to)) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(KeepError::Exists(to.to_owned())),
            outcome => outcome.map(|()| size).map_err(failed(to)),
        }
    });
    // After a rename it is not there any more.
    drop(fs::remove_file(&new));
    put
}

async fn write_new(database: &Path, new: &Path) -> Result<u64, KeepError> {
    // Empty and closed to others before anything stands in it.
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(new).map_err(failed(new))?;
    let name = std::path::absolute(new).map_err(failed(new))?;
    let name = name.to_str().ok_or_else(|| failed(new)(ErrorKind::InvalidFilename.into()))?.to_owned();
    let damaged = |why: String| KeepError::Damaged { path: database.to_owned(), why };
    let opened = Plain::reading(&DatabaseUrl::Sqlite(database.to_owned())).await;
    let mut plain =
        opened.map_err(|error| damaged(error.to_string()))?.ok_or_else(|| KeepError::Missing(database.to_owned()))?;
    let copied = plain.execute("vacuum into $1".to_owned(), vec![Arg::from(name)]).await;
    drop(plain.close().await);
    copied.map_err(|error| KeepError::File { path: new.to_owned(), why: open::reason(&error) })?;
    let file = File::open(new).map_err(failed(new))?;
    // SQLite itself does not wait until such a copy is on the disk.
    file.sync_all().map_err(failed(new))?;
    Ok(file.metadata().map_err(failed(new))?.len())
}

/// Refuses a file that is damaged or no database. Reads all of it and changes nothing.
pub async fn check_whole(path: &Path) -> Result<(), KeepError> {
    let damaged = |why: String| KeepError::Damaged { path: path.to_owned(), why };
    let opened = Plain::reading(&DatabaseUrl::Sqlite(path.to_owned())).await;
    let mut plain =
        opened.map_err(|error| damaged(error.to_string()))?.ok_or_else(|| KeepError::Missing(path.to_owned()))?;
    let told: Result<Vec<(String,)>, _> = plain.all("pragma integrity_check(1)", vec![]).await;
    drop(plain.close().await);
    match told.map_err(|error| damaged(open::reason(&error)))?.into_iter().next() {
        Some((word,)) if word == "ok" => Ok(()),
        told => Err(damaged(told.map_or_else(|| "it cannot be checked".to_owned(), |(word,)| word))),
    }
}

/// Puts `new` in the place of `database`. What stood there is kept beside under a name with the moment; which one.
/// Nobody may work on either.
pub async fn put_into_place(new: &Path, database: &Path, now: Timestamp) -> Result<Option<PathBuf>, KeepError> {
    empty_log(new).await;
    if fs::metadata(beside(new, "-wal")).is_ok_and(|log| log.len() > 0) {
        return Err(failed(new)(ErrorKind::ResourceBusy.into()));
    }
    File::open(new).and_then(|file| file.sync_all()).map_err(failed(new))?;
    let moment = now.rfc3339().replace(['-', ':'], "");
    let kept = beside(database, &format!(".replaced-{moment}"));
    let there = database.exists();
    if there {
        empty_log(database).await;
        for more in ["", "-wal"] {
            match fs::hard_link(beside(database, more), beside(&kept, more)) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(&kept)(error)),
                _ => {}
            }
        }
    }
    let owner = fs::metadata(if there { database } else { folder_of(database) }).map_err(failed(database))?;
    // Whoever restores, perhaps the superuser, the server goes on working on it.
    chown(new, Some(owner.uid()), Some(owner.gid())).map_err(failed(new))?;
    for more in ["-wal", "-shm"] {
        match fs::remove_file(beside(database, more)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(database)(error)),
            _ => {}
        }
    }
    fs::rename(new, database).and_then(|()| sync_folder(database)).map_err(failed(database))?;
    Ok(there.then_some(kept))
}

/// Brings what stands in a file's log into the file, where it is well enough for that.
async fn empty_log(database: &Path) {
    if let Ok(mut plain) = Plain::writing(&DatabaseUrl::Sqlite(database.to_owned())).await {
        // A damaged file is kept as it is, together with its log.
        drop(plain.say("pragma wal_checkpoint(truncate)").await);
        drop(plain.close().await);
    }
}
