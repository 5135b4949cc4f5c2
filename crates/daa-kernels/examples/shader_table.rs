//! Validates every shader and prints what is known about each entry point:
//! `cargo run --example shader_table [FOLDER]`.
//!
//! Ends with exit code 1 and one line `file:line:column: message` per problem when a shader is broken.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line program prints"
)]

#[path = "../build/check.rs"]
mod check;
#[path = "../build/source.rs"]
mod source;

use check::{Entry, Module};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const HEADERS: [&str; 6] = [
    "shader.entry",
    "workgroup",
    "bindings",
    "params",
    "shared",
    "reference",
];

fn main() -> ExitCode {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    let dir = std::env::args_os().nth(1).map_or_else(
        || {
            [own.join("shaders"), own.join("../../shaders")]
                .into_iter()
                .find(|dir| dir.is_dir())
        },
        |dir| Some(PathBuf::from(dir)),
    );
    let Some(dir) = dir else {
        eprintln!("no shaders: neither shaders/ nor ../../shaders is a folder");
        return ExitCode::FAILURE;
    };
    match check::check_dir(&dir) {
        Ok(modules) => {
            print(&modules);
            ExitCode::SUCCESS
        }
        Err(problems) => {
            for problem in problems {
                eprintln!("{problem}");
            }
            ExitCode::FAILURE
        }
    }
}

fn print(modules: &[Module]) {
    let entries = modules
        .iter()
        .flat_map(|module| module.entries.iter().map(move |entry| row(module, entry)));
    let rows: Vec<[String; 6]> = std::iter::once(HEADERS.map(str::to_owned))
        .chain(entries)
        .collect();
    let widths: [usize; 6] = std::array::from_fn(|column| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    });
    for row in &rows {
        let cells: Vec<String> = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        println!("{}", cells.join("  ").trim_end());
    }
    let files: usize = modules.iter().map(|module| module.files.len()).sum();
    let bytes: usize = modules.iter().map(|module| module.wgsl.len()).sum();
    let (count, entries) = (modules.len(), rows.len() - 1);
    println!(
        "{entries} entry points in {count} shaders are valid ({files} files read, {bytes} bytes of WGSL)"
    );
}

fn row(module: &Module, entry: &Entry) -> [String; 6] {
    let access = |reads: bool, writes: bool| match (reads, writes) {
        (true, true) => "rw",
        (false, true) => "w",
        (_, false) => "r",
    };
    let bindings = entry
        .bindings
        .iter()
        .map(|b| format!("{}:{}", b.name, access(b.reads, b.writes)));
    let [x, y, z] = entry.workgroup_size;
    [
        format!("{}.{}", module.name, entry.name),
        format!("{x}x{y}x{z}"),
        bindings.collect::<Vec<_>>().join(" "),
        entry.params_words.to_string(),
        format!("{} B", entry.workgroup_bytes),
        entry.reference.clone(),
    ]
}
