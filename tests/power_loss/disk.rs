//! A disk that is told what a program did, and can say at any moment what a power cut would leave.
//!
//! What was synced stays. Of the rest, any part may have come to the disk and any other not:
//!
//! - each sector of a file holds one of the versions that it had since the last sync, whatever its
//!   neighbours hold, and the file has one of its lengths;
//! - a directory has of its changes any that do not contradict each other: of the changes of one
//!   name the first ones. Renaming is one change. What a lost directory holds is lost with it.
//!
//! Files of programs that ran without the shim are unknown and not on this disk.
//!
//! Real file systems are kinder: most keep the order of names, and a new file's name when the file
//! is synced. Whoever is safe here is safe there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::trace::Record;

/// What a disk writes as one.
const SECTOR: usize = 512;

/// A file or directory, for ever; serial numbers are used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Node(usize);

#[derive(Clone, Debug)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Length(usize),
}

/// A change of a directory: these names lead there now, or nowhere.
type Names = Vec<(String, Option<Node>)>;

#[derive(Clone, Debug)]
enum Kind {
    File {
        durable: Vec<u8>,
        pending: Vec<Change>,
    },
    Dir {
        durable: BTreeMap<String, Node>,
        now: BTreeMap<String, Node>,
        pending: Vec<Names>,
    },
    Symlink(PathBuf),
}

/// The tree below a directory: paths and what is there.
pub type Tree = BTreeMap<PathBuf, Entry>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    File(Vec<u8>),
    Dir,
    Symlink(PathBuf),
}

/// How much of what was not synced is on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Luck {
    /// Nothing.
    None,
    /// All of it, as when the process was killed.
    All,
    /// Any part, drawn from a seed.
    Seed(u64),
}

#[derive(Clone)]
pub struct Disk {
    root: PathBuf,
    nodes: Vec<Kind>,
    serials: BTreeMap<u64, Node>,
}

const ROOT: Node = Node(0);

impl Disk {
    /// A disk with what is under `root` now, all of it durable.
    pub fn of(root: &Path) -> Self {
        let (durable, now, pending) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        let nodes = vec![Kind::Dir {
            durable,
            now,
            pending,
        }];
        let mut disk = Self {
            root: root.to_owned(),
            nodes,
            serials: BTreeMap::new(),
        };
        let inode = fs::metadata(root).expect("the root").ino();
        disk.serials.insert(inode, ROOT);
        disk.scan(ROOT, root);
        disk
    }

    fn scan(&mut self, dir: Node, path: &Path) {
        for entry in fs::read_dir(path).expect("a directory") {
            let entry = entry.expect("an entry");
            let (name, path) = (entry.file_name(), entry.path());
            let meta = entry.metadata().expect("its metadata");
            let kind = match read_entry(&path) {
                Entry::File(durable) => Kind::File {
                    durable,
                    pending: Vec::new(),
                },
                Entry::Symlink(target) => Kind::Symlink(target),
                Entry::Dir => empty_dir(),
            };
            let is_dir = matches!(kind, Kind::Dir { .. });
            let known = self.serials.get(&meta.ino()).copied();
            let node = known.unwrap_or_else(|| self.add(meta.ino(), kind));
            let name = name.into_string().expect("a name");
            let Kind::Dir { durable, now, .. } = &mut self.nodes[dir.0] else {
                unreachable!("it was scanned as a directory")
            };
            durable.insert(name.clone(), node);
            now.insert(name, node);
            if is_dir {
                self.scan(node, &path);
            }
        }
    }

    fn add(&mut self, inode: u64, kind: Kind) -> Node {
        self.nodes.push(kind);
        let node = Node(self.nodes.len() - 1);
        self.serials.insert(inode, node);
        node
    }

    /// The directory and the name in it; `None` for what is not under the root, or in a
    /// directory that was made by a program without the shim.
    fn place(&self, path: &Path) -> Option<(Node, String)> {
        let below = path.strip_prefix(&self.root).ok()?;
        let name = below.file_name()?.to_str()?.to_owned();
        let mut parents = below.parent()?.components();
        let dir = parents.try_fold(ROOT, |dir, part| self.find(dir, part.as_os_str().to_str()?));
        Some((dir?, name))
    }

    fn find(&self, dir: Node, name: &str) -> Option<Node> {
        match &self.nodes[dir.0] {
            Kind::Dir { now, .. } => now.get(name).copied(),
            _ => None,
        }
    }

    fn change(&mut self, dir: Node, names: Names) {
        let Kind::Dir { now, pending, .. } = &mut self.nodes[dir.0] else {
            panic!("not a directory: {names:?}")
        };
        apply_names(now, &names);
        pending.push(names);
    }

