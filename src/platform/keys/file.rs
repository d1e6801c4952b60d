//! The key file: one line a key, the newest first. A line after the first key of all says from when it is used.
//!
//! ```text
//! vestibule-key-1:AAAA… from 2026-11-24T10:00:00Z
//! vestibule-key-1:BBBB…
//! ```

use std::{
    fs::{self, File},
    io::{ErrorKind, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown},
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use super::{
    KeyError, MOST,
    ring::{Key, Ring},
};
use crate::{
    platform::db::sync_folder,
    values::{Randomness, Timestamp},
};

const PREFIX: &str = "vestibule-key-1:";

/// What tells one version of the file from the next without reading it: a new one is another file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    file: (u64, u64),
    changed: (i64, i64),
    length: u64,
}

/// The stamp of the file as it is now; nothing where it cannot be seen.
pub(super) fn stamp(path: &Path) -> Option<Stamp> {
    let seen = fs::metadata(path).ok()?;
    let changed = (seen.mtime(), seen.mtime_nsec());
    Some(Stamp { file: (seen.dev(), seen.ino()), changed, length: seen.len() })
}

fn failed(path: &Path) -> impl Fn(std::io::Error) -> KeyError + '_ {
    |source| KeyError::File { path: path.to_owned(), source }
}

/// Reads the file; nothing where there is none.
pub(super) fn read(path: &Path) -> Result<Option<Ring>, KeyError> {
    match fs::read_to_string(path) {
        Ok(text) => parse(path, &Zeroizing::new(text)).map(Some),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(failed(path)(source)),
    }
}

fn parse(path: &Path, text: &str) -> Result<Ring, KeyError> {
    if fs::metadata(path).map_err(failed(path))?.permissions().mode().trailing_zeros() < 6 {
        return Err(KeyError::Readable(path.to_owned()));
    }
    let mut keys = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        keys.push(key(line).ok_or_else(|| KeyError::Malformed(path.to_owned()))?);
    }
    Ring::new(keys).ok_or_else(|| KeyError::Malformed(path.to_owned()))
}

fn key(line: &str) -> Option<Key> {
    let rest = line.trim().strip_prefix(PREFIX)?;
    let (encoded, from) = match rest.split_once(" from ") {
        None => (rest, Timestamp::from_micros(0)),
        Some((encoded, from)) => (encoded, Timestamp::from_rfc3339(from)?),
    };
    let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(encoded.trim()).ok()?);
    let (id, key) = bytes.split_first_chunk::<4>()?;
    Some(Key::new(*id, key.try_into().ok()?, from))
}

fn new_line(randomness: &Randomness, from: Option<Timestamp>) -> Zeroizing<String> {
    let bytes = Zeroizing::new(randomness.bytes::<36>());
    let encoded = Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes.as_slice()));
    Zeroizing::new(match from {
        None => format!("{PREFIX}{}\n", *encoded),
        Some(from) => format!("{PREFIX}{} from {}\n", *encoded, from.rfc3339()),
    })
}

fn write_beside(path: &Path, text: &str) -> std::io::Result<(PathBuf, File)> {
    let beside = path.with_extension(format!("new-{}", std::process::id()));
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    Ok((beside, file))
}

/// Makes the file with its first key.
pub(super) fn make(path: &Path, randomness: &Randomness) -> Result<Ring, KeyError> {
    // Written beside and linked into place: a crash leaves no half key, and of two first starts one wins.
    let (beside, _) = write_beside(path, &new_line(randomness, None)).map_err(failed(path))?;
    let linked = fs::hard_link(&beside, path);
    fs::remove_file(&beside).map_err(failed(path))?;
    match linked {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(failed(path)(error)),
        _ => sync_folder(path).map_err(failed(path))?,
    }
    read(path)?.ok_or_else(|| KeyError::Malformed(path.to_owned()))
}

/// Adds a key on top, to be used from that moment on. The old file is whole until the new one is.
pub(super) fn add(path: &Path, randomness: &Randomness, from: Timestamp) -> Result<(), KeyError> {
    let old = Zeroizing::new(fs::read_to_string(path).map_err(failed(path))?);
    if parse(path, &old)?.len() >= MOST {
        return Err(KeyError::Full(path.to_owned()));
    }
    let line = new_line(randomness, Some(from));
    let text = Zeroizing::new([line.as_str(), old.as_str()].concat());
    let (beside, file) = write_beside(path, &text).map_err(failed(path))?;
    // Whoever turns the key, perhaps the superuser, the server goes on reading it.
    let owner = fs::metadata(path).map_err(failed(path))?;
    let put = fchown(&file, Some(owner.uid()), Some(owner.gid()))
        .and_then(|()| fs::rename(&beside, path))
        .and_then(|()| sync_folder(path));
    put.map_err(|error| {
        // What could not be put into place is not left lying about.
        drop(fs::remove_file(&beside));
        failed(path)(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_made_once_and_only_its_owner_may_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        assert!(read(&path).unwrap().is_none());
        let made = make(&path, &Randomness::System).unwrap();
        assert_eq!(make(&path, &Randomness::System).unwrap().newest().id(), made.newest().id());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(read(&path), Err(KeyError::Readable(_))));
    }

    #[test]
    fn keys_are_added_on_top_and_read_again_and_there_is_an_end_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let first = make(&path, &Randomness::System).unwrap().newest().id();
        let moment = Timestamp::from_micros(1_795_356_000_000_000);
        let before = stamp(&path);
        add(&path, &Randomness::System, moment).unwrap();
        assert_ne!(stamp(&path), before);
        let two = read(&path).unwrap().unwrap();
        assert_eq!((two.len(), two.newest().from(), two.oldest().id()), (2, moment, first));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        add(&path, &Randomness::System, moment).unwrap();
        add(&path, &Randomness::System, moment).unwrap();
        assert!(matches!(add(&path, &Randomness::System, moment), Err(KeyError::Full(_))));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn what_is_no_key_file_is_refused_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        make(&path, &Randomness::System).unwrap();
        let good = fs::read_to_string(&path).unwrap();
        for bad in [String::new(), "hello".to_owned(), format!("{good}hello"), format!("{} from noon", good.trim())] {
            fs::write(&path, bad).unwrap();
            assert!(matches!(read(&path), Err(KeyError::Malformed(_))));
        }
    }
}
