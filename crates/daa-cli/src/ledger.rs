//! `daa ledger`: what the validators of several machines have agreed on, and what the operator has them agree on.

use crate::args::{
    Global, LedgerArgs, LedgerCommand, MemberArgs, Output, PolicyName, QuotaArgs, ReachArgs, VerdictName,
};
use crate::exit::{Exit, Failure};
use crate::{genesis, join, keys, output};
use anyhow::Context as _;
use daa_agent::{Follower, FollowerConfig};
use daa_base::{AgentId, Bytes, LeaseId, OwnerId, SystemClock};
use daa_coord::genesis::{POLICY_FAIR_SHARES, POLICY_ROTATING_QUEUE};
use daa_coord::ledger::PolicyChoice;
use daa_coord::policy::{Amount, CohortId, Quota, Rules};
use daa_coord::{Command, Digest, Ledger, LedgerEvent, OPERATOR, OperatorVerdict, ShortText};
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;

/// Longest wait for the nodes.
const PATIENCE: Duration = Duration::from_secs(30);

const SCHEMA: &str = "daa.ledger/1";

const ANSWER_SCHEMA: &str = "daa.ledger.answer/1";

pub(crate) fn command(global: &Global, args: &LedgerArgs) -> Result<Exit, Failure> {
    let (reach, asked) = asked(&args.command)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("cannot start the threads of the follower")
        .map_err(|error| Failure::new(Exit::Unexpected, error))?;
    runtime.block_on(Box::pin(talk(global, reach, asked)))
}

async fn talk(global: &Global, reach: &ReachArgs, asked: Option<Command>) -> Result<Exit, Failure> {
    let files = join::files(&reach.join, reach.genesis.as_deref(), reach.key.as_deref())?;
    let genesis = genesis::load(&files.genesis)?;
    let (key, _seat) = join::seat(&genesis, keys::secret(&files.key)?, files.of_node)?;
    let folder = tempfile::tempdir()
        .context("cannot make a folder for blocks")
        .map_err(|error| Failure::new(Exit::Unexpected, error))?;
    let config = FollowerConfig {
        genesis,
        key,
        peers: reach.join.clone(),
        folder: folder.path().to_owned(),
        patience: PATIENCE,
    };
    let mut follower = Follower::start(config, Arc::new(SystemClock::new())).await?;
    let done = match asked {
        None => show(global, &follower),
        Some(command) => match follower.call(&command).await {
            Ok(event) => answer(global, &follower, event),
            Err(error) => Err(error.into()),
        },
    };
    follower.stop().await;
    done
}

/// What the ledger is to carry out; nothing, to look only.
fn asked(command: &LedgerCommand) -> Result<(&ReachArgs, Option<Command>), Failure> {
    let asked = match command {
        LedgerCommand::Show(reach) => return Ok((reach, None)),
        LedgerCommand::Quota(args) => (&args.reach, quota(args)),
        LedgerCommand::Policy(args) => (&args.reach, policy(args.policy)),
        LedgerCommand::Validator(args) => {
            let (key, power) = (genesis::key(&args.validator)?, args.weight);
            (&args.reach, Command::SetValidator { key, power })
        }
        LedgerCommand::Member(args) => (&args.reach, member(args)?),
        LedgerCommand::Remove(args) => {
            let agent = AgentId(args.agent);
            (&args.reach, Command::UnregisterAgent { agent })
        }
        LedgerCommand::Revoke(args) => {
            let (lease, reason) = (LeaseId(args.lease), reason(&args.reason)?);
            (&args.reach, Command::Revoke { lease, reason })
        }
        LedgerCommand::Decide(args) => {
            let verdict = match args.verdict {
                VerdictName::Hold => OperatorVerdict::Hold,
                VerdictName::Resume => OperatorVerdict::Resume,
                VerdictName::Refuse => OperatorVerdict::Refuse,
            };
            let (request, reason) = (args.request, reason(&args.reason)?);
            let decide = Command::Decide {
                request,
                verdict,
                reason,
            };
            (&args.reach, decide)
        }
    };
    Ok((asked.0, Some(asked.1)))
}

fn quota(args: &QuotaArgs) -> Command {
    let quota = Quota {
        cohort: args.cohort.map(CohortId),
        nominal: args.nominal.unwrap_or(Amount::MAX),
        borrow_limit: args.borrow,
        lend_limit: args.lend,
        weight: args.weight,
    };
    Command::SetQuota {
        owner: OwnerId(args.owner),
        quota: (!args.none).then_some(quota),
    }
}

