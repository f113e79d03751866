//! Events as JSON lines, for programs. The first line carries `schema`; field names are stable within one schema.
//! In: events. Out: one object per line. Never: colours, a line that is not JSON, bytes that are not UTF-8.

use std::io::Write;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::event::Event;

use super::Renderer;
use super::sink::Sink;

/// The version of the field names. It grows when one is removed or changes its meaning, not when one is added.
pub const SCHEMA: u64 = 1;

/// One value on one line, with `schema` before its other fields. A value that cannot be written is an empty object.
#[must_use]
pub fn document(value: &impl Serialize) -> String {
    let mut object = Map::new();
    object.insert("schema".to_owned(), SCHEMA.into());
    if let Ok(Value::Object(fields)) = serde_json::to_value(value) {
        object.extend(fields);
    }
    format!("{}\n", Value::Object(object))
}

/// Writes each event as it comes.
#[derive(Debug)]
pub struct Json<W> {
    sink: Sink<W>,
    started: bool,
}

impl<W: Write> Json<W> {
    /// Writes on `stream`.
    pub const fn new(stream: W) -> Self {
        Self { sink: Sink::new(stream), started: false }
    }

    /// Gives the stream back, unless its reader left.
    pub fn into_inner(self) -> Option<W> {
        self.sink.into_inner()
    }
}

impl<W: Write + Send> Renderer for Json<W> {
    fn event(&mut self, event: &Event) {
        let mut object = Map::new();
        if !std::mem::replace(&mut self.started, true) {
            object.insert("schema".to_owned(), SCHEMA.into());
        }
        let Ok(Value::Object(fields)) = serde_json::to_value(event) else { return };
        object.extend(fields);
        if let Some(step) = step(event) {
            object.insert("name".to_owned(), step.into());
        }
        self.sink.put(&format!("{}\n", Value::Object(object)));
    }
    fn tick(&mut self, _now_ms: u64) {}
    fn finish(&mut self) {}
}

/// The printed name of the step that an event is about.
fn step(event: &Event) -> Option<String> {
    match event {
        Event::StepStarted { step, .. } | Event::Output { step, .. } | Event::StepEnded { step, .. } => Some(step.to_string()),
        Event::Notice { step, .. } => step.as_ref().map(ToString::to_string),
        Event::RunStarted { .. } | Event::RunEnded { .. } => None,
    }
}
