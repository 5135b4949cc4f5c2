//! The command line.

mod ledger;
mod node;

pub(crate) use ledger::{
    LedgerArgs, LedgerCommand, MemberArgs, PolicyName, QuotaArgs, ReachArgs, VerdictName,
};
pub(crate) use node::NodeArgs;

use clap::builder::{FalseyValueParser, PossibleValuesParser, Styles, TypedValueParser as _};
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use daa_agent::config::{MAX_AGENTS, Trust};
use daa_base::Bytes;
use daa_coord::discovery::{Multiaddr, socket_address};
use daa_gpu_core::DeviceChoice;
use daa_gpu_core::pressure::forecast::{MAX_HORIZON, Target};
use daa_learn::data::TaskKind;
use daa_learn::search::config::MAX_BUDGET;
use daa_learn::train::Verification;
use std::path::PathBuf;

/// Agents search and train networks on your data, sharing one device.
#[derive(Debug, Parser)]
#[command(name = "daa", version, propagate_version = true, styles = Styles::plain())]
#[command(arg_required_else_help = true, subcommand_required = true)]
#[command(
    after_help = "Every flag that names a variable in [brackets] can be set by it; flags win. Logs: DAA_LOG=debug."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every verb knows.
#[derive(Debug, Clone, Args)]
#[command(next_display_order = 100)]
pub(crate) struct Global {
    /// Prints text for people, or exactly one JSON object
    #[arg(
        short,
        long,
        global = true,
        value_enum,
        default_value_t,
        env = "DAA_OUTPUT",
        hide_env_values = true,
        value_name = "FORM"
    )]
    pub(crate) output: Output,
    /// Says nothing but errors and the result
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Says more on the standard error; -vv and -vvv say everything
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Draws no progress bars; there are none off a terminal anyway
    #[arg(long, global = true, env = "DAA_NO_PROGRESS", hide_env_values = true, value_parser = FalseyValueParser::new())]
    pub(crate) no_progress: bool,
}

/// What the standard output is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    #[default]
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Searches and trains networks, and leaves a folder with the model and a report
    Run(RunArgs),
    /// Applies a trained model to data
    Predict(PredictArgs),
    /// Looks at how memory was used and how it will be, without a device
    Memory(MemoryArgs),
    /// Makes and shows the keys that nodes and agents sign with
    Keys(KeysArgs),
    /// Makes, shows and checks what the nodes of one ledger agree on before its first block
    Genesis(GenesisArgs),
    /// Lists the compute devices, and why one is chosen
    Devices(DevicesArgs),
    /// Checks what a run needs, and says how to get what is missing
    Doctor,
    /// Takes part in a ledger, and lends this machine's devices to the runs of its members
    Node(NodeArgs),
    /// Shows a ledger of several machines, and what its operator may change
    Ledger(LedgerArgs),
    /// Plays a simulated cluster of validators from its seed, and tells what happens
    Replay(ReplayArgs),
}

/// `daa replay`.
#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// The seed, as the simulator names it
    #[arg(long, value_name = "S")]
    pub(crate) seed: u64,
    /// Validators
    #[arg(long, default_value_t = 4, value_name = "N")]
    pub(crate) nodes: usize,
    /// mixed, twins, calm, crash-points or wal-points
    #[arg(long, default_value = "mixed", value_name = "MODE")]
    pub(crate) mode: String,
    /// Validators that lie [default: drawn, up to a third]
    #[arg(long, value_name = "N")]
    pub(crate) liars: Option<usize>,
    /// Heights that every correct validator must reach
    #[arg(long, default_value_t = 20, value_name = "H")]
    pub(crate) heights: u64,
    /// Every so many seeds one signs with Ed25519; 0: none
    #[arg(long, default_value_t = 64, value_name = "N")]
    pub(crate) real_every: u64,
}

