//! The sub-allocator, the pool, the layout packer, transfers, and what a submission and a dispatch cost.

use criterion::{BatchSize, Bencher, Criterion, Throughput};
use daa_base::{Clock, Seed, SystemClock};
use daa_benches::device::{self, Device};
use daa_benches::mix::{self, Contender, Mix, Offset};
use daa_benches::networks::{cnn, mlp};
use daa_benches::op::Recorded;
use daa_benches::steps::compiled;
use daa_gpu_core::memory::trace::{RecordLimit, Ticks};
use daa_gpu_core::wgpu::{
    BindGroupDescriptor, BindGroupEntry, BindingResource, Buffer, BufferBinding, BufferDescriptor,
    BufferUsages, CommandEncoderDescriptor, ComputePassDescriptor, ComputePipeline,
    ComputePipelineDescriptor, Device as WgpuDevice, PipelineCompilationOptions, PollType, Queue,
    ShaderModuleDescriptor, ShaderSource,
};
use daa_gpu_core::{Bytes, Colour, Image, Lifetime, Slice, Tenant, Work, pack};
use daa_kernels::{Plan, PlanOptions};
use daa_learn::nn::{OptimizerKind, Purpose, compile};
use std::hint::black_box;
use std::num::NonZeroU64;
use std::sync::{Arc, Barrier};
use std::time::Duration;

/// In the steady state, so that the pool has the buffer.
fn pool(criterion: &mut Criterion, host: &Device) {
    let mut group = criterion.benchmark_group("pool::acquire_release");
    for bytes in [4096, 65_536, 1 << 20, 16 << 20] {
        let image = Image::arena(Bytes(bytes));
        group.throughput(Throughput::Bytes(bytes));
        group.bench_function(format!("bytes={bytes}"), |bencher| {
            let tenant = host.tenant(image.footprint());
            bencher.iter(|| drop(tenant.load(&image).expect("the budget is the footprint")));
        });
    }
    group.finish();
}

/// The time in which threads with a tenant each acquire and release `pairs` times, all of them together.
fn together(tenants: &[Tenant], pairs: u64) -> Duration {
    let each = pairs.div_ceil(tenants.len() as u64);
    let start = Barrier::new(tenants.len() + 1);
    let clock = SystemClock::new();
    let began = std::thread::scope(|scope| {
        for tenant in tenants {
            let start = &start;
            scope.spawn(move || {
                let pair = || {
                    tenant
                        .allocate(Bytes(65_536), Colour::ReadWrite)
                        .expect("it fits")
                };
                drop(pair());
                start.wait();
                (0..each).for_each(|_| drop(black_box(pair())));
            });
        }
        start.wait();
        clock.monotonic()
    });
    clock.monotonic() - began
}

/// What a tenant gave back before, of one size: the hit path of the pool, on one thread and on several that each have
/// a tenant of their own. Times are per pair of an acquire and a release, over all threads together.
fn hits(criterion: &mut Criterion, host: &Device) {
    let mut group = criterion.benchmark_group("pool::hit");
    for threads in [1_u32, 2, 8] {
        group.throughput(Throughput::Elements(1));
        group.bench_function(format!("threads={threads}"), |bencher| {
            let tenants: Vec<Tenant> = (0..threads).map(|_| host.tenant(Bytes::MIB)).collect();
            bencher.iter_custom(|pairs| together(&tenants, pairs));
        });
    }
    let clock = Arc::new(SystemClock::new());
    for (name, ticks) in [("events", Ticks::Events), ("micros", Ticks::Micros(clock))] {
        group.bench_function(format!("threads=1,recorded={name}"), |bencher| {
            let tenants = [host.tenant(Bytes::MIB)];
            bencher.iter_custom(|pairs| recorded(host, &tenants, &ticks, pairs));
        });
    }
    group.finish();
}