fn policy(name: PolicyName) -> Command {
    let version = match name {
        PolicyName::Queue => POLICY_ROTATING_QUEUE,
        PolicyName::Fair => POLICY_FAIR_SHARES,
    };
    let rules = Rules::default();
    Command::SetPolicy {
        policy: PolicyChoice { version, rules },
        from: 0,
    }
}

fn member(args: &MemberArgs) -> Result<Command, Failure> {
    Ok(Command::RegisterAgent {
        agent: AgentId(args.agent),
        owner: OwnerId(args.owner),
        key: genesis::key(&args.member)?,
    })
}

fn reason(text: &str) -> Result<ShortText, Failure> {
    ShortText::new(text).map_err(|error| {
        Failure::text(Exit::Usage, format!("--reason: {error}")).with_hint("say it in fewer words")
    })
}

/// What came of a command.
#[derive(Debug, Serialize)]
struct Answer {
    schema: &'static str,
    /// The last block.
    height: u64,
    /// What the ledger says.
    done: String,
}

fn answer(global: &Global, follower: &Follower, event: Option<LedgerEvent>) -> Result<Exit, Failure> {
    let event = event.ok_or_else(|| {
        Failure::text(
            Exit::Unexpected,
            "the answer was missed: the follower fell behind",
        )
        .with_hint("`daa ledger show` says what has come of it")
    })?;
    if let LedgerEvent::Rejected { reason, .. } = &event {
        return Err(
            Failure::text(Exit::Input, format!("the ledger refuses: {reason}"))
                .with_hint("`daa ledger show` lists what there is; most changes are the operator's: --key"),
        );
    }
    let done = event.to_string();
    match global.output {
        Output::Text => output::text(&format!("{done}\n"))?,
        Output::Json => output::json(&Answer {
            schema: ANSWER_SCHEMA,
            height: follower.view(Ledger::height),
            done,
        })?,
    }
    Ok(Exit::Done)
}

fn show(global: &Global, follower: &Follower) -> Result<Exit, Failure> {
    let report = follower.view(report);
    match global.output {
        Output::Text => output::text(&text(&report))?,
        Output::Json => output::json(&report)?,
    }
    Ok(Exit::Done)
}

/// What `-o json` prints.
#[derive(Debug, Serialize)]
struct Report {
    schema: &'static str,
    chain: String,
    height: u64,
    state: String,
    /// Agreed time, milliseconds since 1970.
    time: u64,
    policy: &'static str,
    validators: Vec<ValidatorRow>,
    agents: Vec<AgentRow>,
    devices: Vec<DeviceRow>,
    quotas: Vec<QuotaRow>,
    leases: Vec<LeaseRow>,
    waiting: Vec<WaitingRow>,
}

#[derive(Debug, Serialize)]
struct ValidatorRow {
    key: String,
    power: u64,
}

#[derive(Debug, Serialize)]
struct AgentRow {
    agent: u32,
    owner: u32,
    key: String,
    /// Waiting requests and live leases.
    open: u32,
    /// Who registered it; absent: the operator, or the genesis.
    sponsor: Option<u32>,
}

#[derive(Debug, Serialize)]
struct DeviceRow {
    device: u32,
    sponsor: Option<u32>,
    capacity: Bytes,
    used: Bytes,
    /// Thousandths.
    used_share: u16,
}

#[derive(Debug, Serialize)]
struct QuotaRow {
    owner: u32,
    cohort: Option<u32>,
    nominal: Amount,
    borrow: Option<Amount>,
    lend: Option<Amount>,
    weight: u16,
}

#[derive(Debug, Serialize)]
struct LeaseRow {
    lease: u64,
    agent: u32,
    device: u32,
    bytes: Bytes,
    share: u16,
    expires: u64,
}

#[derive(Debug, Serialize)]
struct WaitingRow {
    request: String,
    device: Option<u32>,
    bytes: Bytes,
    share: u16,
    overtaken: u32,
    on_hold: bool,
}

fn report(ledger: &Ledger) -> Report {
    let policy = if ledger.policy().version == POLICY_FAIR_SHARES {
        "fair"
    } else {
        "queue"
    };
    Report {
        schema: SCHEMA,
        chain: Digest(ledger.chain_id().0).to_string(),
        height: ledger.height(),
        state: ledger.state_hash().to_string(),
        time: ledger.time().get(),
        policy,
        validators: validators(ledger),
        agents: agents(ledger),
        devices: devices(ledger),
        quotas: quotas(ledger),
        leases: leases(ledger),
        waiting: waiting(ledger),
    }
}

