//! The README's code is run: plans are checked, and every `$ command` prints what stands below it.

use std::path::{Path, PathBuf};
use std::process::Command;

struct Block {
    language: String,
    text: String,
    /// Where its text begins in the page.
    start: usize,
}

fn readme() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")
}

fn blocks(page: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut at = 0;
    let mut open: Option<(String, usize)> = None;
    for line in page.split_inclusive('\n') {
        if let Some(mark) = line.strip_prefix("```") {
            match open.take() {
                None => open = Some((mark.trim().to_owned(), at + line.len())),
                Some((language, start)) => found.push(Block { language, text: page[start..at].to_owned(), start }),
            }
        }
        at += line.len();
    }
    assert!(open.is_none(), "a code block is never closed");
    found
}

/// What differs from run to run becomes a mark: times, sizes of compressed blobs stay, digests are shortened.
fn normal(text: &str) -> String {
    let mut words = Vec::new();
    for line in text.lines() {
        let mut shown = String::new();
        // Whether a run saved time worth telling depends on how busy the machine is.
        let line = [" (saved ", "; about "].iter().fold(line, |line, mark| line.split_once(mark).map_or(line, |(before, _)| before));
        let mut rest = line.trim_end();
        while let Some(digit) = rest.find(|c: char| c.is_ascii_digit()) {
            let (before, number) = rest.split_at(digit);
            let end = number.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(number.len());
            let after = &number[end..];
            let unit = [" ms", " s ", " s)", " m "].iter().find(|unit| after.starts_with(**unit) || after == unit.trim_end());
            shown.push_str(before);
            shown.push_str(if unit.is_some() { "N" } else { &number[..end] });
            rest = after;
        }
        shown.push_str(rest);
        // A moment: 2026-11-22T03:55:21Z.
        if let Some(t) = shown.find('T').filter(|t| {
            shown.get(t.saturating_sub(10)..*t).is_some_and(|date| date.bytes().filter(|b| *b == b'-').count() == 2)
                && shown[*t..].len() >= 10
        }) {
            shown.replace_range(t - 10..t + 10, "MOMENT");
        }
        // A run or a commit: `(20261122-081302-001-3086)`, `(0476dca04f20)`.
        let mark = |word: &str| {
            let id = word.strip_prefix('(').and_then(|rest| rest.split_once(')')).filter(|(id, _)| id.len() >= 12);
            match id.filter(|(id, _)| id.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')) {
                Some((_, rest)) => format!("(ID){rest}"),
                None => word.to_owned(),
            }
        };
        words.push(shown.split_whitespace().map(mark).collect::<Vec<_>>().join(" "));
    }
    // Which of two steps that wait for nothing goes first depends on how long each took.
    words.sort();
    words.join("\n").trim().replace(" N ms", " N s")
}

fn run(folder: &Path, command: &str) -> String {
    let kiln = Path::new(env!("CARGO_BIN_EXE_kiln"));
    let path = format!("{}:{}", kiln.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let output = Command::new("sh")
        .args(["-c", &format!("exec 2>&1; {command}")])
        .current_dir(folder.join("greeter"))
        .env_clear()
        .env("PATH", path)
        .env("HOME", folder)
        .env("KILN_CACHE_DIR", folder.join("cache"))
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_block_of_the_readme_does_what_it_shows() {
    let page = std::fs::read_to_string(readme()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("greeter")).unwrap();
    let mut blessed = page.clone();
    let mut shift: isize = 0;
    let mut wrong = Vec::new();
    for block in blocks(&page) {
        match block.language.as_str() {
            "kdl" => {
                std::fs::write(folder.path().join("greeter/build.kdl"), &block.text).unwrap();
                let said = run(folder.path(), "kiln check");
                assert!(said.contains("is sound"), "{said}");
            }
            "console" => {
                let mut made = String::new();
                for part in block.text.split("$ ").skip(1) {
                    let (command, _) = part.split_once('\n').unwrap();
                    made.push_str(&format!("$ {command}\n{}", run(folder.path(), command)));
                }
                if normal(&made) != normal(&block.text) {
                    wrong.push(format!("README.md shows\n{}\nbut it is\n{made}", block.text));
                }
                let start = block.start.checked_add_signed(shift).unwrap();
                blessed.replace_range(start..start + block.text.len(), &made);
                shift += made.len() as isize - block.text.len() as isize;
            }
            "sh" | "text" => {}
            other => panic!("what is `{other}`?"),
        }
    }
    if std::env::var_os("KILN_BLESS").is_some() {
        std::fs::write(readme(), blessed).unwrap();
        return;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn the_two_commands_are_in_the_readme() {
    let page = std::fs::read_to_string(readme()).unwrap();
    for command in ["cargo run --release -- run\n", "cargo run --release -- run test\n"] {
        assert!(page.contains(command), "{command}");
    }
}

#[test]
fn every_plan_of_the_examples_is_sound() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut plans: Vec<PathBuf> = std::fs::read_dir(here.join("plans")).unwrap().map(|entry| entry.unwrap().path()).collect();
    plans.push(here.join("build.kdl"));
    for plan in plans {
        let output = Command::new(env!("CARGO_BIN_EXE_kiln"))
            .arg("-f")
            .arg(&plan)
            .arg("check")
            .env("KILN_CACHE_DIR", here.join("target/none"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}: {}", plan.display(), String::from_utf8_lossy(&output.stderr));
    }
}
