//! The system calls that name files or hosts: which they are, and where each has its path.
//! In: a process that stands before such a call. Out: what it asks for. Never: a guess on a processor that is not listed.

use std::ffi::OsString;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

use nix::libc;
use nix::sys::ptrace;
use nix::sys::uio::RemoteIoVec;
use nix::unistd::Pid;
use seccompiler::sock_filter;

/// The longest path that the kernel takes, in bytes.
const LONGEST: usize = 4_096;

/// What a call does with a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    /// Opens it; the argument with this number holds the flags.
    Open(usize),
    /// Opens it; the argument with this number points to a structure that begins with the flags.
    OpenHow(usize),
    /// Asks about it.
    Ask,
    /// Executes it.
    Execute,
    /// Makes, changes or removes it.
    Change,
    /// Connects to the address that the argument points to.
    Connect,
}

/// A path among the arguments: that of the folder it is relative to, if there is one, and its own.
type Place = (Option<usize>, usize);

/// A call, with the paths that it takes.
struct Call {
    number: libc::c_long,
    paths: &'static [(Place, Verb)],
}

const fn call(number: libc::c_long, paths: &'static [(Place, Verb)]) -> Call {
    Call { number, paths }
}

use Verb::{Ask, Change, Connect, Execute, Open, OpenHow};

const AT: Place = (Some(0), 1);
const PLAIN: Place = (None, 0);

/// The calls that every processor has.
const CALLS: &[Call] = &[
    call(libc::SYS_openat, &[(AT, Open(2))]),
    call(libc::SYS_openat2, &[(AT, OpenHow(2))]),
    call(libc::SYS_execve, &[(PLAIN, Execute)]),
    call(libc::SYS_execveat, &[(AT, Execute)]),
    call(libc::SYS_newfstatat, &[(AT, Ask)]),
    call(libc::SYS_statx, &[(AT, Ask)]),
    call(libc::SYS_faccessat, &[(AT, Ask)]),
    call(libc::SYS_faccessat2, &[(AT, Ask)]),
    call(libc::SYS_readlinkat, &[(AT, Ask)]),
    call(libc::SYS_chdir, &[(PLAIN, Ask)]),
    call(libc::SYS_mkdirat, &[(AT, Change)]),
    call(libc::SYS_mknodat, &[(AT, Change)]),
    call(libc::SYS_unlinkat, &[(AT, Change)]),
    call(libc::SYS_symlinkat, &[((Some(1), 2), Change)]),
    call(libc::SYS_linkat, &[(AT, Ask), ((Some(2), 3), Change)]),
    call(libc::SYS_renameat2, &[(AT, Change), ((Some(2), 3), Change)]),
    call(libc::SYS_renameat, &[(AT, Change), ((Some(2), 3), Change)]),
    call(libc::SYS_truncate, &[(PLAIN, Change)]),
    call(libc::SYS_fchmodat, &[(AT, Change)]),
    call(libc::SYS_fchownat, &[(AT, Change)]),
    call(libc::SYS_utimensat, &[(AT, Change)]),
    call(libc::SYS_connect, &[((None, 1), Connect)]),
];

/// Those that only older ones have.
#[cfg(target_arch = "x86_64")]
const OLDER: &[Call] = &[
    call(libc::SYS_open, &[(PLAIN, Open(1))]),
    call(libc::SYS_creat, &[(PLAIN, Change)]),
    call(libc::SYS_stat, &[(PLAIN, Ask)]),
    call(libc::SYS_lstat, &[(PLAIN, Ask)]),
    call(libc::SYS_access, &[(PLAIN, Ask)]),
    call(libc::SYS_readlink, &[(PLAIN, Ask)]),
    call(libc::SYS_mkdir, &[(PLAIN, Change)]),
    call(libc::SYS_mknod, &[(PLAIN, Change)]),
    call(libc::SYS_rmdir, &[(PLAIN, Change)]),
    call(libc::SYS_unlink, &[(PLAIN, Change)]),
    call(libc::SYS_symlink, &[((None, 1), Change)]),
    call(libc::SYS_link, &[(PLAIN, Ask), ((None, 1), Change)]),
    call(libc::SYS_rename, &[(PLAIN, Change), ((None, 1), Change)]),
    call(libc::SYS_chmod, &[(PLAIN, Change)]),
    call(libc::SYS_chown, &[(PLAIN, Change)]),
    call(libc::SYS_lchown, &[(PLAIN, Change)]),
    call(libc::SYS_utimes, &[(PLAIN, Change)]),
    call(libc::SYS_utime, &[(PLAIN, Change)]),
];
#[cfg(not(target_arch = "x86_64"))]
const OLDER: &[Call] = &[];

