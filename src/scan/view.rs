//! The image as a container sees it: all layers, one upon the other.
//! In: the entries of every layer, from the lowest up. Out: each path with its kind, mode and the layer that it came with.
//! Never: keeps the bytes of a file; a visitor reads them once, and what it makes of them is kept as long as the path is.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read};
use std::ops::Bound;
use std::rc::Rc;

use crate::base::path::RelPath;
use crate::base::words;
use crate::oci::descriptor::Descriptor;
use crate::store::layer_reader::{EntryHeader, EntryKind, LayerError, Limits, for_each_entry};
use crate::store::local::Store;

/// The most memory that paths and links may take, in bytes: that of about 6 million files.
const MOST_MEMORY: usize = 1 << 30;
/// What one path takes beside its text, in bytes.
const PER_PATH: usize = 128;
/// The most bytes that all files of all layers may have together; one small layer that stands there many times would
/// else keep a scan busy for days.
const MOST_BYTES: u64 = 128 << 30;
/// How many symbolic links lead to one path at most, as in the kernel.
const MOST_LINKS: usize = 40;

/// What a path is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link with its target.
    Link(Rc<[u8]>),
    /// A device or a pipe.
    Other,
}

/// One path of the image; `C` is what the visitor made of the file's bytes.
#[derive(Debug)]
pub struct Node<C> {
    /// What it is.
    pub kind: Kind,
    /// Permission bits with setuid, setgid and sticky.
    pub mode: u32,
    /// The layer that it came with, from 0.
    pub layer: usize,
    /// What the visitor made of its bytes.
    pub content: Option<Rc<C>>,
    /// For a further name of a file: the layer and the path at which the bytes stand.
    pub bytes_at: Option<(usize, Rc<[u8]>)>,
}

impl<C> Clone for Node<C> {
    fn clone(&self) -> Self {
        Self { kind: self.kind.clone(), content: self.content.clone(), bytes_at: self.bytes_at.clone(), ..*self }
    }
}

/// The paths of an image after all layers.
#[derive(Debug)]
pub struct View<C> {
    /// What the layers below the present one left.
    lower: Paths<C>,
    /// What the present layer brought; apart, because its own whiteouts do not hide it.
    upper: Paths<C>,
    /// The last folder that was looked up, and where it really lies: entries come folder by folder.
    recent: Option<(Vec<u8>, Vec<u8>)>,
    memory: usize,
    bytes: u64,
}

type Paths<C> = BTreeMap<Vec<u8>, Node<C>>;

