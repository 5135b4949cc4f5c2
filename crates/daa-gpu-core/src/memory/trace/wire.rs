//! The stored form of a trace.

use super::{EventError, FREE, MAX_EVENTS, MAX_NAME, MAX_TENANTS, Trace, TraceBuilder, Usage};
use std::io::{self, Read};

/// First byte and line end as in PNG: no text begins so, and a transfer that changes line ends is noticed.
pub(super) const MAGIC: [u8; 8] = *b"\x89DAATR\r\n";

const VERSION: u8 = 1;
const CHECKSUM: usize = 32;
/// Bytes that are asked for at once.
const CHUNK: usize = 64 * 1024;

/// Why bytes are not a trace.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TraceError {
    /// The source cannot be read.
    #[error("byte {offset}: cannot be read: {message}")]
    Io {
        /// Bytes read before.
        offset: u64,
        /// What kind of failure.
        kind: io::ErrorKind,
        /// The operating system's words.
        message: String,
    },
    /// The first bytes are others.
    #[error("byte {offset}: this is no memory trace: it must begin with {MAGIC:02X?}")]
    Magic {
        /// The first byte that differs.
        offset: u64,
    },
    /// A version that this program does not know.
    #[error("byte 8: the trace has version {found}, known is {VERSION}")]
    Version {
        /// The version.
        found: u8,
    },
    /// The bytes end too early.
    #[error("byte {offset}: the trace ends within {what}")]
    Truncated {
        /// Where it ends.
        offset: u64,
        /// What is missing or incomplete.
        what: &'static str,
    },
    /// More bytes than the caller allows.
    #[error("the trace has more than {limit} bytes, no more are allowed")]
    TooLarge {
        /// What the caller allows.
        limit: u64,
    },
    /// A number that is longer than it needs to be, or larger than 64 bits.
    #[error("byte {offset}: {what} is not a number of the shortest form in at most 64 bits")]
    Number {
        /// Its first byte.
        offset: u64,
        /// What it stands for.
        what: &'static str,
    },
    /// A number out of range.
    #[error("byte {offset}: {what} is {value}, allowed are {least} to {most}")]
    Range {
        /// Its first byte.
        offset: u64,
        /// What it stands for.
        what: &'static str,
        /// The number.
        value: u64,
        /// Least allowed.
        least: u64,
        /// Most allowed.
        most: u64,
    },
    /// A tenant's name is not UTF-8.
    #[error("byte {offset}: the name of tenant {tenant} is not UTF-8")]
    Name {
        /// The first byte of the name.
        offset: u64,
        /// Place of the tenant.
        tenant: u64,
    },
    /// An event that could not have happened.
    #[error("byte {offset}: event {event}: {source}")]
    Event {
        /// The first byte of the event.
        offset: u64,
        /// Its place, from 0.
        event: u64,
        /// What is wrong with it.
        source: EventError,
    },
    /// Something in the bytes was changed.
    #[error("byte {offset}: the checksum does not belong to the bytes before it")]
    Checksum {
        /// The first byte of the checksum.
        offset: u64,
    },
    /// Something follows.
    #[error("byte {offset}: the trace ends here, but the file goes on")]
    Trailing {
        /// The first byte behind the trace.
        offset: u64,
    },
}

impl TraceError {
    pub(super) fn io(offset: u64, error: &io::Error) -> Self {
        Self::Io {
            offset,
            kind: error.kind(),
            message: error.to_string(),
        }
    }
}

/// Appends a number in LEB128.
pub(super) fn push_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        // The low seven bits.
        bytes.push((value & 0x7F) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// The number at the start of `bytes`, which [`push_varint`] wrote, and what follows.
pub(super) fn read_varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    for (index, &byte) in bytes.iter().enumerate() {
        value |= u64::from(byte & 0x7F) << (7 * index);
        if byte < 0x80 {
            return Some((value, &bytes[index + 1..]));
        }
    }
    None
}

pub(super) fn encode(trace: &Trace) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(trace.body.len() + 256);
    bytes.extend_from_slice(&MAGIC);
    bytes.push(VERSION);
    push_varint(&mut bytes, trace.lost);
    push_varint(&mut bytes, trace.tenants.len() as u64);
    for name in &trace.tenants {
        push_varint(&mut bytes, name.len() as u64);
        bytes.extend_from_slice(name.as_bytes());
    }
    push_varint(&mut bytes, trace.events);
    bytes.extend_from_slice(&trace.body);
    let checksum = blake3::hash(&bytes);
    bytes.extend_from_slice(checksum.as_bytes());
    bytes
}

pub(super) fn decode(source: impl Read, limit: u64) -> Result<Trace, TraceError> {
    let mut input = Input::new(source, limit);
    input.magic()?;
    let mut builder = TraceBuilder::new();
    builder.lost(input.varint("the number of lost allocations")?);
    tenants(&mut input, &mut builder)?;
    let events = input.ranged("the number of events", 0, MAX_EVENTS)?;
    for event in 0..events {
        next_event(&mut input, &mut builder, event)?;
    }
    input.checksum()?;
    Ok(builder.finish())
}

fn tenants<R: Read>(input: &mut Input<R>, builder: &mut TraceBuilder) -> Result<(), TraceError> {
    let tenants = input.ranged("the number of tenants", 0, MAX_TENANTS as u64)?;
    let mut name = [0; MAX_NAME];
    for tenant in 0..tenants {
        let length = input.ranged("the length of a tenant's name", 1, MAX_NAME as u64)?;
        let offset = input.offset;
        // At most 256.
        let name = &mut name[..length as usize];
        input.fill(name, "a tenant's name")?;
        let name = std::str::from_utf8(name).map_err(|_| TraceError::Name { offset, tenant })?;
        builder.tenant(name).map_err(|source| TraceError::Event {
            offset,
            event: 0,
            source,
        })?;
    }
    Ok(())
}

