//! Arrays of numbers as idx and npy files hold them, and their use as features or labels.

use super::table::DenseValues;
use super::{DataError, InputShape, Limits, Table};

/// The type of one element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ElementKind {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F32,
    F64,
}

/// The order of the bytes of one element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ByteOrder {
    Little,
    Big,
}

impl ElementKind {
    pub(super) const fn size(self) -> usize {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }
}

/// Elements in the narrowest of four types that holds their kind exactly.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Elements {
    Bytes(Vec<u8>),
    Whole(Vec<i64>),
    Single(Vec<f32>),
    Double(Vec<f64>),
}

/// A decoded array, last dimension fastest.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Array {
    pub(super) dims: Vec<usize>,
    pub(super) elements: Elements,
}

/// Decodes `body`, which must hold exactly the elements that `dims` announce; `header` bytes came before it.
pub(super) fn decode(
    file: &str,
    header: usize,
    body: &[u8],
    dims: Vec<usize>,
    kind: ElementKind,
    order: ByteOrder,
) -> Result<Array, DataError> {
    if dims.first().is_some_and(|&rows| rows == 0) {
        return Err(DataError::HeaderOnly {
            file: file.to_owned(),
        });
    }
    let bad = |reason: String| DataError::BadHeader {
        file: file.to_owned(),
        reason,
    };
    if dims.is_empty() || dims.contains(&0) {
        return Err(bad(format!("the dimensions {dims:?} hold no values")));
    }
    let announced = dims
        .iter()
        .try_fold(kind.size(), |product, &dim| product.checked_mul(dim))
        .and_then(|bytes| bytes.checked_add(header))
        .ok_or_else(|| bad(format!("the dimensions {dims:?} overflow")))? as u64;
    let found = (header + body.len()) as u64;
    if found < announced {
        return Err(DataError::Truncated {
            file: file.to_owned(),
            expected: announced.to_string(),
            found,
        });
    }
    if found > announced {
        let (expected, extra) = (announced, found - announced);
        return Err(DataError::TrailingBytes {
            file: file.to_owned(),
            expected,
            extra,
        });
    }
    let elements = decode_elements(body, kind, order);
    Ok(Array { dims, elements })
}

/// Reads elements of `N` bytes with `little`, turning them around first where the file is big-endian.
fn each<const N: usize, T>(body: &[u8], order: ByteOrder, little: impl Fn([u8; N]) -> T) -> Vec<T> {
    let (chunks, _) = body.as_chunks::<N>();
    chunks
        .iter()
        .map(|&(mut bytes)| {
            if order == ByteOrder::Big {
                bytes.reverse();
            }
            little(bytes)
        })
        .collect()
}

fn decode_elements(body: &[u8], kind: ElementKind, order: ByteOrder) -> Elements {
    match kind {
        ElementKind::U8 => Elements::Bytes(body.to_vec()),
        ElementKind::I8 => Elements::Whole(each(body, order, |b| i64::from(i8::from_le_bytes(b)))),
        ElementKind::U16 => Elements::Whole(each(body, order, |b| i64::from(u16::from_le_bytes(b)))),
        ElementKind::I16 => Elements::Whole(each(body, order, |b| i64::from(i16::from_le_bytes(b)))),
        ElementKind::U32 => Elements::Whole(each(body, order, |b| i64::from(u32::from_le_bytes(b)))),
        ElementKind::I32 => Elements::Whole(each(body, order, |b| i64::from(i32::from_le_bytes(b)))),
        ElementKind::I64 => Elements::Whole(each(body, order, i64::from_le_bytes)),
        ElementKind::U64 => {
            let whole = each(body, order, u64::from_le_bytes);
            let signed: Result<Vec<i64>, _> = whole.iter().map(|&value| i64::try_from(value)).collect();
            // Numbers above 2⁶³ are no labels; as features they are rounded like every large number.
            signed.map_or_else(
                |_| Elements::Double(whole.iter().map(|&value| value as f64).collect()),
                Elements::Whole,
            )
        }
        ElementKind::F32 => Elements::Single(each(body, order, f32::from_le_bytes)),
        ElementKind::F64 => Elements::Double(each(body, order, f64::from_le_bytes)),
    }
}

