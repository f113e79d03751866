//! The ports that an ended run had opened: the next one finds them free, also when somebody outside of kiln held on to them.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::sys::clock::Stopwatch;
use crate::sys::port::{self, Listening};

use super::quiet::QUIET;
use super::rounds::Watching;

/// The longest wait for a port, in milliseconds.
const PATIENCE: u64 = 10_000;

impl Watching<'_> {
    /// Waits until what the ended steps listened on is free. Their processes are gone; a daemon that was handed a socket, or that opened
    /// one for them, may take its time.
    pub(super) fn wait_for_ports(&mut self, ports: &BTreeSet<Listening>) {
        let clock = Stopwatch::start();
        for port in ports {
            let mut told = false;
            while !port::is_free(*port) && self.code().is_none() {
                if clock.millis() > PATIENCE {
                    self.say(&format!("port {} is still taken after {} s", port.number(), Duration::from_millis(PATIENCE).as_secs()));
                    return;
                }
                if !told {
                    self.say(&format!("waiting for port {} to be free", port.number()));
                    told = true;
                }
                self.watcher.wait(Some(QUIET));
            }
        }
    }
}
