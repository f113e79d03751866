//! What the tool says about itself.

use super::{Case, built, copying};
use crate::world::{Check, World};

pub const CASES: &[Case] = &[
    Case { says: "a dry run runs nothing", project: copying, act: dry },
    Case { says: "a dry run after an edit names the task that will run, and only that", project: super::graph::pair, act: dry_names },
    Case { says: "it says which file made a task run", project: copying, act: names_the_file },
    Case {
        says: "it says how a variable that made a task run changed, old and new",
        project: super::definition::with_variable,
        act: names_the_variable,
    },
];

fn dry(world: &mut World<'_>) -> Check {
    world.write("in.txt", "one\n");
    world.dry_run(&["copy"])?;
    world.is(!world.has("out/a") && world.ran().is_empty(), "runs", "out/a is there")?;
    world.set_up(&["copy"])?;
    world.ran();
    world.write("in.txt", "two!\n");
    world.dry_run(&["copy"])?;
    world.ran_exactly(&[])?;
    world.is(world.read("out/a").as_deref() == Some("one\n"), "runs", "out/a was written")?;
    // What was only asked about is still to be done.
    world.build(&["copy"])?;
    world.holds("out/a", "two!\n")
}

/// Tools show what would run by name, by command, or by the word for what is cached.
fn dry_names(world: &mut World<'_>) -> Check {
    world.write("one.txt", "1\n");
    world.write("two.txt", "2\n");
    world.set_up(&["alpha", "beta"])?;
    world.write("one.txt", "uno\n");
    let said = world.dry_run(&["alpha", "beta"])?.text;
    let will_run = |name: &str| {
        said.lines().any(|line| line.contains(&format!(">>../ran/{name} ")) || line.contains(&format!("{name} ")) && line.contains(" run "))
    };
    let is_cached = |name: &str| {
        said.split("Cache (Local)").count() > 1 && {
            let after = said.split(&format!("\n{name}\n")).nth(1).unwrap_or_default();
            after.split("Cached (Local)").nth(1).is_some_and(|rest| rest.trim_start_matches([' ', '=']).starts_with("true"))
        }
    };
    world.is(will_run("alpha"), "silent", &said)?;
    world.is(!will_run("beta") || is_cached("beta"), "names more", &said)
}

fn names_the_file(world: &mut World<'_>) -> Check {
    built(world)?;
    world.write("in.txt", "two!\n");
    let said = world.why("copy")?.text;
    // The rule itself may name the file too: only words of change count.
    let words = ["chang", "newer", "dirty", "older", "modif", "differ"];
    let told = said.lines().any(|line| line.contains("in.txt") && words.iter().any(|word| line.contains(word)));
    world.is(told, "no", &said)
}

fn names_the_variable(world: &mut World<'_>) -> Check {
    world.set("V", "oldvalue");
    built(world)?;
    world.set("V", "newvalue");
    let said = world.why("copy")?.text;
    world.is(said.lines().any(|line| line.contains("oldvalue") && line.contains("newvalue")), "no", &said)
}
