//! The exit code of a run, from how its steps ended.
//! Never: the code of a command line or a plan fault; those have no steps.

use crate::base::diagnostic::Class;
use crate::event::{Ended, FailureClass};

/// The exit code of a run that the user stopped: 128 and the number of SIGINT.
pub const INTERRUPTED: u8 = 130;

/// The exit code that says what to do about a run.
///
/// Steps run in parallel, so "the first failure" would change from run to run. The gravest one decides instead:
/// a bug in kiln (70), then a refused policy (4), then a failed step (1), then the environment (5). So 5 promises that
/// nothing but the surroundings was wrong and trying again makes sense, and 4 is never hidden behind a flaky network.
/// Failures that the plan allows do not count. Cancelled steps give 130 only when nothing failed: otherwise they were
/// stopped because of the failure.
#[must_use]
pub fn exit_code<'a>(ended: impl IntoIterator<Item = &'a Ended>) -> u8 {
    let mut gravest = None;
    let mut cancelled = false;
    for one in ended {
        match one {
            Ended::Failed { class, allowed: false, .. } => gravest = gravest.max(Some(gravity(*class))),
            Ended::Cancelled => cancelled = true,
            Ended::Failed { .. } | Ended::Done | Ended::Cached { .. } | Ended::Skipped { .. } => {}
        }
    }
    match gravest {
        Some((_, class)) => class.exit_code(),
        None if cancelled => INTERRUPTED,
        None => 0,
    }
}

const fn gravity(class: FailureClass) -> (u8, Class) {
    match class {
        FailureClass::Environment => (0, Class::Environment),
        FailureClass::Step => (1, Class::Step),
        FailureClass::Policy => (2, Class::Policy),
        FailureClass::Internal => (3, Class::Internal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Origin;

    fn failed(class: FailureClass, allowed: bool) -> Ended {
        Ended::Failed { class, reason: String::new(), help: None, allowed }
    }

    #[test]
    fn the_gravest_failure_decides_in_any_order() {
        use FailureClass::{Environment, Internal, Policy, Step};
        for (ended, expected) in [
            (vec![], 0),
            (vec![Ended::Done, Ended::Cached { from: Origin::InPlace }], 0),
            (vec![failed(Step, true)], 0),
            (vec![failed(Step, false), failed(Environment, false)], 1),
            (vec![failed(Environment, false), Ended::Cancelled], 5),
            (vec![failed(Policy, false), failed(Step, false), failed(Environment, false)], 4),
            (vec![failed(Policy, false), failed(Internal, false)], 70),
            (vec![Ended::Done, Ended::Cancelled], 130),
        ] {
            let mut turned = ended.clone();
            turned.reverse();
            assert_eq!((exit_code(&ended), exit_code(&turned)), (expected, expected), "{ended:?}");
        }
    }
}