/// Sub-allocation alone. `steady` allocates one block and frees it again, between two that stay.
fn heap(criterion: &mut Criterion) {
    const ARENA: u64 = 4 << 30;
    let mut group = criterion.benchmark_group("heap::mix");
    group.throughput(Throughput::Elements(1));
    let mut paged = Mix::new(mix::heap(ARENA), ARENA);
    group.bench_function("allocator=heap", |bencher| bencher.iter(|| paged.step()));
    let mut one_page = Mix::new(mix::one_page(ARENA), ARENA);
    group.bench_function("allocator=heap-one-page", |bencher| {
        bencher.iter(|| one_page.step())
    });
    let mut offset = Mix::new(Offset::new(ARENA), ARENA);
    group.bench_function("allocator=offset-allocator", |bencher| {
        bencher.iter(|| offset.step())
    });
    group.finish();
    let mut group = criterion.benchmark_group("heap::steady");
    for bytes in [4096, 1 << 20, 32 << 20] {
        let mut heap = mix::heap(ARENA);
        group.bench_function(format!("bytes={bytes},allocator=heap"), |bencher| {
            steady(bencher, &mut heap, bytes);
        });
        let mut offset = Offset::new(ARENA);
        group.bench_function(format!("bytes={bytes},allocator=offset-allocator"), |bencher| {
            steady(bencher, &mut offset, bytes);
        });
    }
    group.finish();
}

fn steady(bencher: &mut Bencher<'_>, allocator: &mut impl Contender, bytes: u64) {
    let mut allocate = || allocator.allocate(bytes).expect("the arena holds it many times");
    let (first, second, third) = (allocate(), allocate(), allocate());
    allocator.free(second);
    bencher.iter(|| {
        let block = allocator.allocate(bytes).expect("one was freed");
        allocator.free(block);
    });
    allocator.free(first);
    allocator.free(third);
}

/// The same while a recorder writes everything down. It is emptied before it is full.
fn recorded(host: &Device, tenants: &[Tenant], ticks: &Ticks, pairs: u64) -> Duration {
    let limit = RecordLimit::default();
    let most = limit.events / 2 - 1;
    let mut elapsed = Duration::ZERO;
    for start in (0..pairs).step_by(most as usize) {
        let recorder = host.context.recorder();
        let recording = recorder.start(limit, ticks.clone()).expect("it is off");
        elapsed += together(tenants, most.min(pairs - start));
        assert_eq!(recording.stop().lost(), 0);
    }
    elapsed
}

/// The time in which `get` is called so often, 16 times at a stretch. What it gave is given back between stretches, and
/// `after` called: that is not counted.
fn first_halves<T>(times: u64, get: impl Fn() -> T, after: impl Fn()) -> Duration {
    const STRETCH: u64 = 16;
    let clock = SystemClock::new();
    let mut held = Vec::with_capacity(STRETCH as usize);
    let mut spent = Duration::ZERO;
    for start in (0..times).step_by(STRETCH as usize) {
        let began = clock.monotonic();
        held.extend((start..times.min(start + STRETCH)).map(|_| get()));
        spent += clock.monotonic() - began;
        held.clear();
        after();
    }
    spent
}

