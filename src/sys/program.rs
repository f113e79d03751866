//! Programs: where one lies, and why it cannot be started, in words.
//! In: a name as the user wrote it, a `PATH`, an error number. Out: an absolute path, or one error per cause.
//! Never: starts anything.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::Access;
use rustix::io::Errno;

use crate::base::size::ByteSize;
use crate::base::words::visible;

use super::file;

/// The path that is searched when a step's environment has none.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Why a program did not start.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// No folder of the `PATH` has it.
    #[error("cannot find the program `{program}` in the PATH `{searched}`")]
    NotFound {
        /// As written.
        program: String,
        /// The folders that were searched, as the `PATH` has them.
        searched: String,
    },
    /// A path was given, and nothing is there.
    #[error("cannot start `{program}`: there is no such file")]
    NoSuchFile {
        /// As written.
        program: String,
    },
    /// The file is there, but the program that should run it is not.
    #[error("cannot start `{program}`: {interpreter} does not exist")]
    NoInterpreter {
        /// As written.
        program: String,
        /// What is missing, in words.
        interpreter: String,
    },
    /// The file is there, but may not be run.
    #[error("cannot start `{program}`: `{path}` {why}")]
    NotExecutable {
        /// As written.
        program: String,
        /// The file.
        path: String,
        /// In words.
        why: &'static str,
    },
    /// The kernel does not know what to do with the file.
    #[error("cannot start `{program}`: {why}")]
    Format {
        /// As written.
        program: String,
        /// In words.
        why: String,
    },
    /// Arguments and environment are larger than the kernel accepts.
    #[error("cannot start `{program}`: its arguments and environment take {}, more than the system accepts", ByteSize(*bytes))]
    TooLong {
        /// As written.
        program: String,
        /// All of them together, in bytes.
        bytes: u64,
    },
    /// The directory that it shall run in is gone, or is no directory.
    #[error("cannot run in `{dir}`: {why}")]
    NoDirectory {
        /// The directory.
        dir: String,
        /// In words.
        why: &'static str,
    },
    /// The machine had no room for one more process, also after several tries.
    #[error("cannot start `{program}`: the machine has no room for one more process ({cause})")]
    Busy {
        /// As written.
        program: String,
        /// What the kernel said last.
        cause: io::Error,
    },
    /// kiln's own helper did not start, or died.
    #[error("cannot start `{program}`: kiln's helper process failed ({cause})")]
    Helper {
        /// As written.
        program: String,
        /// What the kernel said.
        cause: io::Error,
    },
    /// Anything else.
    #[error("cannot start `{program}`: {cause}")]
    Other {
        /// As written.
        program: String,
        /// What the kernel said.
        cause: io::Error,
    },
}

impl SpawnError {
    /// The next act, where one is known.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        let text = match self {
            Self::NotFound { .. } => "install it, or add its folder to PATH",
            Self::NotExecutable { .. } => "make it executable (`chmod +x`), or run it through its interpreter",
            Self::NoInterpreter { .. } => "install what runs it, or correct its first line",
            Self::TooLong { .. } => "hand a long list over in a file",
            Self::Busy { .. } => "run fewer steps at once with `-j`, or raise `ulimit -u` and `ulimit -n`",
            Self::NoDirectory { .. } => "correct `dir`, or let a step that comes first make the folder",
            Self::NoSuchFile { .. } | Self::Format { .. } | Self::Helper { .. } | Self::Other { .. } => return None,
        };
        Some(text.to_owned())
    }

    /// What a POSIX shell answers in the same case: 127 when nothing was found, 126 when it could not be run.
    #[must_use]
    pub const fn shell_code(&self) -> u8 {
        match self {
            Self::NotFound { .. } | Self::NoSuchFile { .. } => 127,
            _ => 126,
        }
    }

    /// Whether the machine, not the plan, is at fault.
    #[must_use]
    pub const fn is_of_the_machine(&self) -> bool {
        matches!(self, Self::Busy { .. } | Self::Helper { .. })
    }
}

fn shown(text: impl AsRef<OsStr>) -> String {
    visible(&text.as_ref().to_string_lossy())
}

