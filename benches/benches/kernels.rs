//! Single ops, each one submission that is waited for. Products and convolutions count floating-point operations
//! (`Gelem/s` is GFLOP/s), everything else the bytes of its operands.

use criterion::{Criterion, Throughput};
use daa_benches::device::{self, Device};
use daa_benches::op::{Recorded, Recorder};
use daa_kernels::TensorId;
use daa_kernels::activation::Activation;
use daa_kernels::error::GraphError;
use daa_kernels::graph::{BatchNorm, Conv2d, Pool2d};
use daa_kernels::ops::matmul::Transpose;
use daa_kernels::ops::pool2d::PoolKind;
use daa_kernels::ops::reduce::{Reduce, ReduceAxis};

/// What limits an op, and so what its throughput counts.
#[derive(Clone, Copy)]
enum Limit {
    Flops,
    Bytes,
}

fn bench(
    criterion: &mut Criterion,
    devices: &[Device],
    (operation, key): (&str, &str),
    limit: Limit,
    ops: impl FnOnce(&mut Recorder) -> Result<TensorId, GraphError>,
) {
    let recorded = Recorded::new(|record| {
        let result = ops(record)?;
        record.graph.output(result)
    });
    let mut group = criterion.benchmark_group(format!("kernels::{operation}"));
    group.throughput(match limit {
        Limit::Flops => Throughput::Elements(recorded.flops()),
        Limit::Bytes => Throughput::BytesDecimal(recorded.bytes()),
    });
    for device in devices {
        group.bench_function(format!("{key},backend={}", device.name), |bencher| {
            let mut loaded = recorded.load(device);
            bencher.iter(|| loaded.run());
        });
    }
    group.finish();
}

fn products(criterion: &mut Criterion, devices: &[Device]) {
    let host = &devices[..1];
    for size in [64, 256, 512, 1024] {
        let devices = if size <= 256 { devices } else { host };
        let key = format!("m={size},k={size},n={size}");
        bench(criterion, devices, ("matmul", &key), Limit::Flops, |record| {
            let (a, b) = (record.random(&[size, size])?, record.random(&[size, size])?);
            record.graph.matmul(a, b, Transpose::None)
        });
    }
    // The three products of the wide layer of the MLP.
    bench(
        criterion,
        host,
        ("linear", "m=128,k=784,n=128"),
        Limit::Flops,
        |record| {
            let (x, w) = (record.random(&[128, 784])?, record.random(&[784, 128])?);
            let bias = record.random(&[128])?;
            record.graph.linear(x, w, bias, Some(Activation::relu()))
        },
    );
    bench(
        criterion,
        host,
        ("matmul_ta", "m=784,k=128,n=128"),
        Limit::Flops,
        |record| {
            let (x, dy) = (record.random(&[128, 784])?, record.random(&[128, 128])?);
            record.graph.matmul(x, dy, Transpose::A)
        },
    );
    bench(
        criterion,
        host,
        ("matmul_tb", "m=128,k=10,n=128"),
        Limit::Flops,
        |record| {
            let (dy, w) = (record.random(&[128, 10])?, record.random(&[128, 10])?);
            record.graph.matmul(dy, w, Transpose::B)
        },
    );
}

const SAME: Conv2d = Conv2d {
    stride: [1, 1],
    padding: [1, 1],
};

/// Both convolutions of the CNN, in all three directions that training needs.
fn convolutions(criterion: &mut Criterion, devices: &[Device]) {
    let host = &devices[..1];
    for (n, c, side, o) in [(64, 1, 28, 16), (64, 16, 14, 32)] {
        let (xs, ws, ys) = ([n, c, side, side], [o, c, 3, 3], [n, o, side, side]);
        let key = format!("n={n},c={c},h={side},w={side},o={o},kernel=3");
        bench(criterion, devices, ("conv2d", &key), Limit::Flops, |record| {
            let (x, w, bias) = (record.random(&xs)?, record.random(&ws)?, record.random(&[o])?);
            record.graph.conv2d(x, w, bias, SAME, Some(Activation::relu()))
        });
        bench(
            criterion,
            host,
            ("conv2d_grad_weight", &key),
            Limit::Flops,
            |record| {
                let (x, dy) = (record.random(&xs)?, record.random(&ys)?);
                record.graph.conv2d_grad_weight(x, dy, &ws, SAME)
            },
        );
        bench(
            criterion,
            host,
            ("conv2d_grad_input", &key),
            Limit::Flops,
            |record| {
                let (dy, w) = (record.random(&ys)?, record.random(&ws)?);
                record.graph.conv2d_grad_input(dy, w, &xs, SAME)
            },
        );
    }
}

