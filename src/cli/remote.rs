//! Remote plans: out of the store where their digest is known, else from where they are, and never other bytes than those pinned.

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use crate::base::diagnostic::{Class, Diagnostic, Diagnostics};
use crate::base::digest::{BlobDigest, Digest, Sha256};
use crate::oci::reference::Reference;
use crate::plan::include::{IncludeSource, Sources, Unavailable};
use crate::plan::lock::Lock;
use crate::registry::error::{Fault, RegistryError};
use crate::registry::session::Session;
use crate::store::local::Store;
use crate::syntax;
use crate::syntax::document::Document;
use crate::sys::file;

use super::settings::Settings;
use super::sources::Files;
use super::{machine, pins, run};

/// The type of the layer that a plan is in an artifact.
pub const MEDIA_TYPE: &str = "application/vnd.kiln.plan.v1+kdl";

/// What may be done to have a remote plan.
#[derive(Clone, Copy)]
pub enum Reach<'a> {
    /// Nothing: what is pinned and in the store is read.
    Store,
    /// What is pinned is fetched by its digest, and what is not as it stands today.
    Network,
    /// As [`Reach::Network`], and what this names is fetched as it stands today although it is pinned.
    Anew(&'a dyn Fn(&str) -> bool),
}

/// Everything that a plan can include.
pub struct Everywhere<'a> {
    files: Files<'a>,
    settings: &'a Settings,
    reach: Reach<'a>,
    lock: OnceCell<Option<Lock>>,
    line: OnceCell<Line>,
    found: RefCell<Found>,
}

/// What was found on the way.
#[derive(Debug, Default)]
pub struct Found {
    /// What each source that can move was, by its name in the lock.
    pub includes: BTreeMap<String, BlobDigest>,
    /// Every remote source with the name that it has in the plan.
    pub names: BTreeSet<(String, String)>,
    /// Sources without a pin, where there is a lock.
    pub warnings: Vec<Diagnostic>,
}

struct Line {
    runtime: tokio::runtime::Runtime,
    session: Session,
    store: Store,
}

impl<'a> Everywhere<'a> {
    /// Nothing is opened before a remote plan is asked for.
    pub fn new(settings: &'a Settings, reach: Reach<'a>) -> Self {
        let files = Files { root: &settings.root, here: &settings.here };
        Self { files, settings, reach, lock: OnceCell::new(), line: OnceCell::new(), found: RefCell::default() }
    }

    /// What was found.
    pub fn found(self) -> Found {
        self.found.into_inner()
    }

    fn lock(&self) -> Result<Option<&Lock>, Diagnostics> {
        if self.lock.get().is_none() {
            let _ = self.lock.set(pins::load(self.settings)?);
        }
        Ok(self.lock.get().and_then(Option::as_ref))
    }

    /// Store and connections; `None` where there is no store yet and none may be made.
    fn line(&self) -> Result<Option<&Line>, Diagnostic> {
        let only_looks = matches!(self.reach, Reach::Store);
        if self.line.get().is_none() {
            if only_looks && file::status(self.settings.store()).is_err() {
                return Ok(None);
            }
            let (session, store) = machine::line(self.settings, only_looks)?;
            let _ = self.line.set(Line { runtime: run::runtime()?, session, store });
        }
        Ok(self.line.get())
    }

    fn text(&self, place: &IncludeSource) -> Result<Vec<u8>, Diagnostics> {
        let name = place.to_string();
        let written = match place {
            IncludeSource::Https { sha256, .. } => *sha256,
            IncludeSource::Oci(reference) => reference.digest,
            IncludeSource::Local(_) => None,
        };
        let moves = matches!(self.reach, Reach::Anew(moves) if moves(&name));
        let lock = self.lock()?;
        let pin = lock.and_then(|lock| lock.includes.get(&name)).copied().filter(|_| !moves);
        let known = written.or(pin);
        if known.is_none() && matches!(self.reach, Reach::Network) {
            if self.settings.frozen {
                return Err(unpinned(&name, self.settings).into());
            }
            if lock.is_some() {
                self.found.borrow_mut().warnings.push(unpinned(&name, self.settings).warning());
            }
        }
        if known.is_none() && matches!(self.reach, Reach::Store) {
            return Err(not_fetched(&name).into());
        }
        let Some(line) = self.line()? else { return Err(not_fetched(&name).into()) };
        let (digest, bytes) = match place {
            IncludeSource::Oci(reference) => self.artifact(line, reference, known)?,
            _ => self.file(line, &name, known)?,
        };
        if written.is_none() {
            self.found.borrow_mut().includes.insert(name, digest);
        }
        Ok(bytes)
    }

