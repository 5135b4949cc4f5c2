//! Reads, validates and describes every shader of a folder. Shared by the build script, the shader table and tests.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use crate::source::Source;
use naga::proc::GlobalCtx;
use naga::valid::{Capabilities, FunctionInfo, GlobalUse, ModuleInfo, ValidationFlags, Validator};
use naga::{AddressSpace, GlobalVariable, ScalarKind, StorageAccess, TypeInner};

/// What every WebGPU adapter offers; a shader that needs more would not run everywhere.
const CAPABILITIES: Capabilities = Capabilities::empty();
const MAX_INVOCATIONS: u64 = 256;
const MAX_WORKGROUP_BYTES: u32 = 16_384;
const MAX_STORAGE_BINDINGS: usize = 8;

/// What is wrong, and where. Lines and columns count from 1, columns in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) path: PathBuf,
    pub(crate) line: usize,
    pub(crate) column: usize,
    pub(crate) message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}:{}: {}",
            self.path.display(),
            self.line,
            self.column,
            self.message
        )
    }
}

/// One `*.wgsl` file directly in the folder, with its includes.
#[derive(Debug)]
pub(crate) struct Module {
    pub(crate) name: String,
    /// The file itself, then what it includes.
    pub(crate) files: Vec<PathBuf>,
    pub(crate) wgsl: String,
    pub(crate) entries: Vec<Entry>,
}

/// One compute entry point.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) workgroup_size: [u32; 3],
    pub(crate) bindings: Vec<Binding>,
    pub(crate) params_words: u32,
    pub(crate) workgroup_bytes: u32,
    /// Path of its host form in the crate, such as `cpu::matmul`.
    pub(crate) reference: String,
}

/// One storage binding of an entry point, by binding number.
#[derive(Debug)]
pub(crate) struct Binding {
    pub(crate) name: String,
    pub(crate) reads: bool,
    pub(crate) writes: bool,
}

/// Every shader of `dir`, ordered by name, or everything that is wrong with them.
pub(crate) fn check_dir(dir: &Path) -> Result<Vec<Module>, Vec<Problem>> {
    let whole = |message: String| {
        vec![Problem {
            path: dir.to_path_buf(),
            line: 1,
            column: 1,
            message,
        }]
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).map_err(|error| whole(format!("cannot list the shaders: {error}")))? {
        let path = entry
            .map_err(|error| whole(format!("cannot list the shaders: {error}")))?
            .path();
        if path.extension().is_some_and(|extension| extension == "wgsl") {
            files.push(path);
        }
    }
    files.sort();
    let (mut modules, mut problems) = (Vec::new(), Vec::new());
    for file in files {
        match check_file(dir, &file) {
            Ok(module) => modules.push(module),
            Err(found) => problems.extend(found),
        }
    }
    if problems.is_empty() {
        Ok(modules)
    } else {
        Err(problems)
    }
}

