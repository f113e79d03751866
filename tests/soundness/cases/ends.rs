//! Commands that fail, are killed, or do not do what was declared.

use std::time::{Duration, Instant};

use super::{Case, copying};
use crate::project::{Project, task};
use crate::tools::Offer;
use crate::world::{Check, World, signal};

pub const CASES: &[Case] = &[
    Case { says: "a failing command fails the build, and what waits for it does not run", project: failing, act: fails },
    Case { says: "a command that failed is run again, though its output is there", project: half, act: half_made },
    Case { says: "a declared output that was not made is a failure", project: nothing_made, act: not_made },
    Case { says: "the tool is killed (-9) amid a write: the next build is right", project: interrupted, act: killed },
    Case { says: "Ctrl-C amid a write: the next build is right", project: interrupted, act: ctrl_c },
    Case { says: "what a command leaves running in the background changes nothing later", project: background, act: left_running },
    Case { says: "after a failure, what does not depend on it is built (keep going)", project: independent, act: keep_going },
    Case { says: "a failed edit is undone: the old result, 0 commands", project: guarded, act: undone },
];

fn failing() -> Project {
    Project::of([
        task("first").reads("in.txt").makes("gen/first").runs("cat in.txt >gen/first && false"),
        task("second").reads("gen/first").makes("out/second").runs("cat gen/first >out/second"),
    ])
}

fn fails(world: &mut World<'_>) -> Check {
    world.write("in.txt", "one\n");
    world.refuses(&["second"])?;
    world.is(!world.has("out/second"), "goes on", "the second task ran after the first had failed")?;
    world.refuses(&["second"])?;
    world.is(!world.has("out/second"), "goes on", "the second task ran when the build was tried again")
}

fn half() -> Project {
    Project::of([task("half").reads("in.txt").makes("out/a").runs("echo half >out/a && test ! -e ../broken && echo whole >out/a")])
}

fn half_made(world: &mut World<'_>) -> Check {
    world.write("in.txt", "one\n");
    std::fs::write(world.beside("broken"), "").unwrap();
    world.refuses(&["half"])?;
    world.refuses(&["half"])?;
    std::fs::remove_file(world.beside("broken")).unwrap();
    world.build(&["half"])?;
    world.holds_or("out/a", "whole\n", "partial")
}

fn nothing_made() -> Project {
    Project::of([task("copy").reads("in.txt").makes("out/a").makes("out/b").runs("cat in.txt >out/a")])
}

fn not_made(world: &mut World<'_>) -> Check {
    world.write("in.txt", "one\n");
    world.refuses(&["copy"]).map(drop)
}

/// Writes half, waits as long as `../hold` is there, writes the rest.
fn interrupted() -> Project {
    Project::of([task("slow").reads("in.txt").makes("out/a").runs(
        "echo half >out/a && touch ../half && n=0; while test -e ../hold && test $n -lt 3000; do sleep 0.01; n=$((n+1)); done; echo whole >>out/a",
    )])
}

fn stopped(world: &World<'_>, by: &str) -> Check {
    world.write("in.txt", "one\n");
    std::fs::write(world.beside("hold"), "").unwrap();
    let mut child = world.start(&["slow"])?;
    world.wait_for("../half")?;
    signal(by, &child);
    child.wait().unwrap();
    // What outlived the tool would write later and blur what is asked here: it is let go, and ends.
    std::fs::remove_file(world.beside("hold")).unwrap();
    world.rests();
    if world.read("out/a").as_deref() == Some("half\nwhole\n") {
        world.write("out/a", "half\n");
    }
    world.build(&["slow"])?;
    world.holds_or("out/a", "half\nwhole\n", "partial")
}

fn killed(world: &mut World<'_>) -> Check {
    stopped(world, "KILL")
}

fn ctrl_c(world: &mut World<'_>) -> Check {
    stopped(world, "INT")
}

fn background() -> Project {
    let later = "(n=0; while test ! -e ../go && test $n -lt 500; do sleep 0.01; n=$((n+1)); done; echo later >out/a; touch ../late) >/dev/null 2>&1 &";
    Project::of([task("copy").reads("in.txt").makes("out/a").runs(&format!("cat in.txt >out/a; {later}"))])
}

fn left_running(world: &mut World<'_>) -> Check {
    world.write("in.txt", "one\n");
    world.run(&["copy"])?;
    std::fs::write(world.beside("go"), "").unwrap();
    let began = Instant::now();
    while !world.has("../late") && began.elapsed() < Duration::from_millis(500) {
        std::thread::sleep(Duration::from_millis(5));
    }
    world.build(&["copy"])?;
    world.holds_or("out/a", "one\n", "changed")
}

fn independent() -> Project {
    Project::of([
        task("bad").reads("in.txt").makes("out/bad").runs("sleep 0.1; false"),
        task("good").reads("in.txt").makes("out/good").runs("sleep 0.3; cat in.txt >out/good"),
        task("after").reads("out/good").makes("out/after").runs("cat out/good >out/after"),
    ])
}

fn keep_going(world: &mut World<'_>) -> Check {
    world.write("in.txt", "one\n");
    world.keep_going = true;
    world.refuses(&["bad", "after"])?;
    world.holds_or("out/after", "one\n", "stops")
}

fn guarded() -> Project {
    let mut project = copying();
    project.task("copy").command.insert_str(0, "grep -q one in.txt && ");
    project
}

fn undone(world: &mut World<'_>) -> Check {
    world.wants(Offer::Results)?;
    super::built(world)?;
    world.write("in.txt", "bad!\n");
    world.refuses(&["copy"])?;
    world.ran();
    world.write("in.txt", "one\n");
    world.build(&["copy"])?;
    world.holds("out/a", "one\n")?;
    world.ran_exactly(&[])
}
