//! Go modules: go.mod, go.sum, and the build information that the linker puts into every program.
//! In: their bytes. Out: modules, with replacements applied. Never: a program taken for a module file.

use std::collections::BTreeMap;

use super::purl::Purl;
use super::{Corrupt, MOST_PACKAGES, Package, field};

/// What build information begins with; it stands at a multiple of 16 in the file. Source: Go's `debug/buildinfo`.
const MAGIC: &[u8; 14] = b"\xff Go buildinf:";
/// The longest list of modules that is read, in bytes.
const LONGEST_LIST: usize = 1 << 20;

/// Reads a go.mod: what it requires, with its own replacements. Modules replaced by a folder are left out.
///
/// # Errors
/// [`Corrupt`] names the line that cannot be read.
pub fn parse_mod(bytes: &[u8]) -> Result<Vec<Package>, Corrupt> {
    let mut required: Vec<(&str, &str)> = Vec::new();
    let mut replaced: BTreeMap<&str, (&str, &str)> = BTreeMap::new();
    let mut block: Option<&str> = None;
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let number = index + 1;
        let end = line.windows(2).position(|pair| pair == b"//").unwrap_or(line.len());
        let words: Vec<&str> = field(&line[..end], number)?.split_ascii_whitespace().collect();
        let (verb, rest) = match (block, words.as_slice()) {
            (_, []) => continue,
            (Some(_), [")"]) => {
                block = None;
                continue;
            }
            (Some(verb), rest) => (verb, rest),
            (None, [verb, "("]) => {
                block = Some(verb);
                continue;
            }
            (None, [verb, rest @ ..]) => (*verb, rest),
        };
        match (verb, rest) {
            ("require", [path, version]) => required.push((path, version)),
            ("require", _) => return Err(Corrupt::line(number, "requires no module with a version")),
            ("replace", [path, "=>", new]) | ("replace", [path, _, "=>", new]) => drop(replaced.insert(path, (new, ""))),
            ("replace", [path, "=>", new, version]) | ("replace", [path, _, "=>", new, version]) => {
                replaced.insert(path, (new, version));
            }
            ("replace", _) => return Err(Corrupt::line(number, "is not `old => new`")),
            ("module" | "go" | "toolchain" | "godebug" | "exclude" | "retract" | "tool" | "ignore", _) => {}
            _ => return Err(Corrupt::line(number, "is not a directive of go.mod")),
        }
        if required.len() > MOST_PACKAGES {
            return Err(Corrupt::line(number, "is beyond the largest module file that can be"));
        }
    }
    if block.is_some() {
        return Err(Corrupt("ends inside a block".to_owned()));
    }
    let chosen = required.iter().map(|(path, version)| *replaced.get(unquoted(path)).unwrap_or(&(path, version)));
    Ok(chosen.filter(|(_, version)| !version.is_empty()).map(|(path, version)| module(unquoted(path), version)).collect())
}

fn unquoted(path: &str) -> &str {
    path.trim_matches(['"', '`'])
}

fn module(path: &str, version: &str) -> Package {
    Package::named(Purl::golang(path, version))
}

/// Reads a go.sum: every module whose files were loaded, not those of which only the go.mod was.
///
/// # Errors
/// [`Corrupt`] names the line that cannot be read.
pub fn parse_sum(bytes: &[u8]) -> Result<Vec<Package>, Corrupt> {
    let mut found = Vec::new();
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let words: Vec<&str> = field(line, index + 1)?.split_ascii_whitespace().collect();
        match words.as_slice() {
            [] => {}
            [_, version, _] if version.ends_with("/go.mod") => {}
            [path, version, _] if found.len() < MOST_PACKAGES => found.push(module(path, version)),
            _ => return Err(Corrupt::line(index + 1, "is not `module version hash`")),
        }
    }
    Ok(found)
}

/// Finds build information in a program, or in a piece of one that begins at a multiple of 16, and reads it.
/// `None` when there is none, or when it is of Go before 1.18, which does not stand in one piece.
#[must_use]
pub fn find_build_info(program: &[u8]) -> Option<Vec<Package>> {
    // Programs that read build information themselves hold the magic as a constant too, so the first hit need not be the right one.
    let blocks = program.chunks_exact(16).enumerate();
    blocks.filter(|(_, block)| block.starts_with(MAGIC)).find_map(|(index, _)| build_info(&program[index * 16..]))
}

/// Reads build information: 14 bytes magic, pointer size, flags, 16 bytes that are unused, then two texts with their lengths.
fn build_info(bytes: &[u8]) -> Option<Vec<Package>> {
    if bytes.get(15)? & 2 == 0 {
        return None;
    }
    let (version, rest) = text(bytes.get(32..)?)?;
    let (modules, _) = text(rest)?;
    let version = std::str::from_utf8(version).ok()?;
    let released = version.strip_prefix("go").map(|version| version.split(' ').next().unwrap_or(version));
    if released.is_none() && !version.starts_with("devel") {
        return None;
    }
    let mut found = modules_of(modules);
    if let Some(released) = released.filter(|released| super::is_plain(released)) {
        found.push(module("stdlib", released));
    }
    Some(found)
}

