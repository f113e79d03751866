//! Watches folders: wakes whoever waits when something in them may be different.
//! In: folders. Out: that it is time to look. Never: what happened. The kernel drops events, joins them, and has many names for one
//! save; whoever is woken looks for himself. Where the kernel gives no events, it is time to look every so often.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

use crate::base::path::AbsPath;

use super::disk;

/// What is asked of the kernel about a folder.
const INTEREST: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MODIFY)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR)
    .union(WatchFlags::EXCL_UNLINK);

/// Between two looks where nobody said how often.
pub const EVERY: Duration = Duration::from_secs(1);

/// Why a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// Something happened in a folder, or may have.
    Look,
    /// Somebody called [`Waker::wake`].
    Called,
    /// The time was up.
    Late,
}

/// Ends a wait from another thread.
#[derive(Debug, Clone)]
pub struct Waker(Arc<OwnedFd>);

impl Waker {
    /// Ends the wait that goes on now, or the next one.
    pub fn wake(&self) {
        // A counter at its limit wakes as well.
        let _ = rustix::io::write(&*self.0, &1_u64.to_ne_bytes());
    }
}

/// Watches folders.
#[derive(Debug)]
pub struct Watcher {
    events: Option<OwnedFd>,
    calls: Arc<OwnedFd>,
    folders: BTreeMap<AbsPath, i32>,
    every: Duration,
    /// Why the kernel gives no events although they were asked for; until somebody heard it.
    refused: Option<String>,
}

