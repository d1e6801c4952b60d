//! A disk that forgets what nobody told it to keep when the power goes: a file system in memory (FUSE). What lasts and what does
//! not says [`super::volume`].

use std::{
    ffi::OsStr,
    fs::Permissions,
    os::unix::{ffi::OsStrExt as _, fs::PermissionsExt as _},
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, SystemTime},
};

use fuser::{
    BackgroundSession, BsdFileFlags, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty,
    ReplyEntry, ReplyOpen, ReplyWrite, Request, SessionACL, TimeOrNow, WriteFlags,
};

use vestibule::values::Randomness;

use super::volume::{Cut, Inode, Volume};

/// The kernel asks again every time: nothing is cheaper than being right.
const NEVER_OLD: Duration = Duration::ZERO;
const BLOCK: u32 = 4096;
/// As long as a disk takes, so that many a power cut comes while somebody waits for it.
const SYNC: Duration = Duration::from_millis(3);

/// A mounted disk, until it is dropped.
pub struct Forgetful {
    at: PathBuf,
    volume: Arc<Mutex<Volume>>,
    session: Option<BackgroundSession>,
}

impl Forgetful {
    /// Only an administrator of a machine with `/dev/fuse` may mount one; for everybody else there is nothing, and it says so.
    pub fn mount(at: PathBuf) -> Option<Self> {
        let seed = u64::from_le_bytes(Randomness::System.bytes());
        println!("seed of the disk {seed}");
        let volume = Arc::new(Mutex::new(Volume::new(seed)));
        match std::fs::create_dir(&at).and_then(|()| serve(&volume, &at)) {
            Ok(session) => Some(Self { at, volume, session: Some(session) }),
            Err(error) => {
                println!("skipped: a disk that forgets cannot be mounted here, it takes root and /dev/fuse ({error})");
                None
            }
        }
    }

    /// What it holds now lasts, as after a quiet night.
    pub fn settle(&self) {
        self.volume.lock().unwrap().sync_everything();
    }

    /// Whether something was written that does not last yet.
    pub fn is_behind(&self) -> bool {
        self.volume.lock().unwrap().is_behind()
    }

    /// The power goes, and with it whoever works on the disk: `kill` sends them the signal. What is on its way to the disk waits
    /// meanwhile and is lost, so that nobody alive sees the disk fail.
    pub fn lose_power(&mut self, kill: impl FnOnce()) -> Cut {
        let mut volume = self.volume.lock().unwrap();
        kill();
        let cut = volume.cut();
        // Whoever is dead, and the kernel with what it still holds, goes on writing to a disk that nobody reads.
        let left = std::mem::replace(&mut *volume, Volume::new(0));
        drop(volume);
        self.volume = Arc::new(Mutex::new(left));
        cut
    }

    /// The power is back. Whoever worked on the disk must have ended.
    pub fn get_power_back(&mut self) {
        self.session.take().unwrap().umount_and_join().unwrap();
        self.session = Some(serve(&self.volume, &self.at).unwrap());
    }

    /// The power is back, and what the disk held lies in an ordinary folder in its place: a test that opened a database on a disk
    /// that it serves itself would wait for its own answers (what is mapped is written while all memory of a process is locked).
    pub fn rescue(mut self) {
        self.session.take().unwrap().umount_and_join().unwrap();
        let mut volume = self.volume.lock().unwrap();
        for (name, inode) in volume.names().clone() {
            let (path, file) = (self.at.join(name), volume.file(inode).unwrap());
            std::fs::write(&path, &file.bytes).unwrap();
            std::fs::set_permissions(&path, Permissions::from_mode(file.mode.into())).unwrap();
        }
    }
}

impl Drop for Forgetful {
    fn drop(&mut self) {
        if self.session.is_none() {
            return;
        }
        // A test that fails may leave somebody at work on it; then it goes when they do.
        let unmounted = Command::new("umount").arg("-l").arg(&self.at).status();
        assert!(unmounted.is_ok() || std::thread::panicking());
    }
}

fn serve(volume: &Arc<Mutex<Volume>>, at: &Path) -> std::io::Result<BackgroundSession> {
    let mut config = Config::default();
    // While one waits for an fsync, others work.
    config.n_threads = Some(4);
    // A database server works on it as a user of its own.
    config.acl = SessionACL::All;
    fuser::spawn_mount(Served(Arc::clone(volume)), at, &config)
}

/// The disk as the kernel sees it.
struct Served(Arc<Mutex<Volume>>);

impl Served {
    fn volume(&self) -> MutexGuard<'_, Volume> {
        self.0.lock().unwrap()
    }
}

