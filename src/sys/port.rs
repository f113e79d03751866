//! Ports of this machine.
//! In: nothing. Out: what programs that kiln started listen on, and whether a server could listen there now. Never: a connection.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::file;

/// A TCP port that somebody listens on, or did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listening(SocketAddr);

impl Listening {
    /// Its number.
    #[must_use]
    pub fn number(self) -> u16 {
        self.0.port()
    }
}

/// The tables of the kernel are read up to so many bytes.
const LIMIT: u64 = 16 << 20;

/// Whether nobody listens there. A port that only waits for late packets is free: servers may take it.
#[must_use]
pub fn is_free(port: Listening) -> bool {
    TcpListener::bind(port.0).is_ok()
}

/// What the processes below this one listen on, in this process's network. Those of other users are not seen.
#[must_use]
pub fn listened_by_descendants() -> BTreeSet<Listening> {
    let sockets: BTreeSet<u64> = descendants().iter().flat_map(|process| sockets(process)).collect();
    if sockets.is_empty() {
        return BTreeSet::new();
    }
    let table = |name| file::read(Path::new("/proc/self/net").join(name), LIMIT).unwrap_or_default();
    let text = ["tcp", "tcp6"].map(|name| String::from_utf8_lossy(&table(name)).into_owned());
    let listening = text.iter().flat_map(|text| text.lines()).filter_map(listener);
    listening.filter(|(socket, _)| sockets.contains(socket)).map(|(_, port)| port).collect()
}

/// The processes below this one, by their folders' names in `/proc`.
fn descendants() -> Vec<String> {
    let names = file::names("/proc").unwrap_or_default();
    let processes =
        names.into_iter().filter_map(|name| String::from_utf8(name).ok().filter(|name| name.bytes().all(|b| b.is_ascii_digit())));
    let mut children: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    for process in processes {
        if let Some(parent) = super::shim::parent(&process) {
            children.entry(parent.as_raw_nonzero().get().unsigned_abs()).or_default().push(process);
        }
    }
    let mut found = Vec::new();
    let mut open = vec![std::process::id()];
    while let Some(process) = open.pop() {
        for child in children.remove(&process).unwrap_or_default() {
            open.extend(child.parse::<u32>());
            found.push(child);
        }
    }
    found
}

/// The sockets that a process holds, by their inodes. Source: proc(5), `/proc/pid/fd`.
fn sockets(process: &str) -> Vec<u64> {
    let folder = format!("/proc/{process}/fd");
    let held = file::names(&folder).unwrap_or_default();
    let inode = |name: &Vec<u8>| {
        let target = file::read_link(Path::new(&folder).join(std::ffi::OsStr::from_bytes(name))).ok()?;
        std::str::from_utf8(&target).ok()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
    };
    held.iter().filter_map(inode).collect()
}

/// A line of `/proc/net/tcp` or `tcp6`: the socket's inode and its address, when it listens. Source: proc_net(5).
fn listener(line: &str) -> Option<(u64, Listening)> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
    if *state != "0A" {
        return None;
    }
    let (address, port) = local.split_once(':')?;
    // Words of 32 bits as this machine has them in memory.
    let word = |at: usize| u32::from_str_radix(address.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    let address = match address.len() {
        8 => IpAddr::from(Ipv4Addr::from(word(0)?)),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?];
            IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(words.concat()).ok()?))
        }
        _ => return None,
    };
    Some((inode.parse().ok()?, Listening(SocketAddr::new(address, u16::from_str_radix(port, 16).ok()?))))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[test]
    fn a_port_is_free_when_its_server_is_gone_although_a_connection_was_open() {
        let server = TcpListener::bind((HERE, 0)).unwrap();
        let port = Listening(server.local_addr().unwrap());
        assert!(!is_free(port));
        let client = std::net::TcpStream::connect(port.0).unwrap();
        drop(server.accept().unwrap());
        drop(server);
        assert!(is_free(port));
        drop(client);
    }

    #[test]
    fn servers_are_found_in_the_tables_of_the_kernel() {
        let servers = [TcpListener::bind((HERE, 0)).unwrap(), TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).unwrap()];
        let own: BTreeSet<u64> = sockets(&std::process::id().to_string()).into_iter().collect();
        for (server, table) in servers.iter().zip(["tcp", "tcp6"]) {
            let text = file::read(format!("/proc/self/net/{table}"), LIMIT).unwrap();
            let text = String::from_utf8(text).unwrap();
            let found: Vec<_> = text.lines().filter_map(listener).filter(|(inode, _)| own.contains(inode)).collect();
            let wanted = Listening(server.local_addr().unwrap());
            assert!(found.iter().any(|(_, port)| *port == wanted), "{wanted:?} is not in {found:?}");
        }
    }

    #[test]
    fn a_child_of_a_child_is_a_descendant() {
        use std::process::{Command, Stdio};
        #[allow(clippy::disallowed_methods, reason = "a test")]
        let mut child =
            Command::new("sh").args(["-c", "sh -c 'echo $$; read x'; :"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().unwrap()), &mut line).unwrap();
        let found = descendants();
        assert!(found.contains(&child.id().to_string()) && found.contains(&line.trim().to_owned()), "{line} {found:?}");
        drop(child.stdin.take());
        child.wait().unwrap();
    }
}
