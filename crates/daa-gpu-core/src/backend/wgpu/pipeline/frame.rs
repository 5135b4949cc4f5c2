//! The bytes of a pipeline file. Reading trusts none of them.
//!
//! ```text
//!  0  magic "DAA-PIPE"
//!  8  version, u32             (integers are little-endian)
//! 12  length of the identity, u32
//! 16  number of keys, u32
//! 20  zero, u32
//! 24  length of the driver's data, u64
//! 32  BLAKE3 of bytes 0 to 31 and of everything from 64 on
//! 64  identity, keys of 32 bytes each in ascending order, data; nothing after
//! ```

use super::key::{Digest, Identity, MAX_IDENTITY};
use std::collections::BTreeSet;
use std::fmt;

const MAGIC: [u8; 8] = *b"DAA-PIPE";
const VERSION: u32 = 1;
const HEADER: usize = 64;

/// Largest file that is read or written.
pub(super) const MAX_FILE: u64 = 64 << 20;

/// Keys listed in one file at most.
pub(super) const MAX_KEYS: usize = 4096;

/// What a driver saved, out of a file that passed every check: it was written by this crate, whole, for this adapter
/// and driver. Only [`decode`] makes one, which is what handing it to the driver relies on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Checked {
    keys: BTreeSet<Digest>,
    data: Vec<u8>,
}

impl Checked {
    pub(super) const fn keys(&self) -> &BTreeSet<Digest> {
        &self.keys
    }

    pub(crate) fn data(&self) -> &[u8] {
        &self.data
    }
}

/// Why a file is not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refused {
    TooLarge { bytes: u64 },
    Short,
    NotOurs,
    Version { found: u32 },
    Lengths,
    Checksum,
    Foreign,
    Exposed,
    Unreadable { message: String },
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { bytes } => write!(f, "it has {bytes} bytes, allowed are up to {MAX_FILE}"),
            Self::Short => write!(f, "it ends within its header of {HEADER} bytes"),
            Self::NotOurs => f.write_str("it is no pipeline file"),
            Self::Version { found } => write!(f, "its version is {found}, this is {VERSION}"),
            Self::Lengths => f.write_str("its parts are not as long as its header says"),
            Self::Checksum => f.write_str("its checksum is wrong"),
            Self::Foreign => f.write_str("it is of another adapter or driver"),
            Self::Exposed => f.write_str("others may write it or its folder, or it belongs to somebody else"),
            Self::Unreadable { message } => write!(f, "it cannot be read: {message}"),
        }
    }
}