/// `daa run`. Without flags: four agents on the embedded digits.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// digits, fashion-mnist, or a path: CSV with a header, idx or npy, each also as .gz, or a folder of idx or npy
    #[arg(
        long,
        env = "DAA_DATA",
        hide_env_values = true,
        default_value = "digits",
        value_name = "NAME|PATH"
    )]
    pub(crate) data: String,
    /// The column of a CSV file to predict [default: target, label, class, y or the last one]
    #[arg(long, env = "DAA_TARGET", hide_env_values = true, value_name = "COLUMN")]
    pub(crate) target: Option<String>,
    /// Whether the target names classes or measures something
    #[arg(
        long,
        env = "DAA_TASK",
        hide_env_values = true,
        value_enum,
        default_value_t,
        value_name = "KIND"
    )]
    pub(crate) task: Task,
    /// How many agents work at once
    #[arg(long, env = "DAA_AGENTS", hide_env_values = true, default_value_t = 4, value_parser = agents, value_name = "N")]
    pub(crate) agents: usize,
    #[command(flatten)]
    pub(crate) place: DeviceArgs,
    /// Epochs over all trials and the final training, which takes a third [default: by the size of the data]
    #[arg(long, env = "DAA_EPOCHS_BUDGET", hide_env_values = true, value_parser = clap::value_parser!(u32).range(2..=i64::from(MAX_BUDGET)), value_name = "E")]
    pub(crate) epochs_budget: Option<u32>,
    /// repeat: every interval of a training runs twice, and counts when both ends are equal; takes twice as long
    #[arg(
        long,
        env = "DAA_VERIFY",
        hide_env_values = true,
        value_enum,
        default_value_t,
        value_name = "MODE"
    )]
    pub(crate) verify: Verify,
    /// Who agrees on leases: local is one sequencer, bft four validators [default: bft from four agents on]
    #[arg(
        long,
        env = "DAA_TRUST",
        hide_env_values = true,
        value_enum,
        default_value_t,
        hide_default_value = true,
        value_name = "WHO"
    )]
    pub(crate) trust: TrustArg,
    /// Seeds everything random; on the CPU, same seed, data and budget give the same model, byte by byte
    #[arg(
        long,
        env = "DAA_SEED",
        hide_env_values = true,
        default_value_t = 1,
        value_name = "S"
    )]
    pub(crate) seed: u64,
    /// The run folder, new or empty [default: daa-runs/TIME-seedS, with -2, -3, … if it is taken]
    #[arg(long, env = "DAA_OUT", hide_env_values = true, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Goes on with the interrupted run in this folder; only --device, --memory-limit and --threads may differ
    #[arg(long, value_name = "DIR")]
    pub(crate) resume: Option<PathBuf>,
    /// Has the nodes of a ledger train, on their devices; the address is where one of them listens
    #[arg(long, env = "DAA_JOIN", hide_env_values = true, value_delimiter = ',', value_parser = address, value_name = "ADDR")]
    pub(crate) join: Vec<Multiaddr>,
    /// With --join: the ledger's genesis file [default: that of the node on this machine]
    #[arg(long, env = "DAA_GENESIS", hide_env_values = true, value_name = "FILE")]
    pub(crate) genesis: Option<PathBuf>,
    /// With --join: the key file of a member of the ledger [default: that of the node on this machine]
    #[arg(long, env = "DAA_KEY", hide_env_values = true, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// With --join: tries recipes that the owner's node knows to be good, and tells it what was found
    #[arg(long, env = "DAA_KNOWLEDGE", hide_env_values = true, value_parser = FalseyValueParser::new())]
    pub(crate) knowledge: bool,
    /// Records what is allocated on the device, for `daa memory`; a file of that name is replaced
    #[arg(long, value_name = "FILE")]
    pub(crate) record_memory: Option<PathBuf>,
}

