//! A run as a Chrome trace: what ran when beside what, for <https://ui.perfetto.dev> and chrome://tracing.
//! In: an [`Outcome`]. Out: one JSON document. Never: two steps at the same time in one lane.
//!
//! Source: Trace Event Format, complete (`X`), instant (`i`) and metadata (`M`) events; times in microseconds.

use serde_json::{Value, json};

use crate::event::{Ended, Origin};

use super::outcome::{Outcome, StepOutcome};

/// The document.
#[must_use]
pub fn document(outcome: &Outcome) -> String {
    let mut ran: Vec<(u64, &StepOutcome)> = outcome.steps.iter().filter_map(|step| Some((step.began_ms?, step))).collect();
    ran.sort_by_key(|(began, step)| (*began, step.ended_ms));
    let mut free_from: Vec<u64> = Vec::new();
    let mut events = vec![
        json!({ "name": "process_name", "ph": "M", "ts": 0, "pid": 1, "tid": 0, "args": { "name": format!("kiln {}", outcome.targets.join(" ")) } }),
    ];
    for (began, step) in ran {
        let until = step.ended_ms.max(began);
        let lane = free_from.iter().position(|free| *free <= began).unwrap_or_else(|| {
            free_from.push(0);
            free_from.len() - 1
        });
        free_from[lane] = until;
        events.push(json!({
            "name": step.name.to_string(), "cat": step.name.kind.word(), "ph": "X",
            "ts": began * 1_000, "dur": (until - began) * 1_000, "pid": 1, "tid": lane + 1, "args": args(step),
        }));
    }
    for lane in 0..free_from.len() {
        let name = format!("job {}", lane + 1);
        events.push(json!({ "name": "thread_name", "ph": "M", "ts": 0, "pid": 1, "tid": lane + 1, "args": { "name": name } }));
    }
    for step in outcome.steps.iter().filter(|step| step.began_ms.is_none()) {
        events.push(json!({
            "name": step.name.to_string(), "cat": step.name.kind.word(), "ph": "i", "s": "p",
            "ts": step.ended_ms * 1_000, "pid": 1, "tid": 0, "args": args(step),
        }));
    }
    let other = json!({ "run": outcome.run, "plan": outcome.plan, "exit": outcome.exit, "saved_ms": outcome.saved_ms });
    format!("{}\n", json!({ "traceEvents": events, "displayTimeUnit": "ms", "otherData": other }))
}

fn args(step: &StepOutcome) -> Value {
    let result = match &step.ended {
        Ended::Done => "done",
        Ended::Cached { from: Origin::InPlace } => "cached",
        Ended::Cached { from: Origin::Restored } => "restored",
        Ended::Failed { .. } => "failed",
        Ended::Skipped { .. } => "skipped",
        Ended::Cancelled => "stopped",
    };
    let reason = if let Ended::Failed { reason, .. } = &step.ended { Some(reason) } else { None };
    json!({ "result": result, "why": step.why, "reason": reason, "detail": step.detail })
}