/// Why layers do not make an image.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// A layer cannot be read.
    #[error("{0}")]
    Layer(#[from] LayerError),
    /// A layer can be read, but no engine could unpack it, or kiln will not.
    #[error("layer {layer} cannot be unpacked: `/{path}` {reason}")]
    Broken {
        /// Which.
        layer: String,
        /// The entry.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// What looks into files: gets the number of the layer, the path, the entry and its bytes.
pub type Visitor<'a, C> = dyn FnMut(usize, &RelPath, &EntryHeader, &mut dyn Read) -> io::Result<Option<Rc<C>>> + 'a;

/// Puts `layers` one upon the other, and shows every regular file of every layer to `visit`, hidden or not.
///
/// # Errors
/// [`ViewError`] when any layer cannot be read to its end; an error of `visit` ends the walk.
pub fn squash<C>(store: &Store, layers: &[Descriptor], visit: &mut Visitor<'_, C>) -> Result<View<C>, ViewError> {
    let mut view = View { lower: Paths::new(), upper: Paths::new(), recent: None, memory: 0, bytes: 0 };
    for (index, layer) in layers.iter().enumerate() {
        let mut broken = None;
        let walked = for_each_entry(store, layer, Limits::of(layer), &mut |header, bytes| {
            view.take_in(index, header, bytes, visit).map_err(|fault| match fault {
                Fault::Io(error) => error,
                Fault::Broken(reason) => {
                    let path = words::shorten(&words::visible(&String::from_utf8_lossy(&header.path)), 200);
                    broken = Some(ViewError::Broken { layer: layer.digest.to_string(), path, reason });
                    io::Error::other(reason)
                }
            })
        });
        if let Some(broken) = broken {
            return Err(broken);
        }
        walked?;
        view.settle();
    }
    Ok(view)
}

/// Reads files of one layer once more: `wanted` by the path of their entry. The last entry of a path counts.
///
/// # Errors
/// [`ViewError::Layer`].
pub fn reread<W>(
    store: &Store,
    layer: &Descriptor,
    wanted: &mut HashMap<Vec<u8>, W>,
    read: &mut dyn FnMut(&mut W, &EntryHeader, &mut dyn Read) -> io::Result<()>,
) -> Result<(), ViewError> {
    for_each_entry(store, layer, Limits::of(layer), &mut |header, bytes| match wanted.get_mut(&header.path) {
        Some(wanted) if header.kind == EntryKind::File => read(wanted, header, bytes),
        _ => Ok(()),
    })?;
    Ok(())
}

enum Fault {
    Io(io::Error),
    Broken(&'static str),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl<C> View<C> {
    /// All paths, sorted by their bytes.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &Node<C>)> {
        self.lower.iter().map(|(path, node)| (path.as_slice(), node))
    }

    /// The paths below a folder, sorted.
    pub fn below(&self, folder: &[u8]) -> impl Iterator<Item = &[u8]> {
        let (first, last) = bounds(folder);
        self.lower.range::<Vec<u8>, _>((Bound::Included(first), Bound::Excluded(last))).map(|(path, _)| path.as_slice())
    }

    /// What a path without links in it is.
    #[must_use]
    pub fn get(&self, path: &[u8]) -> Option<&Node<C>> {
        self.upper.get(path).or_else(|| self.lower.get(path))
    }

    /// Gives a path the content that was read for it later.
    pub fn fill(&mut self, path: &[u8], content: Rc<C>) {
        if let Some(node) = self.lower.get_mut(path) {
            node.content = Some(content);
        }
    }

    /// Where a path leads when all links in it are followed inside the image; `None` for a circle.
    #[must_use]
    pub fn follow(&self, path: &[u8]) -> Option<Vec<u8>> {
        let mut ahead: Vec<Vec<u8>> = path.split(|byte| *byte == b'/').rev().map(<[u8]>::to_vec).collect();
        let mut place: Vec<u8> = Vec::new();
        let mut links = 0;
        while let Some(name) = ahead.pop() {
            let folder = place.len();
            match name.as_slice() {
                b"" | b"." => continue,
                b".." => {
                    place.truncate(place.iter().rposition(|byte| *byte == b'/').unwrap_or(0));
                    continue;
                }
                name if folder == 0 => place.extend_from_slice(name),
                name => {
                    place.push(b'/');
                    place.extend_from_slice(name);
                }
            }
            if let Some(Kind::Link(target)) = self.get(&place).map(|node| &node.kind) {
                links += 1;
                if links > MOST_LINKS {
                    return None;
                }
                ahead.extend(target.split(|byte| *byte == b'/').rev().map(<[u8]>::to_vec));
                place.truncate(if target.first() == Some(&b'/') { 0 } else { folder });
            }
        }
        Some(place)
    }

    /// Where an entry comes to lie: engines follow links in its folder, not the entry itself.
    fn place(&mut self, path: &[u8]) -> Result<Vec<u8>, Fault> {
        let Some(slash) = path.iter().rposition(|byte| *byte == b'/') else { return Ok(path.to_vec()) };
        let (folder, name) = (&path[..slash], &path[slash..]);
        if let Some((asked, found)) = &self.recent
            && asked == folder
        {
            return Ok([found, name].concat());
        }
        let found = self.follow(folder).ok_or(Fault::Broken("lies below links that lead in a circle"))?;
        let place = if found.is_empty() { name[1..].to_vec() } else { [&found, name].concat() };
        if !found.is_empty() {
            self.recent = Some((folder.to_vec(), found));
        }
        Ok(place)
    }

    fn take_in(&mut self, layer: usize, header: &EntryHeader, bytes: &mut dyn Read, visit: &mut Visitor<'_, C>) -> Result<(), Fault> {
        self.spend(header)?;
        let path = self.place(&header.path)?;
        let name = RelPath::new(&path).map_err(|_| Fault::Broken("is not a path that a kernel accepts"))?;
        let plain = |kind| Node { kind, mode: header.mode, layer, content: None, bytes_at: None };
        let node = match &header.kind {
            EntryKind::Whiteout => {
                self.recent = None;
                self.lower.remove(&path);
                remove_below(&mut self.lower, &path);
                return Ok(());
            }
            EntryKind::Opaque => {
                self.recent = None;
                remove_below(&mut self.lower, &path);
                return Ok(());
            }
            EntryKind::File => Node { content: visit(layer, &name, header, bytes)?, ..plain(Kind::File) },
            EntryKind::Folder => plain(Kind::Folder),
            EntryKind::Link { target } => plain(Kind::Link(target.as_slice().into())),
            EntryKind::Device | EntryKind::Fifo => plain(Kind::Other),
            EntryKind::HardLink { target } => self.second_name(layer, target)?,
        };
        self.put(path, node);
        Ok(())
    }

    /// Counts what an entry costs, hidden later or not.
    fn spend(&mut self, header: &EntryHeader) -> Result<(), Fault> {
        let target = if let EntryKind::Link { target } = &header.kind { target.len() } else { 0 };
        self.memory += PER_PATH + header.path.len() + target;
        self.bytes = self.bytes.saturating_add(header.size);
        if self.memory > MOST_MEMORY || self.bytes > MOST_BYTES {
            return Err(Fault::Broken("is beyond the largest image that is scanned"));
        }
        Ok(())
    }

    /// A hard link shares everything with the file that it names, also with one of a lower layer.
    fn second_name(&mut self, layer: usize, target: &[u8]) -> Result<Node<C>, Fault> {
        let target = self.place(target)?;
        let node = self.get(&target).ok_or(Fault::Broken("is a hard link to a file that is not there"))?;
        if node.kind == Kind::Folder {
            return Err(Fault::Broken("is a hard link to a folder"));
        }
        let bytes_at = node.bytes_at.clone().unwrap_or_else(|| (node.layer, target.into()));
        Ok(Node { layer, bytes_at: Some(bytes_at), ..node.clone() })
    }

    fn put(&mut self, path: Vec<u8>, node: Node<C>) {
        // A folder upon a folder keeps what is in it; anything else takes the place of all that was there.
        if node.kind != Kind::Folder || self.get(&path).is_some_and(|old| old.kind != Kind::Folder) {
            if self.get(&path).is_some() || matches!(node.kind, Kind::Link(_)) {
                self.recent = None;
            }
            remove_below(&mut self.lower, &path);
            remove_below(&mut self.upper, &path);
        }
        self.lower.remove(&path);
        self.upper.insert(path, node);
    }

    /// Ends a layer.
    fn settle(&mut self) {
        self.recent = None;
        self.lower.append(&mut self.upper);
    }
}

fn remove_below<C>(paths: &mut Paths<C>, folder: &[u8]) {
    if folder.is_empty() {
        paths.clear();
        return;
    }
    let (first, last) = bounds(folder);
    let range = (Bound::Included(first), Bound::Excluded(last));
    let below: Vec<Vec<u8>> = paths.range::<Vec<u8>, _>(range).map(|(path, _)| path.clone()).collect();
    for path in below {
        paths.remove(&path);
    }
}

/// All paths below a folder lie from the first of these on, before the second: `0` is the byte after `/`.
fn bounds(folder: &[u8]) -> (Vec<u8>, Vec<u8>) {
    ([folder, b"/"].concat(), [folder, b"0"].concat())
}