/// Finds `program` as a POSIX shell does: a name with a slash is a path below `dir`; any other is searched in `path`.
///
/// # Errors
/// [`SpawnError::NotFound`], [`SpawnError::NoSuchFile`]; [`SpawnError::NotExecutable`] when all that was found may not be run.
pub fn find(program: &OsStr, path: Option<&OsStr>, dir: &Path) -> Result<PathBuf, SpawnError> {
    if program.as_bytes().contains(&b'/') {
        let whole = dir.join(program);
        return match refusal(&whole) {
            None => Ok(whole),
            Some(None) => Err(SpawnError::NoSuchFile { program: shown(program) }),
            Some(Some(why)) => Err(SpawnError::NotExecutable { program: shown(program), path: shown(&whole), why }),
        };
    }
    let path = path.unwrap_or(OsStr::new(DEFAULT_PATH));
    let mut refused = None;
    for folder in path.as_bytes().split(|byte| *byte == b':').filter(|_| !program.is_empty()) {
        // An empty entry means the working directory (POSIX, XBD 8.3).
        let whole = dir.join(OsStr::from_bytes(folder)).join(program);
        match refusal(&whole) {
            None => return Ok(whole),
            Some(None) => {}
            Some(Some(why)) => refused = refused.or(Some((whole, why))),
        }
    }
    Err(match refused {
        Some((whole, why)) => SpawnError::NotExecutable { program: shown(program), path: shown(whole), why },
        None => SpawnError::NotFound { program: shown(program), searched: shown(path) },
    })
}

/// `None`: it may be run. `Some(None)`: nothing is there. `Some(Some(why))`: something is there that may not be run.
fn refusal(path: &Path) -> Option<Option<&'static str>> {
    match rustix::fs::stat(path) {
        Err(_) => Some(None),
        Ok(status) => match rustix::fs::FileType::from_raw_mode(status.st_mode) {
            rustix::fs::FileType::Directory => Some(Some("is a folder")),
            rustix::fs::FileType::RegularFile if rustix::fs::access(path, Access::EXEC_OK).is_ok() => None,
            rustix::fs::FileType::RegularFile => Some(Some("is not executable")),
            _ => Some(Some("is not a file")),
        },
    }
}

/// A program that was found and yet did not start: what was asked for, for [`SpawnError`]'s words.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'a> {
    /// As written.
    pub program: &'a OsStr,
    /// Where it was found.
    pub path: &'a Path,
    /// Its arguments.
    pub args: &'a [OsString],
    /// Its environment.
    pub env: &'a [(OsString, OsString)],
}

impl Attempt<'_> {
    /// Puts the kernel's answer into words.
    #[must_use]
    pub fn explain(&self, cause: io::Error) -> SpawnError {
        let program = shown(self.program);
        match cause.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::NOENT) => match missing_interpreter(self.path) {
                Some(interpreter) => SpawnError::NoInterpreter { program, interpreter },
                None => SpawnError::NoSuchFile { program },
            },
            Some(Errno::ACCESS | Errno::PERM) => SpawnError::NotExecutable {
                program,
                path: shown(self.path),
                why: "may not be executed by this user or on this file system",
            },
            Some(Errno::NOEXEC) => SpawnError::Format { program, why: format_fault(self.path) },
            Some(Errno::TOOBIG) => SpawnError::TooLong { program, bytes: self.bytes() },
            Some(errno) if is_busy(errno) => SpawnError::Busy { program, cause },
            _ => SpawnError::Other { program, cause },
        }
    }

    fn bytes(&self) -> u64 {
        // Each text ends with a NUL, and each pair has a `=` between.
        let args = self.args.iter().map(|arg| arg.len() + 1);
        let env = self.env.iter().map(|(name, value)| name.len() + value.len() + 2);
        args.chain(env).sum::<usize>() as u64
    }
}

/// Whether the same call may succeed a moment later.
#[must_use]
pub fn is_busy(errno: Errno) -> bool {
    // ETXTBSY: another thread of kiln forked while this file was still open for writing; its child lets go at once.
    matches!(errno, Errno::AGAIN | Errno::NOMEM | Errno::MFILE | Errno::NFILE | Errno::TXTBSY)
}

fn head(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Ok(file) = file::open(path) {
        // What could not be read is not explained; the kernel's own words are shown then.
        let _ = file.take(256).read_to_end(&mut bytes);
    }
    bytes
}

