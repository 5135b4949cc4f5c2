//! `daa keys`: secret keys in files.

use crate::args::{Global, KeysArgs, KeysCommand, KeysNewArgs, Output};
use crate::exit::{Exit, Failure};
use crate::messages::Messages;
use crate::output;
use daa_coord::keystore::{self, Existing, KeyFileError};
use daa_coord::{AgentKey, PublicKey};
use serde::Serialize;
use std::path::Path;

const SCHEMA: &str = "daa.keys/1";

/// What `-o json` prints.
#[derive(Debug, Serialize)]
struct Report {
    schema: &'static str,
    file: String,
    public: String,
}

pub(crate) fn command(global: &Global, args: &KeysArgs, messages: &Messages) -> Result<Exit, Failure> {
    match &args.command {
        KeysCommand::New(args) => make(global, args, messages),
        KeysCommand::Show(args) => report(global, &args.file, load(&args.file)?),
    }
}

fn make(global: &Global, args: &KeysNewArgs, messages: &Messages) -> Result<Exit, Failure> {
    let existing = existing(args.force);
    let key = keystore::generate().map_err(failure)?;
    keystore::save(&args.file, &key, existing).map_err(failure)?;
    messages.note(&format!(
        "the secret key is in {}: keep it to yourself, and keep a copy",
        args.file.display()
    ));
    report(global, &args.file, key.public())
}

fn report(global: &Global, file: &Path, public: PublicKey) -> Result<Exit, Failure> {
    let public = public.to_hex();
    match global.output {
        Output::Text => output::text(&format!("{public}\n"))?,
        Output::Json => output::json(&Report {
            schema: SCHEMA,
            file: file.display().to_string(),
            public,
        })?,
    }
    Ok(Exit::Done)
}

/// The public half of a key file.
pub(crate) fn load(file: &Path) -> Result<PublicKey, Failure> {
    Ok(secret(file)?.public())
}

/// A key file.
pub(crate) fn secret(file: &Path) -> Result<AgentKey, Failure> {
    keystore::load(file).map_err(failure)
}

/// What `--force` means.
pub(crate) const fn existing(force: bool) -> Existing {
    if force { Existing::Replace } else { Existing::Keep }
}

fn failure(error: KeyFileError) -> Failure {
    let exit = match error {
        KeyFileError::Random { .. } => Exit::Unexpected,
        _ => Exit::Input,
    };
    let hint = error.hint();
    let failure = Failure::new(exit, error);
    match hint {
        Some(hint) => failure.with_hint(hint),
        None => failure,
    }
}
