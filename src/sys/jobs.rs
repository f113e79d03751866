//! Tokens that kiln shares with the programs of its steps: GNU make's jobserver, which make, cargo and ninja know.
//! In: how many jobs there may be. Out: a token for each step that runs commands, and a pipe from which its programs take the rest.
//! Never: a run that waits for a token which died with a program.
//!
//! The tokens lie in a named pipe. A step takes one before its commands begin and puts it back behind them; make and cargo take
//! more from the same pipe, one for each job beyond their first. A program that is killed takes its tokens along: when no step
//! holds one, the pipe is filled anew; and after a step ended badly, nobody waits for long.
//!
//! The protocol has two forms. Open descriptors (`--jobserver-auth=R,W`) are known to every make since 4.2 and to cargo; make
//! before 4.4 gives up at the other one, `fifo:PATH`, which is the only one that ninja takes. Source: POSIX Jobserver, GNU make manual.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, OFlags};
use tokio::io::unix::AsyncFd;

use super::program::Attempt;

/// The first argument that makes the program the one that opens the pipe for a command.
pub const WORD: &str = "__jobs";
/// How long a token is waited for when some may have died.
const PATIENCE: Duration = Duration::from_secs(1);

/// The tokens of a run.
#[derive(Debug)]
pub struct Jobs {
    /// Gone, with the pipe in it, when this is dropped.
    _folder: tempfile::TempDir,
    path: PathBuf,
    all: u32,
    pipe: AsyncFd<OwnedFd>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Steps that hold a token.
    holders: u32,
    /// Whether tokens may have died with a program.
    doubtful: bool,
}

/// One job of the run. It is given back when this is dropped.
#[derive(Debug)]
pub struct Token<'a> {
    jobs: &'a Jobs,
    /// Whether the step ended in a way that leaves no tokens behind.
    good: bool,
}

impl Jobs {
    /// A pipe with `all` tokens, in a folder of its own below `folder`. Must be called within a runtime.
    ///
    /// # Errors
    /// What the disk says.
    pub fn new(folder: &Path, all: u32) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("jobs-").tempdir_in(folder)?;
        let path = folder.path().join("tokens");
        rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
        // For reading and writing, so that the pipe is never without a reader or a writer.
        let pipe = rustix::fs::open(&path, OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())?;
        // Its successor is unsafe, because not every type keeps its descriptor open; this one does.
        #[allow(deprecated, reason = "an `OwnedFd` keeps what the successor wants to be promised")]
        let pipe = AsyncFd::new(pipe)?;
        let jobs = Self { pipe, path, all: all.max(1), state: Mutex::default(), _folder: folder };
        jobs.put(jobs.all);
        Ok(jobs)
    }

    /// Where the pipe is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many tokens there are.
    #[must_use]
    pub const fn all(&self) -> u32 {
        self.all
    }

    /// Waits for a token. May be dropped at any time.
    pub async fn take(&self) -> Token<'_> {
        loop {
            if let Some(token) = self.try_token() {
                return token;
            }
            // Looked at again from time to time: a step that ends badly meanwhile changes what can be hoped for.
            match tokio::time::timeout(PATIENCE, self.pipe.readable()).await {
                Ok(Ok(mut ready)) => match self.try_token() {
                    Some(token) => return token,
                    None => ready.clear_ready(),
                },
                Ok(Err(_)) => return self.stand_in(),
                Err(_) if self.state().doubtful => return self.stand_in(),
                Err(_) => {}
            }
        }
    }

    fn try_token(&self) -> Option<Token<'_>> {
        let mut state = self.state();
        // With nobody else there, all tokens are.
        (self.try_take() || state.holders == 0).then(|| {
            state.holders += 1;
            Token { jobs: self, good: false }
        })
    }

    /// A token in place of one that died.
    fn stand_in(&self) -> Token<'_> {
        self.state().holders += 1;
        Token { jobs: self, good: false }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn try_take(&self) -> bool {
        matches!(rustix::io::read(&self.pipe, &mut [0; 1]), Ok(1))
    }

    fn put(&self, count: u32) {
        for _ in 0..count {
            // A pipe holds more tokens than there are processors.
            let _ = rustix::io::write(&self.pipe, b"+");
        }
    }
}

impl Token<'_> {
    /// Says that the step ended well: what its programs took, they gave back.
    pub fn ended_well(mut self) {
        self.good = true;
    }
}

