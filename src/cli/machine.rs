//! The machine of a run: store, stat cache, journal, connections.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use crate::base::diagnostic::{Class, Diagnostic};
use crate::base::id::{RunId, StepName};
use crate::base::path::AbsPath;
use crate::engine::Machine;
use crate::engine::blobs::StoreBlobs;
use crate::engine::secret;
use crate::event::{Event, Listener, Nobody};
use crate::plan::image::Elsewhere;
use crate::plan::{Certificates, Plan, RegistryPlace};
use crate::record;
use crate::record::history::StepHistory;
use crate::registry::auth::credentials::ConfigFiles;
use crate::registry::client::Options;
use crate::registry::session::Session;
use crate::registry::trust::{Files, Trust};
use crate::store::lately::Lately;
use crate::store::local::Store;
use crate::store::result::ActionResult;
use crate::store::stat_cache::StatCache;
use crate::sys::account::Account;
use crate::sys::cancel::Cancel;
use crate::sys::clock;
use crate::sys::env;
use crate::sys::file::FileError;
use crate::sys::shims::Shims;
use crate::sys::tree::Tree;

use super::args::Global;
use super::open::Opened;
use super::settings::{self, Settings};

/// Tells several listeners, in order.
pub struct All(pub Vec<Arc<dyn Listener>>);

impl Listener for All {
    fn event(&self, event: Event) {
        if let Some((last, first)) = self.0.split_last() {
            for listener in first {
                listener.event(event.clone());
            }
            last.event(event);
        }
    }
}

/// Opens everything that a run needs.
///
/// # Errors
/// A [`Diagnostic`] of class `Environment`.
pub fn machine(
    settings: &Settings,
    opened: &Opened,
    run: RunId,
    listener: Arc<dyn Listener>,
    cancel: Cancel,
    screen: Box<dyn Fn(bool) + Send + Sync>,
) -> Result<Machine, Diagnostic> {
    let store = store(settings)?;
    let registries = connections(settings, &opened.plan, &store);
    let stats = StatCache::open(stat_file(settings));
    let lately = Lately::open(settings.project().join(settings::RESULTS), &store);
    Ok(Machine {
        root: settings.root.clone(),
        store,
        stats,
        lately,
        listener,
        cancel,
        run,
        registries,
        tools: Arc::clone(&opened.versions),
        shims: Shims::own(),
        jobs: OnceLock::new(),
        screen,
    })
}

/// A machine that tells nobody anything and is never stopped: for questions.
///
/// # Errors
/// As [`machine`].
pub fn still(settings: &Settings, opened: &Opened) -> Result<Machine, Diagnostic> {
    machine(settings, opened, record::run_id(clock::now(), 0), Arc::new(Nobody), Cancel::new(), Box::new(|_| {}))
}

/// The project's files, for a command that looks at many of them and changes none.
///
/// # Errors
/// A [`Diagnostic`] of class `Environment`.
pub fn glance(machine: &Machine) -> Result<Tree, Diagnostic> {
    Tree::for_a_glance(&machine.root).map_err(no_folder)
}

/// As [`glance`], with an account of all that is seen.
///
/// # Errors
/// As [`glance`].
pub fn accounted(machine: &Machine, account: &Arc<Account>) -> Result<Tree, Diagnostic> {
    Tree::with_account(&machine.root, Arc::clone(account)).map_err(no_folder)
}

fn no_folder(error: FileError) -> Diagnostic {
    Diagnostic::new(Class::Environment, "cli::no-directory", error.to_string()).help("-C names the project's root")
}

/// Connections to registries without a run.
///
/// # Errors
/// A [`Diagnostic`] of class `Environment`.
pub fn session(settings: &Settings, plan: &Plan) -> Result<Session, Diagnostic> {
    Ok(connections(settings, plan, &store(settings)?))
}

/// A store and connections before there is a plan, and so no host without TLS but this machine. `closed` opens no connection.
///
/// # Errors
/// A [`Diagnostic`] of class `Environment`.
pub fn line(settings: &Settings, closed: bool) -> Result<(Session, Store), Diagnostic> {
    let store = store(settings)?;
    Ok((session_of(Vec::new(), settings.offline || closed, &store), store))
}