fn missing_interpreter(path: &Path) -> Option<String> {
    let head = head(path);
    if head.starts_with(b"\x7fELF") {
        return Some("the dynamic loader that it names".to_owned());
    }
    let line = head.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    // Blanks and tabs end the name, as the kernel has it; a carriage return belongs to it.
    let word = line.split(|byte| matches!(byte, b' ' | b'\t')).find(|word| !word.is_empty())?;
    let name = String::from_utf8_lossy(word);
    // A line end of DOS is part of the name, and looks like nothing on a screen.
    let shown = visible(&name);
    Some(if name.ends_with('\r') {
        format!("its interpreter `{shown}` (the script has DOS line ends)")
    } else {
        format!("its interpreter `{shown}`")
    })
}

fn format_fault(path: &Path) -> String {
    let head = head(path);
    if let Some(machine) = elf_machine(&head) {
        return format!("it is built for {machine}, and this machine is {}", std::env::consts::ARCH);
    }
    match head.as_slice() {
        [] => "the file is empty".to_owned(),
        [b'#', b'!', ..] => "its first line names something that cannot be run".to_owned(),
        [0xef, 0xbb, 0xbf, b'#', b'!', ..] => "a byte order mark stands before its `#!`".to_owned(),
        _ => "it is neither a program of this system nor a script that begins with `#!`".to_owned(),
    }
}

/// The machine that an ELF file is built for. Source: System V ABI, `e_ident` and `e_machine`.
fn elf_machine(head: &[u8]) -> Option<String> {
    let [0x7f, b'E', b'L', b'F', class, data, ..] = head else { return None };
    let raw: [u8; 2] = head.get(18..20)?.try_into().ok()?;
    let number = if *data == 2 { u16::from_be_bytes(raw) } else { u16::from_le_bytes(raw) };
    Some(match (number, class) {
        (3, _) => "x86".to_owned(),
        (62, 1) => "x32".to_owned(),
        (62, _) => "x86_64".to_owned(),
        (40, _) => "arm".to_owned(),
        (183, _) => "aarch64".to_owned(),
        (243, _) => "riscv64".to_owned(),
        (21, _) => "powerpc64".to_owned(),
        (22, _) => "s390x".to_owned(),
        (258, _) => "loongarch64".to_owned(),
        (other, _) => format!("another kind of machine (ELF number {other})"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_in_the_first_folder_that_has_it_executable() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("first"), folder.path().join("second"));
        for (place, mode) in [(&first, 0o644), (&second, 0o755)] {
            file::create_dirs(place).unwrap();
            file::write_atomic(place.join("tool"), b"#!/bin/sh\n", false).unwrap();
            file::set_mode(place.join("tool"), mode).unwrap();
        }
        let path = std::env::join_paths([&first, &second]).unwrap();
        assert_eq!(find("tool".as_ref(), Some(&path), folder.path()).unwrap(), second.join("tool"));
        assert!(matches!(find("tool".as_ref(), Some(first.as_os_str()), folder.path()), Err(SpawnError::NotExecutable { .. })));
        assert!(matches!(find("none".as_ref(), Some(&path), folder.path()), Err(SpawnError::NotFound { .. })));
        assert!(matches!(find("".as_ref(), Some(&path), folder.path()), Err(SpawnError::NotFound { .. })));
        assert_eq!(find("second/tool".as_ref(), None, folder.path()).unwrap(), second.join("tool"));
        assert!(matches!(find("./second".as_ref(), None, folder.path()), Err(SpawnError::NotExecutable { why: "is a folder", .. })));
    }

    #[test]
    fn an_elf_head_names_its_machine_in_both_byte_orders() {
        let elf = |class, data, machine: [u8; 2]| {
            let mut head = vec![0x7f, b'E', b'L', b'F', class, data];
            head.resize(18, 0);
            head.extend(machine);
            head
        };
        for (head, expected) in [
            (elf(2, 1, [183, 0]), Some("aarch64")),
            (elf(2, 2, [0, 22]), Some("s390x")),
            (elf(2, 1, [62, 0]), Some("x86_64")),
            (elf(1, 1, [62, 0]), Some("x32")),
            (b"\x7fELF".to_vec(), None),
            (b"#!/bin/sh".to_vec(), None),
        ] {
            assert_eq!(elf_machine(&head).as_deref(), expected);
        }
    }
}