impl Array {
    /// The array as the features of a table: the first dimension counts rows, two dimensions are rows of numbers,
    /// three are rows of height × width, four are rows of channels × height × width, or of height × width × channels
    /// when only the last dimension is 1, 3 or 4.
    pub(super) fn into_table(mut self, file: &str, limits: &Limits) -> Result<Table, DataError> {
        let shape = match *self.dims.as_slice() {
            [_] => InputShape::Flat { features: 1 },
            [_, features] => InputShape::Flat { features },
            [_, height, width] => InputShape::Image {
                channels: 1,
                height,
                width,
            },
            [_, height, width, channels] if is_channels(channels) && !is_channels(height) => {
                self.elements = self.elements.channels_first(height * width, channels);
                InputShape::Image {
                    channels,
                    height,
                    width,
                }
            }
            [_, channels, height, width] => InputShape::Image {
                channels,
                height,
                width,
            },
            _ => {
                return Err(DataError::Unsupported {
                    file: file.to_owned(),
                    what: format!("an array of {} dimensions", self.dims.len()),
                    allowed: "features have 1 to 4",
                });
            }
        };
        let values = match self.elements {
            Elements::Bytes(bytes) => DenseValues::Bytes(bytes),
            Elements::Whole(whole) => DenseValues::Floats(whole.into_iter().map(|v| v as f32).collect()),
            Elements::Single(floats) => DenseValues::Floats(floats),
            Elements::Double(doubles) => DenseValues::Floats(doubles.into_iter().map(|v| v as f32).collect()),
        };
        Table::dense(file, shape, values, limits)
    }

    /// The array as one number per row.
    pub(super) fn into_labels(self, file: &str, limits: &Limits) -> Result<Vec<f64>, DataError> {
        let ([rows] | [rows, 1]) = *self.dims.as_slice() else {
            return Err(DataError::Unsupported {
                file: file.to_owned(),
                what: format!("an array of labels with dimensions {:?}", self.dims),
                allowed: "labels have one dimension",
            });
        };
        super::table::check_size(file, rows, 1, limits)?;
        Ok(match self.elements {
            Elements::Bytes(bytes) => bytes.into_iter().map(f64::from).collect(),
            Elements::Whole(whole) => whole.into_iter().map(|value| value as f64).collect(),
            Elements::Single(floats) => floats.into_iter().map(f64::from).collect(),
            Elements::Double(doubles) => doubles,
        })
    }

    /// Puts the rows of `tail`, an array of the same kind and row shape, behind this one's.
    pub(super) fn append(mut self, file: &str, tail: Self) -> Result<Self, DataError> {
        let mismatch = |head: &Self, tail: &Self| DataError::ShapeMismatch {
            file: file.to_owned(),
            model: format!("rows of {:?} in the training part", &head.dims[1..]),
            data: format!("rows of {:?} in the test part", &tail.dims[1..]),
        };
        if self.dims[1..] != tail.dims[1..] {
            return Err(mismatch(&self, &tail));
        }
        match (&mut self.elements, &tail.elements) {
            (Elements::Bytes(head), Elements::Bytes(more)) => head.extend_from_slice(more),
            (Elements::Whole(head), Elements::Whole(more)) => head.extend_from_slice(more),
            (Elements::Single(head), Elements::Single(more)) => head.extend_from_slice(more),
            (Elements::Double(head), Elements::Double(more)) => head.extend_from_slice(more),
            _ => {
                return Err(DataError::Unsupported {
                    file: file.to_owned(),
                    what: "a test part of another element type than the training part".to_owned(),
                    allowed: "both parts need one type",
                });
            }
        }
        self.dims[0] = self.dims[0].saturating_add(tail.dims[0]);
        Ok(self)
    }
}

const fn is_channels(dim: usize) -> bool {
    matches!(dim, 1 | 3 | 4)
}

impl Elements {
    /// Reorders rows of pixels × channels to channels × pixels.
    fn channels_first(self, pixels: usize, channels: usize) -> Self {
        fn turn<T: Copy>(values: &[T], pixels: usize, channels: usize) -> Vec<T> {
            let mut turned = Vec::with_capacity(values.len());
            for row in values.chunks_exact(pixels * channels) {
                for channel in 0..channels {
                    turned.extend(row.iter().skip(channel).step_by(channels).copied());
                }
            }
            turned
        }
        self.map_order(
            |v| turn(v, pixels, channels),
            |v| turn(v, pixels, channels),
            |v| turn(v, pixels, channels),
            |v| turn(v, pixels, channels),
        )
    }

    fn map_order(
        self,
        bytes: impl Fn(&[u8]) -> Vec<u8>,
        whole: impl Fn(&[i64]) -> Vec<i64>,
        single: impl Fn(&[f32]) -> Vec<f32>,
        double: impl Fn(&[f64]) -> Vec<f64>,
    ) -> Self {
        match self {
            Self::Bytes(values) => Self::Bytes(bytes(&values)),
            Self::Whole(values) => Self::Whole(whole(&values)),
            Self::Single(values) => Self::Single(single(&values)),
            Self::Double(values) => Self::Double(double(&values)),
        }
    }

    /// Elements picked by position, to bring an array into another order.
    pub(super) fn picked(self, order: &[usize]) -> Self {
        self.map_order(
            |values| order.iter().map(|&at| values[at]).collect(),
            |values| order.iter().map(|&at| values[at]).collect(),
            |values| order.iter().map(|&at| values[at]).collect(),
            |values| order.iter().map(|&at| values[at]).collect(),
        )
    }
}