/// Where to compute.
#[derive(Debug, Clone, Args)]
pub(crate) struct DeviceArgs {
    /// auto: a GPU if there is one, else the CPU; software: a driver that computes on the CPU, for tests
    #[arg(long, env = "DAA_DEVICE", hide_env_values = true, default_value_t, value_parser = devices(), value_name = "DEVICE")]
    pub(crate) device: DeviceChoice,
    /// What may be reserved on the device at once, like 512MiB or 1.5GiB [default: what the device has to share]
    #[arg(long, env = "DAA_MEMORY_LIMIT", hide_env_values = true, value_parser = memory, value_name = "SIZE")]
    pub(crate) memory_limit: Option<Bytes>,
    /// Worker threads of the CPU backend [default: one per core]
    #[arg(long, env = "DAA_THREADS", hide_env_values = true, value_parser = threads, value_name = "T")]
    pub(crate) threads: Option<usize>,
    /// Keeps compiled kernels of a GPU in this folder, or nowhere (off) [default: the user's cache folder]
    #[arg(
        long,
        env = "DAA_PIPELINE_CACHE",
        hide_env_values = true,
        value_name = "DIR|off"
    )]
    pub(crate) pipeline_cache: Option<PathBuf>,
}

impl DeviceArgs {
    /// Where compiled kernels are kept, if anywhere.
    pub(crate) fn pipeline_cache(&self) -> Option<PathBuf> {
        match &self.pipeline_cache {
            None => crate::cache::folder(|name| std::env::var_os(name)),
            Some(folder) if folder.as_os_str() == "off" => None,
            Some(folder) => Some(folder.clone()),
        }
    }
}

/// `daa predict`.
#[derive(Debug, Args)]
pub(crate) struct PredictArgs {
    /// A run folder, or any folder with model.json and model.safetensors
    #[arg(long, env = "DAA_MODEL", hide_env_values = true, value_name = "DIR")]
    pub(crate) model: PathBuf,
    /// Rows of the kind that the model was trained on: digits, fashion-mnist, or a path
    #[arg(long, env = "DAA_DATA", hide_env_values = true, value_name = "NAME|PATH")]
    pub(crate) data: String,
    /// Writes a line for every row to this CSV file
    #[arg(long, value_name = "FILE.csv")]
    pub(crate) out: Option<PathBuf>,
    /// Rows to print at most [default: 20 as text, 1000 as JSON]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub(crate) limit: Option<u32>,
    #[command(flatten)]
    pub(crate) place: DeviceArgs,
}

/// `daa memory`.
#[derive(Debug, Args)]
#[command(arg_required_else_help = true, subcommand_required = true)]
pub(crate) struct MemoryArgs {
    #[command(subcommand)]
    pub(crate) command: MemoryCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum MemoryCommand {
    /// Runs a trace against a pool configuration
    Replay(MemoryReplayArgs),
    /// Lays out a trace in as little memory as it can find a plan for
    Plan(MemoryPlanArgs),
    /// Fits a forecast to half of recorded runs, and measures its upper bounds on the rest
    Forecast(ForecastArgs),
    /// Prints the memory that runs used over time as CSV
    Record(RecordArgs),
}

/// `daa memory replay`.
#[derive(Debug, Args)]
pub(crate) struct MemoryReplayArgs {
    /// What `daa run` recorded, or lifetimes as CSV with the columns id, lower, upper and size
    pub(crate) trace: PathBuf,
    /// What all tenants may have together [default: 4GiB; with --one-page what one page can have]
    #[arg(long, value_parser = memory, value_name = "SIZE")]
    pub(crate) capacity: Option<Bytes>,
    /// Offsets and sizes of blocks are multiples of this power of two [default: 256]
    #[arg(long, value_parser = alignment, value_name = "BYTES")]
    pub(crate) align: Option<u64>,
    /// Puts everything into one page, to compare with a plan and with other allocators
    #[arg(long)]
    pub(crate) one_page: bool,
    /// Replays against the pool of the CPU, which has a buffer for every block
    #[arg(long, conflicts_with_all = ["one_page", "align"])]
    pub(crate) no_pages: bool,
    /// Replays against the sub-allocator alone: no size classes, and pages and buffers within --capacity
    #[arg(long, conflicts_with_all = ["one_page", "no_pages"])]
    pub(crate) heap: bool,
    /// With --heap: moves blocks together where an allocation would be refused
    #[arg(long, requires = "heap", conflicts_with_all = ["one_page", "no_pages"])]
    pub(crate) compact: bool,
}

/// `daa memory plan`.
#[derive(Debug, Args)]
pub(crate) struct MemoryPlanArgs {
    /// What `daa run` recorded, or lifetimes as CSV with the columns id, lower, upper and size
    pub(crate) trace: PathBuf,
    /// Offsets and sizes are multiples of this power of two [default: 1]
    #[arg(long, value_parser = alignment, value_name = "BYTES")]
    pub(crate) align: Option<u64>,
}

/// `daa devices`.
#[derive(Debug, Args)]
pub(crate) struct DevicesArgs {
    /// The choice to explain
    #[arg(long, env = "DAA_DEVICE", hide_env_values = true, default_value_t, value_parser = devices(), value_name = "DEVICE")]
    pub(crate) device: DeviceChoice,
}

/// `daa memory forecast`.
#[derive(Debug, Args)]
pub(crate) struct ForecastArgs {
    /// The first column is time, each other column a run in bytes; a run that ends early leaves its cells empty
    #[arg(value_name = "FILE.csv")]
    pub(crate) csv: PathBuf,
    /// Rows to look ahead
    #[arg(long, default_value_t = 10, value_parser = horizon, value_name = "H")]
    pub(crate) horizon: usize,
    /// The share of bounds that shall be kept, above 0 and below 1
    #[arg(long, default_value_t = 0.95, value_parser = coverage, value_name = "SHARE")]
    pub(crate) coverage: f64,
    /// What is forecast: the value at the horizon, or the peak until then
    #[arg(long, value_enum, default_value_t, value_name = "WHAT")]
    pub(crate) target: ForecastTarget,
}

/// What is forecast.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ForecastTarget {
    #[default]
    Value,
    Peak,
}

