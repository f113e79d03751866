//! `kiln cache`: what the store holds, collecting it, checking it, and what is wrong with its place.

use std::collections::HashSet;
use std::ffi::OsStr;

use clap::{Args, Subcommand};

use crate::base::diagnostic::{Class, Diagnostic, Diagnostics};
use crate::base::path::AbsPath;
use crate::base::size::ByteSize;
use crate::base::time::{Moment, Span};
use crate::base::words;
use crate::report::cache::{self, DoctorView, Finding, GcView, Health, StatsView, VerifyView};
use crate::report::json;
use crate::store::blob::StoreError;
use crate::store::collect::Limits;
use crate::store::doctor::{self, Facts};
use crate::store::local::Store;
use crate::sys::{background, clock, env};

use super::args::Global;
use super::output::Output;
use super::projects::{self, Project};
use super::settings;

/// What can be done with the store.
#[derive(Debug, Subcommand)]
pub enum Cache {
    /// Says what the store holds, how often that saved work, and what a collection would free
    Stats(Room),
    /// Removes what was not used for long, and what is beyond the store's room
    Gc(Gc),
    /// Reads every byte; sets aside what is damaged and names the steps that run again
    Verify,
    /// Looks at the store's place: rights, disk, locks, clock, leftovers; says what to do
    Doctor,
}

/// How much a store may hold.
#[derive(Debug, Clone, Copy, Args)]
pub struct Room {
    /// Bytes that the store may hold
    #[arg(long, value_name = "SIZE", default_value = "20GiB", env = "KILN_CACHE_MAX_SIZE", hide_env_values = true)]
    pub max_size: ByteSize,
    /// What was not used for so long goes
    #[arg(long, value_name = "TIME", default_value = "30d", env = "KILN_CACHE_MAX_AGE", hide_env_values = true)]
    pub max_age: Span,
}

/// Options of `gc`.
#[derive(Debug, Clone, Copy, Args)]
pub struct Gc {
    #[command(flatten)]
    pub room: Room,
    /// Only says what would go
    #[arg(long)]
    pub dry_run: bool,
    /// Started by a run, once a day
    #[arg(long, hide = true)]
    pub daily: bool,
}

impl Room {
    fn limits(self) -> Limits {
        Limits { max_bytes: self.max_size.0, max_age_s: self.max_age.0.as_secs() }
    }
}

/// # Errors
/// A store that cannot be opened or read.
pub fn run(global: &Global, output: &Output, command: Cache) -> Result<u8, Diagnostics> {
    let folder = settings::cache_folder(global)?;
    if matches!(command, Cache::Doctor) {
        return Ok(examine(&folder, output));
    }
    let store = Store::open(settings::store_below(&folder)).map_err(|error| fault(&error))?;
    match command {
        Cache::Stats(room) => stats(&folder, &store, output, room.limits()),
        Cache::Gc(gc) => collect(&folder, &store, output, gc),
        Cache::Verify => verify(&folder, &store, output),
        Cache::Doctor => Ok(0),
    }
}

/// After a run, once a day: collects in a process of its own, which nobody waits for. `KILN_GC=off` forbids it.
pub fn collect_daily(store: &Store, cache: &AbsPath) {
    if env::var("KILN_GC").is_some_and(|value| value == "off") || !store.begin_daily_collection() {
        return;
    }
    // The next day is early enough to try again.
    let _ =
        background::start(&["--cache-dir".as_ref(), cache.as_path().as_os_str(), "cache".as_ref(), OsStr::new("gc"), "--daily".as_ref()]);
}

fn stats(folder: &AbsPath, store: &Store, output: &Output, limits: Limits) -> Result<u8, Diagnostics> {
    let projects = projects::all(folder);
    let past = projects::past(&projects);
    let found = store.stats().map_err(|error| fault(&error))?;
    let would = store.collect(limits, &past.remembered, true).map_err(|error| fault(&error))?;
    let now = clock::now();
    let ago = |moment: Moment| u64::try_from((now.0 - moment.0) / 1_000).unwrap_or(0);
    let view = StatsView {
        store: store.root().to_string(),
        results: found.records,
        result_bytes: found.record_bytes,
        contents: found.blobs - found.image_blobs,
        content_bytes: found.bytes - found.image_bytes,
        image_blobs: found.image_blobs,
        image_bytes: found.image_bytes,
        damaged: found.damaged,
        oldest_s: found.oldest.map(ago),
        collected_s: found.collected.map(ago),
        max_bytes: limits.max_bytes,
        max_age_s: limits.max_age_s,
        collectable_bytes: would.bytes,
        projects: projects.len() as u64,
        gone_projects: projects.iter().filter(|project| project.is_gone()).count() as u64,
        runs: past.runs,
        ran: past.ran,
        cached: past.cached,
        saved_ms: past.saved_ms,
    };
    output.answer(&if output.json { json::document(&view) } else { cache::stats(&view, output.out) });
    Ok(0)
}

