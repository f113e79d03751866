//! The wish that work stops: asked for once, seen by everyone who holds a clone.
//! In: a request and how urgent it is. Out: a value to look at and a future to wait for. Never: stops anything itself.

use std::sync::Arc;

use tokio::sync::watch;

/// How soon work shall stop. Later ones include the earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// Programs are asked to end and have their grace: the first Ctrl-C, or a failed sibling.
    Gentle,
    /// Programs are killed: the second Ctrl-C.
    Now,
}

/// A shared wish to stop. Cheap to clone; never taken back.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<watch::Sender<Option<Urgency>>>);

impl Cancel {
    /// Nobody wishes to stop yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks to stop. A weaker request after a stronger one changes nothing.
    pub fn request(&self, urgency: Urgency) {
        self.0.send_if_modified(|asked| {
            let stronger = *asked < Some(urgency);
            if stronger {
                *asked = Some(urgency);
            }
            stronger
        });
    }

    /// The strongest request so far.
    #[must_use]
    pub fn urgency(&self) -> Option<Urgency> {
        *self.0.borrow()
    }

    /// Whether anyone asked to stop.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.urgency().is_some()
    }

    /// Waits until someone asks at least this urgently.
    pub async fn requested(&self, urgency: Urgency) {
        // The sender lives in `self`, so that the wait cannot end for lack of one.
        let _ = self.0.subscribe().wait_for(|asked| *asked >= Some(urgency)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weaker_request_does_not_take_a_stronger_one_back() {
        let cancel = Cancel::new();
        assert_eq!(cancel.urgency(), None);
        let twin = cancel.clone();
        twin.request(Urgency::Now);
        twin.request(Urgency::Gentle);
        assert_eq!(cancel.urgency(), Some(Urgency::Now));
    }

    #[tokio::test]
    async fn a_strong_request_wakes_those_who_wait_for_a_weak_one_and_not_the_reverse() {
        let cancel = Cancel::new();
        cancel.request(Urgency::Gentle);
        cancel.requested(Urgency::Gentle).await;
        let strong = cancel.requested(Urgency::Now);
        tokio::pin!(strong);
        assert!(futures_util::poll!(&mut strong).is_pending());
        cancel.request(Urgency::Now);
        strong.await;
    }
}
