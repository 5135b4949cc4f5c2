//! What the build does with broken shaders: the same functions as the build script's, on folders made for the purpose.

#[path = "../build/check.rs"]
mod check;
#[path = "../build/emit.rs"]
mod emit;
#[path = "../build/source.rs"]
mod source;

use std::fs;
use std::path::{Path, PathBuf};

/// A folder of shaders that goes away with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str, files: &[(&str, &str)]) -> Self {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{test}-{}", std::process::id()));
        for (name, text) in files {
            let path = dir.join(name);
            fs::create_dir_all(path.parent().expect("the file is in the folder"))
                .expect("a folder can be made");
            fs::write(path, text).expect("a file can be written");
        }
        Self(dir)
    }

    /// The problems as the build prints them, paths below the folder.
    fn problems(&self) -> Vec<String> {
        let problems = check::check_dir(&self.0).expect_err("the shaders are broken");
        let prefix = format!("{}/", self.0.display());
        problems
            .iter()
            .map(|problem| problem.to_string().replace(&prefix, ""))
            .collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).expect("the folder is there");
    }
}

const HEAD: &str = "\
// reference: cpu::copy
struct Params { len: u32, factor: f32 }
@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    if id.x < params.len {
        y[id.x] = params.factor * x[id.x];
    }
}
";

#[test]
fn a_sound_shader_is_described() {
    let folder = Folder::new(
        "sound",
        &[("copy.wgsl", HEAD), ("shared/ignored.wgsl", "not WGSL")],
    );
    let modules = check::check_dir(&folder.0).expect("the shader is sound");
    let [module] = &modules[..] else {
        panic!("there is one shader")
    };
    let [entry] = &module.entries[..] else {
        panic!("there is one entry point")
    };
    assert_eq!((module.name.as_str(), entry.name.as_str()), ("copy", "main"));
    assert_eq!(module.files, [folder.0.join("copy.wgsl")]);
    assert_eq!(entry.workgroup_size, [64, 1, 1]);
    assert_eq!((entry.params_words, entry.workgroup_bytes), (2, 0));
    assert_eq!(entry.reference, "cpu::copy");
    let bindings: Vec<_> = entry
        .bindings
        .iter()
        .map(|b| (b.name.as_str(), b.reads, b.writes))
        .collect();
    assert_eq!(bindings, [("x", true, false), ("y", false, true)]);
    let rust = emit::emit(&modules);
    for part in [
        "pub mod copy {",
        "pub mod main {",
        "PARAMS_WORDS: u32 = 2",
        "Access::Write }",
    ] {
        assert!(rust.contains(part), "{part} is missing in {rust}");
    }
}

/// A change to the sound shader, and what the build says then.
const BREAKS: [(&str, &str, &str); 13] = [
    ("x[id.x];", "x[id.x]", "copy.wgsl:10:5: "),
    (
        "x[id.x];",
        "nothing[id.x];",
        "copy.wgsl:9:35: no definition in scope for identifier: `nothing`",
    ),
    ("y[id.x] =", "let z: i32 =", "copy.wgsl:9:13: "),
    ("params.factor *", "1.0 + bool() *", "copy.wgsl:9:"),
    (
        "read_write> x",
        "read> x",
        "copy.wgsl:3:23: entry point `main`: `x` must be var<storage, read_write>",
    ),
    ("x: array<f32>", "x: array<vec2f>", "copy.wgsl:9:"),
    (
        "x: array<f32>;",
        "x: array<f32, 4>;",
        "copy.wgsl:3:23: entry point `main`: `x` must be a runtime-sized array",
    ),
    (
        "@binding(1)",
        "@binding(5)",
        "copy.wgsl:4:23: entry point `main`: `y` has binding 5, the next one must be 1",
    ),
    (
        "@binding(2)",
        "@binding(7)",
        "copy.wgsl:5:23: entry point `main`: the uniform has binding 7, it must be 2",
    ),
    (
        "@group(0) @binding(1)",
        "@group(1) @binding(1)",
        "copy.wgsl:4:23: entry point `main`: `y` must be in @group(0)",
    ),
    ("len: u32", "len: vec4u", "copy.wgsl:"),
    (
        "// reference: cpu::copy",
        "// reference: Copy",
        "copy.wgsl:7:1: entry point `main`: no `// reference: cpu::<op>`",
    ),
    (
        "size(64)",
        "size(512)",
        "copy.wgsl:7:1: entry point `main`: its workgroup size must be literal and at most 256",
    ),
];

#[test]
fn a_broken_shader_is_reported_with_file_line_and_column() {
    for (index, (from, to, expected)) in BREAKS.into_iter().enumerate() {
        let text = HEAD.replacen(from, to, 1);
        assert_ne!(text, HEAD);
        let folder = Folder::new(&format!("broken-{index}"), &[("copy.wgsl", &text)]);
        let problems = folder.problems();
        assert!(
            problems[0].starts_with(expected),
            "{to}: {problems:?} instead of {expected}"
        );
    }
}

#[test]
fn a_problem_in_an_included_file_is_reported_there() {
    let shader = HEAD.replacen(
        "struct Params",
        "//#include \"shared/half.wgsl\"\nstruct Params",
        1,
    );
    let shader = shader.replace("x[id.x];", "half(x[id.x]);");
    let included = "// Half of it.\nfn half(x: f32) -> f32 {\n    return 0.5 * y0;\n}\n";
    let folder = Folder::new(
        "included",
        &[("copy.wgsl", &shader), ("shared/half.wgsl", included)],
    );
    let problems = folder.problems();
    assert!(
        problems[0].starts_with("shared/half.wgsl:3:18: no definition in scope"),
        "{problems:?}"
    );
    fs::write(folder.0.join("shared/half.wgsl"), included.replace("y0", "x")).expect("a file can be written");
    let modules = check::check_dir(&folder.0).expect("the shader is sound now");
    assert_eq!(modules[0].files.len(), 2);
    // Lines behind the include keep their numbers.
    let broken = shader.replace("id.x < params.len", "id.x < params.size");
    fs::write(folder.0.join("copy.wgsl"), broken).expect("a file can be written");
    assert!(
        folder.problems()[0].starts_with("copy.wgsl:9:"),
        "{:?}",
        folder.problems()
    );
}

#[test]
fn bad_includes_and_empty_shaders_are_reported() {
    for (text, expected) in [
        ("\n//#include \"gone.wgsl\"\n", "a.wgsl:2:1: cannot read"),
        ("//#include gone.wgsl\n", "a.wgsl:1:1: an include must be"),
        ("//#include \"../gone.wgsl\"\n", "a.wgsl:1:1: an include must be"),
        ("// nothing\n", "a.wgsl:1:1: the shader has no entry point"),
    ] {
        let folder = Folder::new("includes", &[("a.wgsl", text)]);
        assert!(
            folder.problems()[0].starts_with(expected),
            "{:?}",
            folder.problems()
        );
    }
}

#[test]
fn every_broken_shader_is_reported_at_once() {
    let broken = HEAD.replace("x[id.x];", "x[id.x]");
    let folder = Folder::new(
        "both",
        &[("a.wgsl", &broken), ("b.wgsl", HEAD), ("c.wgsl", &broken)],
    );
    let problems = folder.problems();
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(
        problems[0].starts_with("a.wgsl:10:") && problems[1].starts_with("c.wgsl:10:"),
        "{problems:?}"
    );
}
