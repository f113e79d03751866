//! What kiln remembers of a project on this machine: the journal of its runs, what the last ones knew of each step, and the
//! last document that was parsed.
//! In: events. Out: the same events, and a record of each step. Never: decides anything, stops a run because the
//! journal cannot be written, trusts a line that it reads.

pub mod documents;
pub mod drafts;
pub mod history;
pub mod journal;
pub mod program;
pub mod read;
pub mod recorder;

use crate::base::id::RunId;
use crate::base::time::Moment;

/// The version of the journal's lines. Another version is not read.
pub const SCHEMA: u64 = 1;

/// Makes the name of a run: the moment it begins, to the millisecond, and four digits of `random`. Sortable as text.
#[must_use]
pub fn run_id(at: Moment, random: u64) -> RunId {
    // `2023-11-14T22:13:20Z` becomes `20231114-221320`.
    let seconds: String = at.to_string().chars().filter(char::is_ascii_digit).collect();
    let (day, time) = seconds.split_at_checked(8).unwrap_or((&seconds, ""));
    RunId(format!("{day}-{time}-{:03}-{:04}", at.0.rem_euclid(1_000), random % 10_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_ids_sort_as_the_runs_began() {
        let ids = [(0, 9), (999, 1), (1_700_000_000_000, 5), (1_700_000_000_001, 0)].map(|(at, random)| run_id(Moment(at), random).0);
        assert_eq!(ids[2], "20231114-221320-000-0005");
        assert!(ids.is_sorted(), "{ids:?}");
    }
}