fn validators(ledger: &Ledger) -> Vec<ValidatorRow> {
    let all = ledger.validators().as_slice().iter();
    all.map(|one| ValidatorRow {
        key: one.key.to_hex(),
        power: one.power,
    })
    .collect()
}

fn agents(ledger: &Ledger) -> Vec<AgentRow> {
    let all = ledger.agents().map(|one| AgentRow {
        agent: one.agent.get(),
        owner: one.owner.get(),
        key: one.key.to_hex(),
        open: one.open,
        sponsor: one.sponsor.map(AgentId::get),
    });
    all.collect()
}

fn devices(ledger: &Ledger) -> Vec<DeviceRow> {
    let all = ledger.devices().map(|one| DeviceRow {
        device: one.device.get(),
        sponsor: one.sponsor.map(AgentId::get),
        capacity: one.capacity,
        used: one.used,
        used_share: one.used_share.get(),
    });
    all.collect()
}

fn quotas(ledger: &Ledger) -> Vec<QuotaRow> {
    let all = ledger.quotas().map(|(owner, quota)| QuotaRow {
        owner: owner.get(),
        cohort: quota.cohort.map(|cohort| cohort.0),
        nominal: quota.nominal,
        borrow: quota.borrow_limit,
        lend: quota.lend_limit,
        weight: quota.weight.get(),
    });
    all.collect()
}

fn leases(ledger: &Ledger) -> Vec<LeaseRow> {
    let all = ledger.leases().map(|one| LeaseRow {
        lease: one.id.get(),
        agent: one.agent.get(),
        device: one.device.get(),
        bytes: one.bytes,
        share: one.share.get(),
        expires: one.expires.get(),
    });
    all.collect()
}

fn waiting(ledger: &Ledger) -> Vec<WaitingRow> {
    let all = ledger.queue().map(|one| WaitingRow {
        request: format!("{}.{}", one.id.agent.get(), one.id.seq),
        device: one.wanted.device.map(daa_base::DeviceId::get),
        bytes: one.wanted.bytes,
        share: one.wanted.share.get(),
        overtaken: one.overtaken,
        on_hold: one.on_hold,
    });
    all.collect()
}

fn text(report: &Report) -> String {
    let own = report.agents.iter().filter(|agent| agent.sponsor.is_none());
    let members = own.filter(|agent| agent.agent != OPERATOR.get());
    let mut text = output::fields(&[
        ("chain", report.chain.clone()),
        ("last block", report.height.to_string()),
        ("state", report.state.clone()),
        ("policy", report.policy.to_owned()),
        ("members", members.clone().count().to_string()),
    ]);
    let mut part = |header: &[&str], rows: Vec<Vec<String>>| {
        if !rows.is_empty() {
            text.push('\n');
            text.push_str(&output::table(header, &rows));
        }
    };
    let or_dash = |number: Option<u32>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    let validators = report.validators.iter();
    part(
        &["validator", "weight"],
        validators
            .map(|one| vec![one.key.clone(), one.power.to_string()])
            .collect(),
    );
    part(
        &["member", "owner", "key"],
        members
            .map(|one| vec![one.agent.to_string(), one.owner.to_string(), one.key.clone()])
            .collect(),
    );
    let devices = report.devices.iter().map(|one| {
        let leased = format!("{} of {}", one.used, one.capacity);
        vec![one.device.to_string(), or_dash(one.sponsor), leased]
    });
    part(&["device", "of member", "leased"], devices.collect());
    let quotas = report.quotas.iter().map(|one| {
        let (owner, weight) = (one.owner.to_string(), one.weight.to_string());
        vec![owner, or_dash(one.cohort), weight, entitled(one.nominal)]
    });
    part(
        &["quota of owner", "cohort", "weight", "its own"],
        quotas.collect(),
    );
    let leases = report.leases.iter().map(|one| {
        let (lease, agent) = (one.lease.to_string(), one.agent.to_string());
        vec![lease, agent, one.device.to_string(), one.bytes.to_string()]
    });
    part(&["lease", "agent", "device", "memory"], leases.collect());
    let waiting = report.waiting.iter().map(|one| {
        let state = if one.on_hold { "on hold" } else { "waits" };
        let request = one.request.clone();
        vec![
            request,
            or_dash(one.device),
            one.bytes.to_string(),
            state.to_owned(),
        ]
    });
    part(&["request", "device", "memory", "state"], waiting.collect());
    text
}

fn entitled(amount: Amount) -> String {
    if amount == Amount::MAX {
        "without limit".to_owned()
    } else {
        amount.to_string()
    }
}