    /// Gives a node a name.
    fn name(&mut self, path: &Path, node: Node) {
        if let Some((dir, name)) = self.place(path) {
            self.change(dir, vec![(name, Some(node))]);
        }
    }

    fn write(&mut self, inode: u64, change: Change) {
        let node = self.serials.get(&inode).map(|node| node.0);
        if let Some(Kind::File { pending, .. }) = node.map(|node| &mut self.nodes[node]) {
            pending.push(change);
        }
    }

    /// Takes note of what happened next.
    pub fn apply(&mut self, record: &Record) {
        match record {
            Record::Write { inode, at, bytes } => {
                let (at, bytes) = (*at as usize, bytes.clone());
                self.write(*inode, Change::Write { at, bytes });
            }
            Record::Length { inode, length } => {
                self.write(*inode, Change::Length(*length as usize));
            }
            Record::Create { inode, path } => {
                let (durable, pending) = (Vec::new(), Vec::new());
                let node = self.add(*inode, Kind::File { durable, pending });
                self.name(path, node);
            }
            Record::MakeDir { inode, path } => {
                let node = self.add(*inode, empty_dir());
                self.name(path, node);
            }
            Record::Symlink {
                inode,
                path,
                target,
            } => {
                let node = self.add(*inode, Kind::Symlink(target.clone()));
                self.name(path, node);
            }
            Record::Link { from, to } => {
                let from = self.place(from);
                if let Some(node) = from.and_then(|(dir, name)| self.find(dir, &name)) {
                    self.name(to, node);
                }
            }
            Record::Rename { from, to } => self.rename(from, to),
            Record::Remove { path } => {
                if let Some((dir, name)) = self.place(path) {
                    self.change(dir, vec![(name, None)]);
                }
            }
            Record::Sync { inode } => self.sync(*inode),
            Record::Flush | Record::Mark(_) => {}
        }
    }

    fn rename(&mut self, from: &Path, to: &Path) {
        let Some((dir, name)) = self.place(from) else {
            return;
        };
        let node = self.find(dir, &name);
        match self.place(to) {
            Some((to_dir, to_name)) if to_dir == dir => {
                self.change(dir, vec![(name, None), (to_name, node)]);
            }
            // In two directories it is two changes; a journal would make it one.
            to => {
                if let Some((to_dir, to_name)) = to {
                    self.change(to_dir, vec![(to_name, node)]);
                }
                self.change(dir, vec![(name, None)]);
            }
        }
    }

    fn sync(&mut self, inode: u64) {
        let Some(node) = self.serials.get(&inode) else {
            return;
        };
        match &mut self.nodes[node.0] {
            Kind::File { durable, pending } => {
                for change in pending.drain(..) {
                    apply_change(durable, &change);
                }
            }
            Kind::Dir {
                durable,
                now,
                pending,
            } => {
                pending.clear();
                durable.clone_from(now);
            }
            Kind::Symlink(_) => {}
        }
    }

    /// What a power cut leaves at this moment.
    pub fn cut(&self, luck: Luck) -> Tree {
        let seed = match luck {
            Luck::Seed(seed) => seed,
            _ => 0,
        };
        let mut dice = StdRng::seed_from_u64(seed);
        let mut tree = Tree::new();
        // Now and then nearly all is there, or hardly anything.
        let share = [0.1, 0.5, 0.5, 0.9][dice.random_range(0..4)];
        self.collect(ROOT, Path::new(""), luck, share, &mut dice, &mut tree);
        tree
    }

    fn collect(
        &self,
        node: Node,
        path: &Path,
        luck: Luck,
        share: f64,
        dice: &mut StdRng,
        tree: &mut Tree,
    ) {
        let entry = match &self.nodes[node.0] {
            Kind::Symlink(target) => Entry::Symlink(target.clone()),
            Kind::File { durable, pending } => Entry::File(match luck {
                Luck::None => durable.clone(),
                Luck::All => contents(durable, pending, |_, _| true, pending.len()),
                Luck::Seed(_) if dice.random_bool(0.5) => {
                    whole_writes(durable, pending, share, dice)
                }
                Luck::Seed(_) => torn_writes(durable, pending, dice),
            }),
            Kind::Dir {
                durable, pending, ..
            } => {
                let mut names = durable.clone();
                let mut skipped = BTreeSet::new();
                for change in pending {
                    let contradicts = change.iter().any(|(name, _)| skipped.contains(name));
                    let takes = match luck {
                        Luck::None => false,
                        Luck::All => true,
                        Luck::Seed(_) => !contradicts && dice.random_bool(share),
                    };
                    match takes {
                        true => apply_names(&mut names, change),
                        false => skipped.extend(change.iter().map(|(name, _)| name)),
                    }
                }
                for (name, node) in names {
                    self.collect(node, &path.join(name), luck, share, dice, tree);
                }
                Entry::Dir
            }
        };
        if node != ROOT {
            tree.insert(path.to_owned(), entry);
        }
    }
}

