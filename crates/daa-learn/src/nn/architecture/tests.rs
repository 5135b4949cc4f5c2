use super::*;
use crate::nn::Shape;
use crate::nn::shape::{MAX_LAYERS, MAX_UNITS};
use proptest::prelude::*;

const RELU: Option<Activation> = Some(Activation::relu());

fn conv(channels: usize, kernel: usize) -> Layer {
    Layer::Conv2d {
        channels,
        kernel,
        stride: 1,
        padding: kernel / 2,
        activation: None,
    }
}

fn small() -> Architecture {
    let layers = vec![
        conv(16, 3),
        Layer::BatchNorm { activation: RELU },
        Layer::Pool {
            kind: PoolKind::Max,
            kernel: 2,
            stride: 2,
        },
        Layer::Dropout { rate: 0.2 },
        Layer::Dense {
            units: 64,
            activation: RELU,
        },
    ];
    let input = InputShape::Image {
        channels: 1,
        height: 8,
        width: 8,
    };
    Architecture::new(input, layers, OutputHead::Classes { count: 10 })
}

#[test]
fn a_network_prints_as_one_word() {
    assert_eq!(small().to_string(), "conv16k3-bn-relu-pool2-drop0.2-fc64-relu-10");
    let strided = Layer::Conv2d {
        channels: 4,
        kernel: 5,
        stride: 2,
        padding: 0,
        activation: RELU,
    };
    assert_eq!(strided.to_string(), "conv4k5s2p0-relu");
    let pool = Layer::Pool {
        kind: PoolKind::Average,
        kernel: 3,
        stride: 1,
    };
    assert_eq!(pool.to_string(), "avgpool3s1");
    let flat = Architecture::new(
        InputShape::Flat { features: 3 },
        vec![],
        OutputHead::Regression {},
    );
    assert_eq!(flat.to_string(), "1");
}

#[test]
fn shapes_and_parameters_follow_from_the_layers() {
    let network = small();
    let shapes = network.shapes().expect("valid");
    let pooled = Shape::Image(16, 4, 4);
    assert_eq!(
        shapes,
        [
            Shape::Image(16, 8, 8),
            Shape::Image(16, 8, 8),
            pooled,
            pooled,
            Shape::Flat(64)
        ]
    );
    let parameters = network.parameters().expect("valid");
    let names: Vec<&str> = parameters.iter().map(|spec| spec.name.as_str()).collect();
    let wanted = "layer0.weight layer0.bias layer1.gamma layer1.beta layer1.running_mean layer1.running_var \
                  layer4.weight layer4.bias head.weight head.bias";
    assert_eq!(names.join(" "), wanted);
    let count = (16 * 9 + 16) + 2 * 16 + (256 * 64 + 64) + (64 * 10 + 10);
    assert_eq!(network.parameter_count(), Ok(count));
    assert_eq!(
        network.multiplications(),
        Ok((64 * 16 * 9 + 256 * 64 + 64 * 10) as u64)
    );
}

const IMAGE: InputShape = InputShape::Image {
    channels: 1,
    height: 8,
    width: 8,
};
const FLAT: InputShape = InputShape::Flat { features: 4 };

fn refused(input: InputShape, layers: Vec<Layer>, message: &str) {
    let network = Architecture::new(input, layers, OutputHead::Classes { count: 10 });
    let error = network.validate().expect_err(message).to_string();
    assert!(error.contains(message), "`{error}` should say `{message}`");
}