impl From<ForecastTarget> for Target {
    fn from(target: ForecastTarget) -> Self {
        match target {
            ForecastTarget::Value => Self::Value,
            ForecastTarget::Peak => Self::Peak,
        }
    }
}

/// `daa memory record`.
#[derive(Debug, Args)]
pub(crate) struct RecordArgs {
    /// Run folders
    #[arg(required = true, value_name = "DIR")]
    pub(crate) runs: Vec<PathBuf>,
    /// Milliseconds between samples
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=3_600_000), value_name = "MS")]
    pub(crate) every: u64,
}

/// `daa keys`.
#[derive(Debug, Args)]
#[command(arg_required_else_help = true, subcommand_required = true)]
pub(crate) struct KeysArgs {
    #[command(subcommand)]
    pub(crate) command: KeysCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Makes a new secret key, in a file that only its owner can read
    New(KeysNewArgs),
    /// Prints the public half of a key
    Show(KeysShowArgs),
}

/// `daa keys new`.
#[derive(Debug, Args)]
pub(crate) struct KeysNewArgs {
    /// The file to write
    pub(crate) file: PathBuf,
    /// Replaces a file of that name; the key in it is lost
    #[arg(long)]
    pub(crate) force: bool,
}

/// `daa keys show`.
#[derive(Debug, Args)]
pub(crate) struct KeysShowArgs {
    /// A key file
    pub(crate) file: PathBuf,
}

/// `daa genesis`.
#[derive(Debug, Args)]
#[command(arg_required_else_help = true, subcommand_required = true)]
pub(crate) struct GenesisArgs {
    #[command(subcommand)]
    pub(crate) command: GenesisCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum GenesisCommand {
    /// Writes a genesis file with the default rules, which can then be edited
    New(GenesisNewArgs),
    /// Prints what a genesis file says
    Show(GenesisFileArgs),
    /// Checks a genesis file, and says what its validators survive
    Check(GenesisFileArgs),
}

/// `daa genesis new`.
#[derive(Debug, Args)]
pub(crate) struct GenesisNewArgs {
    /// The file to write
    pub(crate) file: PathBuf,
    /// What people call the ledger
    #[arg(long, default_value = "daa", value_name = "TEXT")]
    pub(crate) name: String,
    /// Who registers devices and agents: a public key of 64 hexadecimal digits, or a key file on this machine
    #[arg(long, value_name = "KEY")]
    pub(crate) operator: String,
    /// Who votes, once for each: a key as above, with =POWER for another weight than 1
    #[arg(long = "validator", value_name = "KEY[=POWER]")]
    pub(crate) validators: Vec<String>,
    /// Who takes part as an agent from the beginning, once for each, numbered from 1 in this order: a key as above, and
    /// the number of its owner [default: every validator, each of its own owner]
    #[arg(long = "member", value_name = "KEY=OWNER")]
    pub(crate) members: Vec<String>,
    /// Replaces a file of that name
    #[arg(long)]
    pub(crate) force: bool,
}

/// `daa genesis show` and `daa genesis check`.
#[derive(Debug, Args)]
pub(crate) struct GenesisFileArgs {
    /// A genesis file
    pub(crate) file: PathBuf,
}

fn horizon(text: &str) -> Result<usize, String> {
    in_range(text, 1, MAX_HORIZON)
}

fn coverage(text: &str) -> Result<f64, String> {
    let share = text.trim().parse::<f64>().ok();
    share
        .filter(|share| *share > 0.0 && *share < 1.0)
        .ok_or_else(|| "allowed is above 0 and below 1".to_owned())
}

/// Against wrong results of a device.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Verify {
    #[default]
    Off,
    Repeat,
}