/// A buffer of 64 KiB from the pool and from wgpu, to have it (`first`) and until it is given back (`both`; what wgpu drops
/// returns to the driver with the next poll), and what comes before the first results of a kernel over 16 MiB: memory
/// that the pool has, and a buffer that wgpu makes and so fills with zeros first. Both with the same bind group, dispatch
/// and wait.
fn against_wgpu(criterion: &mut Criterion, device: &Device) {
    let Some((wgpu, queue)) = device.context.wgpu() else {
        return;
    };
    let make = |size| {
        wgpu.create_buffer(&BufferDescriptor {
            label: None,
            size,
            usage: BufferUsages::STORAGE | BufferUsages::COPY_SRC | BufferUsages::COPY_DST,
            mapped_at_creation: false,
        })
    };
    let tenant = device.tenant(Bytes::mib(64));
    let take = |size| tenant.allocate(Bytes(size), Colour::ReadWrite).expect("it fits");
    let mut group = criterion.benchmark_group("pool::buffer");
    let poll = || {
        wgpu.poll(PollType::Poll).expect("the device works");
    };
    group.bench_function("bytes=65536,from=pool,counted=first", |bencher| {
        bencher.iter_custom(|times| first_halves(times, || take(65_536), || {}));
    });
    group.bench_function("bytes=65536,from=wgpu,counted=first", |bencher| {
        bencher.iter_custom(|times| first_halves(times, || make(65_536), poll));
    });
    group.bench_function("bytes=65536,from=pool,counted=both", |bencher| {
        bencher.iter(|| drop(black_box(take(65_536))))
    });
    group.bench_function("bytes=65536,from=wgpu,counted=both", |bencher| {
        bencher.iter(|| {
            drop(black_box(make(65_536)));
            poll();
        });
    });
    group.finish();
    let pipeline = fill_pipeline(&wgpu);
    let first_dispatch =
        |buffer: &Buffer, offset, size| dispatch_and_wait(&wgpu, &queue, &pipeline, (buffer, offset, size));
    let size = 16 << 20;
    let mut group = criterion.benchmark_group("pool::first_dispatch");
    group.bench_function("bytes=16777216,from=pool", |bencher| {
        drop(take(size));
        bencher.iter(|| {
            let held = take(size);
            let slice = held.raw().expect("this is a device");
            first_dispatch(slice.buffer, slice.offset, slice.bytes);
        });
    });
    group.bench_function("bytes=16777216,from=wgpu", |bencher| {
        bencher.iter(|| first_dispatch(&make(size), 0, size));
    });
    group.finish();
}

/// One dispatch over a part of a buffer, with a bind group of its own, and the wait for it.
fn dispatch_and_wait(
    wgpu: &WgpuDevice,
    queue: &Queue,
    pipeline: &ComputePipeline,
    (buffer, offset, size): (&Buffer, u64, u64),
) {
    let group = wgpu.create_bind_group(&BindGroupDescriptor {
        label: None,
        layout: &pipeline.get_bind_group_layout(0),
        entries: &[BindGroupEntry {
            binding: 0,
            resource: BindingResource::Buffer(BufferBinding {
                buffer,
                offset,
                size: NonZeroU64::new(size),
            }),
        }],
    });
    let mut encoder = wgpu.create_command_encoder(&CommandEncoderDescriptor::default());
    let mut pass = encoder.begin_compute_pass(&ComputePassDescriptor::default());
    pass.set_pipeline(pipeline);
    pass.set_bind_group(0, &group, &[]);
    pass.dispatch_workgroups(1, 1, 1);
    drop(pass);
    let submitted = queue.submit([encoder.finish()]);
    let wait = PollType::Wait {
        submission_index: Some(submitted),
        timeout: None,
    };
    wgpu.poll(wait).expect("the device works");
}

/// Writes a word per workgroup, so that the dispatch itself takes next to no time.
fn fill_pipeline(wgpu: &WgpuDevice) -> ComputePipeline {
    let module = wgpu.create_shader_module(ShaderModuleDescriptor {
        label: None,
        source: ShaderSource::Wgsl(
            "@group(0) @binding(0) var<storage, read_write> values: array<f32>;
            @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) { values[id.x] += 1.0; }"
                .into(),
        ),
    });
    wgpu.create_compute_pipeline(&ComputePipelineDescriptor {
        label: None,
        layout: None,
        module: &module,
        entry_point: Some("main"),
        compilation_options: PipelineCompilationOptions::default(),
        cache: None,
    })
}

