//! Four validators agree that an agent may have part of a device, and one of them is stopped before the lease is given back.
//!
//! Prints a line for each thing that it found to be as it should.

use daa_base::{AgentId, Bytes, Clock, DeviceId, Millis, OwnerId, Permille, Seed, SystemClock};
use daa_coord::log::bft::{BftCluster, BftConfig, public_keys, validator_keys};
use daa_coord::{
    AgentKey, BlockingClient, Command, Genesis, LedgerConfig, LedgerEvent, LedgerNode, OPERATOR, OutboxConfig,
    ResourceRequest, ShortText, ValidatorSet,
};
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

fn main() -> Result<(), Box<dyn Error>> {
    let keys = Seed(1).stream("agents");
    let (operator, worker) = (AgentKey::from_stream(&keys.child(0)), AgentKey::from_stream(&keys.child(1)));
    let validators = validator_keys(&Seed(1).stream("validators"), 4);
    let genesis = Genesis::new(ShortText::new("standalone")?, operator.public(), LedgerConfig::default())?
        .with_validators(ValidatorSet::equal(public_keys(&validators))?);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let cluster = BftCluster::start(&genesis, validators, BftConfig::default(), &clock)?;
    let log = cluster.log(0).ok_or("four validators")?;
    let node = Arc::new(LedgerNode::start(genesis, Arc::new(log))?);
    let wait = Duration::from_secs(30);
    let client = |key, agent| {
        BlockingClient::new(Arc::clone(&node), Arc::clone(&clock), key, agent, OutboxConfig::default())
    };

    let (device, agent) = (DeviceId(0), AgentId(1));
    let mut admin = client(operator, OPERATOR)?;
    admin.call(&Command::RegisterDevice { device, capacity: Bytes::gib(1) }, wait)?;
    let register = Command::RegisterAgent { agent, owner: OwnerId(1), key: worker.public() };
    admin.call(&register, wait)?;

    let mut worker = client(worker, agent)?;
    let wanted = ResourceRequest {
        device: None,
        bytes: Bytes::mib(512),
        share: Permille::new(500)?,
        priority: 1,
        hold: Millis(30_000),
        deadline: None,
        purpose: ShortText::new("standalone")?,
    };
    let LedgerEvent::LeaseGranted(lease) = worker.call(&Command::Request(wanted), wait)? else {
        return Err("not granted".into());
    };
    println!("four validators granted {}", lease.bytes);

    cluster.stop(3);
    let release = Command::Release { lease: lease.id, token: lease.token };
    let LedgerEvent::LeaseReleased { .. } = worker.call(&release, wait)? else {
        return Err("not given back".into());
    };
    println!("three of them took it back");
    Ok(())
}
