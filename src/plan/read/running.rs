//! How a task runs: when it is tried again, and what its programs share.

use crate::base::diagnostic::Diagnostic;
use crate::plan::retry::{Retry, RetryOn};
use crate::plan::target::JobForm;
use crate::syntax::document::Node;

use super::shape::not_a_word;
use super::view::{View, duration, number};

/// What `retry` says.
pub(super) fn retry(view: &View<'_, '_>, node: &Node) -> Retry {
    let Some(child) = view.child(node, "retry") else { return Retry::default() };
    let times = view.child_parsed(node, "retry", "plan::bad-value", number(0, 100)).unwrap_or_default();
    let delay = view.prop(child, "delay").and_then(|value| view.text(value));
    let delay = delay.and_then(|text| view.parsed(text, "plan::bad-duration", duration));
    let mut on = Vec::new();
    if let Some((text, span)) = view.prop(child, "on").and_then(|value| view.text(value)) {
        for word in text.split_whitespace() {
            match RetryOn::of(word) {
                Ok(found) => on.push(found),
                Err(why) => view.cx.fault(Diagnostic::plan("plan::bad-value", why, &span, "after which failures?")),
            }
        }
        if text.trim().is_empty() {
            let fault = Diagnostic::plan("plan::bad-value", "`on` names no failure", &span, "after which failures?");
            view.cx.fault(fault.help("leave it out for any failure, or write for instance `on=\"timeout exit:75\"`"));
        }
    }
    Retry { times, on, delay }
}

/// What `jobserver` says.
pub(super) fn jobserver(view: &View<'_, '_>, node: &Node) -> Option<JobForm> {
    let child = view.child(node, "jobserver")?;
    let Some(value) = child.args.first() else { return Some(JobForm::Pipe) };
    let (word, span) = view.text(value)?;
    match word.as_str() {
        "pipe" => Some(JobForm::Pipe),
        "fifo" => Some(JobForm::Fifo),
        _ => {
            view.cx.fault(not_a_word(&word, &["pipe", "fifo"], "jobserver", &span));
            None
        }
    }
}
