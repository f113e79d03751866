//! Every JSON answer has the form that is published in `schema/`.

use std::path::Path;

use boon::{Compiler, Schemas};
use kiln::report::schemas;
use serde_json::Value;

use super::project::Project;

const PLAN: &str = r##"kiln 1
project "shop" version="1.2.3" { doc "A shop"; default "web" }
registry "out" "oci:dist/images"
param "level" default="info" { doc "how much"; choices info debug }
task "generate" { doc "Makes"; inputs "gen.in"; outputs "gen/out.txt"; env LEVEL="${level}"; run "mkdir -p gen && cp gen.in gen/out.txt" }
task "broken" { inputs "gen.in"; run "false" }
image "web" { platforms amd64; copy "gen/out.txt" "/out"; scan; tag "1"; push out }
group "all" "generate"
"##;

/// Holds a document against the schema of a command.
fn is_valid(name: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("schema/{name}-1.json"));
    let schema: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let mut compiler = Compiler::new();
    compiler.add_resource("kiln.json", strict(schema)).unwrap();
    let mut schemas = Schemas::new();
    let index = compiler.compile("kiln.json", &mut schemas).unwrap();
    let value: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    if let Err(error) = schemas.validate(&value, index) {
        panic!("{name}: {error:#}\n{text}");
    }
}

/// The same schema, closed: a field that it does not name is a fault here, though readers must pass over it.
fn strict(mut schema: Value) -> Value {
    if schema.get("properties").is_some() && schema.get("oneOf").is_none() {
        schema["additionalProperties"] = false.into();
    }
    for definition in schema.get_mut("$defs").and_then(Value::as_object_mut).into_iter().flat_map(|definitions| definitions.values_mut()) {
        if definition.get("properties").is_some() && definition.get("oneOf").is_none() {
            definition["additionalProperties"] = false.into();
        }
    }
    schema
}

#[test]
fn every_answer_has_its_published_form() {
    let project = Project::new(PLAN);
    project.write("gen.in", "1").commit();
    let ask = |words: &[&str]| project.kiln(&[words, &["--json"]].concat()).ends(0).out;
    is_valid("plan", &ask(&["plan"]));
    is_valid("why", &ask(&["why", "generate"]));
    project.kiln(&["generate"]).ends(0);
    project.kiln(&["broken"]).ends(1);
    is_valid("plan", &ask(&["plan", "web", "--keys"]));
    is_valid("why", &ask(&["why", "broken"]));
    is_valid("why", &ask(&["why", "generate"]));
    for words in [&["list"][..], &[]] {
        is_valid("list", &ask(words));
    }
    is_valid("graph", &ask(&["graph"]));
    is_valid("graph", &ask(&["graph", "--collapse"]));
    is_valid("query", &ask(&["query", "deps(web)"]));
    is_valid("query", &ask(&["query", "inputs(web)"]));
    is_valid("diff", &ask(&["diff"]));
    is_valid("affected", &ask(&["affected", "--since", "HEAD"]));
    project.write(
        "build.kdl",
        PLAN.replace("tag \"1\"", "tag \"2\"; label a=\"b\"")
            .replace("group \"all\" \"generate\"", "task \"new\" { run \"true\\nfalse\" }"),
    );
    project.write("gen.in", "2");
    is_valid("diff", &ask(&["diff"]));
    is_valid("affected", &ask(&["affected", "--since", "HEAD"]));
    is_valid("why", &ask(&["why", "generate", "--set", "level=debug"]));
    is_valid("why", &ask(&["why", "web/build"]));
    project.kiln(&["web/build"]).ends(0);
    is_valid("inspect", &ask(&["inspect", "web", "--files", "--advice"]));
    is_valid("inspect-diff", &ask(&["inspect", "diff", "web", "web"]));
    is_valid("plan", &ask(&["plan"]));
}

#[test]
fn a_plan_with_keys_is_a_record_for_another_machine() {
    let project = Project::new(PLAN);
    project.write("gen.in", "1");
    let record = project.kiln(&["plan", "generate", "--keys", "--json"]).ends(0).out;
    project.write("record.json", record).write("gen.in", "2");
    project.kiln(&["why", "generate", "--against", "record.json"]).ends(0).says("gen.in: content changed");
}

#[test]
fn the_published_schemas_are_those_of_the_answers() {
    for name in schemas::NAMES {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("schema/{name}-1.json"));
        let now = schemas::schema(name).unwrap();
        if std::env::var_os("KILN_BLESS").is_some() {
            std::fs::write(&path, &now).unwrap();
        }
        assert!(
            std::fs::read_to_string(&path).unwrap_or_default() == now,
            "schema/{name}-1.json is stale: run the tests once with KILN_BLESS=1"
        );
        assert_eq!(Project::new("kiln 1\n").kiln(&["schema", name]).ends(0).out, now);
    }
    Project::new("kiln 1\n").kiln(&["schema", "plna"]).ends(2);
}