/// The bytes of a file, or `None` when they would be too many.
pub(super) fn encode(identity: &Identity, keys: &BTreeSet<Digest>, data: &[u8]) -> Option<Vec<u8>> {
    let identity = identity.as_bytes();
    let total = HEADER + identity.len() + 32 * keys.len() + data.len();
    if total as u64 > MAX_FILE || keys.len() > MAX_KEYS || identity.len() > MAX_IDENTITY {
        return None;
    }
    let mut bytes = Vec::with_capacity(total);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&(identity.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&(keys.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&0_u32.to_le_bytes());
    bytes.extend_from_slice(&(data.len() as u64).to_le_bytes());
    bytes.extend_from_slice(&[0; 32]);
    bytes.extend_from_slice(identity);
    keys.iter().for_each(|key| bytes.extend_from_slice(&key.0));
    bytes.extend_from_slice(data);
    let sum = checksum(&bytes);
    bytes[32..HEADER].copy_from_slice(&sum);
    Some(bytes)
}

/// Checks all of `bytes`, and that they were written for `identity`.
pub(super) fn decode(bytes: &[u8], identity: &Identity) -> Result<Checked, Refused> {
    if bytes.len() as u64 > MAX_FILE {
        return Err(Refused::TooLarge {
            bytes: bytes.len() as u64,
        });
    }
    let word = |at: usize| -> Result<u32, Refused> {
        let word = bytes.get(at..at + 4).ok_or(Refused::Short)?;
        Ok(u32::from_le_bytes([word[0], word[1], word[2], word[3]]))
    };
    let body = bytes.get(HEADER..).ok_or(Refused::Short)?;
    if bytes[..8] != MAGIC {
        return Err(Refused::NotOurs);
    }
    let version = word(8)?;
    if version != VERSION {
        return Err(Refused::Version { found: version });
    }
    let (name, keys) = (word(12)? as usize, word(16)? as usize);
    let data = u64::from(word(24)?) | u64::from(word(28)?) << 32;
    let fixed = name as u64 + 32 * keys as u64;
    if name > MAX_IDENTITY
        || keys > MAX_KEYS
        || word(20)? != 0
        || fixed.checked_add(data) != Some(body.len() as u64)
    {
        return Err(Refused::Lengths);
    }
    if checksum(bytes) != bytes[32..HEADER] {
        return Err(Refused::Checksum);
    }
    let (name, rest) = body.split_at(name);
    if name != identity.as_bytes() {
        return Err(Refused::Foreign);
    }
    let (keys, data) = rest.split_at(32 * keys);
    let (keys, _) = keys.as_chunks::<32>();
    Ok(Checked {
        keys: keys.iter().copied().map(Digest).collect(),
        data: data.to_vec(),
    })
}

fn checksum(bytes: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&bytes[..32]).update(&bytes[HEADER..]);
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn identity() -> Identity {
        Identity::new("Vulkan\n1:2\ncard\ndriver\n1.0")
    }

    fn keys(seeds: &[u8]) -> BTreeSet<Digest> {
        seeds.iter().map(|seed| Digest([*seed; 32])).collect()
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(
            seeds in proptest::collection::vec(any::<u8>(), 0..8),
            data in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let keys = keys(&seeds);
            let bytes = encode(&identity(), &keys, &data).expect("small");
            let read = decode(&bytes, &identity()).expect("whole");
            prop_assert_eq!(read.keys(), &keys);
            prop_assert_eq!(read.data(), &data[..]);
        }

        #[test]
        fn no_damage_passes(
            data in proptest::collection::vec(any::<u8>(), 0..200),
            flips in proptest::collection::vec((any::<prop::sample::Index>(), 1_u8..), 1..4),
        ) {
            let whole = encode(&identity(), &keys(&[1, 2]), &data).expect("small");
            let mut bytes = whole.clone();
            for (at, flip) in &flips {
                bytes[at.index(whole.len())] ^= flip;
            }
            // Two flips of one byte may undo each other.
            prop_assert_eq!(decode(&bytes, &identity()).is_ok(), bytes == whole);
        }

        #[test]
        fn no_part_and_no_more_passes(
            data in proptest::collection::vec(any::<u8>(), 0..200),
            cut in any::<prop::sample::Index>(),
            more in proptest::collection::vec(any::<u8>(), 1..50),
        ) {
            let mut bytes = encode(&identity(), &keys(&[7]), &data).expect("small");
            prop_assert!(decode(&bytes[..cut.index(bytes.len())], &identity()).is_err());
            bytes.extend(more);
            prop_assert_eq!(decode(&bytes, &identity()), Err(Refused::Lengths));
        }

        #[test]
        fn any_bytes_are_refused_without_a_panic(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..200),
            ours in any::<bool>(),
        ) {
            if ours && bytes.len() >= 12 {
                bytes[..8].copy_from_slice(&MAGIC);
                bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
            }
            prop_assert!(decode(&bytes, &identity()).is_err());
        }
    }

    #[test]
    fn each_refusal_says_why() {
        let whole = encode(&identity(), &keys(&[1]), b"data").expect("small");
        assert_eq!(decode(&[], &identity()), Err(Refused::Short));
        assert_eq!(decode(&[0; 64], &identity()), Err(Refused::NotOurs));
        let mut newer = whole.clone();
        newer[8] = 9;
        assert_eq!(decode(&newer, &identity()), Err(Refused::Version { found: 9 }));
        assert_eq!(decode(&whole, &Identity::new("another")), Err(Refused::Foreign));
        let mut torn = whole;
        *torn.last_mut().expect("not empty") ^= 1;
        assert_eq!(decode(&torn, &identity()), Err(Refused::Checksum));
        let large = vec![0; usize::try_from(MAX_FILE).expect("fits") + 1];
        let bytes = MAX_FILE + 1;
        assert_eq!(decode(&large, &identity()), Err(Refused::TooLarge { bytes }));
        assert!(encode(&identity(), &keys(&[]), &large).is_none());
    }
}
