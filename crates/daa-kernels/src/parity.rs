//! Parity: every kernel, on every kind of device, against its definition in 8-byte floats.
//!
//! How to add kernels:
//! 1. Write `check(run: Run<'_>)`: make a [`crate::Launch`], hand it with its input to `run`, compare what comes back
//!    with [`crate::cpu::reference::Expected`] values. Words that are not floats travel as the bits of floats
//!    ([`words`]). Random shapes: [`random_cases`].
//! 2. Put the programs and the check in a [`Family`] and name it in the list at the end of this file.
//!
//! Each family becomes a test per kind of device, and fails when one of its programs was not run. Kernels of no family
//! fail `parity_covers_every_kernel`. The software device is skipped only where there is none and
//! `DAA_REQUIRE_SOFTWARE_GPU=1` is not set; real GPUs are checked where there are some.
//!
//! A run lays the tensors out in one arena with guard words around them, and fails when a kernel changed an input or a
//! guard word.

use crate::cpu::reference::Run;
use crate::kernels;
use crate::launch::Launch;
use crate::registry;
use daa_gpu_core::{
    Bytes, Clear, Command, CommandList, ComputeContext, ContextConfig, DeviceChoice, Dispatch, FencingToken,
    Image, Program, SLICE_ALIGN, Slice, Tenant, TenantSpec, Weight, Work,
};
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::OnceLock;

mod activation;
mod elementwise;
mod layers;
mod optimizer;
mod rowwise;

/// Kernels that one check covers.
#[derive(Debug)]
pub(crate) struct Family {
    /// Every program that the check runs.
    pub(crate) programs: &'static [&'static Program],
    /// Runs them all, on edge cases and on random ones.
    pub(crate) check: fn(Run<'_>),
}

/// Words as the floats with the same bits.
pub(crate) fn words(words: &[u32]) -> Vec<f32> {
    words.iter().map(|&word| f32::from_bits(word)).collect()
}

