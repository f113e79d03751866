//! How much memory there is, for a schedule that leaves room.
//! In: nothing. Out: bytes. Never: what is free now, which changes while it is read.

use super::file;

/// The memory that programs may use, in bytes: the machine's, or less where a control group says so. `None` where nobody says.
#[must_use]
pub fn memory() -> Option<u64> {
    let read = |path: &str| file::read(path, 64 << 10).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let machine = read("/proc/meminfo").as_deref().and_then(total);
    let group = read("/sys/fs/cgroup/memory.max").and_then(|text| text.trim().parse().ok());
    machine.into_iter().chain(group).min()
}

/// Source: proc_meminfo(5); its `kB` are 1,024 bytes.
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_read_and_not_what_is_free() {
        assert_eq!(total("MemFree:   1 kB\nMemTotal:       16384 kB\n"), Some(16 << 20));
        assert_eq!(total("MemTotal: many\n"), None);
        assert!(memory().is_some_and(|bytes| bytes > 1 << 20));
    }
}