fn next_event<R: Read>(
    input: &mut Input<R>,
    builder: &mut TraceBuilder,
    event: u64,
) -> Result<(), TraceError> {
    let offset = input.offset;
    let head = input.varint("an event")?;
    // A sum beyond 64 bits is beyond the last tick too.
    let tick = builder.tick.saturating_add(head >> 3);
    let wrong = |source| TraceError::Event {
        offset,
        event,
        source,
    };
    if let Some(&usage) = Usage::ALL.get((head & 7) as usize) {
        let bytes = input.varint("the size of an allocation")?;
        let tenant = input.varint("the tenant of an allocation")?;
        let tenant = u32::try_from(tenant).map_err(|_| {
            let tenants = builder.trace.tenants.len();
            wrong(EventError::Tenant { tenant, tenants })
        })?;
        builder.allocate(tick, tenant, usage, bytes).map_err(wrong)?;
        return Ok(());
    }
    if head & 7 != FREE {
        return Err(TraceError::Range {
            offset,
            what: "the kind of an event that does not allocate",
            value: head & 7,
            least: FREE,
            most: FREE,
        });
    }
    let place = input.offset;
    let back = input.varint("the allocation that is freed")?;
    let made = u64::from(builder.trace.allocations);
    if back == 0 || back > made {
        return Err(TraceError::Range {
            offset: place,
            what: "how many allocations ago the freed one was made",
            value: back,
            least: 1,
            most: made,
        });
    }
    let id = u32::try_from(made - back).unwrap_or(u32::MAX);
    builder.free(tick, id).map_err(wrong)
}

/// A reader that counts, hashes and stops at a limit.
struct Input<R> {
    source: R,
    chunk: Vec<u8>,
    /// The part of `chunk` that is not consumed yet.
    next: usize,
    filled: usize,
    offset: u64,
    limit: u64,
    hasher: blake3::Hasher,
    /// The part of `chunk` before this is hashed.
    hashed: usize,
}

impl<R: Read> Input<R> {
    fn new(source: R, limit: u64) -> Self {
        Self {
            source,
            chunk: vec![0; CHUNK],
            next: 0,
            filled: 0,
            offset: 0,
            limit,
            hasher: blake3::Hasher::new(),
            hashed: 0,
        }
    }

    fn hash(&mut self) {
        self.hasher.update(&self.chunk[self.hashed..self.next]);
        self.hashed = self.next;
    }

    /// Whether there is one more byte.
    fn has_next(&mut self) -> Result<bool, TraceError> {
        if self.next < self.filled {
            return Ok(true);
        }
        self.hash();
        self.filled = loop {
            match self.source.read(&mut self.chunk) {
                Ok(read) => break read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(TraceError::io(self.offset, &error)),
            }
        };
        (self.next, self.hashed) = (0, 0);
        if self.offset + self.filled as u64 > self.limit {
            return Err(TraceError::TooLarge { limit: self.limit });
        }
        Ok(self.filled > 0)
    }

    fn byte(&mut self, what: &'static str) -> Result<u8, TraceError> {
        if !self.has_next()? {
            let offset = self.offset;
            return Err(TraceError::Truncated { offset, what });
        }
        let byte = self.chunk[self.next];
        self.next += 1;
        self.offset += 1;
        Ok(byte)
    }

    fn fill(&mut self, bytes: &mut [u8], what: &'static str) -> Result<(), TraceError> {
        for byte in bytes {
            *byte = self.byte(what)?;
        }
        Ok(())
    }

    fn magic(&mut self) -> Result<(), TraceError> {
        for expected in MAGIC {
            let offset = self.offset;
            if self.byte("the magic bytes")? != expected {
                return Err(TraceError::Magic { offset });
            }
        }
        match self.byte("the version")? {
            VERSION => Ok(()),
            found => Err(TraceError::Version { found }),
        }
    }

    fn varint(&mut self, what: &'static str) -> Result<u64, TraceError> {
        let offset = self.offset;
        let mut value = 0_u64;
        for index in 0..10 {
            let byte = self.byte(what)?;
            let bits = u64::from(byte & 0x7F);
            // The tenth byte holds the last bit; a last byte of 0 could be left out.
            if (index == 9 && byte > 1) || (index > 0 && byte == 0) {
                break;
            }
            value |= bits << (7 * index);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(TraceError::Number { offset, what })
    }

    fn ranged(&mut self, what: &'static str, least: u64, most: u64) -> Result<u64, TraceError> {
        let offset = self.offset;
        let value = self.varint(what)?;
        if (least..=most).contains(&value) {
            return Ok(value);
        }
        Err(TraceError::Range {
            offset,
            what,
            value,
            least,
            most,
        })
    }

    /// The checksum, and nothing behind it.
    fn checksum(&mut self) -> Result<(), TraceError> {
        let offset = self.offset;
        self.hash();
        let expected = self.hasher.finalize();
        let mut found = [0; CHECKSUM];
        self.fill(&mut found, "the checksum")?;
        if found != *expected.as_bytes() {
            return Err(TraceError::Checksum { offset });
        }
        if self.has_next()? {
            return Err(TraceError::Trailing { offset: self.offset });
        }
        Ok(())
    }
}