/// The number of this processor's calls in seccomp. Source: `include/uapi/linux/audit.h`.
#[cfg(target_arch = "x86_64")]
const ARCH: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCH: u32 = 0xc000_00b7;

/// The number of a call, its arguments, and what it gave when it is over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Registers {
    pub(super) number: u64,
    pub(super) args: [u64; 6],
    pub(super) result: i64,
}

#[cfg(target_arch = "x86_64")]
pub(super) fn registers(pid: Pid) -> nix::Result<Registers> {
    let all = ptrace::getregs(pid)?;
    Ok(Registers { number: all.orig_rax, args: [all.rdi, all.rsi, all.rdx, all.r10, all.r8, all.r9], result: all.rax as i64 })
}

#[cfg(target_arch = "aarch64")]
pub(super) fn registers(pid: Pid) -> nix::Result<Registers> {
    let all = ptrace::getregs(pid)?.regs;
    Ok(Registers { number: all[8], args: [all[0], all[1], all[2], all[3], all[4], all[5]], result: all[0] as i64 })
}

/// Asks the parent to watch, and the kernel to stop before each of the listed calls. Waits until the parent is ready.
///
/// # Errors
/// What the kernel refuses: a trace inside a trace, for instance.
pub(super) fn ask_for_watch() -> io::Result<()> {
    ptrace::traceme()?;
    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::STOP)?;
    seccompiler::apply_filter(&filter()).map_err(io::Error::other)
}

/// The filter: stops before the listed calls, and denies the ring of calls that would pass by it. Programs look for that
/// ring before they use it. Programs of another processor (32 bits) pass unseen.
fn filter() -> Vec<sock_filter> {
    // Source: `include/uapi/linux/bpf_common.h`, `seccomp.h`: load a word, jump if equal, return.
    let load = |offset| sock_filter { code: 0x20, jt: 0, jf: 0, k: offset };
    let jump = |value, jt, jf| sock_filter { code: 0x15, jt, jf, k: value };
    let end = |action| sock_filter { code: 0x06, jt: 0, jf: 0, k: action };
    let (allow, trace, no_such_call) = (|| end(0x7fff_0000), end(0x7ff0_0000), end(0x0005_0000 | libc::ENOSYS as u32));
    let mut all = vec![load(4), jump(ARCH, 1, 0), allow(), load(0), jump(libc::SYS_io_uring_setup as u32, 0, 1), no_such_call];
    let numbers: Vec<u32> = CALLS.iter().chain(OLDER).map(|call| call.number as u32).collect();
    for (index, number) in numbers.iter().enumerate() {
        all.push(jump(*number, (numbers.len() - index) as u8, 0));
    }
    all.extend([allow(), trace]);
    all
}

/// What a call asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asked {
    /// A file, by the folder that the path is relative to (`None` for the working folder) and the path as given.
    File { folder: Option<i32>, path: PathBuf, verb: Verb },
    /// A host, as `address:port`.
    Host(String),
}

/// What the call that a process stands before asks for.
pub(super) fn asked(pid: Pid, registers: &Registers) -> Vec<Asked> {
    let Some(call) = CALLS.iter().chain(OLDER).find(|call| call.number as u64 == registers.number) else { return Vec::new() };
    let one = |((folder, place), verb): &(Place, Verb)| {
        let address = registers.args[*place];
        let verb = match verb {
            Connect => return host(&bytes(pid, address, (registers.args[2] as usize).min(128))?).map(Asked::Host),
            Open(flags) => opened(registers.args[*flags]),
            OpenHow(how) => opened(u64::from_ne_bytes(bytes(pid, registers.args[*how], 8)?.try_into().ok()?)),
            verb => *verb,
        };
        let path = text(pid, address)?;
        // An empty path means the folder itself, which is open already.
        let folder = folder.map(|place| registers.args[place] as i32).filter(|folder| *folder != libc::AT_FDCWD);
        (!path.as_os_str().is_empty()).then_some(Asked::File { folder, path, verb })
    };
    call.paths.iter().filter_map(one).collect()
}

