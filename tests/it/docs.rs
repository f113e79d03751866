//! The pages of `docs/` that speak of files and tests are held against both.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::project::Project;

fn page(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name)).unwrap()
}

/// The texts between backticks.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The first cells of a table's rows.
fn first_cells(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| code(line.strip_prefix("| ")?.split(" |").next()?).next()).collect()
}

/// Whether a path of the store is one that a row of the table describes.
fn fits(row: &str, path: &str) -> bool {
    let hex = |part: &str, len: usize| part.len() == len && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    let part = |row: &str, part: &str| match row {
        "HH" => hex(part, 2),
        "HASH" => hex(part, 62),
        "KEY" => hex(part, 64),
        "PROJECT" => hex(part, 24),
        "plan-N" => part.strip_prefix("plan-").is_some_and(|number| number.parse::<u8>().is_ok()),
        "rerun-N" => part.strip_prefix("rerun-").is_some_and(|number| number.parse::<u8>().is_ok()),
        "glance-N" => part.strip_prefix("glance-").is_some_and(|number| number.parse::<u8>().is_ok()),
        "RUN.jsonl" => part.ends_with(".jsonl"),
        "START-RANDOM" => part.split_once('-').is_some_and(|(start, random)| start.bytes().all(|b| b.is_ascii_digit()) && hex(random, 8)),
        "NAME" | "" => !part.is_empty(),
        row => row == part,
    };
    let (row, path): (Vec<&str>, Vec<&str>) = (row.split('/').collect(), path.split('/').collect());
    row.len() == path.len() && row.iter().zip(&path).all(|(row, path)| part(row, path))
}

fn files(root: &Path, folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(root, &path, found);
        } else {
            found.insert(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
        }
    }
}

#[test]
fn the_table_of_the_store_names_every_file_and_every_file_is_there() {
    let project = Project::new(
        "kiln 1\ntask \"t\" { inputs \"in\"; outputs \"out\"; run \"echo log; cp in out; if test -e ../wait; then touch ../begun; sleep 60; fi\" }\nregistry \"dist\" \"oci:dist\"\nimage \"web\" { copy \"out\" \"/out\"; user \"1:1\"; scan; tag \"1\"; push dist }\n",
    );
    project.write("in", "x");
    project.kiln(&["run", "web"]).ends(0);
    // An answer is kept once the files are older than a step of the kernel's clock.
    let kept = |row: &str| {
        let mut found = BTreeSet::new();
        files(&project.cache(), &project.cache().join("projects"), &mut found);
        found.iter().any(|path| fits(row, path))
    };
    let begun = Instant::now();
    for (command, row) in [("plan", "projects/PROJECT/glance-N"), ("run", "projects/PROJECT/rerun-N")] {
        while !kept(row) {
            assert!(begun.elapsed() < Duration::from_secs(20), "no answer is ever kept");
            project.kiln(&[command, "t"]).ends(0);
        }
    }
    // A blob is damaged and set aside, a collection goes on, and a kiln runs a step.
    let object = {
        let mut found = BTreeSet::new();
        files(&project.cache(), &project.cache().join("store/v1/blobs/blake3"), &mut found);
        project.cache().join(found.first().unwrap())
    };
    fs::remove_file(&object).unwrap();
    fs::write(&object, "damaged").unwrap();
    project.kiln(&["cache", "verify"]).ends(5);
    let _collecting = kiln::sys::lock::Lock::wait(project.cache().join("store/v1/collecting")).unwrap();
    // Only a container leaves a sign of life.
    let store = kiln::store::local::Store::open(kiln::base::path::AbsPath::new(project.cache().join("store")).unwrap()).unwrap();
    let _life = store.live(kiln::base::digest::ActionKey(kiln::base::digest::Digest::of(b"container")));
    project.write("in", "y").write("../wait", "");
    let mut running = project.start(&["run", "t"]);
    project.wait_for("../begun");
    let mut found = BTreeSet::new();
    files(&project.cache(), &project.cache(), &mut found);
    running.kill().unwrap();
    running.wait().unwrap();
    let text = page("store.md");
    let rows = first_cells(&text);
    assert!(rows.len() > 10, "{rows:?}");
    let unknown: Vec<&String> = found.iter().filter(|path| !rows.iter().any(|row| fits(row, path))).collect();
    assert_eq!(unknown, Vec::<&String>::new(), "files that docs/store.md does not name");
    let absent: Vec<&&str> = rows.iter().filter(|row| !row.ends_with('/') && !found.iter().any(|path| fits(row, path))).collect();
    assert_eq!(absent, Vec::<&&str>::new(), "rows of docs/store.md without a file");
    let result = found.iter().find(|path| path.starts_with("store/v1/actions")).unwrap();
    let bytes = fs::read(project.cache().join(result)).unwrap();
    let first = String::from_utf8_lossy(bytes.split(|byte| *byte == b'\n').next().unwrap());
    let mark = first.rsplitn(3, ' ').last().unwrap();
    assert!(text.contains(&format!("`{mark} KEY LENGTH`")), "the first line of a result: {first}");
    for folder in kiln::store::layout::FOLDERS {
        assert!(rows.iter().any(|row| row.starts_with(&format!("store/{}/{folder}/", kiln::store::layout::VERSION))), "{folder}");
    }
}

#[test]
fn the_limits_of_the_store_are_the_documented_ones() {
    let limits = kiln::store::collect::Limits::default();
    let text = page("store.md");
    assert!(text.contains(&format!("The defaults, {} GiB and {} days,", limits.max_bytes >> 30, limits.max_age_s / 86_400)));
    let help = Project::new("kiln 1\n").kiln(&["cache", "gc", "--help"]).ends(0);
    help.says(&format!("{}GiB", limits.max_bytes >> 30)).says(&format!("{}d", limits.max_age_s / 86_400));
    assert!(text.contains(&format!("The {} newest runs", kiln::record::journal::KEPT)));
}

#[test]
fn every_test_that_the_page_of_faults_names_is_there() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = page("faults.md");
    let mut missing = Vec::new();
    let mut seen = 0;
    for named in code(&text) {
        let (file, name): (PathBuf, &str) = match (named.split_once("::"), named.split_once(".rs ")) {
            (_, Some((file, name))) => (here.join(format!("{file}.rs")), name),
            (Some((module, name)), None) if !name.is_empty() => (here.join("tests/it").join(format!("{module}.rs")), name),
            _ => continue,
        };
        seen += 1;
        let source = fs::read_to_string(&file).unwrap_or_default();
        if !source.contains(&format!("fn {name}(")) {
            missing.push(named);
        }
    }
    assert_eq!(missing, Vec::<&str>::new());
    assert!(seen > 50, "{seen}");
    for row in ["F1", "F2", "F3", "F4", "F5", "F6", "F7", "F8", "F9", "F10", "F11", "F12"] {
        assert!(text.contains(&format!("| {row} |")), "{row}");
    }
    for row in 1..=14 {
        assert!(text.contains(&format!("| X{row} |")), "X{row}");
    }
    for row in (1..=6).chain(12..=20) {
        assert!(text.contains(&format!("| C{row} |")), "C{row}");
    }
}