fn collect(folder: &AbsPath, store: &Store, output: &Output, gc: Gc) -> Result<u8, Diagnostics> {
    if gc.daily {
        background::give_way();
    }
    let limits = gc.room.limits();
    let known = projects::all(folder);
    // The records of a project go first: what only they name goes with them.
    let (gone, known): (Vec<Project>, Vec<Project>) =
        known.into_iter().partition(|project| project.forget_when_older(limits.max_age_s, gc.dry_run));
    let remembered: HashSet<_> = projects::past(&known).remembered;
    let done = store.collect(limits, &remembered, gc.dry_run).map_err(|error| fault(&error))?;
    let view = GcView {
        dry_run: gc.dry_run,
        results: done.results,
        blobs: done.blobs,
        bytes: done.bytes,
        left_bytes: done.left_bytes,
        held_bytes: done.held_bytes,
        projects: gone.len() as u64,
        running: store.running(),
    };
    output.answer(&if output.json { json::document(&view) } else { cache::gc(&view, output.out) });
    Ok(0)
}

fn verify(folder: &AbsPath, store: &Store, output: &Output) -> Result<u8, Diagnostics> {
    let found = store.stats().map_err(|error| fault(&error))?;
    let health = store.verify_all().map_err(|error| fault(&error))?;
    let past = projects::past(&projects::all(folder));
    let again = health.damaged_results.iter().chain(&health.incomplete);
    let mut steps: Vec<String> = again.filter_map(|key| past.steps.get(key)).flatten().cloned().collect();
    steps.sort();
    steps.dedup();
    let text = |keys: &[crate::base::digest::ActionKey]| keys.iter().map(|key| key.0.short()).collect();
    let view = VerifyView {
        blobs: health.blobs,
        results: health.records,
        bytes: found.bytes + found.record_bytes,
        damaged_results: text(&health.damaged_results),
        incomplete: text(&health.incomplete),
        damaged_blobs: health.damaged,
        steps,
    };
    let bad = !view.damaged_blobs.is_empty() || !view.damaged_results.is_empty();
    output.answer(&if output.json { json::document(&view) } else { cache::verify(&view, output.out) });
    Ok(if bad { Class::Environment.exit_code() } else { 0 })
}

/// Gives 5 when something keeps the store from working.
fn examine(folder: &AbsPath, output: &Output) -> u8 {
    let place = settings::store_below(folder);
    let mut findings = Vec::new();
    match Store::open(place.clone()) {
        Ok(store) => {
            judge(&store.examine(), &mut findings);
            findings.push(stat_caches(&projects::all(folder)));
        }
        Err(error) => {
            let help = "name another folder with KILN_CACHE_DIR or --cache-dir, or mend this one".to_owned();
            findings.push(Finding { what: "folder", state: Health::Bad, found: error.to_string(), help: Some(help) });
        }
    }
    let bad = findings.iter().any(|finding| finding.state == Health::Bad);
    let view = DoctorView { store: place.to_string(), findings };
    output.answer(&if output.json { json::document(&view) } else { cache::doctor(&view, output.out) });
    if bad { Class::Environment.exit_code() } else { 0 }
}

/// The least room that a build can be expected to need, in bytes.
const LEAST_ROOM: u64 = 1 << 30;
/// Clocks that differ by more than this make ages wrong, in milliseconds.
const SKEW_MS: i64 = 5_000;

