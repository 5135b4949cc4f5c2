//! `daa genesis`: what the nodes of one ledger agree on before its first block.

use crate::args::{GenesisArgs, GenesisCommand, GenesisNewArgs, Global, Output};
use crate::exit::{Exit, Failure};
use crate::keys;
use crate::messages::Messages;
use crate::output;
use daa_agent::NodeError;
use daa_base::{AgentId, OwnerId};
use daa_coord::genesis::file::{self, GenesisFileError};
use daa_coord::keys::Digest;
use daa_coord::log::engine::EngineNode;
use daa_coord::{Genesis, LedgerConfig, Member, PublicKey, ShortText, Validator, ValidatorSet};
use serde::Serialize;
use std::path::Path;

const SCHEMA: &str = "daa.genesis.report/1";

/// What `-o json` prints.
#[derive(Debug, Serialize)]
struct Report<'a> {
    schema: &'static str,
    file: String,
    chain: String,
    name: &'a str,
    operator: String,
    validators: Vec<Named>,
    members: Vec<Taking>,
    total_power: u64,
    quorum_power: u64,
    tolerated_power: u64,
    rules: &'a LedgerConfig,
    warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Named {
    key: String,
    power: u64,
}

#[derive(Debug, Serialize)]
struct Taking {
    agent: u32,
    owner: u32,
    key: String,
}

pub(crate) fn command(global: &Global, args: &GenesisArgs, messages: &Messages) -> Result<Exit, Failure> {
    let (path, genesis) = match &args.command {
        GenesisCommand::New(args) => (&args.file, make(args)?),
        GenesisCommand::Show(args) | GenesisCommand::Check(args) => {
            (&args.file, file::load(&args.file).map_err(failure)?)
        }
    };
    if matches!(args.command, GenesisCommand::Check(_)) {
        can_start(&genesis)?;
    }
    let report = report(path, &genesis);
    if global.output == Output::Json {
        output::json(&report)?;
        return Ok(Exit::Done);
    }
    for warning in &report.warnings {
        messages.warning(warning);
    }
    let text = match &args.command {
        GenesisCommand::New(_) | GenesisCommand::Check(_) => summary(&report),
        GenesisCommand::Show(_) => format!("{}{}", summary(&report), details(&report)),
    };
    output::text(&text)?;
    Ok(Exit::Done)
}

fn make(args: &GenesisNewArgs) -> Result<Genesis, Failure> {
    let name = ShortText::new(args.name.as_str()).map_err(|error| wrong(format!("--name: {error}")))?;
    let operator = key(&args.operator)?;
    let mut validators = Vec::new();
    for text in &args.validators {
        let (named, power) = match text.rsplit_once('=') {
            None => (text.as_str(), 1),
            Some((named, power)) => {
                let power = power.parse().map_err(|_| {
                    wrong(format!(
                        "--validator {text}: `{power}` is no weight, allowed are 1 to 4294967296"
                    ))
                })?;
                (named, power)
            }
        };
        let key = key(named)?;
        validators.push(Validator { key, power });
    }
    let members = members(&args.members, &validators)?;
    let validators = ValidatorSet::new(validators).map_err(|error| wrong(format!("--validator: {error}")))?;
    let genesis = Genesis::new(name, operator, LedgerConfig::default())
        .map_err(|error| wrong(error.to_string()))?
        .with_validators(validators)
        .with_members(members)
        .map_err(|error| wrong(format!("--member: {error}")))?;
    file::save(&args.file, &genesis, keys::existing(args.force)).map_err(failure)?;
    Ok(genesis)
}

fn wrong(text: String) -> Failure {
    Failure::text(Exit::Usage, text).with_hint("`daa help genesis new` lists the flags")
}

/// The agents that are named, or the validators when none is.
fn members(named: &[String], validators: &[Validator]) -> Result<Vec<Member>, Failure> {
    let member = |(agent, owner, key)| Member {
        agent: AgentId(agent),
        owner: OwnerId(owner),
        key,
    };
    if named.is_empty() {
        let nodes = (1..).zip(validators);
        return Ok(nodes.map(|(n, node)| member((n, n, node.key))).collect());
    }
    let named = (1..).zip(named).map(|(agent, text)| {
        let (named, owner) = text
            .rsplit_once('=')
            .ok_or_else(|| wrong(format!("--member {text}: it has no owner, as in KEY=OWNER")))?;
        let owner = owner.parse().map_err(|_| {
            wrong(format!(
                "--member {text}: `{owner}` is no owner, allowed are 0 to {}",
                u32::MAX
            ))
        })?;
        Ok(member((agent, owner, key(named)?)))
    });
    named.collect()
}

/// Whether nodes start with it.
fn can_start(genesis: &Genesis) -> Result<(), Failure> {
    if genesis.validators().is_empty() {
        return Ok(());
    }
    EngineNode::accepts(genesis).map_err(|error| NodeError::from(error).into())
}

