//! The listener that hands a run's events to a renderer on a thread of its own, and tells it the time.
//! In: events from any thread. Out: nothing but what the renderer writes. Never: loses an event, holds more than a few
//! hundred of them: when the screen is slower than the run, the run waits, as it would for any pipe.
//!
//! What happens within a moment is shown together: to wake the thread for each event of a thousand short steps costs them time.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

use crate::event::{Event, Listener};
use crate::sys::clock::Stopwatch;

use super::Renderer;

/// Milliseconds between two ticks.
const TICK_MS: u64 = 100;
/// The moment after an event within which further ones are only collected.
const MOMENT: Duration = Duration::from_millis(10);
/// Events that may wait.
const WAITING: usize = 256;

enum Message {
    Event(Box<Event>),
    InPlace(usize, usize),
    Pause(bool, SyncSender<()>),
    Finish,
}

/// Owns the thread that owns the renderer.
#[derive(Debug)]
pub struct Reporter {
    sender: SyncSender<Message>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// The same thread, to wake it.
    sleeper: Thread,
}

impl Reporter {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(renderer: Box<dyn Renderer>) -> std::io::Result<Self> {
        let (sender, receiver) = sync_channel(WAITING);
        let thread = std::thread::Builder::new().name("report".to_owned()).spawn(move || serve(renderer, &receiver))?;
        let sleeper = thread.thread().clone();
        Ok(Self { sender, thread: Mutex::new(Some(thread)), sleeper })
    }

    /// Says that so many steps, and so many groups, stand in place and have nothing to show.
    pub fn in_place(&self, steps: usize, groups: usize) {
        self.send(Message::InPlace(steps, groups));
    }

    /// Clears the live lines and keeps the screen still until [`Reporter::resume`]; returns when it is done.
    pub fn pause(&self) {
        self.turn(true);
    }

    /// Takes the screen back.
    pub fn resume(&self) {
        self.turn(false);
    }

    fn send(&self, message: Message) {
        // After `finish` nobody listens, and nothing is lost that anybody could see.
        if let Err(TrySendError::Full(message)) = self.sender.try_send(message) {
            self.sleeper.unpark();
            let _ = self.sender.send(message);
        }
    }

    fn turn(&self, paused: bool) {
        let (done, wait) = sync_channel(1);
        self.sleeper.unpark();
        if self.sender.send(Message::Pause(paused, done)).is_ok() {
            self.sleeper.unpark();
            // An error means that the thread has ended: then the screen is still, too.
            let _ = wait.recv();
        }
    }

    /// Writes all that is held back, leaves the screen as it was found and ends the thread. Later events are dropped.
    pub fn finish(&self) {
        let thread = self.thread.lock().map_or_else(|poisoned| poisoned.into_inner().take(), |mut held| held.take());
        let Some(thread) = thread else { return };
        self.sleeper.unpark();
        let _ = self.sender.send(Message::Finish);
        self.sleeper.unpark();
        // A renderer that panicked has said so on its own; the run's exit code does not depend on it.
        let _ = thread.join();
    }
}

impl Listener for Reporter {
    fn event(&self, event: Event) {
        self.send(Message::Event(Box::new(event)));
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        self.finish();
    }
}

fn serve(renderer: Box<dyn Renderer>, receiver: &Receiver<Message>) {
    let mut served = Served { renderer, clock: Stopwatch::start(), ticked: 0 };
    loop {
        let wait = TICK_MS.saturating_sub(served.clock.millis().saturating_sub(served.ticked));
        match receiver.recv_timeout(Duration::from_millis(wait)) {
            Ok(message) => {
                if !served.take(message) {
                    break;
                }
                std::thread::park_timeout(MOMENT);
                if !receiver.try_iter().all(|message| served.take(message)) {
                    break;
                }
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {}
        }
        served.tick();
    }
    served.renderer.finish();
}

/// A renderer with its clock.
struct Served {
    renderer: Box<dyn Renderer>,
    clock: Stopwatch,
    /// When it was told the time last, in milliseconds of `clock`.
    ticked: u64,
}

impl Served {
    /// Hands a message on; `false` for the last one.
    fn take(&mut self, message: Message) -> bool {
        match message {
            Message::Event(event) => {
                if matches!(*event, Event::RunStarted { .. }) {
                    (self.clock, self.ticked) = (Stopwatch::start(), 0);
                }
                self.renderer.event(&event);
            }
            Message::InPlace(steps, groups) => self.renderer.in_place(steps, groups),
            Message::Pause(paused, done) => {
                self.renderer.pause(paused);
                // The one who asked may have gone meanwhile.
                let _ = done.send(());
            }
            Message::Finish => return false,
        }
        true
    }

    fn tick(&mut self) {
        let now = self.clock.millis();
        if now.saturating_sub(self.ticked) >= TICK_MS {
            self.ticked = now;
            self.renderer.tick(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    /// Writes down what it is told.
    struct Notes(Arc<Mutex<Vec<String>>>);

    impl Renderer for Notes {
        fn event(&mut self, event: &Event) {
            if let Event::Notice { text, .. } = event {
                self.0.lock().unwrap().push(text.clone());
            }
        }
        fn tick(&mut self, _now_ms: u64) {}
        fn pause(&mut self, paused: bool) {
            self.0.lock().unwrap().push(format!("pause {paused}"));
        }
        fn finish(&mut self) {
            self.0.lock().unwrap().push("finish".to_owned());
        }
    }

    fn notice(text: &str) -> Event {
        Event::Notice { step: None, text: text.to_owned() }
    }

    #[test]
    fn events_arrive_in_order_and_all_before_the_end() {
        let notes = Arc::new(Mutex::new(Vec::new()));
        let reporter = Reporter::start(Box::new(Notes(Arc::clone(&notes)))).unwrap();
        for n in 0..1000 {
            reporter.event(notice(&n.to_string()));
        }
        reporter.finish();
        reporter.event(notice("late"));
        reporter.finish();
        let notes = notes.lock().unwrap();
        let expected: Vec<String> = (0..1000).map(|n| n.to_string()).chain(["finish".to_owned()]).collect();
        assert_eq!(*notes, expected);
    }

    #[test]
    fn pausing_returns_only_when_the_screen_is_still() {
        let notes = Arc::new(Mutex::new(Vec::new()));
        let reporter = Reporter::start(Box::new(Notes(Arc::clone(&notes)))).unwrap();
        reporter.event(notice("before"));
        reporter.pause();
        assert_eq!(*notes.lock().unwrap(), ["before", "pause true"]);
        reporter.resume();
        assert_eq!(notes.lock().unwrap().last().map(String::as_str), Some("pause false"));
    }

    #[test]
    fn a_renderer_that_panics_stops_nothing_else() {
        struct Broken;
        impl Renderer for Broken {
            fn event(&mut self, _event: &Event) {
                std::panic::panic_any("a test");
            }
            fn tick(&mut self, _now_ms: u64) {}
            fn finish(&mut self) {}
        }
        let reporter = Reporter::start(Box::new(Broken)).unwrap();
        for _ in 0..1000 {
            reporter.event(notice("x"));
        }
        reporter.pause();
        reporter.finish();
    }
}
