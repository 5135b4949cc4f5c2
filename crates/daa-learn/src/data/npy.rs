//! NumPy's npy format, versions 1 to 3: a magic, the length of a header, a Python dictionary with type, order and
//! shape, then the elements.
//!
//! The header is parsed here, without recursion and without trusting its length: a general parser of Python literals
//! can be driven to exhaust the stack or to allocate 4 GiB by twelve bytes.

use super::DataError;
use super::array::{Array, ByteOrder, ElementKind, decode};
use super::read::wrong_magic;

/// NumPy itself refuses longer headers.
const MAX_HEADER: usize = 10_000;

/// Decodes a whole npy file into an array with the last dimension fastest.
pub(super) fn decode_npy(file: &str, bytes: &[u8]) -> Result<Array, DataError> {
    let Some(rest) = bytes.strip_prefix(b"\x93NUMPY") else {
        return Err(wrong_magic(file, "an npy file", bytes));
    };
    let truncated = || DataError::Truncated {
        file: file.to_owned(),
        expected: "at least the header's".to_owned(),
        found: bytes.len() as u64,
    };
    let (length, start) = match *rest {
        [1, _, low, high, ..] => (usize::from(u16::from_le_bytes([low, high])), 10),
        [2 | 3, _, a, b, c, d, ..] => (u32::from_le_bytes([a, b, c, d]) as usize, 12),
        [version, ..] if !(1..=3).contains(&version) => {
            return Err(DataError::Unsupported {
                file: file.to_owned(),
                what: format!("npy format version {version}"),
                allowed: "read are 1 to 3",
            });
        }
        _ => return Err(truncated()),
    };
    let bad = |reason: String| DataError::BadHeader {
        file: file.to_owned(),
        reason,
    };
    if length > MAX_HEADER {
        return Err(bad(format!(
            "a header of {length} bytes, allowed are at most {MAX_HEADER}"
        )));
    }
    let text = bytes.get(start..start + length).ok_or_else(truncated)?;
    let text = std::str::from_utf8(text).map_err(|_| bad("not text".to_owned()))?;
    let header = Parser { rest: text }.dictionary().map_err(bad)?;
    let (kind, order) = element_kind(file, &header.descr)?;
    let dims = if header.shape.is_empty() {
        vec![1]
    } else {
        header.shape
    };
    let body = &bytes[start + length..];
    let array = if header.fortran {
        let turned: Vec<usize> = dims.iter().rev().copied().collect();
        from_fortran(decode(file, start + length, body, turned, kind, order)?, dims)
    } else {
        decode(file, start + length, body, dims, kind, order)?
    };
    Ok(array)
}

/// The element type behind a NumPy type string such as `<f4`.
fn element_kind(file: &str, descr: &str) -> Result<(ElementKind, ByteOrder), DataError> {
    let (order, name) = match descr.as_bytes() {
        [b'<' | b'|' | b'=', ..] => (ByteOrder::Little, &descr[1..]),
        [b'>', ..] => (ByteOrder::Big, &descr[1..]),
        _ => (ByteOrder::Little, descr),
    };
    let kind = match name {
        "u1" | "b1" => ElementKind::U8,
        "i1" => ElementKind::I8,
        "u2" => ElementKind::U16,
        "i2" => ElementKind::I16,
        "u4" => ElementKind::U32,
        "i4" => ElementKind::I32,
        "u8" => ElementKind::U64,
        "i8" => ElementKind::I64,
        "f4" => ElementKind::F32,
        "f8" => ElementKind::F64,
        _ => {
            return Err(DataError::Unsupported {
                file: file.to_owned(),
                what: format!("the element type \"{}\"", descr.escape_default()),
                allowed: "read are b1, i1 to i8, u1 to u8, f4 and f8",
            });
        }
    };
    Ok((kind, order))
}

/// Brings an array whose first dimension is fastest, decoded under its turned dimensions, into the usual order.
fn from_fortran(array: Array, dims: Vec<usize>) -> Array {
    if dims.len() < 2 {
        return Array { dims, ..array };
    }
    let count: usize = dims.iter().product();
    let mut strides = vec![1_usize; dims.len()];
    for axis in 1..dims.len() {
        strides[axis] = strides[axis - 1] * dims[axis - 1];
    }
    let mut order = Vec::with_capacity(count);
    let mut index = vec![0_usize; dims.len()];
    for _ in 0..count {
        order.push(index.iter().zip(&strides).map(|(at, stride)| at * stride).sum());
        for axis in (0..dims.len()).rev() {
            index[axis] += 1;
            if index[axis] < dims[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
    Array {
        dims,
        elements: array.elements.picked(&order),
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Header {
    descr: String,
    fortran: bool,
    shape: Vec<usize>,
}

/// Reads the one kind of dictionary that npy headers hold.
struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    /// Consumes `token` if it comes next.
    fn take(&mut self, token: &str) -> bool {
        self.skip_space();
        self.rest
            .strip_prefix(token)
            .map(|rest| self.rest = rest)
            .is_some()
    }

    fn expect(&mut self, token: &str) -> Result<(), String> {
        if self.take(token) {
            return Ok(());
        }
        let found: String = self.rest.chars().take(8).collect();
        Err(format!("expected `{token}` at \"{}\"", found.escape_default()))
    }

    fn quoted(&mut self) -> Result<&'a str, String> {
        let quote = if self.take("'") {
            '\''
        } else {
            self.expect("\"")?;
            '"'
        };
        let (text, rest) = self.rest.split_once(quote).ok_or("a quote is not closed")?;
        self.rest = rest;
        Ok(text)
    }

    fn number(&mut self) -> Result<usize, String> {
        self.skip_space();
        let end = self
            .rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(self.rest.len());
        let (digits, rest) = self.rest.split_at(end);
        self.rest = rest;
        // Python 2 wrote a long number with an L.
        self.take("L");
        digits
            .parse()
            .map_err(|_| format!("\"{digits}\" is no dimension"))
    }

    fn tuple(&mut self) -> Result<Vec<usize>, String> {
        self.expect("(")?;
        let mut numbers = Vec::new();
        while !self.take(")") {
            numbers.push(self.number()?);
            if numbers.len() > 32 {
                return Err("more than 32 dimensions".to_owned());
            }
            if !self.take(",") {
                self.expect(")")?;
                break;
            }
        }
        Ok(numbers)
    }

    fn dictionary(mut self) -> Result<Header, String> {
        let mut header = Header::default();
        let mut seen = [false; 3];
        self.expect("{")?;
        while !self.take("}") {
            let key = self.quoted()?;
            self.expect(":")?;
            let at = match key {
                "descr" => {
                    self.skip_space();
                    if self.rest.starts_with('[') {
                        "a record type".clone_into(&mut header.descr);
                        return Ok(header);
                    }
                    self.quoted()?.clone_into(&mut header.descr);
                    0
                }
                "fortran_order" => {
                    header.fortran = self.take("True");
                    if !header.fortran {
                        self.expect("False")?;
                    }
                    1
                }
                "shape" => {
                    header.shape = self.tuple()?;
                    2
                }
                other => return Err(format!("unknown key \"{}\"", other.escape_default())),
            };
            if std::mem::replace(&mut seen[at], true) {
                return Err(format!("the key \"{key}\" stands twice"));
            }
            if !self.take(",") {
                self.expect("}")?;
                break;
            }
        }
        if seen != [true; 3] {
            return Err("descr, fortran_order and shape are needed".to_owned());
        }
        self.skip_space();
        if self.rest.is_empty() {
            Ok(header)
        } else {
            Err("text behind the dictionary".to_owned())
        }
    }
}
