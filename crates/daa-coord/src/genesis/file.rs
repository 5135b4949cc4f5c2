//! A genesis as a file that people read, compare and edit: JSON.
//!
//! ```json
//! {
//!   "schema": "daa.genesis/1",
//!   "name": "lab",
//!   "operator": "64 hexadecimal digits",
//!   "validators": [{ "key": "64 hexadecimal digits", "power": 1 }],
//!   "members": [{ "agent": 1, "owner": 1, "key": "64 hexadecimal digits" }],
//!   "rules": { "every field of LedgerConfig": 0 }
//! }
//! ```
//!
//! Every field is there and no other: a misspelt rule is an error and not a default. The file is not what replicas agree
//! on; the [`ChainId`](super::ChainId) is, and it does not depend on blanks, or on the order of fields, validators or
//! members.

use super::{ConfigError, Genesis, LedgerConfig, Member};
use crate::keys::{HexError, PublicKey};
use crate::keystore::{self, Access, Existing, WriteFault};
use crate::text::{ShortText, TextError};
use crate::validators::{MAX_VALIDATORS, Validator, ValidatorError, ValidatorSet};
use daa_base::{AgentId, OwnerId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// The value of `schema`.
pub const SCHEMA: &str = "daa.genesis/1";

/// Largest genesis file in bytes.
pub const MAX_GENESIS_FILE: u64 = 64 << 10;

/// Why a text is not a genesis.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GenesisTextError {
    /// It is too long.
    #[error("it has {bytes} bytes, allowed are 0 to {MAX_GENESIS_FILE}")]
    TooLarge {
        /// Its length in bytes, or one more than allowed.
        bytes: u64,
    },
    /// It is not JSON of this form.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// It is of another version, or something else.
    #[error("schema is `{found}`, this version reads `{SCHEMA}`")]
    Schema {
        /// The value found, cut.
        found: ShortText,
    },
    /// A field that does not exist.
    #[error("`{field}` is not a field of a genesis")]
    Unknown {
        /// Its path from the top, cut.
        field: ShortText,
    },
    /// A key is not written as one.
    #[error("{field}: {source}")]
    Key {
        /// Which one.
        field: String,
        /// What is wrong.
        source: HexError,
    },
    /// The name is refused.
    #[error("name: {0}")]
    Name(#[from] TextError),
    /// The validators are refused.
    #[error("validators: {0}")]
    Validators(#[from] ValidatorError),
    /// The rules, the operator's key or the members are refused.
    #[error("{0}")]
    Config(#[from] ConfigError),
}

/// Why a genesis file cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GenesisFileError {
    /// There is a file already.
    #[error("{}: there is a file already", path.display())]
    Exists {
        /// The path.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("{}: cannot {action}: {source}", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What it said.
        source: io::Error,
    },
    /// The content is not a genesis.
    #[error("{}: {source}", path.display())]
    Content {
        /// The path.
        path: PathBuf,
        /// What is wrong.
        source: GenesisTextError,
    },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    schema: String,
    name: String,
    operator: String,
    validators: Vec<Named>,
    members: Vec<Taking>,
    rules: LedgerConfig,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    key: String,
    power: u64,
}

/// A member.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Taking {
    agent: u32,
    owner: u32,
    key: String,
}

/// The genesis as the text of a file, ending in a line break.
///
/// # Panics
/// Never: every field has a form in JSON.
#[must_use]
pub fn to_text(genesis: &Genesis) -> String {
    let document = document(genesis);
    let mut text = serde_json::to_string_pretty(&document).expect("texts and integers have a form in JSON");
    text.push('\n');
    text
}

fn document(genesis: &Genesis) -> Document {
    let validators = genesis.validators().as_slice().iter();
    Document {
        schema: SCHEMA.to_owned(),
        name: genesis.name().to_owned(),
        operator: genesis.operator().to_hex(),
        validators: validators
            .map(|validator| Named {
                key: validator.key.to_hex(),
                power: validator.power,
            })
            .collect(),
        members: genesis
            .members()
            .iter()
            .map(|member| Taking {
                agent: member.agent.get(),
                owner: member.owner.get(),
                key: member.key.to_hex(),
            })
            .collect(),
        rules: genesis.config().clone(),
    }
}

/// The genesis in `text`.
///
/// # Errors
/// [`GenesisTextError`].
pub fn from_text(text: &str) -> Result<Genesis, GenesisTextError> {
    let bytes = text.len() as u64;
    if bytes > MAX_GENESIS_FILE {
        return Err(GenesisTextError::TooLarge { bytes });
    }
    let given: Value = serde_json::from_str(text)?;
    // Asked first: another version may have other fields.
    match given.get("schema") {
        Some(Value::String(schema)) if schema != SCHEMA => {
            let found = ShortText::fitted(schema);
            return Err(GenesisTextError::Schema { found });
        }
        _ => {}
    }
    // From the text again: a field given twice is an error here, and lost in `given`.
    let document: Document = serde_json::from_str(text)?;
    if let Some(field) = unknown("", &given, &serde_json::to_value(&document)?) {
        return Err(GenesisTextError::Unknown {
            field: ShortText::fitted(&field),
        });
    }
    genesis(document)
}

/// The first field of `given` that `known` lacks. The rules' own type reads over fields that it does not know.
fn unknown(path: &str, given: &Value, known: &Value) -> Option<String> {
    match (given, known) {
        (Value::Object(given), Value::Object(known)) => given.iter().find_map(|(name, given)| {
            let path = if path.is_empty() {
                name.clone()
            } else {
                format!("{path}.{name}")
            };
            match known.get(name) {
                Some(known) => unknown(&path, given, known),
                None => Some(path),
            }
        }),
        (Value::Array(given), Value::Array(known)) => given
            .iter()
            .zip(known)
            .enumerate()
            .find_map(|(at, (given, known))| unknown(&format!("{path}[{at}]"), given, known)),
        _ => None,
    }
}

fn genesis(document: Document) -> Result<Genesis, GenesisTextError> {
    let key = |field: String, text: &str| {
        PublicKey::from_hex(text).map_err(|source| GenesisTextError::Key { field, source })
    };
    let found = document.validators.len();
    if found > MAX_VALIDATORS {
        return Err(ValidatorError::TooMany { found }.into());
    }
    let validators = document.validators.iter().enumerate().map(|(at, named)| {
        Ok(Validator {
            key: key(format!("validators[{at}].key"), &named.key)?,
            power: named.power,
        })
    });
    let validators: Result<Vec<_>, GenesisTextError> = validators.collect();
    let validators = ValidatorSet::new(validators?)?;
    let members = document.members.iter().enumerate().map(|(at, member)| {
        Ok(Member {
            agent: AgentId(member.agent),
            owner: OwnerId(member.owner),
            key: key(format!("members[{at}].key"), &member.key)?,
        })
    });
    let members: Result<Vec<_>, GenesisTextError> = members.collect();
    let name = ShortText::new(document.name)?;
    let operator = key("operator".to_owned(), &document.operator)?;
    let genesis = Genesis::new(name, operator, document.rules)?.with_validators(validators);
    Ok(genesis.with_members(members?)?)
}

/// Writes a genesis to `path`, whole or not at all.
///
/// # Errors
/// [`GenesisFileError::Exists`] or [`GenesisFileError::Io`].
pub fn save(path: &Path, genesis: &Genesis, existing: Existing) -> Result<(), GenesisFileError> {
    let text = to_text(genesis);
    keystore::write_whole(path, text.as_bytes(), Access::All, existing).map_err(|fault| {
        let path = path.to_owned();
        match fault {
            WriteFault::Exists => GenesisFileError::Exists { path },
            WriteFault::Io(action, source) => GenesisFileError::Io { path, action, source },
        }
    })
}

/// Reads the genesis in `path`.
///
/// # Errors
/// [`GenesisFileError::Io`] or [`GenesisFileError::Content`].
pub fn load(path: &Path) -> Result<Genesis, GenesisFileError> {
    let io = |source| GenesisFileError::Io {
        path: path.to_owned(),
        action: "read",
        source,
    };
    let content = |source| GenesisFileError::Content {
        path: path.to_owned(),
        source,
    };
    // Opening a pipe waits for its writer.
    if !fs::metadata(path).map_err(io)?.is_file() {
        return Err(io(io::Error::other("not a regular file")));
    }
    let mut text = String::new();
    let mut file = File::open(path).map_err(io)?.take(MAX_GENESIS_FILE + 1);
    file.read_to_string(&mut text).map_err(io)?;
    from_text(&text).map_err(content)
}

#[cfg(test)]
mod tests;