fn attributes(volume: &mut Volume, inode: Inode) -> Option<FileAttr> {
    let links = u32::try_from(volume.links(inode)).unwrap();
    let (kind, size, mode, (uid, gid)) = if inode == INodeNo::ROOT.0 {
        (FileType::Directory, 0, 0o700, (0, 0))
    } else {
        let file = volume.file(inode)?;
        let kind = if file.is_link { FileType::Symlink } else { FileType::RegularFile };
        (kind, file.bytes.len(), file.mode, file.owner)
    };
    let (ino, size, then) = (INodeNo(inode), u64::try_from(size).unwrap(), SystemTime::UNIX_EPOCH);
    Some(FileAttr {
        ino,
        size,
        blocks: size.div_ceil(512),
        atime: then,
        mtime: then,
        ctime: then,
        crtime: then,
        kind,
        perm: mode,
        nlink: links,
        uid,
        gid,
        rdev: 0,
        blksize: BLOCK,
        flags: 0,
    })
}

/// The mode bits of a mode that says more.
fn permissions(mode: u32) -> u16 {
    u16::try_from(mode & 0o7777).unwrap()
}

fn place(offset: u64) -> usize {
    usize::try_from(offset).unwrap()
}

fn entry(volume: &mut Volume, inode: Option<Inode>, reply: ReplyEntry) {
    match inode.and_then(|inode| attributes(volume, inode)) {
        Some(attributes) => reply.entry(&NEVER_OLD, &attributes, Generation(0)),
        None => reply.error(Errno::ENOENT),
    }
}

impl Filesystem for Served {
    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let mut volume = self.volume();
        let found = volume.find(name);
        entry(&mut volume, found, reply);
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match attributes(&mut self.volume(), inode.0) {
            Some(attributes) => reply.attr(&NEVER_OLD, &attributes),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn setattr(
        &self,
        _: &Request,
        inode: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mut volume = self.volume();
        if let Some(file) = volume.file(inode.0) {
            file.mode = mode.map_or(file.mode, permissions);
            file.owner = (uid.unwrap_or(file.owner.0), gid.unwrap_or(file.owner.1));
            if let Some(size) = size {
                volume.resize(inode.0, place(size));
            }
        }
        match attributes(&mut volume, inode.0) {
            Some(attributes) => reply.attr(&NEVER_OLD, &attributes),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn create(&self, of: &Request, _: INodeNo, name: &OsStr, mode: u32, umask: u32, _: i32, reply: ReplyCreate) {
        let bits = permissions(mode & !umask);
        let mut volume = self.volume();
        let inode = volume.make(name, bits, (of.uid(), of.gid()));
        let attributes = attributes(&mut volume, inode).unwrap();
        reply.created(&NEVER_OLD, &attributes, Generation(0), FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE);
    }

    fn symlink(&self, of: &Request, _: INodeNo, name: &OsStr, to: &Path, reply: ReplyEntry) {
        let mut volume = self.volume();
        let inode = volume.make(name, 0o777, (of.uid(), of.gid()));
        volume.write(inode, 0, to.as_os_str().as_bytes());
        volume.file(inode).unwrap().is_link = true;
        entry(&mut volume, Some(inode), reply);
    }

    fn readlink(&self, _: &Request, inode: INodeNo, reply: ReplyData) {
        match self.volume().file(inode.0) {
            Some(file) => reply.data(&file.bytes),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn link(&self, _: &Request, inode: INodeNo, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let mut volume = self.volume();
        volume.link(inode.0, name);
        entry(&mut volume, Some(inode.0), reply);
    }

    fn unlink(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.volume().take(name);
        reply.ok();
    }

    fn rename(
        &self,
        _: &Request,
        _: INodeNo,
        from: &OsStr,
        _: INodeNo,
        to: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        if !flags.is_empty() {
            return reply.error(Errno::EINVAL);
        }
        self.volume().rename(from, to);
        reply.ok();
    }

    // With the kernel's memory and not past it: what is mapped, as the index of SQLite's log is, needs that.
    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE);
    }

    fn read(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.volume().file(inode.0) {
            Some(file) => {
                let rest = file.bytes.get(place(offset)..).unwrap_or_default();
                reply.data(&rest[..rest.len().min(place(size.into()))]);
            }
            None => reply.error(Errno::EIO),
        }
    }

    fn write(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let mut volume = self.volume();
        if volume.file(inode.0).is_none() {
            return reply.error(Errno::EIO);
        }
        volume.write(inode.0, place(offset), data);
        reply.written(u32::try_from(data.len()).unwrap());
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        // A file that is closed is not on the disk for that.
        reply.ok();
    }

    fn fsync(&self, _: &Request, inode: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        std::thread::sleep(SYNC);
        let mut volume = self.volume();
        if volume.file(inode.0).is_none() {
            return reply.error(Errno::EIO);
        }
        volume.sync(inode.0);
        reply.ok();
    }

    fn fsyncdir(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.volume().sync_names();
        reply.ok();
    }

    fn readdir(&self, _: &Request, _: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let volume = self.volume();
        let all = volume.names().iter().enumerate().skip(place(offset));
        for (at, (name, inode)) in all {
            let next = u64::try_from(at + 1).unwrap();
            if reply.add(INodeNo(*inode), next, FileType::RegularFile, name) {
                break;
            }
        }
        reply.ok();
    }
}
