//! Steps and epochs of training in images, and what brings the data there.

use criterion::{Criterion, Throughput};
use daa_base::Seed;
use daa_benches::device::{self, Device};
use daa_benches::networks::{cnn, fashion_mnist, mlp, noise};
use daa_benches::steps::Steps;
use daa_learn::data::{DataSource, LoadOptions, Preprocess};
use std::fmt::Write as _;
use std::sync::Arc;

/// Enough rows that a batch comes from memory, not from a second-level cache: 51 MB.
const ROWS: usize = 16_384;

fn steps(criterion: &mut Criterion, devices: &[Device]) {
    let networks = [("mlp-784-128-10", mlp(), 128), ("cnn", cnn(), 64)];
    let mut group = criterion.benchmark_group("train::step");
    for (name, network, batch) in &networks {
        let data = Arc::new(noise(network.input, ROWS));
        group.throughput(Throughput::Elements(*batch as u64));
        for device in devices {
            let id = format!("net={name},batch={batch},optimizer=adam,backend={}", device.name);
            group.bench_function(id, |bencher| {
                let mut training = Steps::new(device, network, *batch, Arc::clone(&data));
                bencher.iter_custom(|count| training.run(count));
            });
        }
    }
    group.finish();
}

/// One pass over real images, where they are on this machine.
#[expect(clippy::print_stderr, reason = "a benchmark that does not run must say why")]
fn epoch(criterion: &mut Criterion, host: &Device) {
    const BATCH: usize = 128;
    let data = match fashion_mnist() {
        Ok(data) => Arc::new(data),
        Err(error) => {
            eprintln!("benchmarks with data=fashion-mnist do not run: {error}");
            return;
        }
    };
    let steps = (data.train().len() / BATCH) as u64;
    let mut group = criterion.benchmark_group("train::epoch");
    group
        .sample_size(10)
        .throughput(Throughput::Elements(steps * BATCH as u64));
    let id = format!("net=mlp-784-128-10,batch={BATCH},optimizer=adam,data=fashion-mnist,backend=host");
    group.bench_function(id, |bencher| {
        let mut training = Steps::new(host, &mlp(), BATCH, Arc::clone(&data));
        bencher.iter_custom(|count| training.run(count * steps));
    });
    group.finish();
}

/// `rows` rows of a class and `columns` numbers.
fn csv(rows: usize, columns: usize) -> String {
    let mut rng = Seed(1).stream("csv").rng();
    let mut text = "label".to_owned();
    let written = (0..columns).try_for_each(|column| write!(text, ",x{column}"));
    let written = written.and_then(|()| {
        (0..rows).try_for_each(|_| {
            write!(text, "\nclass{}", rng.below(10))?;
            (0..columns).try_for_each(|_| write!(text, ",{:.5}", rng.normal()))
        })
    });
    written.expect("writing to memory does not fail");
    text
}

fn data(criterion: &mut Criterion) {
    let (rows, columns) = (2000, 32);
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let path = folder.path().join("rows.csv");
    let text = csv(rows, columns);
    std::fs::write(&path, &text).expect("a temporary file can be written");
    let (source, options) = (DataSource::Path(path), LoadOptions::with_target("label"));
    let mut group = criterion.benchmark_group("data::csv_rows");
    group.throughput(Throughput::ElementsAndBytes {
        elements: rows as u64,
        bytes: text.len() as u64,
    });
    group.bench_function(format!("rows={rows},columns={columns}"), |bencher| {
        bencher.iter(|| source.load(&options).expect("the file is sound"));
    });
    group.finish();
    let table = source.load(&options).expect("the file is sound");
    let all: Vec<u32> = (0..rows as u32).collect();
    let mut group = criterion.benchmark_group("data::preprocess");
    group.throughput(Throughput::Elements(rows as u64));
    group.bench_function(format!("rows={rows},columns={columns}"), |bencher| {
        bencher.iter(|| {
            let preprocess = Preprocess::fit(&table, &all).expect("there are rows");
            preprocess
                .dataset(&table)
                .expect("the table is the one it was fitted to")
        });
    });
    group.finish();
}

fn gather(criterion: &mut Criterion) {
    let (data, batch) = (noise(mlp().input, ROWS), 128);
    let mut order: Vec<u32> = data.train().to_vec();
    Seed(1).stream("order").rng().shuffle(&mut order);
    let mut group = criterion.benchmark_group("data::gather");
    group.throughput(Throughput::Bytes(batch as u64 * 784 * 4));
    group.bench_function(format!("rows={batch},columns=784"), |bencher| {
        let (mut batches, mut out) = (order.chunks_exact(batch).cycle(), Vec::new());
        bencher.iter(|| {
            if let Some(rows) = batches.next() {
                data.dataset().gather(rows, &mut out);
            }
        });
    });
    group.finish();
}

fn main() {
    let mut criterion = daa_benches::criterion();
    let devices = device::all();
    steps(&mut criterion, &devices);
    epoch(&mut criterion, &devices[0]);
    data(&mut criterion);
    gather(&mut criterion);
    criterion.final_summary();
}
