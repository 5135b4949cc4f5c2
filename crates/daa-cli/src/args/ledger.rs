//! What `daa ledger` takes.

use super::address;
use clap::{Args, Subcommand, ValueEnum};
use daa_base::{AgentId, ParseBytesError};
use daa_coord::RequestId;
use daa_coord::discovery::Multiaddr;
use daa_coord::policy::Amount;
use std::num::NonZeroU16;
use std::path::PathBuf;

/// `daa ledger`.
#[derive(Debug, Args)]
#[command(arg_required_else_help = true, subcommand_required = true)]
pub(crate) struct LedgerArgs {
    #[command(subcommand)]
    pub(crate) command: LedgerCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LedgerCommand {
    /// Prints members, devices, quotas, leases and who waits
    Show(ReachArgs),
    /// Says what an owner is entitled to
    Quota(QuotaArgs),
    /// Changes how devices are allocated
    Policy(PolicyArgs),
    /// Gives a validator its weight, from the block after next on; 0: it votes no more
    Validator(ValidatorArgs),
    /// Lets an agent take part, with a block of numbers for devices and agents of its own
    Member(MemberArgs),
    /// Ends an agent's part, and that of what it registered
    Remove(RemoveArgs),
    /// Ends a lease at once
    Revoke(RevokeArgs),
    /// Settles a conflict about a request that waits
    Decide(DecideArgs),
}

/// How to reach a ledger.
#[derive(Debug, Args)]
pub(crate) struct ReachArgs {
    /// Where a node listens; several with commas between
    #[arg(long, env = "DAA_JOIN", hide_env_values = true, value_delimiter = ',', required = true, value_parser = address, value_name = "ADDR")]
    pub(crate) join: Vec<Multiaddr>,
    /// The ledger's genesis file [default: that of the node on this machine]
    #[arg(long, env = "DAA_GENESIS", hide_env_values = true, value_name = "FILE")]
    pub(crate) genesis: Option<PathBuf>,
    /// The key file of the operator, or to look only, of a member [default: that of the node on this machine]
    #[arg(long, env = "DAA_KEY", hide_env_values = true, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
}

/// `daa ledger quota`.
#[derive(Debug, Args)]
pub(crate) struct QuotaArgs {
    /// The owner's number
    pub(crate) owner: u32,
    /// What is its own: memory, and compute in thousandths of a device, like 8GiB/2000 [default: without limit]
    #[arg(long, value_parser = amount, value_name = "AMOUNT")]
    pub(crate) nominal: Option<Amount>,
    /// Owners of one cohort lend to each other what they do not use [default: to nobody]
    #[arg(long, value_name = "N")]
    pub(crate) cohort: Option<u32>,
    /// Most that it may use above its own [default: as much as the cohort lends]
    #[arg(long, value_parser = amount, value_name = "AMOUNT")]
    pub(crate) borrow: Option<Amount>,
    /// Most of its own that others may use [default: all]
    #[arg(long, value_parser = amount, value_name = "AMOUNT")]
    pub(crate) lend: Option<Amount>,
    /// Its claim relative to other owners', 1 to 65535
    #[arg(long, default_value_t = NonZeroU16::MIN, value_name = "W")]
    pub(crate) weight: NonZeroU16,
    /// Takes the quota away
    #[arg(long, conflicts_with_all = ["nominal", "cohort", "borrow", "lend", "weight"])]
    pub(crate) none: bool,
    #[command(flatten)]
    pub(crate) reach: ReachArgs,
}

/// `daa ledger policy`.
#[derive(Debug, Args)]
pub(crate) struct PolicyArgs {
    /// queue: in the order of requests, in turns; fair: by quotas and dominant shares, with preemption
    pub(crate) policy: PolicyName,
    #[command(flatten)]
    pub(crate) reach: ReachArgs,
}

/// A policy of allocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PolicyName {
    Queue,
    Fair,
}

/// `daa ledger validator`.
#[derive(Debug, Args)]
pub(crate) struct ValidatorArgs {
    /// A public key or key file
    pub(crate) validator: String,
    /// Its weight, 0 to 4294967296
    pub(crate) weight: u64,
    #[command(flatten)]
    pub(crate) reach: ReachArgs,
}

/// `daa ledger member`.
#[derive(Debug, Args)]
pub(crate) struct MemberArgs {
    /// A public key or key file
    pub(crate) member: String,
    /// The agent's number, 1 to 1023, and not taken
    #[arg(long, value_name = "N")]
    pub(crate) agent: u32,
    /// Whose agent it is
    #[arg(long, value_name = "N")]
    pub(crate) owner: u32,
    #[command(flatten)]
    pub(crate) reach: ReachArgs,
}

/// `daa ledger remove`.
#[derive(Debug, Args)]
pub(crate) struct RemoveArgs {
    /// The agent's number
    pub(crate) agent: u32,
    #[command(flatten)]
    pub(crate) reach: ReachArgs,
}

/// `daa ledger revoke`.
#[derive(Debug, Args)]
pub(crate) struct RevokeArgs {
    /// The lease's number
    pub(crate) lease: u64,
    /// Why, for people
    #[arg(long, default_value = "by the operator", value_name = "TEXT")]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) reach: ReachArgs,
}

/// `daa ledger decide`.
#[derive(Debug, Args)]
pub(crate) struct DecideArgs {
    /// The request, as `daa ledger show` names it: AGENT.NUMBER
    #[arg(value_parser = request)]
    pub(crate) request: RequestId,
    /// hold: it is not granted until further notice; resume: it waits like any other; refuse: it ends without a lease
    pub(crate) verdict: VerdictName,
    /// Why, for people
    #[arg(long, default_value = "by the operator", value_name = "TEXT")]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) reach: ReachArgs,
}

/// What the operator makes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum VerdictName {
    Hold,
    Resume,
    Refuse,
}

fn amount(text: &str) -> Result<Amount, String> {
    let (bytes, share) = text
        .split_once('/')
        .ok_or("memory and compute are wanted, like 8GiB/2000 for two devices")?;
    let share = share.parse().map_err(|_| {
        format!(
            "{share:?} is no compute; allowed are 0 to {} thousandths",
            u32::MAX
        )
    })?;
    let bytes = bytes
        .parse()
        .map_err(|error: ParseBytesError| error.reason.to_owned())?;
    Ok(Amount { bytes, share })
}

fn request(text: &str) -> Result<RequestId, String> {
    let numbers = text.strip_prefix("request-").unwrap_or(text).split_once('.');
    let parsed = numbers.and_then(|(agent, seq)| {
        Some(RequestId {
            agent: AgentId(agent.parse().ok()?),
            seq: seq.parse().ok()?,
        })
    });
    parsed.ok_or_else(|| "a request is AGENT.NUMBER, like 3.17".to_owned())
}
