//! What brings other files into a plan.

use super::{ArgSpec, Kind, NodeSpec, PropSpec};

pub(super) static INCLUDE: NodeSpec =
    NodeSpec::new("include", "another file; its targets are named `NAME:target`, and what it declares holds in it alone")
        .args(&[ArgSpec::one(
            "path",
            Kind::Text,
            "a file of the project, relative to the folder of this one, as are the paths in it; `https://…`; or `oci:host/path:tag`",
        )])
        .props(&[
            PropSpec::required("as", Kind::Name, "the name before its targets"),
            PropSpec::new("sha256", Kind::Text, "what the file at an address hashes to"),
        ])
        .children(&[&SET]);

static SET: NodeSpec =
    NodeSpec::new("set", "gives params of the included file their values").other_props("the value of the param of this name");