fn check_file(dir: &Path, file: &Path) -> Result<Module, Vec<Problem>> {
    let source = Source::load(dir, file).map_err(|problem| vec![problem])?;
    let name = file
        .file_stem()
        .and_then(|stem| stem.to_str())
        .unwrap_or_default()
        .to_owned();
    if !is_identifier(&name) {
        return Err(vec![source.problem(
            0,
            "a shader's file name must be a lower-case identifier".into(),
        )]);
    }
    let module = naga::front::wgsl::parse_str(&source.text).map_err(|error| {
        let offset = error.location(&source.text).map_or(0, |at| at.offset as usize);
        let labels: Vec<&str> = error
            .labels()
            .map(|(_, text)| text)
            .filter(|text| !text.is_empty())
            .collect();
        let message = [&[error.message()], labels.as_slice()].concat().join(": ");
        vec![source.problem(offset, message)]
    })?;
    let info = Validator::new(ValidationFlags::all(), CAPABILITIES)
        .validate(&module)
        .map_err(|error| {
            let offset = error.location(&source.text).map_or(0, |at| at.offset as usize);
            vec![source.problem(offset, chain(error.as_inner()))]
        })?;
    let entries = entries(&source, &module, &info)?;
    Ok(Module {
        name,
        files: source.files,
        wgsl: source.text,
        entries,
    })
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

fn is_identifier(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

fn entries(source: &Source, module: &naga::Module, info: &ModuleInfo) -> Result<Vec<Entry>, Vec<Problem>> {
    let (mut entries, mut problems) = (Vec::new(), Vec::new());
    for (index, point) in module.entry_points.iter().enumerate() {
        let at = source.text.find(&format!("fn {}(", point.name)).unwrap_or(0);
        match entry(source, module, info.get_entry_point(index), point, at) {
            Ok(entry) => entries.push(entry),
            Err((offset, message)) => {
                problems.push(source.problem(offset, format!("entry point `{}`: {message}", point.name)));
            }
        }
    }
    if module.entry_points.is_empty() {
        problems.push(source.problem(0, "the shader has no entry point".into()));
    }
    if problems.is_empty() {
        Ok(entries)
    } else {
        Err(problems)
    }
}

/// What an entry point uses of the module's variables. Offsets are where they are declared.
#[derive(Default)]
struct Globals {
    storage: BTreeMap<u32, (usize, Binding)>,
    /// Offset, binding number, words.
    uniform: Option<(usize, u32, u32)>,
    workgroup_bytes: u32,
}

/// Checks one entry point against the conventions of `daa_gpu_core::Program`. An error carries its byte offset.
fn entry(
    source: &Source,
    module: &naga::Module,
    info: &FunctionInfo,
    point: &naga::EntryPoint,
    at: usize,
) -> Result<Entry, (usize, String)> {
    if point.stage != naga::ShaderStage::Compute || !is_identifier(&point.name) {
        return Err((at, "must be a compute entry point with a lower-case name".into()));
    }
    let invocations: u64 = point.workgroup_size.iter().map(|&size| u64::from(size)).product();
    if point.workgroup_size_overrides.is_some() || invocations > MAX_INVOCATIONS {
        return Err((
            at,
            format!("its workgroup size must be literal and at most {MAX_INVOCATIONS} invocations"),
        ));
    }
    let reference = source.reference_before(at).ok_or_else(|| {
        (
            at,
            "no `// reference: cpu::<op>` line above it, or it is malformed".to_owned(),
        )
    })?;
    let globals = globals(module, info, at)?;
    let workgroup_bytes = globals.workgroup_bytes;
    if workgroup_bytes > MAX_WORKGROUP_BYTES {
        return Err((
            at,
            format!("{workgroup_bytes} bytes of workgroup memory, {MAX_WORKGROUP_BYTES} are allowed"),
        ));
    }
    let (bindings, params_words) = in_order(globals, at)?;
    Ok(Entry {
        name: point.name.clone(),
        workgroup_size: point.workgroup_size,
        bindings,
        params_words,
        workgroup_bytes,
        reference,
    })
}

fn globals(module: &naga::Module, info: &FunctionInfo, at: usize) -> Result<Globals, (usize, String)> {
    let mut globals = Globals::default();
    for (handle, variable) in module.global_variables.iter() {
        let usage = info[handle];
        if usage.is_empty() {
            continue;
        }
        let offset = module
            .global_variables
            .get_span(handle)
            .to_range()
            .map_or(at, |range| range.start);
        add_global(&mut globals, module, variable, usage, offset).map_err(|message| (offset, message))?;
    }
    Ok(globals)
}

fn add_global(
    globals: &mut Globals,
    module: &naga::Module,
    variable: &GlobalVariable,
    usage: GlobalUse,
    offset: usize,
) -> Result<(), String> {
    let types = module.to_ctx();
    match variable.space {
        AddressSpace::WorkGroup => {
            let size = module.types[variable.ty].inner.try_size(types);
            globals.workgroup_bytes += size.ok_or("its workgroup memory has no size")?;
        }
        AddressSpace::Storage { access } => {
            let binding = storage_binding(types, variable, access, usage)?;
            globals.storage.insert(number(variable)?, (offset, binding));
        }
        AddressSpace::Uniform => {
            let uniform = (offset, number(variable)?, params_words(types, variable)?);
            if globals.uniform.replace(uniform).is_some() {
                return Err("it uses more than one uniform".into());
            }
        }
        AddressSpace::Private | AddressSpace::Function => {}
        _ => {
            return Err(format!(
                "address space {:?} is not part of the convention",
                variable.space
            ));
        }
    }
    Ok(())
}

/// The storage bindings in order: contiguous from 0, the ones only read first, the uniform right behind them.
fn in_order(globals: Globals, at: usize) -> Result<(Vec<Binding>, u32), (usize, String)> {
    let Globals { storage, uniform, .. } = globals;
    if storage.is_empty() || storage.len() > MAX_STORAGE_BINDINGS {
        return Err((
            at,
            format!(
                "{} storage bindings, 1 to {MAX_STORAGE_BINDINGS} are allowed",
                storage.len()
            ),
        ));
    }
    let mut bindings: Vec<Binding> = Vec::new();
    for (expected, (number, (offset, binding))) in (0_u32..).zip(storage) {
        if number != expected {
            return Err((
                offset,
                format!(
                    "`{}` has binding {number}, the next one must be {expected}",
                    binding.name
                ),
            ));
        }
        if bindings.last().is_some_and(|last| last.writes) && !binding.writes {
            return Err((
                offset,
                format!(
                    "`{}` is only read, so it must come before what is written",
                    binding.name
                ),
            ));
        }
        bindings.push(binding);
    }
    let next = bindings.len();
    match uniform {
        Some((offset, number, _)) if number as usize != next => Err((
            offset,
            format!("the uniform has binding {number}, it must be {next}, after the storage"),
        )),
        Some((_, _, words)) => Ok((bindings, words)),
        None => Ok((bindings, 0)),
    }
}

fn number(variable: &GlobalVariable) -> Result<u32, String> {
    match variable.binding {
        Some(naga::ResourceBinding { group: 0, binding }) => Ok(binding),
        _ => Err(format!(
            "`{}` must be in @group(0)",
            variable.name.as_deref().unwrap_or("?")
        )),
    }
}

fn is_word(inner: &TypeInner) -> bool {
    matches!(inner, TypeInner::Scalar(scalar)
        if scalar.width == 4 && matches!(scalar.kind, ScalarKind::Float | ScalarKind::Uint | ScalarKind::Sint))
}

fn storage_binding(
    types: GlobalCtx<'_>,
    variable: &GlobalVariable,
    access: StorageAccess,
    usage: GlobalUse,
) -> Result<Binding, String> {
    let name = variable.name.clone().unwrap_or_default();
    if !access.contains(StorageAccess::STORE) {
        return Err(format!(
            "`{name}` must be var<storage, read_write>: slices of one buffer are bound together"
        ));
    }
    match types.types[variable.ty].inner {
        TypeInner::Array {
            base,
            size: naga::ArraySize::Dynamic,
            ..
        } if is_word(&types.types[base].inner) => {}
        _ => {
            return Err(format!(
                "`{name}` must be a runtime-sized array of f32, u32 or i32"
            ));
        }
    }
    Ok(Binding {
        name,
        reads: usage.contains(GlobalUse::READ),
        writes: usage.contains(GlobalUse::WRITE),
    })
}

fn params_words(types: GlobalCtx<'_>, variable: &GlobalVariable) -> Result<u32, String> {
    let TypeInner::Struct { members, span } = &types.types[variable.ty].inner else {
        return Err("the uniform must be a struct of 4-byte words".into());
    };
    for (index, member) in members.iter().enumerate() {
        if !is_word(&types.types[member.ty].inner) || member.offset as usize != index * 4 {
            let name = member.name.as_deref().unwrap_or("?");
            return Err(format!("parameter `{name}` must be a plain f32, u32 or i32"));
        }
    }
    Ok(span / 4)
}
