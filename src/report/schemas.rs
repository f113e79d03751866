//! The forms of kiln's JSON answers, published as JSON Schema: made from the types that are written, so they cannot disagree.

use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Value, json};

use super::affected::AffectedView;
use super::graph::GraphView;
use super::inspect::{DifferenceView, InspectView};
use super::list::ListView;
use super::plan_diff::DiffView;
use super::plan_table::PlanDocument;
use super::query::QueryView;
use super::reproduce::VerifyView;
use super::why::WhyView;

/// The answers that have a schema, by the command that gives them.
pub const NAMES: &[&str] = &["plan", "list", "graph", "query", "diff", "affected", "why", "inspect", "inspect-diff", "verify"];

/// The schema of a command's `--json`, as `schema/NAME-1.json` holds it; `None` for a command without one.
#[must_use]
pub fn schema(name: &str) -> Option<String> {
    Some(match name {
        "plan" => of::<PlanDocument>(name),
        "list" => of::<ListView>(name),
        "graph" => of::<GraphView>(name),
        "query" => of::<QueryView>(name),
        "diff" => of::<DiffView>(name),
        "affected" => of::<AffectedView>(name),
        "why" => of::<WhyView>(name),
        "inspect" => of::<InspectView>(name),
        "verify" => of::<VerifyView>(name),
        "inspect-diff" => of::<DifferenceView>(name),
        _ => return None,
    })
}

fn of<T: JsonSchema>(name: &str) -> String {
    let mut schema = SchemaGenerator::default().into_root_schema_for::<T>().to_value();
    schema["title"] = json!(format!("kiln {name} --json, schema {}", super::json::SCHEMA));
    schema["properties"]["schema"] = json!({ "description": "The version of this form.", "const": super::json::SCHEMA });
    if let Some(Value::Array(required)) = schema.get_mut("required") {
        required.insert(0, json!("schema"));
    }
    serde_json::to_string_pretty(&schema).unwrap_or_default() + "\n"
}