    /// A file of a web server. What is kept is verified whenever it is read; what is damaged is fetched again.
    fn file(&self, line: &Line, url: &str, known: Option<BlobDigest>) -> Result<(BlobDigest, Vec<u8>), Diagnostic> {
        if let Some(digest) = known
            && let Ok(bytes) = line.store.read(digest.0, syntax::LIMIT as u64)
        {
            return Ok((digest, bytes));
        }
        if matches!(self.reach, Reach::Store) {
            return Err(not_fetched(url));
        }
        let bytes = line.runtime.block_on(line.session.fetch(url, syntax::LIMIT as u64)).map_err(|error| fault(url, &error))?;
        let digest = BlobDigest(Digest::of(&bytes));
        if let Some(known) = known.filter(|known| *known != digest) {
            let message = format!("`{url}` sent other bytes than the pinned ones: expected {known}, found {digest}");
            let fault = Diagnostic::new(Class::Environment, "include::digest", message);
            return Err(fault.help("nothing of it was kept; read what changed there before `kiln lock --update`, or mend `sha256=`"));
        }
        // What cannot be kept is fetched again by the next command.
        let _ = line.store.put::<Sha256>(&bytes);
        Ok((digest, bytes.to_vec()))
    }

    fn artifact(&self, line: &Line, reference: &Reference, known: Option<BlobDigest>) -> Result<(BlobDigest, Vec<u8>), Diagnostic> {
        let name = format!("oci:{reference}");
        let meant = Reference { digest: known, ..reference.clone() };
        let found = line.runtime.block_on(line.session.artifact(&meant, MEDIA_TYPE, syntax::LIMIT as u64));
        found.map_err(|error| match *error.fault {
            Fault::Offline if matches!(self.reach, Reach::Store) => not_fetched(&name),
            Fault::Offline => fault(&name, &error),
            _ => error.diagnostic(),
        })
    }
}

impl Sources for Everywhere<'_> {
    fn document(&self, place: &IncludeSource) -> Result<Document, Unavailable> {
        if let IncludeSource::Local(_) = place {
            return self.files.document(place);
        }
        let bytes = self.text(place).map_err(placed)?;
        let source = syntax::check_file_bytes(&place.to_string(), &bytes).map_err(|fault| Unavailable::Text(fault.into()))?;
        syntax::parse(source).map_err(Unavailable::Text)
    }
}

/// A single fault without a place gets that of the `include`; those of the lock have their own.
fn placed(faults: Diagnostics) -> Unavailable {
    match faults.as_slice() {
        [only] if only.labels.is_empty() => Unavailable::Fault(Box::new(only.clone())),
        _ => Unavailable::Text(faults),
    }
}

fn unpinned(name: &str, settings: &Settings) -> Diagnostic {
    let message = format!("`{name}` is not pinned in {}", settings.lock_name());
    Diagnostic::new(Class::Plan, "lock::unpinned", message).help("`kiln lock` pins it")
}

fn not_fetched(name: &str) -> Diagnostic {
    let message = format!("`{name}` was not fetched yet, and this command opens no connection");
    Diagnostic::new(Class::Plan, "plan::not-fetched", message).help("`kiln lock` fetches it and pins it")
}

fn fault(name: &str, error: &RegistryError) -> Diagnostic {
    let shown = crate::base::words::visible(name);
    if *error.fault == Fault::Offline {
        let message = format!("`{shown}` is not in the store, and `--offline` lets nobody fetch it");
        return Diagnostic::new(Class::Environment, "registry::offline", message)
            .help("run it once without `--offline`; what it fetches is kept");
    }
    let message = format!("`{shown}` {}", error.clause());
    Diagnostic::new(Class::Environment, "include::fetch", message).help("check the address and the network, then run it again")
}
