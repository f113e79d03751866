//! Randomness for names that must not meet. Not for secrets: only 64 bits, and every use says so.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

/// 64 bits from the seed that the operating system gives each hasher, another one at each call.
#[must_use]
pub fn bits() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_calls_agree() {
        let mut seen: Vec<u64> = (0..100).map(|_| bits()).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 100);
    }
}
