//! Changes of the build file and of the environment that it names.

use super::{Case, built, copy, copying};
use crate::project::{Project, task};
use crate::world::{Check, World};

pub const CASES: &[Case] = &[
    Case { says: "a declared variable changes: it runs", project: with_variable, act: variable },
    Case { says: "a declared variable is unset, then empty: two results", project: with_variable, act: unset },
    Case { says: "a variable gets its old value back: the old result, 0 commands", project: with_variable, act: variable_back },
    Case { says: "the command is edited: it runs", project: copying, act: command },
    Case { says: "the command of another task is edited: this one does not run", project: two, act: other_command },
    Case { says: "an input is added to the list: it runs", project: copying, act: input_added },
    Case { says: "an input is taken off the list: it runs", project: with_two_inputs, act: input_dropped },
    Case { says: "a program that it uses is updated: it runs", project: with_program, act: program },
    Case { says: "the file of variables (dotenv) changes: it runs", project: with_env_file, act: env_file },
    Case { says: "a password changes: it does not run, and the next run gets the new one", project: with_secret, act: secret },
];

pub fn with_variable() -> Project {
    Project::of([task("copy").reads("in.txt").env("V").makes("out/a").runs(r#"echo "${V-unset}" >out/a"#)])
}

fn variable(world: &mut World<'_>) -> Check {
    world.set("V", "1");
    built(world)?;
    world.set("V", "2");
    world.build(&["copy"])?;
    world.holds("out/a", "2\n")
}

fn unset(world: &mut World<'_>) -> Check {
    built(world)?;
    world.is(world.read("out/a").as_deref() == Some("unset\n"), "wrong", "an unset variable arrived as a set one")?;
    world.set("V", "");
    world.build(&["copy"])?;
    world.holds("out/a", "\n")
}

fn variable_back(world: &mut World<'_>) -> Check {
    world.set("V", "1");
    built(world)?;
    world.set("V", "2");
    world.build(&["copy"])?;
    world.ran();
    world.set("V", "1");
    world.build(&["copy"])?;
    world.holds("out/a", "1\n")?;
    world.ran_exactly(&[])
}

fn command(world: &mut World<'_>) -> Check {
    built(world)?;
    world.project.task("copy").command.push_str(" && echo more >>out/b");
    world.build(&["copy"])?;
    world.holds("out/b", "one\nmore\n")
}

fn two() -> Project {
    Project::of([copy(), task("other").reads("in.txt").makes("other/c").runs("cat in.txt >other/c")])
}

fn other_command(world: &mut World<'_>) -> Check {
    world.write("in.txt", "one\n");
    world.set_up(&["copy", "other"])?;
    world.ran();
    world.project.task("other").command.push_str(" && echo more >>other/c");
    world.build(&["copy", "other"])?;
    world.holds("other/c", "one\nmore\n")?;
    world.ran_exactly(&["other"])
}

fn input_added(world: &mut World<'_>) -> Check {
    world.write("in.txt", "one\n");
    world.write_old("header.txt", "h\n");
    world.set_up(&["copy"])?;
    world.ran();
    let task = world.project.task("copy");
    *task = task.clone().reads("header.txt");
    world.build(&["copy"])?;
    world.ran_exactly(&["copy"])
}

fn with_two_inputs() -> Project {
    Project::of([task("copy").reads("in.txt").reads("old.txt").makes("out/a").runs("cat *.txt >out/a")])
}

fn input_dropped(world: &mut World<'_>) -> Check {
    world.write("in.txt", "one\n");
    world.write("old.txt", "old\n");
    world.set_up(&["copy"])?;
    world.project.task("copy").reads.pop();
    world.remove("old.txt");
    world.build(&["copy"])?;
    world.holds("out/a", "one\n")
}

fn with_program() -> Project {
    Project::of([task("copy").reads("in.txt").program("maker").makes("out/a").runs("maker --version >out/a")])
}

fn program(world: &mut World<'_>) -> Check {
    world.install("maker", "echo maker 1");
    built(world)?;
    world.install("maker", "echo maker 2");
    world.build(&["copy"])?;
    world.holds("out/a", "maker 2\n")
}

fn with_env_file() -> Project {
    let task = task("copy").reads("in.txt").makes("out/a").runs(r#"echo "$MODE" >out/a"#);
    Project { env_file: Some("settings.env".into()), ..Project::of([task]) }
}

fn env_file(world: &mut World<'_>) -> Check {
    world.write("settings.env", "MODE=fast\n");
    built(world)?;
    world.is(world.read("out/a").as_deref() == Some("fast\n"), "wrong", "the variable did not arrive")?;
    world.write("settings.env", "MODE=slow\n");
    world.build(&["copy"])?;
    world.holds("out/a", "slow\n")
}

fn with_secret() -> Project {
    Project::of([task("copy")
        .reads("in.txt")
        .secret("TOKEN")
        .makes("out/a")
        .runs(r#"cat in.txt >out/a && test "$TOKEN" = "$(cat ../token)""#)])
}

fn secret(world: &mut World<'_>) -> Check {
    let give = |world: &mut World<'_>, token: &str| {
        std::fs::write(world.beside("token"), token).unwrap();
        world.set("TOKEN", token);
    };
    give(world, "first-secret");
    built(world)?;
    give(world, "second-secret");
    world.build(&["copy"])?;
    world.ran_exactly(&[])?;
    world.write("in.txt", "two\n");
    world.build(&["copy"])?;
    world.holds("out/a", "two\n")
}