fn empty_dir() -> Kind {
    Kind::Dir {
        durable: BTreeMap::new(),
        now: BTreeMap::new(),
        pending: Vec::new(),
    }
}

fn apply_names(names: &mut BTreeMap<String, Node>, change: &Names) {
    for (name, node) in change {
        match node {
            Some(node) => names.insert(name.clone(), *node),
            None => names.remove(name),
        };
    }
}

fn apply_change(file: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Length(length) => file.resize(*length, 0),
        Change::Write { at, bytes } => {
            let end = at + bytes.len();
            if file.len() < end {
                file.resize(end, 0);
            }
            file[*at..end].copy_from_slice(bytes);
        }
    }
}

/// The file when of each change only the sectors came through that `takes` names, and its length
/// is the one after `lengths` changes.
fn contents(
    durable: &[u8],
    pending: &[Change],
    mut takes: impl FnMut(usize, usize) -> bool,
    lengths: usize,
) -> Vec<u8> {
    let (mut file, mut length) = (durable.to_vec(), durable.len());
    for (index, change) in pending.iter().enumerate() {
        let (at, bytes) = match change {
            Change::Write { at, bytes } => {
                if index < lengths {
                    length = length.max(at + bytes.len());
                }
                (*at, bytes.clone())
            }
            // What was cut off is zeros when the file grows again.
            Change::Length(new) => {
                if index < lengths {
                    length = *new;
                }
                (*new, vec![0; file.len().saturating_sub(*new)])
            }
        };
        let end = at + bytes.len();
        if file.len() < end {
            file.resize(end, 0);
        }
        for sector in at / SECTOR..end.div_ceil(SECTOR) {
            if takes(index, sector) {
                let (from, to) = (at.max(sector * SECTOR), end.min((sector + 1) * SECTOR));
                file[from..to].copy_from_slice(&bytes[from - at..to - at]);
            }
        }
    }
    file.resize(length, 0);
    file
}

/// Each write came through as a whole or not at all.
fn whole_writes(durable: &[u8], pending: &[Change], share: f64, dice: &mut StdRng) -> Vec<u8> {
    let taken: Vec<bool> = pending.iter().map(|_| dice.random_bool(share)).collect();
    let lengths = taken.iter().rposition(|taken| *taken);
    let lengths = lengths.map_or(0, |last| last + 1);
    contents(durable, pending, |index, _| taken[index], lengths)
}

/// Each sector has a version of its own.
fn torn_writes(durable: &[u8], pending: &[Change], dice: &mut StdRng) -> Vec<u8> {
    let lengths = dice.random_range(0..=pending.len());
    let mut versions: BTreeMap<usize, usize> = BTreeMap::new();
    let takes = |index: usize, sector: usize| {
        let version = versions.entry(sector);
        index < *version.or_insert_with(|| dice.random_range(0..=pending.len()))
    };
    contents(durable, pending, takes, lengths)
}

fn read_entry(path: &Path) -> Entry {
    let kind = fs::symlink_metadata(path).expect("an entry").file_type();
    if kind.is_symlink() {
        Entry::Symlink(fs::read_link(path).expect("its target"))
    } else if kind.is_dir() {
        Entry::Dir
    } else if kind.is_file() {
        Entry::File(fs::read(path).expect("its contents"))
    } else {
        // A socket: it is nothing after a power cut.
        Entry::File(Vec::new())
    }
}

/// What is under a directory.
pub fn tree_of(root: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut left = vec![PathBuf::new()];
    while let Some(dir) = left.pop() {
        for entry in fs::read_dir(root.join(&dir)).expect("a directory") {
            let path = dir.join(entry.expect("an entry").file_name());
            let entry = read_entry(&root.join(&path));
            if entry == Entry::Dir {
                left.push(path.clone());
            }
            tree.insert(path, entry);
        }
    }
    tree
}

/// Makes the tree real, in a directory that exists.
pub fn materialize(tree: &Tree, root: &Path) {
    for (path, entry) in tree {
        let path = root.join(path);
        let made = match entry {
            Entry::Dir => fs::create_dir(&path),
            Entry::File(bytes) => fs::write(&path, bytes),
            Entry::Symlink(target) => symlink(target, &path),
        };
        made.unwrap_or_else(|error| panic!("cannot make {path:?}: {error}"));
    }
}
