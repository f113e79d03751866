//! The language as JSON: what `kiln schema` prints and `schema/` holds.

use serde_json::{Map, Value, json};

use super::{ArgSpec, Children, Count, Kind, NodeSpec, PropSpec, TOP};

/// The whole language as JSON: `edition`, the ids of the nodes at the top, and one definition per id.
///
/// An id is the way to the node (`task/container/image`); a node that may stand at several places is defined under the
/// first and named from the others. Order is that of the tables, so the text changes only when the language does.
#[must_use]
pub fn schema_json() -> String {
    let mut writer = Writer { ids: Vec::new(), definitions: Map::new() };
    let top = writer.block(&TOP, "");
    let whole = json!({ "edition": 1, "top": top, "nodes": writer.definitions });
    let mut text = format!("{whole:#}");
    text.push('\n');
    text
}

struct Writer {
    ids: Vec<(*const NodeSpec, String)>,
    definitions: Map<String, Value>,
}

impl Writer {
    /// All nodes of a block get their ids before any of them is described, so that each is defined at its shallowest place.
    fn block(&mut self, children: &Children, prefix: &str) -> Value {
        let mut new = Vec::new();
        let ids: Vec<String> = children.nodes().iter().map(|node| self.id(node, prefix, &mut new)).collect();
        let other = match children {
            Children::Open { other, .. } => Some(self.id(other, prefix, &mut new)),
            _ => None,
        };
        let mut block = Map::new();
        block.insert("nodes".into(), json!(ids));
        if let Some(other) = other {
            block.insert("other".into(), other.into());
        }
        for (node, id) in new {
            self.define(node, &id);
        }
        Value::Object(block)
    }

    fn id(&mut self, node: &'static NodeSpec, prefix: &str, new: &mut Vec<(&'static NodeSpec, String)>) -> String {
        if let Some((_, id)) = self.ids.iter().find(|(known, _)| std::ptr::eq(*known, node)) {
            return id.clone();
        }
        let id = if prefix.is_empty() { node.name.to_owned() } else { format!("{prefix}/{}", node.name) };
        self.ids.push((std::ptr::from_ref(node), id.clone()));
        self.definitions.insert(id.clone(), Value::Null);
        new.push((node, id.clone()));
        id
    }

    fn define(&mut self, node: &'static NodeSpec, id: &str) {
        let mut definition = Map::new();
        definition.insert("doc".into(), json!(node.doc));
        definition.insert("args".into(), node.args.iter().map(arg).collect());
        definition.insert("props".into(), node.props.iter().map(prop).collect());
        if let Some(doc) = node.other_props {
            definition.insert("other-props".into(), json!(doc));
        }
        definition.insert("once".into(), json!(node.once));
        if !matches!(node.children, Children::None) {
            let block = self.block(&node.children, id);
            definition.insert("children".into(), block);
        }
        self.definitions.insert(id.to_owned(), Value::Object(definition));
    }
}

fn arg(arg: &ArgSpec) -> Value {
    let count = match arg.count {
        Count::One => "one",
        Count::Maybe => "maybe",
        Count::Some => "some",
        Count::Any => "any",
    };
    with_words(arg.kind, json!({ "name": arg.name, "kind": arg.kind.word(), "count": count, "doc": arg.doc }))
}

fn prop(prop: &PropSpec) -> Value {
    with_words(prop.kind, json!({ "name": prop.name, "kind": prop.kind.word(), "required": prop.required, "doc": prop.doc }))
}

fn with_words(kind: Kind, mut value: Value) -> Value {
    if let Kind::Words(words) = kind {
        value["words"] = json!(words);
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_names_only_nodes_that_it_defines() {
        let schema: Value = serde_json::from_str(&schema_json()).unwrap();
        let nodes = schema["nodes"].as_object().unwrap();
        let mut named: Vec<&Value> = schema["top"]["nodes"].as_array().unwrap().iter().collect();
        for definition in nodes.values() {
            named.extend(definition["children"]["nodes"].as_array().into_iter().flatten());
            named.extend(definition["children"].get("other"));
        }
        assert!(named.len() > 60);
        for id in named {
            assert!(nodes.contains_key(id.as_str().unwrap()), "{id}");
        }
    }

    #[test]
    fn the_two_meanings_of_image_have_two_definitions() {
        let schema: Value = serde_json::from_str(&schema_json()).unwrap();
        assert_eq!(schema["nodes"]["image"]["args"][0]["name"], "name");
        assert_eq!(schema["nodes"]["task/container/image"]["args"][0]["name"], "image");
    }
}
