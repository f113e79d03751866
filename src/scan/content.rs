//! Looks into the files of layers, once, as they go by.
//! In: a file's path and bytes. Out: the packages, accounts and secrets in it. Never: more than 64 MiB of one file in memory.

use std::collections::HashMap;
use std::io::{self, Read};
use std::rc::Rc;

use crate::base::path::RelPath;
use crate::oci::descriptor::Descriptor;
use crate::store::layer_reader::EntryHeader;
use crate::store::local::Store;

use super::sbom::source::{Reading, Release, Source};
use super::sbom::{Corrupt, Package, elf};
use super::secrets::{self, Hit};
use super::view::{self, Kind, View, ViewError};

/// How much of a file is searched for secrets, in bytes.
const HEAD: u64 = 1 << 20;
/// The largest account file that is read, in bytes; BuildKit's limit too.
const ACCOUNTS: u64 = 10 << 20;
/// The most packages and hits in all layers together; a hundred times what large images have.
const MOST_PACKAGES: usize = 1_000_000;
/// The most secrets that are kept in all layers together.
pub const MOST_HITS: usize = 10_000;

/// Which files are read to their end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Source(Source),
    Release,
    Accounts,
}

/// What a file said.
#[derive(Debug)]
pub enum Content {
    /// It names packages, or should.
    Listed(Source, Reading),
    /// It is a program that says what went into it.
    Program(Vec<Package>),
    /// `/etc/os-release`.
    Release(Release),
    /// `/etc/passwd`; `None` when it was too large.
    Accounts(Option<Vec<u8>>),
}

/// A secret and where it was found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    /// The layer, from 0.
    pub layer: usize,
    /// The file.
    pub path: RelPath,
    /// What.
    pub hit: Hit,
}

/// Reads files and keeps what concerns the layers rather than the image: secrets, which stay in a layer for good.
#[derive(Debug, Default)]
pub struct Inspector {
    secrets: bool,
    packages: usize,
    /// Secrets in files of all layers.
    pub found: Vec<Found>,
    /// How many more there were than [`MOST_HITS`].
    pub dropped: usize,
    buffer: Vec<u8>,
}

impl Wanted {
    fn of(path: &RelPath) -> Option<Self> {
        match path.as_bytes() {
            b"etc/os-release" | b"usr/lib/os-release" => Some(Self::Release),
            b"etc/passwd" => Some(Self::Accounts),
            _ => Source::of(path).map(Self::Source),
        }
    }

    const fn limit(self) -> u64 {
        match self {
            Self::Source(source) => source.limit(),
            Self::Release => HEAD,
            Self::Accounts => ACCOUNTS,
        }
    }

    fn read(self, bytes: &[u8]) -> Content {
        let whole = (bytes.len() as u64 <= self.limit()).then_some(bytes);
        match self {
            Self::Source(source) => Content::Listed(source, source.read(whole)),
            Self::Release => Content::Release(whole.map(Release::parse).unwrap_or_default()),
            Self::Accounts => Content::Accounts(whole.map(<[u8]>::to_vec)),
        }
    }

    /// What is known of a file whose bytes cannot be found again.
    fn lost(self) -> Content {
        match self {
            Self::Source(source) => Content::Listed(source, Reading::Failed(Corrupt("its bytes stand nowhere in the layers".to_owned()))),
            Self::Release => Content::Release(Release::default()),
            Self::Accounts => Content::Accounts(None),
        }
    }

    fn gave(self, content: &Content) -> bool {
        match content {
            Content::Listed(source, _) => self == Self::Source(*source),
            Content::Program(_) => false,
            Content::Release(_) => self == Self::Release,
            Content::Accounts(_) => self == Self::Accounts,
        }
    }
}

impl Inspector {
    /// Looks for packages, and for secrets when asked.
    #[must_use]
    pub fn new(secrets: bool) -> Self {
        Self { secrets, ..Self::default() }
    }