/// Connections where there is no plan, and their store; this host may be spoken to without TLS.
///
/// # Errors
/// As [`machine`].
pub fn apart(global: &Global, insecure_host: Option<&str>) -> Result<(Session, Store), Diagnostic> {
    let store = store_apart(global)?;
    Ok((session_of(insecure_host.map(str::to_owned).into_iter().collect(), global.offline, &store), store))
}

/// The store where there is no plan.
///
/// # Errors
/// A [`Diagnostic`] of class `Environment`.
pub fn store_apart(global: &Global) -> Result<Store, Diagnostic> {
    open_store(settings::store_below(&settings::cache_folder(global)?))
}

/// What a step left when it last ended well here, as far as that is kept.
pub fn last_result(store: &Store, history: &StepHistory, step: &StepName) -> Option<ActionResult> {
    store.result(history.get(step)?.key?).ok()?
}

/// The store.
///
/// # Errors
/// A [`Diagnostic`] of class `Environment`.
pub fn store(settings: &Settings) -> Result<Store, Diagnostic> {
    open_store(settings.store())
}

fn open_store(folder: AbsPath) -> Result<Store, Diagnostic> {
    Store::open(folder).map_err(|error| {
        Diagnostic::new(Class::Environment, "store::open", error.to_string())
            .help("KILN_CACHE_DIR, or --cache-dir, names another folder for results")
    })
}

fn connections(settings: &Settings, plan: &Plan, store: &Store) -> Session {
    session_with(insecure(plan), Trust::of_machine(certificates(settings, plan)), settings.offline, store)
}

/// Connections to registries; these hosts may be spoken to without TLS.
fn session_of(insecure_hosts: Vec<String>, offline: bool, store: &Store) -> Session {
    session_with(insecure_hosts, Trust::of_machine(BTreeMap::new()), offline, store)
}

fn session_with(insecure_hosts: Vec<String>, trust: Trust, offline: bool, store: &Store) -> Session {
    let auth = Arc::new(ConfigFiles::of_machine());
    let options = Options { insecure_hosts, trust, mirrors: mirrors(), offline, ..Options::new(auth) };
    Session::new(options, Arc::new(StoreBlobs(store.clone())))
}

/// The mirrors that this machine may read from: `KILN_MIRRORS=docker.io=mirror.example.com/hub,ghcr.io=mirror.example.com/ghcr`.
/// What has no such form is left out, as a mirror that cannot be reached is.
fn mirrors() -> Vec<(String, String)> {
    let text = env::var("KILN_MIRRORS").unwrap_or_default();
    let pairs = text.split([',', ' ', '\n']).filter_map(|pair| pair.trim().split_once('='));
    pairs.map(|(host, place)| (host.trim().to_owned(), place.trim().trim_end_matches('/').to_owned())).collect()
}

/// The certificates that the plan names, by host.
fn certificates(settings: &Settings, plan: &Plan) -> BTreeMap<String, Files> {
    let mut found: BTreeMap<String, Files> = BTreeMap::new();
    for registry in plan.registries.values() {
        let RegistryPlace::Remote { host, .. } = &registry.place else { continue };
        let Certificates { authorities, own, key } = &registry.certificates;
        let at = |path: &String| secret::place(&settings.root, path);
        let files = found.entry(host.clone()).or_default();
        files.authorities.extend(authorities.iter().map(at));
        files.own = files.own.take().or_else(|| Some((at(own.as_ref()?), key.as_ref().map(at))));
    }
    found
}

fn stat_file(settings: &Settings) -> AbsPath {
    settings.project().join(settings::STATS)
}

/// Hosts that the plan allows to speak without TLS.
fn insecure(plan: &Plan) -> Vec<String> {
    let registries = plan.registries.values().filter(|registry| registry.insecure).filter_map(|registry| match &registry.place {
        RegistryPlace::Remote { host, .. } => Some(host.clone()),
        RegistryPlace::Layout(_) => None,
    });
    let origins = plan.images().flat_map(|(_, image)| &image.platforms).flat_map(|recipe| recipe.origins());
    let sources = origins.filter_map(|origin| match origin.elsewhere()? {
        Elsewhere::Registry { reference, insecure: true, .. } => Some(reference.repository.host().to_owned()),
        _ => None,
    });
    let mut hosts: Vec<String> = registries.chain(sources).collect();
    hosts.sort();
    hosts.dedup();
    hosts
}
