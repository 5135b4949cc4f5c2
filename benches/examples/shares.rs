//! Trains as several tenants of unequal weight at once, on every backend, and tells what part of the device's time each
//! got. Fails when a tenant is ten points or more away from its weight.
//!
//! `cargo run --release -p daa-benches --example shares [SECONDS]`; 5 seconds when it is not said.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "the table is what this program is for")]

use daa_benches::device::{self, Device};
use daa_benches::networks;
use daa_benches::steps::Steps;
use daa_gpu_core::{DeviceLoad, Weight};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

/// Weight and batch size of each tenant: their steps differ in length.
type Tenants = [(u16, usize); 3];

const CASES: [(&str, Tenants); 3] = [
    ("weights 500, 300, 200", [(500, 128), (300, 32), (200, 256)]),
    ("equal weights", [(1000, 32), (1000, 128), (1000, 256)]),
    ("weights 800, 100, 100", [(800, 64), (100, 256), (100, 64)]),
];

/// What a tenant's part may differ from its weight by.
const TOLERANCE: f64 = 0.1;

fn main() -> ExitCode {
    let seconds = std::env::args().nth(1).map_or(Ok(5), |text| text.parse::<u64>());
    let Ok(seconds @ 1..=3600) = seconds else {
        println!("`SECONDS` is a number from 1 to 3600");
        return ExitCode::from(2);
    };
    println!("| device | case | batch | weight | part wanted | part had | points off | device busy |");
    println!("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    let mut all_fair = true;
    let hosts = [1, 2].map(|workers| (format!("host, workers: {workers}"), device::host(workers)));
    let software = device::software().map(|device| (device.name.to_owned(), device));
    for (described, device) in hosts.into_iter().chain(software) {
        for (name, tenants) in &CASES {
            let load = measure(&device, tenants, Duration::from_secs(seconds));
            all_fair &= tell(&described, name, tenants, &load);
        }
    }
    if all_fair {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// What the tenants got in `span`, all of them training the whole time.
fn measure(device: &Device, tenants: &Tenants, span: Duration) -> DeviceLoad {
    let data = Arc::new(networks::noise(networks::mlp().input, 1024));
    let stop = AtomicBool::new(false);
    let mut trainings: Vec<_> = tenants
        .iter()
        .map(|&(weight, batch)| {
            let weight = Weight::new(weight).expect("1 to 1000");
            Steps::of_weight(device, &networks::mlp(), batch, Arc::clone(&data), weight)
        })
        .collect();
    std::thread::scope(|scope| {
        // Each says when it has begun; a channel that falls silent for the span is the wait for its end.
        let (began, begun) = mpsc::channel();
        for training in &mut trainings {
            let (began, stop) = (began.clone(), &stop);
            scope.spawn(move || {
                let mut steps = 0;
                training.run_while(|| {
                    steps += 1;
                    if steps == 4 {
                        began.send(()).expect("the main thread listens");
                    }
                    !stop.load(Ordering::Relaxed)
                });
            });
        }
        for _ in tenants {
            begun
                .recv_timeout(Duration::from_secs(60))
                .expect("every training gets under way");
        }
        let before = device.context.load();
        let silence = begun.recv_timeout(span);
        let load = device.context.load().since(&before);
        stop.store(true, Ordering::Relaxed);
        assert_eq!(silence, Err(mpsc::RecvTimeoutError::Timeout), "each says so once");
        load
    })
}

/// Prints what each got. Whether all are near enough to their weights.
fn tell(device: &str, case: &str, tenants: &Tenants, load: &DeviceLoad) -> bool {
    let whole: f64 = tenants.iter().map(|&(weight, _)| f64::from(weight)).sum();
    let mut all_fair = true;
    for (tenant, (weight, batch)) in load.tenants.iter().zip(tenants) {
        let (want, share) = (f64::from(*weight) / whole, load.share(tenant));
        all_fair &= (share - want).abs() < TOLERANCE;
        println!(
            "| {device} | {case} | {batch} | {weight} | {:.1} % | {:.1} % | {:+.1} | {:.0} % |",
            100.0 * want,
            100.0 * share,
            100.0 * (share - want),
            100.0 * load.busy_fraction(),
        );
    }
    all_fair
}
