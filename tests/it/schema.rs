//! `schema/`: what the reader knows, as data; stale as soon as the reader knows more.

use std::path::Path;

fn is_fresh(name: &str, now: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    if std::env::var_os("KILN_BLESS").is_some() {
        std::fs::write(&path, now).unwrap();
    }
    assert!(std::fs::read_to_string(&path).unwrap() == now, "{name} is stale: run the tests once with KILN_BLESS=1");
}

#[test]
fn the_schema_says_what_the_reader_reads() {
    is_fresh("schema/kiln-1.json", &kiln::plan::spec::schema_json());
}

#[test]
fn the_reference_says_what_the_reader_reads() {
    is_fresh("docs/language.md", &kiln::plan::spec::reference_markdown());
}
