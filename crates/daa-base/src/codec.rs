//! The one binary codec: bincode with fixed-width little-endian integers.
//!
//! No other module of the workspace names bincode, so that it can be replaced here (see `docs/adr/0002-codec.md`).
//! Limits hold in both directions, every byte of the input must be consumed, and what is signed or hashed goes
//! through [`decode_canonical`], which accepts exactly the bytes that [`encode`] writes.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Why bytes are not a value, or a value not bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The encoded form is larger than the caller allows.
    #[error("the encoded value has {size} bytes, allowed are 0 to {limit}")]
    TooLarge {
        /// Size of the encoded form in bytes.
        size: usize,
        /// The caller's limit in bytes.
        limit: usize,
    },
    /// The bytes do not decode to the wanted type.
    #[error("the bytes do not decode: {reason}")]
    Malformed {
        /// What the decoder found.
        reason: String,
    },
    /// The value cannot be encoded.
    #[error("the value does not encode: {reason}")]
    Unencodable {
        /// What the encoder found.
        reason: String,
    },
    /// Bytes are left over behind the value.
    #[error("{rest} bytes are left over behind the value")]
    TrailingBytes {
        /// How many bytes were not consumed.
        rest: usize,
    },
    /// The value encodes to other bytes than the ones it was decoded from.
    #[error("the bytes are not the canonical form of their value")]
    NotCanonical,
}

const fn config<const LIMIT: usize>() -> impl bincode::config::Config {
    bincode::config::standard()
        .with_fixed_int_encoding()
        .with_limit::<LIMIT>()
}

/// The canonical bytes of `value`, at most `LIMIT` of them.
///
/// # Errors
/// [`CodecError::TooLarge`] above the limit, [`CodecError::Unencodable`] for types bincode cannot carry.
pub fn encode<const LIMIT: usize, T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, CodecError> {
    let bytes =
        bincode::serde::encode_to_vec(value, config::<LIMIT>()).map_err(|error| CodecError::Unencodable {
            reason: error.to_string(),
        })?;
    check_size(bytes.len(), LIMIT)?;
    Ok(bytes)
}

/// The value behind `bytes`, which must be consumed whole and have at most `LIMIT` bytes.
///
/// # Errors
/// [`CodecError::TooLarge`], [`CodecError::Malformed`] or [`CodecError::TrailingBytes`].
pub fn decode<const LIMIT: usize, T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    check_size(bytes.len(), LIMIT)?;
    let (value, used) = bincode::serde::decode_from_slice(bytes, config::<LIMIT>()).map_err(|error| {
        CodecError::Malformed {
            reason: error.to_string(),
        }
    })?;
    match bytes.len() - used {
        0 => Ok(value),
        rest => Err(CodecError::TrailingBytes { rest }),
    }
}

/// Like [`decode`], but accepts only the exact bytes that [`encode`] writes for the value.
///
/// # Errors
/// Those of [`decode`], and [`CodecError::NotCanonical`].
pub fn decode_canonical<const LIMIT: usize, T: DeserializeOwned + Serialize>(
    bytes: &[u8],
) -> Result<T, CodecError> {
    let value = decode::<LIMIT, T>(bytes)?;
    if encode::<LIMIT, T>(&value)? == bytes {
        Ok(value)
    } else {
        Err(CodecError::NotCanonical)
    }
}

const fn check_size(size: usize, limit: usize) -> Result<(), CodecError> {
    if size > limit {
        Err(CodecError::TooLarge { size, limit })
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde::Deserialize;
    use std::collections::BTreeMap;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    enum Message {
        Ping,
        Offer { bytes: u64, names: Vec<String> },
        Table(BTreeMap<u32, Option<bool>>),
    }

    fn message() -> impl Strategy<Value = Message> {
        prop_oneof![
            Just(Message::Ping),
            (any::<u64>(), prop::collection::vec(".{0,8}", 0..4))
                .prop_map(|(bytes, names)| Message::Offer { bytes, names }),
            prop::collection::btree_map(any::<u32>(), any::<Option<bool>>(), 0..4).prop_map(Message::Table),
        ]
    }

    proptest! {
        #[test]
        fn every_value_survives(value in message()) {
            let bytes = encode::<4096, _>(&value).expect("fits");
            prop_assert_eq!(decode_canonical::<4096, Message>(&bytes).expect("decodes"), value);
        }

        #[test]
        fn any_bytes_decode_or_fail_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(value) = decode_canonical::<4096, Message>(&bytes) {
                prop_assert_eq!(encode::<4096, _>(&value).expect("encodes"), bytes);
            }
        }

        #[test]
        fn trailing_bytes_are_refused(value in message(), tail in 1_usize..9) {
            let mut bytes = encode::<4096, _>(&value).expect("fits");
            bytes.extend(std::iter::repeat_n(0, tail));
            prop_assert_eq!(decode::<4096, Message>(&bytes), Err(CodecError::TrailingBytes { rest: tail }));
        }
    }

    #[test]
    fn limits_hold_in_both_directions() {
        let value = vec![0_u8; 100];
        assert_eq!(
            encode::<50, _>(&value),
            Err(CodecError::TooLarge { size: 108, limit: 50 })
        );
        let bytes = encode::<200, _>(&value).expect("fits");
        assert!(matches!(
            decode::<50, Vec<u8>>(&bytes),
            Err(CodecError::TooLarge { .. })
        ));
        // A length that promises far more than is there must not allocate it.
        let lie = u64::MAX.to_le_bytes();
        assert!(matches!(
            decode::<200, Vec<u8>>(&lie),
            Err(CodecError::Malformed { .. })
        ));
    }
}