impl Watcher {
    /// Watches nothing yet. With `every`, it only tells that it is time to look, each time so long after the last.
    ///
    /// # Errors
    /// When the kernel gives no file descriptor.
    pub fn new(every: Option<Duration>) -> io::Result<Self> {
        let calls = Arc::new(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?);
        let (events, refused) =
            match every.map_or_else(|| inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).map(Some), |_| Ok(None)) {
                Ok(events) => (events, None),
                Err(Errno::MFILE) => (None, Some("too many programs of this user watch files (fs.inotify.max_user_instances)".to_owned())),
                Err(error) => (None, Some(format!("the kernel tells nothing of changes ({error})"))),
            };
        Ok(Self { events, calls, folders: BTreeMap::new(), every: every.unwrap_or(EVERY), refused })
    }

    /// How often it is time to look; `None` where the kernel tells.
    #[must_use]
    pub fn polls(&self) -> Option<Duration> {
        self.events.is_none().then_some(self.every)
    }

    /// What ends a wait.
    #[must_use]
    pub fn waker(&self) -> Waker {
        Waker(Arc::clone(&self.calls))
    }

    /// Whether something that happens in this folder ends a wait.
    #[must_use]
    pub fn sees(&self, folder: &AbsPath) -> bool {
        self.events.is_none() || self.folders.contains_key(folder)
    }

    /// Watches exactly these folders; those that are not there, or that nobody may look at, are left out. Says whether it watches one that
    /// it did not watch before.
    ///
    /// # Errors
    /// Once, the reason why it cannot watch any more and polls from then on.
    pub fn watch(&mut self, folders: &BTreeSet<AbsPath>) -> Result<bool, String> {
        if let Some(why) = self.refused.take() {
            return Err(why);
        }
        let Some(events) = &self.events else { return Ok(false) };
        let gone: Vec<AbsPath> = self.folders.keys().filter(|folder| !folders.contains(folder)).cloned().collect();
        for folder in gone {
            if let Some(watch) = self.folders.remove(&folder) {
                // Two names of one folder have one watch.
                if !self.folders.values().any(|other| *other == watch) {
                    let _ = inotify::remove_watch(events, watch);
                }
            }
        }
        let mut fresh = false;
        for folder in folders {
            if self.folders.contains_key(folder) {
                continue;
            }
            if let Some(name) = disk::shared(folder) {
                return Err(self.give_up(format!("`{folder}` lies on {name}, which may change without a word to this machine")));
            }
            match inotify::add_watch(events, folder.as_path(), INTEREST) {
                Ok(watch) => {
                    self.folders.insert(folder.clone(), watch);
                    fresh = true;
                }
                Err(Errno::NOSPC) => {
                    let why = "the kernel watches no more folders for this user (fs.inotify.max_user_watches)";
                    return Err(self.give_up(why.to_owned()));
                }
                Err(Errno::NOMEM) => return Err(self.give_up("the kernel has no memory to watch more folders".to_owned())),
                // It went meanwhile, or nobody may look at it: then nobody reads it either.
                Err(_) => {}
            }
        }
        Ok(fresh)
    }

    fn give_up(&mut self, why: String) -> String {
        self.events = None;
        self.folders.clear();
        why
    }

    /// Waits until it is time to look, somebody calls, or `limit` is over.
    pub fn wait(&mut self, limit: Option<Duration>) -> Woken {
        let span = match (&self.events, limit) {
            (None, limit) => Some(limit.map_or(self.every, |limit| limit.min(self.every))),
            (Some(_), limit) => limit,
        };
        let span = span.and_then(|span| Timespec::try_from(span).ok());
        let (called, happened) = {
            let mut sources = vec![PollFd::new(&*self.calls, PollFlags::IN)];
            sources.extend(self.events.as_ref().map(|events| PollFd::new(events, PollFlags::IN)));
            // A signal ends a wait early; whoever waits looks once too often.
            let _ = poll(&mut sources, span.as_ref());
            let ready = |at: usize| sources.get(at).is_some_and(|source| !source.revents().is_empty());
            (ready(0), ready(1))
        };
        if called {
            let _ = rustix::io::read(&*self.calls, &mut [0_u8; 8]);
            return Woken::Called;
        }
        if happened {
            self.drain();
            return Woken::Look;
        }
        if self.events.is_none() && limit.is_none_or(|limit| limit > self.every) { Woken::Look } else { Woken::Late }
    }

    /// Takes in what happened, and forgets folders that are no longer where they were: they are watched anew when they are there.
    fn drain(&mut self) {
        let Some(events) = &self.events else { return };
        let mut space = [MaybeUninit::uninit(); 16 << 10];
        let mut reader = Reader::new(events, &mut space);
        let mut moved = Vec::new();
        while let Ok(event) = reader.next() {
            if event.events().intersects(ReadFlags::IGNORED | ReadFlags::MOVE_SELF | ReadFlags::DELETE_SELF) {
                moved.push(event.wd());
            }
        }
        let gone: Vec<AbsPath> = self.folders.iter().filter(|(_, watch)| moved.contains(watch)).map(|(folder, _)| folder.clone()).collect();
        // What lay below went along without a word of its own.
        self.folders.retain(|folder, watch| {
            let stays = !gone.iter().any(|gone| folder.as_path().starts_with(gone.as_path()));
            if !stays {
                let _ = inotify::remove_watch(events, *watch);
            }
            stays
        });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests may touch the disk")]

    use super::*;

    const LONG: Option<Duration> = Some(Duration::from_secs(20));
    const SHORT: Option<Duration> = Some(Duration::from_millis(30));

    fn place() -> (tempfile::TempDir, AbsPath) {
        let folder = tempfile::tempdir().unwrap();
        let path = AbsPath::new(folder.path().canonicalize().unwrap()).unwrap();
        (folder, path)
    }

    #[test]
    fn every_way_to_save_a_file_wakes() {
        let (_folder, root) = place();
        let file = root.join("file");
        std::fs::write(&file, "1").unwrap();
        let mut watcher = Watcher::new(None).unwrap();
        assert_eq!(watcher.watch(&BTreeSet::from([root.clone()])), Ok(true));
        assert_eq!(watcher.wait(SHORT), Woken::Late);
        let ways: [(&str, &dyn Fn()); 4] = [
            ("truncated and written", &|| std::fs::write(&file, "2").unwrap()),
            ("another renamed over it", &|| {
                std::fs::write(root.join(".file.swp"), "3").unwrap();
                std::fs::rename(root.join(".file.swp"), &file).unwrap();
            }),
            ("deleted and made again", &|| {
                std::fs::remove_file(&file).unwrap();
                std::fs::write(&file, "4").unwrap();
            }),
            ("made executable", &|| {
                use std::os::unix::fs::PermissionsExt as _;
                std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
            }),
        ];
        for (name, save) in ways {
            save();
            assert_eq!(watcher.wait(LONG), Woken::Look, "{name}");
            while watcher.wait(SHORT) == Woken::Look {}
        }
    }

    #[test]
    fn a_folder_that_is_replaced_is_watched_again() {
        let (_folder, root) = place();
        let inner = root.join("inner");
        let deep = inner.join("deep");
        std::fs::create_dir_all(&deep).unwrap();
        let folders = BTreeSet::from([root.clone(), inner.clone(), deep.clone()]);
        let mut watcher = Watcher::new(None).unwrap();
        assert_eq!(watcher.watch(&folders), Ok(true));
        assert_eq!(watcher.watch(&folders), Ok(false));
        std::fs::rename(&inner, root.join("old")).unwrap();
        std::fs::create_dir_all(&deep).unwrap();
        assert_eq!(watcher.wait(LONG), Woken::Look);
        while watcher.wait(SHORT) == Woken::Look {}
        assert!(watcher.sees(&root) && !watcher.sees(&inner) && !watcher.sees(&deep));
        assert_eq!(watcher.watch(&folders), Ok(true));
        for folder in [&inner, &deep] {
            std::fs::write(folder.join("file"), "1").unwrap();
            assert_eq!(watcher.wait(LONG), Woken::Look);
            while watcher.wait(SHORT) == Woken::Look {}
        }
    }

    #[test]
    fn a_call_ends_a_wait_also_when_it_came_before() {
        let mut watcher = Watcher::new(None).unwrap();
        let waker = watcher.waker();
        waker.wake();
        assert_eq!(watcher.wait(LONG), Woken::Called);
        assert_eq!(watcher.wait(SHORT), Woken::Late);
        let other = std::thread::spawn(move || waker.wake());
        assert_eq!(watcher.wait(LONG), Woken::Called);
        other.join().unwrap();
    }

    #[test]
    fn without_events_it_is_time_to_look_every_so_often() {
        let mut watcher = Watcher::new(Some(Duration::from_millis(20))).unwrap();
        assert_eq!(watcher.polls(), Some(Duration::from_millis(20)));
        assert_eq!(watcher.wait(None), Woken::Look);
        assert_eq!(watcher.wait(Some(Duration::from_millis(1))), Woken::Late);
    }
}
