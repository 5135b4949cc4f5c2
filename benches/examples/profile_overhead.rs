//! What the samples of the profile cost: how much longer a run takes that is timed, and how many are.
//!
//! `cargo run --release -p daa-benches --example profile_overhead`
//!
//! Runs that are timed and runs that are not alternate by themselves, so both see the same machine; medians keep other
//! people's work out. A comparison of means with and without a profile cannot tell a hundredth on a busy machine.

#![expect(clippy::print_stdout, reason = "the table is what this is for")]

use daa_base::{Clock, SystemClock};
use daa_benches::device::{self, Device};
use daa_benches::op::Recorded;
use daa_gpu_core::{Bytes, Clear, Image, Loaded, Slice, Work};
use daa_kernels::ops::matmul::Transpose;
use std::time::Duration;

/// How long each line is measured, at least.
const SPAN: Duration = Duration::from_secs(4);

/// An image that computes nothing. Once a read of it has ended, everything before it has.
fn barrier(device: &Device) -> Loaded {
    let image = Image {
        arena: Bytes(256),
        clear: Clear::Always,
        constants: Bytes::ZERO,
        lists: Vec::new(),
        upload: Bytes::ZERO,
        upload_ring: 1,
        readback: Bytes(256),
    };
    let tenant = device.tenant(image.footprint());
    let loaded = tenant.load(&image).expect("the budget is the footprint");
    // For the length of the program: a dropped tenant takes its images along.
    std::mem::forget(tenant);
    loaded
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn measure(device: &Device, what: &str, mut run: impl FnMut()) {
    let clock = SystemClock::new();
    let mut barrier = barrier(device);
    let mut wait = || {
        let reads = [Slice { offset: 0, bytes: 4 }];
        let work = Work {
            reads: &reads,
            ..Work::default()
        };
        let read = barrier.submit(work).expect("the image is loaded").wait();
        drop(read.expect("the device works"));
    };
    let samples = || {
        let report = device.context.profile();
        let dispatches: u64 = report.programs.iter().map(|program| program.times.samples).sum();
        (report.latency.samples, dispatches)
    };
    // Until samples are as rare as they will be.
    (0..50).for_each(|_| run());
    wait();
    // Runs that are not timed, that are timed as a whole, and whose dispatches are timed.
    let mut kinds = [Vec::new(), Vec::new(), Vec::new()];
    let mut alone = Vec::new();
    let (start, mut seen) = (clock.monotonic(), samples());
    while clock.monotonic().saturating_sub(start) < SPAN {
        let begun = clock.monotonic();
        run();
        let ran = clock.monotonic();
        wait();
        let whole = clock.monotonic().saturating_sub(begun);
        let now = samples();
        let (lists, dispatches) = (now.0 > seen.0, now.1 > seen.1);
        seen = now;
        kinds[if dispatches { 2 } else { usize::from(lists) }].push(whole);
        alone.push(ran.saturating_sub(begun));
    }
    let runs = alone.len() as f64;
    let counts = [kinds[1].len() as f64, kinds[2].len() as f64];
    let alone = median(alone).as_secs_f64() * 1e6;
    let [bare, whole, single] = kinds.map(|times| median(times).as_secs_f64() * 1e6);
    let more = [whole, single].map(|with| if with > 0.0 { with - bare } else { 0.0 });
    let overhead = (counts[0] * more[0] + counts[1] * more[1]) / (runs * alone);
    println!(
        "| {} | {what} | {alone:.1} | {:.3} % | {:+.1} | {:.3} % | {:+.1} | {:+.2} % |",
        device.name,
        100.0 * counts[0] / runs,
        more[0],
        100.0 * counts[1] / runs,
        more[1],
        100.0 * overhead,
    );
}

fn main() {
    println!(
        "| backend | list | a run, µs | timed whole | longer by, µs | dispatches timed | longer by, µs | cost |"
    );
    println!("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    for device in device::all() {
        for count in [1, 100, 1000] {
            let recorded = Recorded::new(|record| {
                let x = record.random(&[1])?;
                let sum = record.graph.state("sum", &[1])?;
                (0..count).try_for_each(|_| record.graph.accumulate(sum, x))
            });
            let mut loaded = recorded.load(&device);
            measure(&device, &format!("dispatches={count}"), || loaded.run());
        }
        let recorded = Recorded::new(|record| {
            let (a, b) = (record.random(&[256, 256])?, record.random(&[256, 256])?);
            let product = record.graph.matmul(a, b, Transpose::None)?;
            record.graph.output(product)
        });
        let mut loaded = recorded.load(&device);
        measure(&device, "matmul 256", || loaded.run());
    }
}