/// A length in LEB128 and that many bytes.
fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut length = 0_usize;
    for (index, byte) in bytes.iter().take(4).enumerate() {
        length |= usize::from(byte & 127) << (7 * index);
        if byte & 128 == 0 {
            let rest = &bytes[index + 1..];
            return (length <= LONGEST_LIST && length <= rest.len()).then(|| rest.split_at(length));
        }
    }
    None
}

/// The modules of a list: tab-separated lines `mod` and `dep`, each perhaps followed by `=>` with what replaced it.
/// The list lies between two marks of 16 bytes each.
fn modules_of(list: &[u8]) -> Vec<Package> {
    let list = if list.len() >= 33 && list[list.len() - 17] == b'\n' { &list[16..list.len() - 16] } else { list };
    let mut found: Vec<Package> = Vec::new();
    for line in list.split(|byte| *byte == b'\n') {
        let words: Vec<&str> = field(line, 0).unwrap_or_default().split_ascii_whitespace().collect();
        match words.as_slice() {
            ["mod" | "dep", path, version, ..] => found.push(module(path, version.trim_start_matches("(devel)"))),
            ["mod" | "dep", path] => found.push(module(path, "")),
            ["=>", path, rest @ ..] => {
                let version = rest.first().copied().unwrap_or_default();
                found.pop();
                // A folder on the machine that built it has no name anywhere else.
                if !path.starts_with(['.', '/']) {
                    found.push(module(path, version));
                }
            }
            _ => {}
        }
    }
    found
}

/// Build information as the linker writes it. For tests.
#[cfg(test)]
#[must_use]
pub fn sample_build_info(version: &str, modules: &str) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&[8, 2]);
    bytes.extend_from_slice(&[0; 16]);
    let mut put = |text: &[u8]| {
        let mut length = text.len();
        while length >= 128 {
            bytes.push((length & 127) as u8 | 128);
            length >>= 7;
        }
        bytes.push(length as u8);
        bytes.extend_from_slice(text);
    };
    put(version.as_bytes());
    put(format!("0123456789abcdef{modules}0123456789abcdef").as_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn purls(packages: &[Package]) -> Vec<String> {
        packages.iter().map(|package| package.purl.to_string()).collect()
    }

    #[test]
    fn required_modules_are_listed_with_replacements_applied() {
        let text = b"module example.org/Api // the project\n\ngo 1.22\n\nrequire (\n\tgithub.com/Acme/x v1.2.3\n\tgithub.com/acme/y v2.0.0+incompatible // indirect\n\
            \texample.org/local v0.0.0\n\texample.org/old v1.0.0\n)\nrequire golang.org/x/text v0.14.0\n\
            replace example.org/local => ../local\nreplace example.org/old v1.0.0 => example.org/new v1.1.0\n";
        assert_eq!(
            purls(&parse_mod(text).unwrap()),
            [
                "pkg:golang/github.com/acme/x@v1.2.3",
                "pkg:golang/github.com/acme/y@v2.0.0%2Bincompatible",
                "pkg:golang/example.org/new@v1.1.0",
                "pkg:golang/golang.org/x/text@v0.14.0"
            ]
        );
    }

    #[test]
    fn damaged_module_files_are_refused() {
        for (text, why) in [
            ("require (\n a v1\n", "ends inside a block"),
            ("require a\n", "line 1 requires no module with a version"),
            ("module x\n<<<<<<< HEAD\n", "line 2 is not a directive of go.mod"),
            ("replace a b\n", "line 1 is not `old => new`"),
        ] {
            assert_eq!(parse_mod(text.as_bytes()), Err(Corrupt(why.to_owned())));
        }
        assert_eq!(parse_sum(b"a v1\n"), Err(Corrupt("line 1 is not `module version hash`".to_owned())));
    }

    #[test]
    fn of_a_sum_file_only_loaded_modules_count() {
        let text = b"a.org/x v1.0.0 h1:abc=\na.org/x v1.0.0/go.mod h1:abc=\na.org/y v1.1.0/go.mod h1:abc=\n";
        assert_eq!(purls(&parse_sum(text).unwrap()), ["pkg:golang/a.org/x@v1.0.0"]);
    }

    #[test]
    fn modules_of_a_program_are_found_behind_a_false_magic() {
        let modules = "path\texample.org/api\nmod\texample.org/api\t(devel)\t\ndep\ta.org/x\tv1.0.0\th1:abc=\ndep\ta.org/y\tv1.0.0\n=>\ta.org/z\tv1.2.0\th1:=\nbuild\tCGO_ENABLED=0\n";
        let mut program = vec![0; 64];
        program[16..30].copy_from_slice(MAGIC);
        program.extend(sample_build_info("go1.22.1", modules));
        assert_eq!(
            purls(&find_build_info(&program).unwrap()),
            ["pkg:golang/example.org/api", "pkg:golang/a.org/x@v1.0.0", "pkg:golang/a.org/z@v1.2.0", "pkg:golang/stdlib@1.22.1"]
        );
        assert_eq!(find_build_info(&program[..120]), None);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_after_the_magic_make_the_reader_panic(tail in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let mut program = MAGIC.to_vec();
            program.extend_from_slice(&[8, 2]);
            program.extend(tail);
            let _ = find_build_info(&program);
        }
    }
}
