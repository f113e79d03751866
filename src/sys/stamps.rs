//! Whether a file system tells every two writes to a file apart by the times that it shows.
//! In: a folder. Out: its device, and the answer. Never: a name in the folder, an error: what cannot be told counts as no.
//!
//! Most kernels stamp files with a clock that moves in steps of milliseconds: two writes within one step look like one. Since Linux
//! 6.13 some file systems take the exact time whenever somebody has looked at a file since its last write, so whoever looks, and looks
//! again, sees each write in between. The number of a version would not tell: it says nothing of what lies below an overlay.

#![allow(clippy::disallowed_methods, reason = "this is the door")]

use std::fs::File;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use super::disk;
use super::stat::{self, Stat};

/// The file systems whose times are this kernel's own, and which may have exact ones. On others another machine stamps the files.
const MAY: [&str; 5] = ["ext4", "xfs", "btrfs", "tmpfs", "overlay"];
/// The shortest step of the clock that all kernels have, in nanoseconds, and a little less.
const STEP: i128 = 900_000;
/// A thread that was put to sleep between two writes has seen nothing.
const TRIES: usize = 3;

/// The device that `folder` lies on, and whether two writes to a file of it always show other times to one who looked between them.
#[must_use]
pub fn of(folder: &Path) -> Option<(u64, bool)> {
    let flags = OFlags::WRONLY | OFlags::TMPFILE | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(folder, flags, Mode::RUSR | Mode::WUSR).ok()?);
    let device = look(&file)?.device;
    let may = disk::of(folder).is_ok_and(|disk| MAY.contains(&disk.kind.as_str()));
    Some((device, may && (0..TRIES).any(|_| are_exact(&file).unwrap_or(false))))
}

/// Three writes within one step of the clock, with a look after each, show three times only where times are exact.
fn are_exact(file: &File) -> Option<bool> {
    // What was written before the first look may have any time.
    write_and_look(file)?;
    let [first, second, third] = [write_and_look(file)?, write_and_look(file)?, write_and_look(file)?];
    Some(first < second && second < third && third - first < STEP)
}

fn write_and_look(file: &File) -> Option<i128> {
    rustix::io::pwrite(file, b"x", 0).ok().filter(|written| *written == 1)?;
    look(file).map(|stat| stat.changed)
}

fn look(file: &File) -> Option<Stat> {
    Some(stat::of_raw(&rustix::fs::fstat(file).ok()?).1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn a_folder_that_is_said_to_tell_writes_apart_does_so_a_thousand_times() {
        let folder = tempfile::tempdir().unwrap();
        let (device, exact) = of(folder.path()).expect("the folder for temporary files can hold a file");
        let mut file = File::create(folder.path().join("file")).unwrap();
        let mut last = look(&file).unwrap();
        assert_eq!(last.device, device);
        let mut same = 0;
        for _ in 0..1_000 {
            file.write_all(b"x").unwrap();
            let now = look(&file).unwrap();
            same += usize::from(now.changed == last.changed);
            last = now;
        }
        // A kernel with a coarse clock shows hundreds of equal pairs here.
        assert_eq!(exact, same == 0, "{same} of 1,000 writes showed the time of the one before");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left of the question");
    }

    #[test]
    fn what_cannot_be_written_to_or_is_no_disk_tells_nothing_apart() {
        assert_eq!(of(Path::new("/proc")), None);
        assert_eq!(of(Path::new("/nowhere/at/all")), None);
    }
}