/// A genesis file.
pub(crate) fn load(path: &Path) -> Result<Genesis, Failure> {
    file::load(path).map_err(failure)
}

/// A public key as digits, or that of a key file.
pub(crate) fn key(text: &str) -> Result<PublicKey, Failure> {
    match PublicKey::from_hex(text) {
        Ok(key) => Ok(key),
        Err(error) if !Path::new(text).exists() => {
            let told = format!("`{text}` is neither a key file nor a public key: {error}");
            Err(Failure::text(Exit::Input, told).with_hint("`daa keys show FILE` prints a public key"))
        }
        Err(_) => keys::load(Path::new(text)),
    }
}

fn report<'a>(path: &Path, genesis: &'a Genesis) -> Report<'a> {
    let validators = genesis.validators();
    let total = validators.total_power();
    let rule = genesis.quorum();
    // More than this part of the whole: a weight is below 2³⁹, and the numerator below 1000.
    let quorum = if total == 0 {
        0
    } else {
        rule.numerator * total / rule.denominator + 1
    };
    let tolerated = total.saturating_sub(quorum);
    Report {
        schema: SCHEMA,
        file: path.display().to_string(),
        chain: Digest(genesis.chain_id().0).to_string(),
        name: genesis.name(),
        operator: genesis.operator().to_hex(),
        validators: validators
            .as_slice()
            .iter()
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
        total_power: total,
        quorum_power: quorum,
        tolerated_power: tolerated,
        rules: genesis.config(),
        warnings: warnings(genesis, quorum),
    }
}

/// What nodes would start with but people may not want; `quorum` is the least weight that decides.
fn warnings(genesis: &Genesis, quorum: u64) -> Vec<String> {
    let (validators, rule) = (genesis.validators(), genesis.quorum());
    let total = validators.total_power();
    let tolerated = total.saturating_sub(quorum);
    let mut warnings = Vec::new();
    let threshold = genesis.config().consensus_threshold.get();
    if (1..=666).contains(&threshold) {
        warnings.push(format!(
            "consensus_threshold is {threshold}, less than is safe: decisions need {rule} all the same"
        ));
    }
    if quorum > total {
        warnings.push("nothing can be decided: more than the whole weight would be needed".to_owned());
    }
    if validators.is_empty() {
        warnings.push(
            "there are no validators: one process orders commands by itself, and must be trusted".to_owned(),
        );
    } else if !validators
        .as_slice()
        .iter()
        .any(|validator| validator.power <= tolerated)
    {
        warnings.push("the validators survive no fault: four of equal weight survive one".to_owned());
    }
    for validator in validators.as_slice() {
        if validators.len() > 1 && validator.power > tolerated && tolerated > 0 {
            let key = validator.key.to_hex();
            warnings.push(format!(
                "nothing is decided without {key}: it has a third of the weight or more"
            ));
        }
    }
    for validator in validators.as_slice() {
        if !genesis.members().iter().any(|member| member.key == validator.key) {
            let key = validator.key.to_hex();
            warnings.push(format!(
                "{key} votes, but is no member: its node can offer no device and ask for none until the operator registers it"
            ));
        }
    }
    warnings
}

fn summary(report: &Report<'_>) -> String {
    output::fields(&[
        ("chain", report.chain.clone()),
        ("name", report.name.to_owned()),
        ("operator", report.operator.clone()),
        ("validators", report.validators.len().to_string()),
        ("members", report.members.len().to_string()),
        (
            "to decide",
            format!("{} of {}", report.quorum_power, report.total_power),
        ),
        ("may fail", report.tolerated_power.to_string()),
    ])
}

fn details(report: &Report<'_>) -> String {
    let rows: Vec<Vec<String>> = report
        .validators
        .iter()
        .map(|validator| vec![validator.key.clone(), validator.power.to_string()])
        .collect();
    let members: Vec<Vec<String>> = report
        .members
        .iter()
        .map(|member| {
            vec![
                member.agent.to_string(),
                member.owner.to_string(),
                member.key.clone(),
            ]
        })
        .collect();
    let rules = serde_json::to_value(report.rules);
    let rules: Vec<Vec<String>> = match &rules {
        Ok(serde_json::Value::Object(fields)) => fields
            .iter()
            .map(|(name, value)| vec![name.clone(), value.to_string()])
            .collect(),
        _ => Vec::new(),
    };
    format!(
        "\n{}\n{}\n{}",
        output::table(&["validator", "power"], &rows),
        output::table(&["agent", "owner", "member"], &members),
        output::table(&["rule", "value"], &rules)
    )
}

fn failure(error: GenesisFileError) -> Failure {
    let hint = match &error {
        GenesisFileError::Exists { .. } => "choose another name, or give --force: the old one is then lost",
        GenesisFileError::Content { .. } => "`daa genesis new FILE` writes one with every field",
        _ => "`daa genesis new FILE` makes one",
    };
    Failure::new(Exit::Input, error).with_hint(hint)
}
