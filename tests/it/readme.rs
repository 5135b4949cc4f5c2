//! The README leads a newcomer with two commands: one that runs, one that tests.

use std::fs;

use crate::xtask;

/// The contents of the fenced code blocks of `text`, in order.
fn code_blocks(text: &str) -> Vec<String> {
    let parts = text.split("\n```").skip(1).step_by(2);
    let blocks = parts.map(|part| part.split_once('\n').map_or("", |(_language, code)| code));
    blocks.map(|code| code.trim().to_owned()).collect()
}

#[test]
fn code_blocks_are_read() {
    let text = "a\n```sh\none\n```\nb\n\n```\ntwo\nlines\n```\n";
    assert_eq!(code_blocks(text), ["one", "two\nlines"]);
}

#[test]
fn the_first_two_commands_are_the_run_and_the_tests() {
    let readme = fs::read_to_string(xtask::root().join("README.md")).expect("the README is there");
    let blocks = code_blocks(&readme);
    assert_eq!(blocks[..2], ["cargo run --release -- run", "cargo xtask test"]);
}

#[test]
fn the_tests_command_is_an_alias_that_cargo_knows() {
    let config = fs::read_to_string(xtask::root().join(".cargo/config.toml")).expect("the aliases are there");
    assert!(
        config.contains("xtask = \"run ") && config.contains("--package xtask"),
        "{config}"
    );
}
