//! Two tenants share a device: each scales numbers of its own, within a budget, and one asks for too much.
//!
//! `standalone [auto|cpu|software|gpu]` prints a line for each thing that it found to be as it should.

use daa_gpu_core::{
    Access, BindingSpec, Bytes, Clear, Command, CommandList, ComputeContext, ContextConfig, DeviceChoice,
    Dispatch, ErrorClass, FencingToken, HostCall, Image, Program, Slice, Tenant, TenantSpec, Weight, Work,
};
use std::error::Error;

fn scale(mut call: HostCall<'_>) {
    let factor = call.param_f32(0);
    let [values] = call.take_writes_f32();
    values.iter_mut().for_each(|value| *value *= factor);
}

/// `values *= factor`, for devices and for the host.
static SCALE: Program = Program {
    name: "scale",
    wgsl: "struct Params { factor: f32 }
        @group(0) @binding(0) var<storage, read_write> values: array<f32>;
        @group(0) @binding(1) var<uniform> params: Params;
        @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
            if id.x < arrayLength(&values) { values[id.x] *= params.factor; }
        }",
    entry: "main",
    workgroup_size: [64, 1, 1],
    bindings: &[BindingSpec {
        name: "values",
        access: Access::ReadWrite,
    }],
    params_words: 1,
    host: scale,
};

const VALUES: Slice = Slice {
    offset: 0,
    bytes: 1024,
};

/// One list, which scales 256 numbers.
fn image(factor: f32) -> Image {
    let run = Dispatch {
        program: &SCALE,
        params: vec![factor.to_bits()],
        bindings: vec![VALUES],
        groups: [4, 1, 1],
    };
    Image {
        arena: Bytes(VALUES.bytes),
        constants: Bytes::ZERO,
        clear: Clear::Always,
        lists: vec![CommandList {
            name: "scale".to_owned(),
            commands: vec![Command::Dispatch(run)],
        }],
        upload: Bytes(VALUES.bytes),
        upload_ring: 2,
        readback: Bytes(VALUES.bytes),
    }
}

/// Doubles, or triples, what it uploads, and reads it back.
fn work(tenant: &Tenant, factor: f32) -> Result<(), Box<dyn Error>> {
    let mut loaded = tenant.load(&image(factor))?;
    let input: Vec<f32> = (0..256_u16).map(f32::from).collect();
    let bytes: Vec<u8> = input.iter().flat_map(|value| value.to_le_bytes()).collect();
    let ticket = loaded.submit(Work {
        list: Some(0),
        uploads: &[(VALUES, &bytes)],
        reads: &[VALUES],
    })?;
    let read = ticket.wait()?;
    let (words, _) = read.as_chunks::<4>();
    let right = words.len() == input.len()
        && words
            .iter()
            .zip(&input)
            .all(|(word, value)| f32::from_le_bytes(*word) == factor * value);
    if !right {
        return Err(format!("256 numbers times {factor} are wrong").into());
    }
    println!("{}: 256 numbers times {factor}", tenant.name());
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let choice = std::env::args().nth(1).unwrap_or_else(|| "cpu".to_owned());
    let context = ComputeContext::open(&ContextConfig {
        device: choice.parse::<DeviceChoice>()?,
        ..ContextConfig::default()
    })?;
    println!("device: {}", context.info());
    let footprint = image(1.0).footprint();
    let tenant = |name: &str, budget| {
        context.tenant(TenantSpec {
            name: name.to_owned(),
            budget,
            token: FencingToken(0),
            weight: Weight::default(),
        })
    };
    let (one, other) = (tenant("one", footprint)?, tenant("other", footprint)?);
    work(&one, 2.0)?;
    work(&other, 3.0)?;
    if one.usage().high_water != footprint {
        return Err(format!("held {}, planned {footprint}", one.usage().high_water).into());
    }
    println!("held at most {footprint}, as planned");
    let small = tenant("small", Bytes(footprint.get() - 1))?;
    match small.load(&image(1.0)) {
        Err(error) if error.class() == ErrorClass::OutOfMemory => println!("small: {error}"),
        other => return Err(format!("a budget that is too small is not refused: {other:?}").into()),
    }
    for program in context.profile().programs {
        println!("profile: {} ran {} times", program.name, program.runs);
    }
    Ok(())
}