/// Opening is asking, unless something can be changed by it.
const fn opened(flags: u64) -> Verb {
    let writes = libc::O_WRONLY | libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC;
    if flags as i32 & writes == 0 { Ask } else { Change }
}

/// Bytes of another process; as many as are there.
fn bytes(pid: Pid, address: u64, count: usize) -> Option<Vec<u8>> {
    let mut buffer = vec![0; count];
    let remote = [RemoteIoVec { base: address as usize, len: count }];
    let read = nix::sys::uio::process_vm_readv(pid, &mut [IoSliceMut::new(&mut buffer)], &remote).ok()?;
    buffer.truncate(read);
    Some(buffer)
}

/// The text at an address, up to its zero byte.
fn text(pid: Pid, address: u64) -> Option<PathBuf> {
    const PAGE: u64 = 4_096;
    let mut all = Vec::new();
    while all.len() < LONGEST {
        // A read must not reach into a page that may not be there.
        let from = address.checked_add(all.len() as u64)?;
        let part = bytes(pid, from, (PAGE - from % PAGE).min(256) as usize)?;
        let end = part.iter().position(|byte| *byte == 0);
        all.extend(&part[..end.unwrap_or(part.len())]);
        if end.is_some() || part.is_empty() {
            break;
        }
    }
    Some(OsString::from_vec(all).into())
}

/// The address in a `sockaddr`, unless it is this machine's own. Source: ip(7), ipv6(7).
fn host(bytes: &[u8]) -> Option<String> {
    let family = u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?);
    let port = u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?);
    let address: IpAddr = match i32::from(family) {
        libc::AF_INET => Ipv4Addr::from(<[u8; 4]>::try_from(bytes.get(4..8)?).ok()?).into(),
        libc::AF_INET6 => Ipv6Addr::from(<[u8; 16]>::try_from(bytes.get(8..24)?).ok()?).to_canonical(),
        _ => return None,
    };
    (!address.is_loopback() && !address.is_unspecified()).then(|| std::net::SocketAddr::new(address, port).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_jump_of_the_filter_ends_at_the_stop() {
        let filter = filter();
        let stop = filter.len() - 1;
        let first = 6;
        for (index, step) in filter.iter().enumerate().skip(first).take(CALLS.len() + OLDER.len()) {
            assert_eq!(index + 1 + usize::from(step.jt), stop, "call {}", step.k);
        }
        assert_eq!(filter[stop].k, 0x7ff0_0000);
    }

    #[test]
    fn an_address_is_read_and_this_machine_is_no_host() {
        let v4 = |a, b| [&2_u16.to_ne_bytes()[..], &443_u16.to_be_bytes(), &[a, 0, 0, b], &[0; 8]].concat();
        assert_eq!(host(&v4(10, 7)), Some("10.0.0.7:443".to_owned()));
        assert_eq!(host(&v4(127, 1)), None);
        let v6 = |last| [&10_u16.to_ne_bytes()[..], &443_u16.to_be_bytes(), &[0; 4], &[0x20; 15], &[last], &[0; 4]].concat();
        assert_eq!(host(&v6(7)), Some("[2020:2020:2020:2020:2020:2020:2020:2007]:443".to_owned()));
        assert_eq!(host(&1_u16.to_ne_bytes()), None);
    }

    #[test]
    fn opening_is_asking_unless_it_can_change_something() {
        assert_eq!(opened(0), Ask);
        for flags in [libc::O_WRONLY, libc::O_RDWR, libc::O_CREAT, libc::O_WRONLY | libc::O_TRUNC] {
            assert_eq!(opened(flags as u64), Change);
        }
    }
}