    /// Reads what is wanted of one file.
    ///
    /// # Errors
    /// Those of `bytes`, and an image with more packages than can be.
    pub fn visit(&mut self, layer: usize, path: &RelPath, header: &EntryHeader, bytes: &mut dyn Read) -> io::Result<Option<Rc<Content>>> {
        let wanted = Wanted::of(path);
        let head = if self.secrets { HEAD } else { elf::MAGIC.len() as u64 };
        let limit = wanted.map_or(head, |wanted| head.max(wanted.limit() + 1));
        let mut read = std::mem::take(&mut self.buffer);
        read.clear();
        (&mut *bytes).take(limit).read_to_end(&mut read)?;
        if self.secrets {
            self.search(layer, path, &read[..read.len().min(HEAD as usize)]);
        }
        let content = match wanted {
            Some(wanted) => Some(wanted.read(&read)),
            None if read.starts_with(elf::MAGIC) && header.mode & 0o111 != 0 => {
                let packages = elf::packages(&mut read.as_slice().chain(bytes), header.size)?;
                (!packages.is_empty()).then_some(Content::Program(packages))
            }
            None => None,
        };
        if read.capacity() as u64 <= 4 * HEAD {
            self.buffer = read;
        }
        self.count(content.as_ref())?;
        Ok(content.map(Rc::new))
    }

    fn search(&mut self, layer: usize, path: &RelPath, head: &[u8]) {
        for hit in secrets::file::find(path, head) {
            if self.found.len() < MOST_HITS {
                self.found.push(Found { layer, path: path.clone(), hit });
            } else {
                self.dropped += 1;
            }
        }
    }

    fn count(&mut self, content: Option<&Content>) -> io::Result<()> {
        if let Some(Content::Listed(_, Reading::Packages(packages)) | Content::Program(packages)) = content {
            self.packages += packages.len();
        }
        if self.packages > MOST_PACKAGES { Err(io::Error::other("it names more packages than an image can hold")) } else { Ok(()) }
    }

    /// Reads files once more that are wanted under a name their entry does not have: hard links, and what a link leads to.
    /// Package managers share files with their caches in this way.
    ///
    /// # Errors
    /// [`ViewError`].
    pub fn second_pass(&mut self, store: &Store, layers: &[Descriptor], view: &mut View<Content>) -> Result<(), ViewError> {
        let mut missing: Vec<HashMap<Vec<u8>, Vec<Use>>> = layers.iter().map(|_| HashMap::new()).collect();
        for (path, wanted) in wanted_elsewhere(view) {
            let Some(node) = view.get(&path) else { continue };
            let (layer, entry) = node.bytes_at.as_ref().map_or((node.layer, path.as_slice()), |(layer, entry)| (*layer, entry));
            let unread = Use { wanted, content: wanted.lost(), path: path.clone() };
            missing[layer].entry(entry.to_vec()).or_default().push(unread);
        }
        for (layer, mut entries) in layers.iter().zip(missing).filter(|(_, entries)| !entries.is_empty()) {
            view::reread(store, layer, &mut entries, &mut |uses, _, bytes| {
                let limit = uses.iter().map(|one| one.wanted.limit() + 1).max().unwrap_or(0);
                let mut whole = Vec::new();
                bytes.take(limit).read_to_end(&mut whole)?;
                for one in uses {
                    one.content = one.wanted.read(&whole);
                    self.count(Some(&one.content))?;
                }
                Ok(())
            })?;
            for one in entries.into_values().flatten() {
                view.fill(&one.path, Rc::new(one.content));
            }
        }
        Ok(())
    }
}

/// A path whose bytes stand at an entry with another name.
struct Use {
    path: Vec<u8>,
    wanted: Wanted,
    content: Content,
}

/// Files that count under these paths whatever links lead to them.
const FIXED: [&[u8]; 5] = [b"etc/os-release", b"etc/passwd", b"var/lib/dpkg/status", b"lib/apk/db/installed", b"usr/lib/apk/db/installed"];

/// The paths whose bytes were not read for what they are.
fn wanted_elsewhere(view: &View<Content>) -> Vec<(Vec<u8>, Wanted)> {
    let wanted_by = |path: &[u8]| RelPath::new(path).ok().and_then(|path| Wanted::of(&path));
    let unread = |path: &[u8], wanted: Wanted| {
        view.get(path).is_some_and(|node| node.kind == Kind::File && !node.content.as_ref().is_some_and(|content| wanted.gave(content)))
    };
    let mut found = Vec::new();
    for (path, _) in view.iter().filter(|(_, node)| node.bytes_at.is_some()) {
        found.extend(wanted_by(path).filter(|wanted| unread(path, *wanted)).map(|wanted| (path.to_vec(), wanted)));
    }
    for name in FIXED {
        let place = view.follow(name).filter(|place| place != name);
        if let (Some(place), Some(wanted)) = (place, wanted_by(name))
            && unread(&place, wanted)
        {
            found.push((place, wanted));
        }
    }
    found
}