/// Who agrees on leases.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum TrustArg {
    #[default]
    Auto,
    Local,
    Bft,
}

impl From<TrustArg> for Trust {
    fn from(trust: TrustArg) -> Self {
        match trust {
            TrustArg::Auto => Self::Auto,
            TrustArg::Local => Self::Local,
            TrustArg::Bft => Self::Bft,
        }
    }
}

impl From<Verify> for Verification {
    fn from(verify: Verify) -> Self {
        match verify {
            Verify::Off => Self::Off,
            Verify::Repeat => Self::Repeat,
        }
    }
}

/// Classification, regression, or told apart by the target's values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Task {
    #[default]
    Auto,
    Classification,
    Regression,
}

impl From<Task> for TaskKind {
    fn from(task: Task) -> Self {
        match task {
            Task::Auto => Self::Auto,
            Task::Classification => Self::Classification,
            Task::Regression => Self::Regression,
        }
    }
}

fn devices() -> impl clap::builder::TypedValueParser<Value = DeviceChoice> {
    PossibleValuesParser::new(["auto", "cpu", "software", "gpu"]).try_map(|text| text.parse::<DeviceChoice>())
}

fn alignment(text: &str) -> Result<u64, String> {
    let number = text.trim().parse::<u64>().ok();
    number
        .filter(|number| number.is_power_of_two() && *number <= 65_536)
        .ok_or_else(|| "allowed are the powers of two from 1 to 65536".to_owned())
}

fn address(text: &str) -> Result<Multiaddr, String> {
    socket_address(text).map_err(|error| error.to_string())
}

fn agents(text: &str) -> Result<usize, String> {
    in_range(text, 1, MAX_AGENTS)
}

fn threads(text: &str) -> Result<usize, String> {
    in_range(text, 1, 256)
}

fn in_range(text: &str, least: usize, most: usize) -> Result<usize, String> {
    let number = text.trim().parse::<usize>().ok();
    number
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| format!("allowed are {least} to {most}"))
}

fn memory(text: &str) -> Result<Bytes, String> {
    let bytes: Bytes = text
        .parse()
        .map_err(|error: daa_base::ParseBytesError| error.reason.to_owned())?;
    if bytes < Bytes::KIB {
        return Err("allowed are 1KiB and more, written like 512MiB, 1.5GiB or 1048576".to_owned());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_run_needs_no_flags() {
        let cli = Cli::try_parse_from(["daa", "run"]).expect("valid");
        let Command::Run(args) = cli.command else {
            panic!("run")
        };
        assert_eq!(
            (args.data.as_str(), args.agents, args.seed, args.place.device),
            ("digits", 4, 1, DeviceChoice::Auto)
        );
    }

    #[test]
    fn sizes_are_read_like_people_write_them_and_too_small_ones_refused() {
        assert_eq!(memory("1.5GiB"), Ok(Bytes(3 << 29)));
        for text in ["", "0", "7", "5 parsecs"] {
            assert!(memory(text).is_err(), "{text}");
        }
    }
}
