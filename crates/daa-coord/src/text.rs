//! Short texts that people read: bounded, one line, free of control characters.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Why a text is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TextError {
    /// The text is longer than [`ShortText::MAX_BYTES`].
    #[error("the text has {bytes} bytes, allowed are 0 to {}", ShortText::MAX_BYTES)]
    TooLong {
        /// Its length in bytes.
        bytes: usize,
    },
    /// The text holds a line break or another control character.
    #[error("the text holds the control character U+{code:04X}; it must be one printable line")]
    ControlCharacter {
        /// The character's code point.
        code: u32,
    },
}

/// One printable line of at most [`ShortText::MAX_BYTES`] bytes of UTF-8.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ShortText(String);

impl ShortText {
    /// The largest length in bytes.
    pub const MAX_BYTES: usize = 96;

    /// The text as given.
    ///
    /// # Errors
    /// [`TextError`] when it is too long or holds control characters.
    pub fn new(text: impl Into<String>) -> Result<Self, TextError> {
        let text = text.into();
        if text.len() > Self::MAX_BYTES {
            return Err(TextError::TooLong { bytes: text.len() });
        }
        match text.chars().find(|c| c.is_control()) {
            Some(c) => Err(TextError::ControlCharacter { code: u32::from(c) }),
            None => Ok(Self(text)),
        }
    }

    /// The text made to fit: control characters become spaces, what is too long is cut.
    #[must_use]
    pub fn fitted(text: &str) -> Self {
        let mut fitted = String::new();
        for c in text.chars() {
            let c = if c.is_control() { ' ' } else { c };
            if fitted.len() + c.len_utf8() > Self::MAX_BYTES {
                break;
            }
            fitted.push(c);
        }
        Self(fitted)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ShortText {
    type Error = TextError;
    fn try_from(text: String) -> Result<Self, TextError> {
        Self::new(text)
    }
}

impl From<ShortText> for String {
    fn from(text: ShortText) -> Self {
        text.0
    }
}

impl fmt::Display for ShortText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use daa_base::codec;
    use proptest::prelude::*;

    #[test]
    fn long_and_unprintable_texts_are_refused() {
        assert_eq!(
            ShortText::new("x".repeat(97)),
            Err(TextError::TooLong { bytes: 97 })
        );
        assert_eq!(
            ShortText::new("a\u{1b}[2J"),
            Err(TextError::ControlCharacter { code: 27 })
        );
        let bytes = codec::encode::<200, _>("two\nlines").expect("fits");
        assert!(
            codec::decode::<200, ShortText>(&bytes).is_err(),
            "decoding checks as well"
        );
    }

    proptest! {
        #[test]
        fn a_fitted_text_is_always_allowed(text in any::<String>()) {
            let fitted = ShortText::fitted(&text);
            prop_assert_eq!(ShortText::new(fitted.as_str()), Ok(fitted.clone()));
        }
    }
}
