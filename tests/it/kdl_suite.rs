//! The official KDL test suite: what it says is KDL is read with its values, what it says is none is refused; deviations stand by
//! name in docs/kdl.md.
//!
//! The suite is not part of this repository. It is taken from the parts folder, where `tests/parts/install` puts it, or else from
//! the sources of the `kdl` package, which carry an older copy. One half of the cases, chosen by a digest of their names, is used;
//! the other is kept aside, so that a look at it says something.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use kiln::base::diagnostic::Source;
use kiln::base::digest::{Digest, Sha256};
use kiln::syntax::document::{Node, Scalar};
use kiln::syntax::{check_file_bytes, format, parse};

/// Cases of older copies that the suite has since turned into their opposite.
const TURNED: &[&str] =
    &["zero_space_before_slashdash_arg_fail", "zero_space_before_slashdash_children_fail", "zero_space_before_slashdash_prop_fail"];

/// The folder with `input` and `expected_kdl`.
fn suite() -> Option<PathBuf> {
    let parts = std::env::var_os("KILN_TEST_PARTS").map(|folder| Path::new(&folder).join("kdl-suite/tests/test_cases"));
    if let Some(folder) = parts.filter(|folder| folder.is_dir()) {
        return Some(folder);
    }
    // Packages of other systems are not downloaded where this one was built.
    let version = Command::new(env!("CARGO")).arg("-vV").output().ok()?;
    let host = String::from_utf8(version.stdout).ok()?.lines().find_map(|line| line.strip_prefix("host: ").map(str::to_owned))?;
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--offline", "--locked", "--format-version=1", "--filter-platform", &host])
        .output()
        .ok()?;
    let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout).ok()?;
    let package = metadata["packages"].as_array()?.iter().find(|package| package["name"] == "kdl")?;
    let folder = Path::new(package["manifest_path"].as_str()?).parent()?.join("tests/test_cases");
    folder.is_dir().then_some(folder)
}

/// Whether a case is one of those that are used.
fn is_used(file: &str) -> bool {
    let digest = Digest::<Sha256>::of(format!("kiln-ho:{file}").as_bytes());
    matches!(digest.hex().as_bytes()[0], b'0' | b'2' | b'4' | b'6' | b'8' | b'a' | b'c' | b'e')
}

/// The names of the table in docs/kdl.md, each with the code that refuses it.
fn deviations() -> BTreeMap<String, String> {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/kdl.md")).unwrap();
    let table = page.split("| case | refused by |").nth(1).unwrap().split("\n\n").next().unwrap();
    let rows = table.lines().filter(|line| line.contains('`'));
    let marked = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    rows.flat_map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').collect();
        let code = marked(cells[1]).remove(0);
        marked(cells[0]).into_iter().map(move |name| (name, code.clone()))
    })
    .collect()
}

/// A document as text that does not depend on how it was written; of properties only the set counts.
fn values(nodes: &[Node], out: &mut String) {
    for node in nodes {
        out.push_str(&format!("{:?}", node.name.text));
        let scalar = |scalar: &Scalar| match scalar {
            // The suite writes 1e10 as 10000000000.0.
            Scalar::Float(number) => format!("{number:?}"),
            other => format!("{other:?}"),
        };
        let value = |value: &kiln::syntax::document::Value| {
            format!("{:?}{}", value.annotation.as_ref().map(|word| &word.text), scalar(&value.scalar))
        };
        for argument in &node.args {
            out.push_str(&format!(" {}", value(argument)));
        }
        let properties: BTreeSet<String> = node.props.iter().map(|prop| format!(" {:?}={}", prop.name.text, value(&prop.value))).collect();
        out.extend(properties);
        // `a {}` and `a` say the same to the suite.
        if let Some(children) = node.children.as_ref().filter(|children| !children.is_empty()) {
            out.push_str(" {\n");
            values(children, out);
            out.push('}');
        }
        out.push('\n');
    }
}

fn read(name: &str, bytes: &[u8]) -> Result<(Arc<Source>, String), Vec<&'static str>> {
    let source = check_file_bytes(name, bytes).map_err(|fault| vec![fault.code])?;
    let document = parse(Arc::clone(&source)).map_err(|faults| faults.into_iter().map(|fault| fault.code).collect::<Vec<_>>())?;
    let mut text = String::new();
    values(&document.nodes, &mut text);
    Ok((source, text))
}

#[test]
fn every_case_of_the_official_suite_comes_out_as_it_says_or_is_named_as_a_deviation() {
    let Some(folder) = suite() else {
        crate::parts::missing("the KDL test suite", "neither in the parts folder nor in the sources of the kdl package");
        return;
    };
    let mut deviations = deviations();
    let (mut wrong, mut used, mut refused) = (Vec::new(), 0, 0);
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder.join("input")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for path in files {
        let file = path.file_name().unwrap().to_str().unwrap();
        let name = file.strip_suffix(".kdl").unwrap();
        if !is_used(file) || TURNED.contains(&name) {
            continue;
        }
        used += 1;
        let found = read(name, &std::fs::read(&path).unwrap());
        let listed = deviations.remove(name);
        let expected = folder.join("expected_kdl").join(file);
        match found {
            Err(codes) if !expected.is_file() => {
                refused += 1;
                if codes.is_empty() || listed.is_some() {
                    wrong.push(format!("{name}: {codes:?} {listed:?}"));
                }
            }
            Ok(_) if !expected.is_file() => wrong.push(format!("{name} is read and is no KDL")),
            Err(codes) if listed.as_ref().is_some_and(|code| codes[0] == code) => {}
            Err(codes) => wrong.push(format!("{name} is refused for {codes:?}, listed is {listed:?}")),
            Ok(_) if listed.is_some() => wrong.push(format!("{name} is read, and listed as refused")),
            Ok((source, values)) => {
                match read(name, &std::fs::read(&expected).unwrap()) {
                    Ok((_, expected)) if expected == values => {}
                    other => wrong.push(format!("{name}:\n{values}is not\n{other:?}")),
                }
                let once = format::format(&source).unwrap();
                let again = read(name, once.as_bytes()).unwrap();
                if again.1 != values || format::format(&again.0).unwrap() != once {
                    wrong.push(format!("{name} is formatted wrongly: {once}"));
                }
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert!(used > 150 && refused > 40, "{used} cases, {refused} refused");
    // An older copy has fewer cases.
    deviations.retain(|name, _| folder.join(format!("input/{name}.kdl")).is_file());
    assert_eq!(deviations, BTreeMap::new(), "listed in docs/kdl.md, and not used");
}