/// Runs `check` on `cases` values of `shapes`: the same ones every time, and the simplest one that fails on failure.
pub(crate) fn random_cases<S: Strategy>(
    run: Run<'_>,
    cases: u32,
    shapes: S,
    check: impl Fn(Run<'_>, S::Value),
) {
    let config = Config {
        cases,
        max_shrink_iters: 64,
        failure_persistence: None,
        ..Config::default()
    };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let run = RefCell::new(run);
    let outcome = runner.run(&shapes, |shape| {
        check(&mut **run.borrow_mut(), shape);
        Ok::<(), TestCaseError>(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

const GUARD: u32 = 0x7fc0_dead;

/// Runs one launch on a device.
fn on_device(tenant: &Tenant, launch: &Launch, reads: &[&[f32]], writes: Vec<Vec<f32>>) -> Vec<Vec<f32>> {
    let program = launch.program;
    assert_eq!(
        program.bindings.len(),
        reads.len() + writes.len(),
        "{}: bindings",
        program.name
    );
    let mut arena: Vec<u32> = Vec::new();
    let mut bindings = Vec::new();
    for tensor in reads.iter().copied().chain(writes.iter().map(Vec::as_slice)) {
        arena.resize(arena.len() + 1, GUARD);
        arena.resize(arena.len().next_multiple_of(SLICE_ALIGN as usize / 4), GUARD);
        bindings.push(Slice {
            offset: arena.len() as u64 * 4,
            bytes: tensor.len() as u64 * 4,
        });
        arena.extend(tensor.iter().map(|value| value.to_bits()));
    }
    arena.resize(arena.len() + 64, GUARD);
    let whole = Slice {
        offset: 0,
        bytes: arena.len() as u64 * 4,
    };
    let dispatch = Dispatch {
        program,
        params: launch.params.clone(),
        bindings,
        groups: launch.groups,
    };
    let written: Vec<Slice> = dispatch.bindings[reads.len()..].to_vec();
    let list = CommandList {
        name: program.name.to_owned(),
        commands: vec![Command::Dispatch(dispatch)],
    };
    let image = Image {
        arena: Bytes(whole.bytes),
        constants: Bytes::ZERO,
        clear: Clear::Always,
        lists: vec![list],
        upload: Bytes(whole.bytes),
        upload_ring: 1,
        readback: Bytes(whole.bytes),
    };
    let mut loaded = tenant.load(&image).expect("a small image loads");
    let upload = (whole, bytemuck::cast_slice(&arena));
    let work = Work {
        list: Some(0),
        uploads: &[upload],
        reads: &[whole],
    };
    let bytes = loaded
        .submit(work)
        .expect("the work is well-formed")
        .wait()
        .expect("the device works");
    let after: Vec<u32> = bytemuck::pod_collect_to_vec(&bytes);
    assert_eq!(after.len(), arena.len(), "{}: words read back", program.name);
    let range = |slice: &Slice| slice.offset as usize / 4..slice.end() as usize / 4;
    for (index, (before, after)) in arena.iter().zip(&after).enumerate() {
        let may_change = written.iter().any(|slice| range(slice).contains(&index));
        assert!(
            may_change || before == after,
            "{} changed word {index} of its inputs or guards",
            program.name
        );
    }
    written.iter().map(|slice| words(&after[range(slice)])).collect()
}

fn tenant(device: DeviceChoice) -> Option<Tenant> {
    let config = ContextConfig {
        device,
        cpu_workers: 1,
        ..ContextConfig::default()
    };
    let context = ComputeContext::open(&config).ok()?;
    let spec = TenantSpec {
        name: "parity".to_owned(),
        budget: Bytes::mib(512),
        token: FencingToken(1),
        weight: Weight::default(),
    };
    Some(
        context
            .tenant(spec)
            .expect("the budget is within every device's capacity"),
    )
}

/// The shared tenant of a kind of device; `None` where there is no such device.
fn shared(device: DeviceChoice) -> Option<&'static Tenant> {
    static TENANTS: [OnceLock<Option<Tenant>>; 4] = [const { OnceLock::new() }; 4];
    TENANTS[device as usize].get_or_init(|| tenant(device)).as_ref()
}

/// Runs a family on a kind of device and asserts that it ran what it names.
fn check_family(family: &Family, device: DeviceChoice) {
    let required = device == DeviceChoice::Cpu
        || device == DeviceChoice::Software
            && std::env::var_os("DAA_REQUIRE_SOFTWARE_GPU").is_some_and(|v| v == "1");
    let Some(tenant) = shared(device) else {
        assert!(!required, "there is no {device} device");
        return;
    };
    let mut ran = BTreeSet::new();
    (family.check)(&mut |launch, reads, writes| {
        ran.insert(launch.program.name);
        on_device(tenant, launch, reads, writes)
    });
    let named: BTreeSet<&str> = family.programs.iter().map(|program| program.name).collect();
    assert_eq!(ran, named, "a family runs exactly the programs that it names");
}

macro_rules! families {
    ($($name:ident: $family:path;)+) => {
        const FAMILIES: &[&Family] = &[$(&$family),+];
        $(mod $name {
            use super::*;

            #[test]
            fn parity_on_the_cpu() {
                check_family(&$family, DeviceChoice::Cpu);
            }

            #[test]
            fn parity_on_a_software_gpu() {
                check_family(&$family, DeviceChoice::Software);
            }

            #[test]
            fn parity_on_a_gpu() {
                check_family(&$family, DeviceChoice::Gpu);
            }
        })+
    };
}

#[test]
fn parity_covers_every_kernel() {
    let covered: Vec<&str> = FAMILIES
        .iter()
        .flat_map(|family| family.programs)
        .map(|program| program.name)
        .collect();
    let names: BTreeSet<&str> = covered.iter().copied().collect();
    assert_eq!(covered.len(), names.len(), "no kernel is in two families");
    let registered: BTreeSet<&str> = registry::all().map(|kernel| kernel.program.name).collect();
    assert_eq!(names, registered);
    assert_eq!(registered.len(), kernels::ALL.len());
}

families! {
    activation_family: activation::FAMILY;
    pool2d_family: layers::POOL2D;
    matmul_family: layers::MATMUL;
    conv2d_family: layers::CONV2D;
    channel_sum_family: layers::CHANNEL_SUM;
    batch_norm_family: layers::BATCH_NORM;
    cross_entropy_family: rowwise::CROSS_ENTROPY;
    dropout_family: elementwise::DROPOUT;
    elementwise_family: elementwise::FAMILY;
    mse_family: rowwise::MSE;
    optimizer_family: optimizer::FAMILY;
    reduce_family: rowwise::REDUCE;
    softmax_family: rowwise::SOFTMAX;
    top1_family: rowwise::TOP1;
}
