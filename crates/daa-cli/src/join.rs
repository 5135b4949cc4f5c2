//! `daa run --join`: which ledger, and as whom.

use crate::args::RunArgs;
use crate::exit::{Exit, Failure};
use crate::invite::{self, Invite};
use crate::messages::Messages;
use crate::{genesis, keys, output};
use clap::ArgMatches;
use clap::parser::ValueSource;
use daa_agent::Join;
use daa_agent::node::{GUESTS, agents_address, guest_key, reaches};
use daa_coord::discovery::Multiaddr;
use daa_coord::{AgentKey, Genesis};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a run goes on without any node that takes orders.
const PATIENCE: Duration = Duration::from_secs(120);

/// The nodes that are to train, and the seat at them that this process has.
#[derive(Debug)]
pub(crate) struct Joined {
    pub(crate) join: Join,
    /// Held as long as the run is.
    _seat: Option<File>,
}

/// The nodes that are to train, if any.
pub(crate) fn join(args: &RunArgs, given: &ArgMatches) -> Result<Option<Joined>, Failure> {
    if args.join.is_empty() {
        // Their variables may be there for the node on this machine.
        let on_command_line = |id: &&str| given.value_source(id) == Some(ValueSource::CommandLine);
        return match ["genesis", "key", "knowledge"]
            .iter()
            .find(|id| on_command_line(id))
        {
            None => Ok(None),
            Some(flag) => Err(Failure::text(Exit::Usage, format!("--{flag} goes with --join"))
                .with_hint("`daa help run` lists all flags and their values")),
        };
    }
    let addresses = args
        .join
        .iter()
        .map(agents_address)
        .collect::<Result<Vec<_>, _>>();
    let addresses = addresses.map_err(|error| {
        Failure::new(Exit::Usage, error).with_hint("name where a node listens: --join IP:PORT")
    })?;
    let files = files(&args.join, args.genesis.as_deref(), args.key.as_deref())?;
    let genesis = genesis::load(&files.genesis)?;
    let key = keys::secret(&files.key)?;
    let public = key.public();
    let is_node = files.of_node || genesis.validators().get(&public).is_some();
    let is_member = genesis.members().iter().any(|member| member.key == public);
    if !is_node && !is_member {
        let error = format!("the key {} is no member of the genesis", public.to_hex());
        return Err(Failure::text(Exit::Input, error).with_hint("`daa genesis show` lists the members"));
    }
    let (key, seat) = seat(&genesis, key, files.of_node)?;
    let join = Join {
        addresses,
        genesis,
        key,
        member: public,
        validators: args.join.clone(),
        patience: PATIENCE,
    };
    Ok(Some(Joined { join, _seat: seat }))
}

/// The key by which this process is known: no two may have one. What keeps it, where it is one of several of a node's.
pub(crate) fn seat(
    genesis: &Genesis,
    key: AgentKey,
    of_node: bool,
) -> Result<(AgentKey, Option<File>), Failure> {
    let public = key.public();
    Ok(if of_node || genesis.validators().get(&public).is_some() {
        // The node itself is there by its own name, and has registered guests.
        let name = public.to_hex();
        let (number, seat) = invite::seat(&name, GUESTS).ok_or_else(|| {
            let error =
                format!("{GUESTS} runs of this machine have joined with this key, more are not possible");
            Failure::text(Exit::Input, error)
                .with_hint("wait for one of them, or give the key of another member")
        })?;
        (guest_key(&key, number), seat)
    } else {
        (key, None)
    })
}

/// Which ledger, as whom.
pub(crate) struct Files {
    pub(crate) genesis: PathBuf,
    pub(crate) key: PathBuf,
    /// The key is that of a node on this machine.
    pub(crate) of_node: bool,
}

/// The genesis and key files: those given, else those of the node on this machine that listens there.
pub(crate) fn files(
    join: &[Multiaddr],
    genesis: Option<&Path>,
    key: Option<&Path>,
) -> Result<Files, Failure> {
    if let (Some(genesis), Some(key)) = (genesis, key) {
        return Ok(Files {
            genesis: genesis.to_owned(),
            key: key.to_owned(),
            of_node: false,
        });
    }
    let nodes = invite::others().into_iter().filter_map(|invite| invite.node);
    let mut here = nodes.filter(|node| {
        let listens = node.address.parse();
        listens.is_ok_and(|listens| join.iter().any(|wanted| reaches(wanted, &listens)))
    });
    let node = here.next().ok_or_else(|| {
        let error = "--join needs --genesis and --key: no node of this user on this machine listens there";
        Failure::text(Exit::Usage, error)
            .with_hint("name the ledger's genesis file, and the key file of a member")
    })?;
    Ok(Files {
        genesis: genesis.map_or(node.genesis, Path::to_owned),
        of_node: key.is_none(),
        key: key.map_or(node.key, Path::to_owned),
    })
}

/// What a run that is resumed has to be given again.
pub(crate) fn flags(args: &RunArgs) -> String {
    let mut flags = String::new();
    let addresses = args.join.iter().map(ToString::to_string);
    let files = [("--genesis", &args.genesis), ("--key", &args.key)];
    let files = files
        .into_iter()
        .filter_map(|(flag, file)| Some((flag, file.as_ref()?.display().to_string())));
    for (flag, value) in addresses.map(|address| ("--join", address)).chain(files) {
        flags.push_str(&format!(" {flag} {}", output::shell_word(&value)));
    }
    flags
}

/// Says who else uses this machine's devices, and how to share them by agreement.
pub(crate) fn tell_of_others(messages: &Messages) {
    let others = invite::others();
    let Some(Invite {
        pid, devices, node, ..
    }) = others.first()
    else {
        return;
    };
    messages.note(&match node {
        Some(node) => format!(
            "a node on this machine lends {devices}; to share it by agreement: daa run --join {}",
            output::shell_word(&node.address)
        ),
        None => format!(
            "another run (process {pid}) uses {devices} too, and each plans for the whole of it; to share it by \
             agreement, start `daa node` and give runs --join"
        ),
    });
}