#[test]
fn refusals_name_the_layer_the_field_the_value_and_the_range() {
    let dense = |units| Layer::Dense {
        units,
        activation: None,
    };
    let drop = |rate| Layer::Dropout { rate };
    let pool = Layer::Pool {
        kind: PoolKind::Max,
        kernel: 9,
        stride: 1,
    };
    let padded = Layer::Conv2d {
        channels: 1,
        kernel: 3,
        stride: 1,
        padding: 3,
        activation: None,
    };
    refused(
        FLAT,
        vec![dense(0)],
        "layer 0 (dense): units is 0, allowed are 1 to 65534",
    );
    refused(
        IMAGE,
        vec![conv(4, 3), conv(4, 16)],
        "layer 1 (conv2d): kernel is 16, allowed are 1 to 15",
    );
    refused(
        IMAGE,
        vec![padded],
        "layer 0 (conv2d): padding is 3, allowed are 0 to 2",
    );
    refused(
        IMAGE,
        vec![pool],
        "layer 0 (pool): kernel is 9, allowed are 1 to 8",
    );
    refused(
        FLAT,
        vec![drop(1.0)],
        "layer 0 (dropout): rate is 1, allowed are 0 to 0.95",
    );
    refused(
        FLAT,
        vec![drop(f32::NAN)],
        "layer 0 (dropout): rate is NaN, allowed are 0 to 0.95",
    );
    refused(
        FLAT,
        vec![conv(4, 3)],
        "layer 0 (conv2d): wants an image, but gets 4 flat features",
    );
    let huge = "layer 1 (dense): 4295032826 parameters, allowed are at most 268435456";
    refused(FLAT, vec![dense(MAX_UNITS), dense(MAX_UNITS)], huge);
}

#[test]
fn refusals_name_the_input_the_head_and_the_number_of_layers() {
    refused(
        InputShape::Flat { features: 0 },
        vec![],
        "input: features is 0, allowed are 1 to 65534",
    );
    refused(
        FLAT,
        vec![Layer::Flatten {}; MAX_LAYERS + 1],
        "layers: count is 129, allowed are 0 to 128",
    );
    let one = Architecture::new(FLAT, vec![], OutputHead::Classes { count: 1 });
    let error = one.validate().expect_err("one class").to_string();
    assert!(
        error.contains("output: count is 1, allowed are 2 to 65534"),
        "{error}"
    );
}

#[test]
fn only_its_own_json_is_read() {
    let json = small().to_json().expect("valid");
    assert_eq!(Architecture::from_json(&json), Ok(small()));
    let error = |text: String| Architecture::from_json(&text).expect_err("refused").to_string();
    assert!(
        error(json.replace("\"version\": 1", "\"version\": 2")).contains("version is 2"),
        "another version"
    );
    assert!(
        error(json.replace("\"units\"", "\"unit\"")).contains("unknown field `unit`"),
        "an unknown field"
    );
    assert!(
        error(json[..json.len() / 2].to_owned()).contains("not a description"),
        "truncated"
    );
}

fn layer() -> impl Strategy<Value = Layer> {
    let activation = prop_oneof![Just(None), Just(RELU), Just(Some(Activation::gelu()))];
    prop_oneof![
        (0_usize..70, activation.clone()).prop_map(|(units, activation)| Layer::Dense { units, activation }),
        (0_usize..9, 0_usize..6, 0_usize..4, 0_usize..4, activation.clone()).prop_map(
            |(channels, kernel, stride, padding, activation)| Layer::Conv2d {
                channels,
                kernel,
                stride,
                padding,
                activation
            }
        ),
        (0_usize..5, 0_usize..4).prop_map(|(kernel, stride)| Layer::Pool {
            kind: PoolKind::Average,
            kernel,
            stride
        }),
        activation.prop_map(|activation| Layer::BatchNorm { activation }),
        (-0.1_f32..1.1).prop_map(|rate| Layer::Dropout { rate }),
        Just(Layer::Flatten {}),
    ]
}

proptest! {
    #[test]
    fn any_description_is_refused_or_survives_json(layers in prop::collection::vec(layer(), 0..6)) {
        let input = InputShape::Image { channels: 2, height: 7, width: 9 };
        let network = Architecture::new(input, layers, OutputHead::Classes { count: 3 });
        match network.validate() {
            Err(error) => prop_assert!(error.to_string().starts_with("architecture: "), "{}", error),
            Ok(()) => {
                let json = network.to_json().expect("valid");
                prop_assert_eq!(Architecture::from_json(&json), Ok(network.clone()));
                let shapes = network.shapes().expect("valid");
                prop_assert!(shapes.iter().all(|shape| shape.features() > 0), "{:?}", shapes);
            }
        }
    }
}
