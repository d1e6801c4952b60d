//! What a disk holds, and what it is left with when the power goes: one folder of files, in memory.
//!
//! What a power cut leaves:
//! - Of a file, everything up to its last `fsync` or `fdatasync`. Of each write and each new length since then the disk may have
//!   taken all, the first sectors, or nothing, and of two writes the later one without the earlier one.
//! - Of the folder, every name up to the folder's own last `fsync`. Names are journalled: of what was done to them since then, the
//!   first so many steps. `fsync` of a file makes its name last on ext4; here it does not, as POSIX does not promise it.
//! - Owners and modes, always.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
};

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

/// A number that names a file, whatever it is called.
pub type Inode = u64;

/// Numbers that look random and are the same again for the same seed (`SplitMix64`).
#[derive(Debug)]
struct Dice(u64);

impl Dice {
    /// One of the numbers from 0 to `most`.
    fn up_to(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let choices = u64::try_from(most).unwrap() + 1;
        usize::try_from((mixed ^ (mixed >> 31)) % choices).unwrap()
    }
}

/// What was done to the octets of a file.
#[derive(Debug)]
enum Change {
    Written(usize, Vec<u8>),
    Resized(usize),
}

impl Change {
    fn apply_to(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Written(at, data) => {
                let end = at + data.len();
                bytes.resize(bytes.len().max(end), 0);
                bytes[*at..end].copy_from_slice(data);
            }
            Self::Resized(length) => bytes.resize(*length, 0),
        }
    }

    /// As much of it as reached the disk, by chance.
    fn perhaps(self, dice: &mut Dice, cut: &mut Cut) -> Option<Self> {
        match (dice.up_to(2), self) {
            (0, _) => {
                cut.dropped += 1;
                None
            }
            (1, Self::Written(at, mut data)) if data.len() > SECTOR => {
                cut.torn += 1;
                data.truncate(SECTOR * dice.up_to(data.len() / SECTOR));
                Some(Self::Written(at, data))
            }
            (_, whole) => {
                cut.kept += 1;
                Some(whole)
            }
        }
    }
}

#[derive(Debug, Default)]
pub struct File {
    pub bytes: Vec<u8>,
    pub mode: u16,
    pub owner: (u32, u32),
    /// It is a name for something elsewhere, and its octets are where that is.
    pub is_link: bool,
    on_disk: Vec<u8>,
    since: Vec<Change>,
}

/// What was done to the names in the folder.
#[derive(Debug)]
enum Step {
    Put(OsString, Inode),
    Taken(OsString),
    Moved(OsString, OsString),
}

type Names = BTreeMap<OsString, Inode>;

impl Step {
    fn apply_to(&self, names: &mut Names) {
        match self {
            Self::Put(name, inode) => drop(names.insert(name.clone(), *inode)),
            Self::Taken(name) => drop(names.remove(name)),
            Self::Moved(from, to) => {
                let inode = names.remove(from).unwrap();
                names.insert(to.clone(), inode);
            }
        }
    }
}

/// What became of the changes that no `fsync` had asked for.
#[derive(Debug, Default, Clone, Copy)]
pub struct Cut {
    pub kept: usize,
    pub torn: usize,
    pub dropped: usize,
}

/// The disk.
#[derive(Debug)]
pub struct Volume {
    files: BTreeMap<Inode, File>,
    names: Names,
    names_on_disk: Names,
    steps: Vec<Step>,
    last: Inode,
    dice: Dice,
}

impl Volume {
    /// An empty one, whose luck is the seed's.
    pub fn new(seed: u64) -> Self {
        let (names, names_on_disk) = (Names::new(), Names::new());
        // The folder itself is 1.
        Self { files: BTreeMap::new(), names, names_on_disk, steps: Vec::new(), last: 1, dice: Dice(seed) }
    }

    pub const fn names(&self) -> &Names {
        &self.names
    }

    pub fn find(&self, name: &OsStr) -> Option<Inode> {
        self.names.get(name).copied()
    }

    pub fn links(&self, inode: Inode) -> usize {
        self.names.values().filter(|known| **known == inode).count()
    }

    pub fn file(&mut self, inode: Inode) -> Option<&mut File> {
        self.files.get_mut(&inode)
    }

    pub fn make(&mut self, name: &OsStr, mode: u16, owner: (u32, u32)) -> Inode {
        self.last += 1;
        self.files.insert(self.last, File { mode, owner, ..File::default() });
        self.link(self.last, name);
        self.last
    }

    pub fn link(&mut self, inode: Inode, name: &OsStr) {
        self.step(Step::Put(name.to_owned(), inode));
    }

    pub fn take(&mut self, name: &OsStr) {
        self.step(Step::Taken(name.to_owned()));
    }

    pub fn rename(&mut self, from: &OsStr, to: &OsStr) {
        self.step(Step::Moved(from.to_owned(), to.to_owned()));
    }

    fn step(&mut self, step: Step) {
        step.apply_to(&mut self.names);
        self.steps.push(step);
    }

    pub fn write(&mut self, inode: Inode, at: usize, data: &[u8]) {
        self.change(inode, Change::Written(at, data.to_vec()));
    }

    pub fn resize(&mut self, inode: Inode, length: usize) {
        self.change(inode, Change::Resized(length));
    }

    fn change(&mut self, inode: Inode, change: Change) {
        let file = self.files.get_mut(&inode).unwrap();
        change.apply_to(&mut file.bytes);
        file.since.push(change);
    }

    /// From now on what the file holds lasts.
    pub fn sync(&mut self, inode: Inode) {
        let file = self.files.get_mut(&inode).unwrap();
        for change in file.since.drain(..) {
            change.apply_to(&mut file.on_disk);
        }
    }

    /// Whether a power cut would lose something of a file.
    pub fn is_behind(&self) -> bool {
        self.files.values().any(|file| !file.since.is_empty())
    }

    /// From now on everything that there is lasts.
    pub fn sync_everything(&mut self) {
        let all: Vec<Inode> = self.files.keys().copied().collect();
        for inode in all {
            self.sync(inode);
        }
        self.sync_names();
    }

    /// From now on the names last.
    pub fn sync_names(&mut self) {
        for step in self.steps.drain(..) {
            step.apply_to(&mut self.names_on_disk);
        }
    }

    /// The power goes, and comes back.
    pub fn cut(&mut self) -> Cut {
        let mut cut = Cut::default();
        let reached = self.dice.up_to(self.steps.len());
        for step in self.steps.drain(..).take(reached) {
            step.apply_to(&mut self.names_on_disk);
        }
        self.names.clone_from(&self.names_on_disk);
        for file in self.files.values_mut() {
            for change in file.since.drain(..) {
                if let Some(reached) = change.perhaps(&mut self.dice, &mut cut) {
                    reached.apply_to(&mut file.on_disk);
                }
            }
            file.bytes.clone_from(&file.on_disk);
        }
        let names = &self.names;
        self.files.retain(|inode, _| names.values().any(|known| known == inode));
        cut
    }
}