fn pools(criterion: &mut Criterion, host: &[Device]) {
    let spec = Pool2d {
        kind: PoolKind::Max,
        kernel: [2, 2],
        stride: [2, 2],
    };
    let (xs, ys, key) = ([64, 16, 28, 28], [64, 16, 14, 14], "n=64,c=16,h=28,w=28,kernel=2");
    bench(criterion, host, ("max_pool2d", key), Limit::Bytes, |record| {
        let x = record.random(&xs)?;
        record.graph.pool2d(x, spec)
    });
    bench(
        criterion,
        host,
        ("max_pool2d_grad", key),
        Limit::Bytes,
        |record| {
            let (x, dy) = (record.random(&xs)?, record.random(&ys)?);
            record.graph.pool2d_grad(x, dy, spec)
        },
    );
    let key = "n=64,c=16,h=28,w=28";
    bench(criterion, host, ("batch_norm", key), Limit::Bytes, |record| {
        let (x, gamma, beta) = (record.random(&xs)?, record.random(&[16])?, record.random(&[16])?);
        let (mean, var) = (
            record.graph.state("mean", &[16])?,
            record.graph.state("var", &[16])?,
        );
        let constants = BatchNorm {
            eps: 1e-5,
            momentum: 0.1,
        };
        let made = record.graph.batch_norm(x, gamma, beta, mean, var, constants)?;
        Ok(made.y)
    });
}

fn elementwise(criterion: &mut Criterion, devices: &[Device]) {
    let host = &devices[..1];
    const LEN: usize = 1 << 20;
    let key = format!("len={LEN}");
    bench(criterion, devices, ("add", &key), Limit::Bytes, |record| {
        let (a, b) = (record.random(&[LEN])?, record.random(&[LEN])?);
        record.graph.add(a, b)
    });
    for (operation, activation) in [("relu", Activation::relu()), ("gelu", Activation::gelu())] {
        bench(criterion, host, (operation, &key), Limit::Bytes, |record| {
            let x = record.random(&[LEN])?;
            record.graph.activation(x, activation)
        });
    }
    bench(criterion, host, ("reduce_sum", &key), Limit::Bytes, |record| {
        let x = record.random(&[LEN])?;
        record.graph.reduce(x, Reduce::Sum, ReduceAxis::All)
    });
    bench(
        criterion,
        devices,
        ("softmax", "m=4096,n=256"),
        Limit::Bytes,
        |record| {
            let x = record.random(&[4096, 256])?;
            record.graph.softmax(x)
        },
    );
    bench(
        criterion,
        host,
        ("cross_entropy", "m=128,n=10"),
        Limit::Bytes,
        |record| {
            let (logits, labels) = (record.random(&[128, 10])?, record.labels(128, 10)?);
            let weights = record.given(&[128], vec![1.0; 128])?;
            record.graph.cross_entropy(logits, labels, weights)
        },
    );
    // The weights of the MLP.
    bench(
        criterion,
        devices,
        ("adam", "len=100352"),
        Limit::Bytes,
        |record| {
            let gradient = record.random(&[100_352])?;
            let hyper = record.given(&[8], vec![1e-6, 0.9, 0.999, 1e-8, 0.0, 0.0, 1.0, 1.0])?;
            let parameter = record.graph.parameter("parameter", &[100_352])?;
            let (m, v) = (
                record.graph.state("m", &[100_352])?,
                record.graph.state("v", &[100_352])?,
            );
            record.graph.adam(parameter, gradient, m, v, hyper)?;
            Ok(parameter)
        },
    );
}

fn main() {
    let mut criterion = daa_benches::criterion();
    let devices = device::all();
    products(&mut criterion, &devices);
    convolutions(&mut criterion, &devices);
    pools(&mut criterion, &devices[..1]);
    elementwise(&mut criterion, &devices);
    criterion.final_summary();
}
