use super::*;
use crate::nn::{InputShape, init};
use crate::testing;
use daa_base::Seed;
use daa_kernels::activation::Activation;
use daa_kernels::session::{Data, Session};

/// A step of plain gradient descent with step size 1 moves every weight by minus its gradient: compare that with
/// differences of the loss that the evaluation phase measures.
fn check_step(architecture: &Architecture, targets: Data<'_>) {
    const BATCH: usize = 4;
    let network = compile(architecture, BATCH, Purpose::Train(OptimizerKind::Sgd)).expect("compiles");
    let context = testing::context(2);
    let (_tenant, mut session) = testing::session(&context, &network);
    let tensors = network.training.as_ref().expect("compiled for training");
    let mut rng = Seed(5).stream("test").rng();
    let features: Vec<f32> = (0..BATCH * architecture.input.values())
        .map(|_| rng.normal() as f32)
        .collect();
    let hyper = [1.0, 0.0, 0.0, 0.0];
    session
        .write(&[
            (network.features(), Data::F32(&features)),
            (tensors.targets, targets),
            (tensors.weights, Data::F32(&[1.0; BATCH])),
            (tensors.hyper_decay, Data::F32(&hyper)),
            (tensors.hyper_plain, Data::F32(&hyper)),
        ])
        .expect("inputs");
    let mut initial = init::initial(architecture, Seed(1)).expect("valid");
    let ids: Vec<TensorId> = network.parameters().iter().map(|&(_, id)| id).collect();
    let write = |session: &mut Session, values: &[Vec<f32>]| {
        let writes: Vec<_> = ids
            .iter()
            .zip(values)
            .map(|(&id, data)| (id, Data::F32(data)))
            .collect();
        session.write(&writes).expect("parameters");
    };
    write(&mut session, &initial);
    drop(
        session
            .run(network.phases().train.expect("training"), &[])
            .expect("runs"),
    );
    let moved = session.read(&ids).expect("reads");
    let before = initial.clone();
    let loss = |session: &mut Session, values: &[Vec<f32>]| {
        write(session, values);
        session
            .write(&[(tensors.loss, Data::F32(&[0.0]))])
            .expect("state");
        drop(
            session
                .run(network.phases().evaluate.expect("training"), &[])
                .expect("runs"),
        );
        f64::from(session.read(&[tensors.loss]).expect("reads")[0][0]) / BATCH as f64
    };
    for tensor in 0..before.len() {
        for element in (0..before[tensor].len()).step_by(7) {
            let step = 1e-2_f32;
            let value = before[tensor][element];
            initial[tensor][element] = value + step;
            let above = loss(&mut session, &initial);
            initial[tensor][element] = value - step;
            let below = loss(&mut session, &initial);
            initial[tensor][element] = value;
            let difference = (above - below) / (2.0 * f64::from(step));
            let gradient = f64::from(value) - f64::from(moved[tensor][element]);
            let name = &network.parameters()[tensor].0.name;
            assert!(
                (gradient - difference).abs() <= 3e-3,
                "{name}[{element}]: the step says {gradient}, the difference {difference}"
            );
        }
    }
}

#[test]
fn a_training_step_follows_the_gradient_of_the_measured_loss() {
    let tanh = Some(Activation::tanh());
    let image = InputShape::Image {
        channels: 2,
        height: 6,
        width: 5,
    };
    let layers = vec![
        Layer::Conv2d {
            channels: 3,
            kernel: 3,
            stride: 1,
            padding: 1,
            activation: tanh,
        },
        Layer::Pool {
            kind: PoolKind::Average,
            kernel: 2,
            stride: 2,
        },
        Layer::Dense {
            units: 5,
            activation: Some(Activation::gelu()),
        },
    ];
    check_step(
        &Architecture::new(image, layers, OutputHead::Classes { count: 3 }),
        Data::U32(&[0, 2, 1, 2]),
    );
    let layers = vec![Layer::Dense {
        units: 6,
        activation: tanh,
    }];
    let flat = Architecture::new(
        InputShape::Flat { features: 4 },
        layers,
        OutputHead::Regression {},
    );
    check_step(&flat, Data::F32(&[0.3, -1.0, 0.0, 2.0]));
}

#[test]
fn prediction_alone_takes_less_memory_and_a_batch_has_bounds() {
    let layers = vec![Layer::Dense {
        units: 64,
        activation: None,
    }];
    let flat = Architecture::new(
        InputShape::Flat { features: 32 },
        layers,
        OutputHead::Classes { count: 3 },
    );
    let train = compile(&flat, 16, Purpose::Train(OptimizerKind::Adam)).expect("compiles");
    let predict = compile(&flat, 16, Purpose::Predict).expect("compiles");
    assert!(
        predict.peak_bytes() < train.peak_bytes(),
        "{} and {}",
        predict.peak_bytes(),
        train.peak_bytes()
    );
    assert_eq!((predict.phases().train, predict.phases().evaluate), (None, None));
    for batch in [0, MAX_BATCH + 1] {
        let error = compile(&flat, batch, Purpose::Predict).expect_err("out of range");
        assert!(
            error.to_string().contains(&format!("batch size is {batch}")),
            "{error}"
        );
    }
}