fn transfers(criterion: &mut Criterion, devices: &[Device]) {
    let mut group = criterion.benchmark_group("tenant::upload_read");
    for device in devices {
        for bytes in [65_536_u64, 4 << 20] {
            let mut image = Image::arena(Bytes(bytes));
            (image.upload, image.readback) = (Bytes(bytes), Bytes(bytes));
            let (slice, data) = (Slice { offset: 0, bytes }, vec![7; bytes as usize]);
            group.throughput(Throughput::Bytes(2 * bytes));
            group.bench_function(format!("bytes={bytes},backend={}", device.name), |bencher| {
                let tenant = device.tenant(image.footprint());
                let mut loaded = tenant.load(&image).expect("the budget is the footprint");
                bencher.iter(|| {
                    let work = Work {
                        list: None,
                        uploads: &[(slice, &data)],
                        reads: &[slice],
                    };
                    let ticket = loaded.submit(work).expect("the image is loaded");
                    ticket.wait().expect("the device works")
                });
            });
        }
    }
    group.finish();
}

/// The slope between the numbers of dispatches is what one costs; the first is mostly what a submission costs.
fn dispatches(criterion: &mut Criterion, devices: &[Device]) {
    let mut group = criterion.benchmark_group("session::dispatch");
    for device in devices {
        for count in [1, 100, 1000] {
            let recorded = Recorded::new(|record| {
                let x = record.random(&[1])?;
                let sum = record.graph.state("sum", &[1])?;
                (0..count).try_for_each(|_| record.graph.accumulate(sum, x))
            });
            group.throughput(Throughput::Elements(count));
            group.bench_function(format!("dispatches={count},backend={}", device.name), |bencher| {
                let mut loaded = recorded.load(device);
                bencher.iter(|| loaded.run());
            });
        }
    }
    group.finish();
}

/// Random lifetimes, which rarely reach the lower bound, so that the search runs until its effort is spent; and the
/// lifetimes of networks, with which it ends early.
fn layout(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("layout::pack");
    for count in [16, 64, 256] {
        let mut rng = Seed(1).stream("lifetimes").rng();
        let lifetimes: Vec<Lifetime> = (0..count)
            .map(|_| {
                let lower = rng.below(count) as u32;
                Lifetime {
                    lower,
                    upper: lower + 1 + rng.below(8) as u32,
                    size: 256 * (1 + rng.below(4096) as u64),
                }
            })
            .collect();
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(format!("lifetimes={count}"), |bencher| {
            bencher.iter(|| pack(&lifetimes, 256));
        });
    }
    group.finish();
}

fn plans(criterion: &mut Criterion) {
    let purpose = Purpose::Train(OptimizerKind::Adam);
    let networks = [("mlp-784-128-10", mlp(), 128), ("cnn", cnn(), 64)];
    let mut group = criterion.benchmark_group("plan::compile");
    for (name, network, batch) in &networks {
        let graph = compiled(network, *batch, purpose).plan().graph().clone();
        group.bench_function(format!("net={name},batch={batch}"), |bencher| {
            let compile =
                |graph| Plan::compile(graph, &PlanOptions::default()).expect("it was compiled before");
            bencher.iter_batched(|| graph.clone(), compile, BatchSize::SmallInput);
        });
    }
    group.finish();
    let mut group = criterion.benchmark_group("nn::compile");
    for (name, network, batch) in &networks {
        group.bench_function(format!("net={name},batch={batch}"), |bencher| {
            bencher.iter(|| compile(network, *batch, purpose).expect("it was compiled before"));
        });
    }
    group.finish();
}

fn main() {
    let mut criterion = daa_benches::criterion();
    let devices = device::all();
    heap(&mut criterion);
    pool(&mut criterion, &devices[0]);
    hits(&mut criterion, &devices[0]);
    devices
        .iter()
        .for_each(|device| against_wgpu(&mut criterion, device));
    transfers(&mut criterion, &devices);
    dispatches(&mut criterion, &devices);
    layout(&mut criterion);
    plans(&mut criterion);
    criterion.final_summary();
}
