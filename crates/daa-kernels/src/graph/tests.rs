use super::*;
use crate::activation::Activation;
use crate::ops::matmul::Transpose;
use crate::ops::pool2d::PoolKind;
use crate::ops::reduce::{Reduce, ReduceAxis};

fn graph_with(shapes: &[&[usize]]) -> (Graph, Vec<TensorId>) {
    let mut graph = Graph::new();
    let ids = shapes
        .iter()
        .enumerate()
        .map(|(i, shape)| graph.state(&format!("t{i}"), shape).expect("a valid shape"))
        .collect();
    graph.phase("step");
    (graph, ids)
}

/// The error of recording, as people read it.
fn refused<T: fmt::Debug>(result: Result<T, GraphError>) -> String {
    result.expect_err("must be refused").to_string()
}

#[test]
fn every_shape_error_names_the_op_and_the_shapes() {
    let (mut g, t) = graph_with(&[
        &[2, 3],
        &[4, 5],
        &[5],
        &[1, 2, 6, 6],
        &[3, 4, 3, 3],
        &[3],
        &[2, 3, 4],
    ]);
    let none = Transpose::None;
    let conv = Conv2d {
        stride: [1, 1],
        padding: [0, 0],
    };
    let pool = Pool2d {
        kind: PoolKind::Max,
        kernel: [7, 7],
        stride: [1, 1],
    };
    let cases: Vec<(String, &[&str])> = vec![
        (
            refused(g.matmul(t[0], t[1], none)),
            &["matmul", "[2, 3]", "[4, 5]", "3 and 4 differ"],
        ),
        (
            refused(g.matmul(t[0], t[2], none)),
            &["matmul", "[2, 3]", "[5]", "matrices"],
        ),
        (
            refused(g.linear(t[0], t[1], t[2], None)),
            &["linear", "[2, 3]", "[4, 5]", "[5]"],
        ),
        (
            refused(g.conv2d(t[3], t[4], t[5], conv, None)),
            &["conv2d", "[1, 2, 6, 6]", "[3, 4, 3, 3]", "2 and 4"],
        ),
        (
            refused(g.pool2d(t[3], pool)),
            &["pool2d", "[1, 2, 6, 6]", "[7, 7]", "larger"],
        ),
        (refused(g.add(t[0], t[1])), &["add", "[2, 3]", "[4, 5]", "equal"]),
        (
            refused(g.accumulate(t[0], t[1])),
            &["accumulate", "[2, 3]", "[4, 5]"],
        ),
        (refused(g.softmax(t[2])), &["softmax", "[5]", "matrix"]),
        (refused(g.channel_sum(t[2])), &["channel_sum", "[5]"]),
        (refused(g.reshape(t[0], &[7])), &["reshape", "[2, 3]", "[7]"]),
        (
            refused(g.reduce(t[6], Reduce::Sum, ReduceAxis::Rows)),
            &["reduce", "[2, 3, 4]"],
        ),
        (refused(g.sgd(t[0], t[0], t[0], t[0])), &["sgd", "[2, 3]"]),
    ];
    for (message, parts) in cases {
        for part in parts {
            assert!(message.contains(part), "`{message}` must name `{part}`");
        }
    }
}

#[test]
fn zero_steps_and_kernels_are_refused_rather_than_divided_by() {
    let (mut g, t) = graph_with(&[&[1, 2, 6, 6], &[3, 2, 3, 3], &[3]]);
    let conv = Conv2d {
        stride: [0, 1],
        padding: [0, 0],
    };
    assert!(refused(g.conv2d(t[0], t[1], t[2], conv, None)).contains("at least 1"));
    let pool = Pool2d {
        kind: PoolKind::Avg,
        kernel: [2, 0],
        stride: [1, 1],
    };
    assert!(refused(g.pool2d(t[0], pool)).contains("at least 1"));
    let huge = Conv2d {
        stride: [1, 1],
        padding: [usize::MAX, 0],
    };
    assert!(refused(g.conv2d(t[0], t[1], t[2], huge, None)).contains("too large"));
}

#[test]
fn types_are_checked() {
    let (mut g, t) = graph_with(&[&[2, 3], &[2]]);
    let labels = g.input("labels", &[2], DType::U32).expect("declared");
    let message = refused(g.activation(labels, Activation::relu()));
    assert_eq!(message, "activation: tensor `labels` holds u32, wanted is f32");
    assert!(refused(g.cross_entropy(t[0], t[1], t[1])).contains("holds f32, wanted is u32"));
    g.cross_entropy(t[0], labels, t[1]).expect("the right types");
}

#[test]
fn temporary_tensors_stay_in_their_phase_and_are_not_changed_in_place() {
    let (mut g, t) = graph_with(&[&[2, 3]]);
    let y = g.scale(t[0], 2.0).expect("recorded");
    assert!(matches!(
        g.accumulate(y, t[0]),
        Err(GraphError::NotUpdatable { .. })
    ));
    let view = g.reshape(y, &[3, 2]).expect("same elements");
    g.phase("eval");
    let message = refused(g.scale(view, 2.0));
    assert_eq!(
        message,
        "scale: tensor `scale#0` is made in phase `step` and gone in phase `eval`"
    );
    g.scale(t[0], 3.0).expect("what persists is there in every phase");
}

#[test]
fn names_and_phases_are_checked() {
    let mut g = Graph::new();
    let x = g.parameter("w", &[2]).expect("declared");
    assert!(matches!(g.state("w", &[3]), Err(GraphError::NameTaken { .. })));
    assert!(matches!(
        g.scale(x, 1.0),
        Err(GraphError::NoPhase { op: "scale" })
    ));
    for shape in [
        &[] as &[usize],
        &[0],
        &[1, 1, 1, 1, 1],
        &[1 << 31],
        &[usize::MAX, 2],
    ] {
        assert!(
            matches!(g.parameter("v", shape), Err(GraphError::Shape { .. })),
            "{shape:?}"
        );
    }
    let (_, others) = graph_with(&[&[1], &[1], &[1]]);
    assert!(matches!(
        g.output(others[2]),
        Err(GraphError::UnknownTensor { .. })
    ));
}