fn judge(facts: &Facts, findings: &mut Vec<Finding>) {
    let mut say = |what, state, found: String, help: Option<&str>| {
        findings.push(Finding { what, state, found, help: help.map(str::to_owned) });
    };
    say("folder", Health::Good, format!("mode {:o}, for this user alone", facts.mode), None);
    match &facts.writable {
        Ok(()) => say("writing", Health::Good, "a file was written and read back".to_owned(), None),
        Err(error) => {
            let help = "results can be used but not kept; mend the rights or the disk, or name another folder with KILN_CACHE_DIR";
            say("writing", Health::Bad, error.to_string(), Some(help));
        }
    }
    match &facts.disk {
        Ok(disk) => {
            let shares = if facts.shares { "outputs share bytes with the store" } else { "outputs are copies" };
            let (state, help) = match (disk.shared, disk.memory) {
                (true, _) => (Health::Warn, Some("keep the store on a local disk: locks and clocks of shared ones cannot be relied on")),
                (_, true) => (Health::Warn, Some("the store is gone after a restart; KILN_CACHE_DIR names a folder on a disk")),
                _ => (Health::Good, None),
            };
            say("file system", state, format!("{}; {shares}", disk.kind), help);
            let (state, help) = if disk.free < LEAST_ROOM || disk.free_files.is_some_and(|files| files < 10_000) {
                (Health::Warn, Some("`kiln cache gc --max-size 5GiB` makes room"))
            } else {
                (Health::Good, None)
            };
            let files = disk.free_files.map_or_else(String::new, |files| format!(", {files} files"));
            say("room", state, format!("{} of {} free{files}", ByteSize(disk.free), ByteSize(disk.size)), help);
        }
        Err(error) => say("file system", Health::Warn, error.to_string(), None),
    }
    match facts.locks {
        Some(true) => say("locks", Health::Good, "a lock keeps a second one out".to_owned(), None),
        Some(false) => {
            let help = "two kilns may do the same work at once, which is slower and as right; use a file system with flock";
            say("locks", Health::Warn, "this file system has no locks".to_owned(), Some(help));
        }
        None => {}
    }
    match facts.ahead_ms {
        Some(ahead) if ahead.abs() > SKEW_MS => {
            let found = format!(
                "the file system's clock is {} s {} this machine's",
                ahead.abs() / 1_000,
                if ahead > 0 { "ahead of" } else { "behind" }
            );
            say("clock", Health::Warn, found, Some("set the clocks: ages of results are told by them; results stay right"));
        }
        _ => say("clock", Health::Good, "the file system and this machine agree".to_owned(), None),
    }
    let collecting = if facts.collecting { ", a collection" } else { "" };
    say(
        "in use by",
        Health::Good,
        format!("{}, {}{collecting}", words::count(facts.running, "kiln"), words::count(facts.claims, "step")),
        None,
    );
    match facts.left {
        (0, _) => say("leftovers", Health::Good, "none".to_owned(), None),
        (files, bytes) => {
            let found = format!("{files} temporary files of killed kilns, {}", ByteSize(bytes));
            say("leftovers", Health::Good, format!("{found}; they go by themselves after a day"), None);
        }
    }
    if facts.damaged > 0 {
        let help = "`kiln cache verify` reads everything; if it finds more, look at the disk and the memory of this machine";
        say("damage", Health::Warn, format!("{} files were set aside within a week", facts.damaged), Some(help));
    }
    let beside = if facts.other_versions.is_empty() {
        String::new()
    } else {
        format!("; beside it, untouched: {}", facts.other_versions.join(", "))
    };
    say("format", Health::Good, format!("{}{beside}", crate::store::layout::VERSION), None);
}

fn stat_caches(projects: &[Project]) -> Finding {
    let broken: Vec<&Project> =
        projects.iter().filter(|project| doctor::stat_cache_is_sound(&project.stat_cache()) == Some(false)).collect();
    if let Some(first) = broken.first() {
        let found = format!("{} of {} cannot be read, for instance that of {}", broken.len(), projects.len(), first.name());
        let help = "nothing to do: it counts as empty, files are read again, and the next run writes it anew".to_owned();
        return Finding { what: "stat caches", state: Health::Warn, found, help: Some(help) };
    }
    Finding {
        what: "stat caches",
        state: Health::Good,
        found: format!("those of {} can be read", words::count(projects.len(), "project")),
        help: None,
    }
}

fn fault(error: &StoreError) -> Diagnostics {
    let fault = Diagnostic::new(Class::Environment, "store::open", error.to_string());
    fault.help("`kiln cache doctor` looks at the store; KILN_CACHE_DIR, or --cache-dir, names another folder").into()
}
