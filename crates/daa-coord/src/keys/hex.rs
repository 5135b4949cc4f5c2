//! 32 bytes as 64 hexadecimal digits, and back.

use std::fmt::Write as _;

/// Why a text is not 32 bytes in hexadecimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HexError {
    /// It is too short or too long.
    #[error("it has {found} bytes, allowed are exactly 64 hexadecimal digits")]
    Length {
        /// Its length in bytes.
        found: usize,
    },
    /// It holds something else than digits.
    #[error("byte {at} is no hexadecimal digit; allowed are 0-9, a-f and A-F")]
    Digit {
        /// Where, from 0.
        at: usize,
    },
}

pub(super) fn encode(bytes: &[u8; 32]) -> String {
    bytes.iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

pub(crate) fn decode(text: &str) -> Result<[u8; 32], HexError> {
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return Err(HexError::Length { found: digits.len() });
    }
    let mut bytes = [0; 32];
    for (at, &digit) in digits.iter().enumerate() {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            b'A'..=b'F' => digit - b'A' + 10,
            _ => return Err(HexError::Digit { at }),
        };
        bytes[at / 2] = bytes[at / 2] << 4 | value;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bytes_survive_their_text(bytes: [u8; 32]) {
            let text = encode(&bytes);
            prop_assert_eq!(decode(&text), Ok(bytes));
            prop_assert_eq!(decode(&text.to_uppercase()), Ok(bytes));
        }

        #[test]
        fn any_text_decodes_or_is_refused(text in ".{0,70}") {
            if let Ok(bytes) = decode(&text) {
                prop_assert_eq!(encode(&bytes), text.to_lowercase());
            }
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(decode("00"), Err(HexError::Length { found: 2 }));
        let text = format!("{}g", "0".repeat(63));
        assert_eq!(decode(&text), Err(HexError::Digit { at: 63 }));
        // 64 bytes, 63 characters.
        let text = format!("{}é", "0".repeat(62));
        assert_eq!(decode(&text), Err(HexError::Digit { at: 62 }));
    }
}