impl Drop for Token<'_> {
    fn drop(&mut self) {
        let mut state = self.jobs.state();
        state.holders = state.holders.saturating_sub(1);
        state.doubtful |= !self.good;
        if state.holders > 0 {
            self.jobs.put(1);
            return;
        }
        // Nothing of any step is left, so whatever is missing died, and whatever is too much stood in for it.
        while self.jobs.try_take() {}
        self.jobs.put(self.jobs.all);
        state.doubtful = false;
    }
}

/// The value of MAKEFLAGS, behind what is there already.
#[must_use]
pub fn make_flags(before: Option<&OsStr>, all: u32, auth: &str) -> OsString {
    let mut flags = before.unwrap_or_default().to_owned();
    flags.push(format!(" -j{all} --jobserver-auth={auth}"));
    flags
}

/// The words before a command whose programs get the pipe as open descriptors: `path` is the program's, the rest its arguments from the
/// zeroth.
#[must_use]
pub fn before(jobs: &Jobs, path: &Path) -> [OsString; 5] {
    [super::shims::own_program().into(), WORD.into(), jobs.path().into(), jobs.all().to_string().into(), path.into()]
}

/// Opens the pipe and becomes the command. `args` are those after [`WORD`].
#[must_use]
#[allow(clippy::disallowed_methods, reason = "this is the door")]
pub fn jobs_main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let words: Vec<OsString> = args.into_iter().collect();
    let [fifo, all, path, zeroth, args @ ..] = words.as_slice() else { return ExitCode::from(70) };
    let Some(all) = all.to_str().and_then(|all| all.parse().ok()) else { return ExitCode::from(70) };
    // Without `CLOEXEC`: the command has them too. They stay open until this process is the command.
    let open = |flags| rustix::fs::open(fifo, flags, Mode::empty());
    let (out, back) = match (open(OFlags::RDONLY), open(OFlags::WRONLY)) {
        (Ok(out), Ok(back)) => (out, back),
        _ => return ExitCode::from(70),
    };
    let auth = format!("{},{}", out.as_raw_fd(), back.as_raw_fd());
    let flags = make_flags(super::env::var_os("MAKEFLAGS").as_deref(), all, &auth);
    let cause = Command::new(path).arg0(zeroth).args(args).env("MAKEFLAGS", flags).exec();
    let words = Attempt { program: zeroth, path: Path::new(path), args, env: &super::env::all() }.explain(cause);
    let _ = io::stderr().write_all(format!("kiln: {words}\n").as_bytes());
    ExitCode::from(126)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(jobs: &Jobs) -> u32 {
        let mut count = 0;
        while jobs.try_take() {
            count += 1;
        }
        jobs.put(count);
        count
    }

    #[tokio::test]
    async fn tokens_that_died_are_replaced_when_nobody_holds_one() {
        let folder = tempfile::tempdir().unwrap();
        let jobs = Jobs::new(folder.path(), 4).unwrap();
        let first = jobs.take().await;
        assert_eq!(left(&jobs), 3);
        assert!(jobs.try_take() && jobs.try_take());
        drop(first);
        assert_eq!(left(&jobs), 4);
    }

    #[tokio::test]
    async fn nobody_waits_for_long_where_tokens_may_have_died_and_none_is_made_up() {
        let folder = tempfile::tempdir().unwrap();
        let jobs = Jobs::new(folder.path(), 2).unwrap();
        let (long, bad) = (jobs.take().await, jobs.take().await);
        // Whoever ended badly had taken the token that it was to give back.
        drop(bad);
        assert!(jobs.try_take());
        let third = tokio::time::timeout(Duration::from_secs(20), jobs.take()).await.unwrap();
        third.ended_well();
        long.ended_well();
        assert_eq!(left(&jobs), 2);
    }

    #[tokio::test]
    async fn a_token_is_waited_for_while_another_step_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let jobs = Jobs::new(folder.path(), 1).unwrap();
        let first = jobs.take().await;
        let mut second = std::pin::pin!(jobs.take());
        assert!(tokio::time::timeout(Duration::from_millis(50), second.as_mut()).await.is_err());
        first.ended_well();
        second.await.ended_well();
        assert_eq!(left(&jobs), 1);
    }

    #[test]
    fn flags_stand_behind_those_of_the_plan() {
        assert_eq!(make_flags(Some("k".as_ref()), 4, "3,4"), "k -j4 --jobserver-auth=3,4");
        assert_eq!(make_flags(None, 2, "fifo:/x"), " -j2 --jobserver-auth=fifo:/x");
    }
}
