use super::*;
use crate::command::ResourceRequest;
use crate::genesis::{Genesis, LedgerConfig, Member};
use crate::keys::AgentKey;
use crate::ledger::{LedgerEvent, sponsored};
use crate::log::Block;
use crate::text::ShortText;
use crate::validators::ValidatorSet;
use daa_base::{Bytes, DeviceId, Millis, OwnerId, Permille};
use proptest::prelude::*;

const STEP: Duration = Duration::from_millis(500);

fn key(node: u32) -> AgentKey {
    AgentKey::from_secret(&[node as u8 + 50; 32])
}

fn child(node: u32) -> AgentId {
    AgentId(sponsored(node, 0).expect("a small number"))
}

/// Nodes 1 to n: validator and member with one key each, one device and one agent that the node registered and that
/// signs with the node's key.
struct World {
    ledger: Ledger,
    nodes: BTreeMap<u32, Vigil>,
    seqs: BTreeMap<AgentId, u64>,
    now: Duration,
    silent: BTreeSet<u32>,
    /// Commands that the vigils named, per step.
    said: Vec<usize>,
    events: Vec<LedgerEvent>,
}

impl World {
    fn new(count: u32) -> Self {
        let members = (1..=count).map(|node| Member {
            agent: AgentId(node),
            owner: OwnerId(node),
            key: key(node).public(),
        });
        let operator = AgentKey::from_secret(&[1; 32]).public();
        let genesis = Genesis::new(ShortText::fitted("vigil"), operator, LedgerConfig::default())
            .and_then(|genesis| genesis.with_members(members.collect()))
            .expect("valid");
        let set = ValidatorSet::equal((1..=count).map(|node| key(node).public())).expect("distinct");
        let ledger = Ledger::new(genesis.with_validators(set)).expect("valid");
        let vigil = |node| Vigil::new(VigilConfig::default(), AgentId(node)).expect("valid");
        let mut world = Self {
            ledger,
            nodes: (1..=count).map(|node| (node, vigil(node))).collect(),
            seqs: BTreeMap::new(),
            now: Duration::from_secs(1),
            silent: BTreeSet::new(),
            said: Vec::new(),
            events: Vec::new(),
        };
        for node in 1..=count {
            let agent = Command::RegisterAgent {
                agent: child(node),
                owner: OwnerId(node),
                key: key(node).public(),
            };
            let device = Command::RegisterDevice {
                device: DeviceId(child(node).get()),
                capacity: Bytes(100),
            };
            world.submit(node, AgentId(node), &agent);
            world.submit(node, AgentId(node), &device);
        }
        world
    }

    fn sign(&mut self, node: u32, agent: AgentId, command: &Command) -> SignedCommand {
        let seq = self.seqs.entry(agent).or_default();
        *seq += 1;
        let duty = Duty {
            agent,
            command: command.clone(),
        };
        duty.sign(&key(node), self.ledger.chain_id(), *seq - 1)
            .expect("small")
    }

    fn submit(&mut self, node: u32, agent: AgentId, command: &Command) -> Vec<LedgerEvent> {
        let entry = self.sign(node, agent, command);
        self.commit(vec![entry])
    }

    fn commit(&mut self, entries: Vec<SignedCommand>) -> Vec<LedgerEvent> {
        let block = Block {
            height: self.ledger.height() + 1,
            time: Timestamp(self.now.as_millis() as u64),
            entries,
            ..Block::default()
        };
        let events = self.ledger.apply(&block).expect("the next block");
        self.events.extend(events.clone());
        events
    }

    /// The agent of `node` leases all of its device.
    fn lease(&mut self, node: u32) {
        let request = ResourceRequest {
            device: Some(DeviceId(child(node).get())),
            bytes: Bytes(100),
            share: Permille::WHOLE,
            priority: 0,
            hold: Millis(60_000),
            deadline: None,
            purpose: ShortText::default(),
        };
        let events = self.submit(node, child(node), &Command::Request(request));
        assert!(matches!(events[..], [LedgerEvent::LeaseGranted(_)]), "{events:?}");
    }

    fn leases(&self) -> Vec<u32> {
        self.ledger
            .leases()
            .map(|lease| lease.agent.get() / 1024)
            .collect()
    }

    /// What each node that is not silent thinks of the others.
    fn opinions(&self, node: u32) -> Vec<Opinion> {
        let others = self.nodes.keys().filter(|&&other| other != node);
        others
            .map(|&other| Opinion {
                about: key(other).public(),
                phi_milli: if self.silent.contains(&other) || self.silent.contains(&node) {
                    20_000
                } else {
                    100
                },
            })
            .collect()
    }

    fn shared(&self) -> BTreeSet<PublicKey> {
        self.silent.iter().map(|&node| key(node).public()).collect()
    }

    /// All nodes that are not silent look, and what they name is in the next block.
    fn step(&mut self) {
        self.now += STEP;
        let (mut entries, mut said) = (Vec::new(), 0);
        let nodes: Vec<u32> = self
            .nodes
            .keys()
            .copied()
            .filter(|node| !self.silent.contains(node))
            .collect();
        for node in nodes {
            let (own, shared) = (self.opinions(node), self.shared());
            let sight = Sight {
                own: &own,
                shared: &shared,
            };
            let vigil = self.nodes.get_mut(&node).expect("there");
            let duties = vigil.duties(&key(node), &self.ledger, sight, self.now);
            said += duties.len();
            for duty in duties {
                entries.push(self.sign(node, duty.agent, &duty.command));
            }
        }
        self.said.push(said);
        let events = self.commit(entries);
        let rejected = events
            .iter()
            .find(|event| matches!(event, LedgerEvent::Rejected { .. }));
        assert_eq!(rejected, None);
    }
}

/// One look of node 1 at what `own` and `shared` say.
fn look(world: &mut World, own: &[Opinion], shared: &[u32], now: u64) -> Vec<Duty> {
    let shared = shared.iter().map(|&node| key(node).public()).collect();
    let sight = Sight { own, shared: &shared };
    let vigil = world.nodes.get_mut(&1).expect("there");
    vigil.duties(&key(1), &world.ledger, sight, Duration::from_millis(now))
}

fn opinions(phis: &[(u32, u32)]) -> Vec<Opinion> {
    let opinion = |&(node, phi_milli): &(u32, u32)| Opinion {
        about: key(node).public(),
        phi_milli,
    };
    phis.iter().map(opinion).collect()
}

#[test]
fn a_silent_node_loses_what_it_holds_and_comes_back() {
    let mut world = World::new(4);
    for node in 1..=4 {
        world.lease(node);
    }
    for _ in 0..6 {
        world.step();
    }
    assert_eq!(
        world.said.iter().sum::<usize>(),
        0,
        "nobody is silent, nobody speaks"
    );
    world.silent.insert(3);
    let begun = world.said.len();
    let steps = (1..20).find(|_| {
        world.step();
        !world.leases().contains(&3)
    });
    // Two seconds of patience, counted from the first look.
    assert_eq!(steps, Some(5));
    assert_eq!(world.leases(), [1, 2, 4]);
    assert!(world.ledger.gone(child(3)).is_some());
    assert_eq!(world.ledger.gone(AgentId(3)), None, "it held nothing itself");
    for _ in 0..20 {
        world.step();
    }
    assert_eq!(
        world.said[begun..].iter().sum::<usize>(),
        3,
        "each of three said it once"
    );
    world.silent.clear();
    world.step();
    assert_eq!(world.ledger.gone(child(3)), None, "its first look brings it back");
    for _ in 0..10 {
        world.step();
    }
    assert_eq!(world.said[begun..].iter().sum::<usize>(), 4);
    world.lease(3);
    assert_eq!(world.leases(), [1, 2, 4, 3]);
}

#[test]
fn a_suspicion_lasts_before_it_counts_and_ends_below_where_it_began() {
    let mut world = World::new(4);
    world.lease(2);
    let at = |phi| opinions(&[(2, phi), (3, 0), (4, 0)]);
    assert_eq!(look(&mut world, &at(8_000), &[2], 0), []);
    assert_eq!(look(&mut world, &at(8_000), &[2], 1_999), []);
    // Between the two thresholds it goes on; below the lower one it begins anew.
    assert_eq!(look(&mut world, &at(3_000), &[2], 1_999), []);
    assert_eq!(look(&mut world, &at(2_999), &[2], 2_000), []);
    assert_eq!(look(&mut world, &at(7_999), &[2], 3_000), []);
    assert_eq!(
        look(&mut world, &at(7_999), &[2], 30_000),
        [],
        "not enough to begin"
    );
    assert_eq!(look(&mut world, &at(8_000), &[2], 31_000), []);
    let duties = look(&mut world, &at(3_000), &[2], 33_000);
    assert_eq!(duties.len(), 1);
    let Command::Statement(Statement {
        validator, ref said, ..
    }) = duties[0].command
    else {
        panic!("a report");
    };
    assert_eq!((duties[0].agent, validator), (AgentId(1), key(1).public()));
    let (agent, at) = (child(2), world.ledger.time());
    assert_eq!(*said, Said::Gone { agent, at });
}

#[test]
fn who_is_alone_with_its_suspicion_or_cut_off_says_nothing() {
    let mut world = World::new(4);
    for node in 2..=4 {
        world.lease(node);
    }
    let one = opinions(&[(2, 50_000), (3, 0), (4, 0)]);
    look(&mut world, &one, &[], 0);
    assert_eq!(look(&mut world, &one, &[], 60_000), [], "no other suspects it");
    assert_eq!(look(&mut world, &one, &[2], 61_000).len(), 1);
    let all = opinions(&[(2, 50_000), (3, 50_000), (4, 0)]);
    look(&mut world, &all, &[2, 3], 62_000);
    assert_eq!(
        look(&mut world, &all, &[2, 3], 120_000),
        [],
        "two of four are no quorum"
    );
    let unfollowed = opinions(&[(2, 50_000), (3, 0)]);
    assert_eq!(
        look(&mut world, &unfollowed, &[2], 180_000),
        [],
        "node 4 is not seen"
    );
    assert_eq!(look(&mut world, &one, &[2], 240_000).len(), 1);
}

#[test]
fn only_validators_report_and_only_agents_that_have_something() {
    let mut world = World::new(4);
    world.lease(2);
    let both = opinions(&[(2, 50_000), (3, 0), (4, 0), (77, 90_000)]);
    look(&mut world, &both, &[2], 0);
    let shared = BTreeSet::from([key(2).public()]);
    let sight = Sight {
        own: &both,
        shared: &shared,
    };
    let later = Duration::from_secs(9);
    let mut vigil = world.nodes[&1].clone();
    assert_eq!(
        vigil.duties(&key(9), &world.ledger, sight, later),
        [],
        "no validator"
    );
    assert_eq!(
        vigil.duties(&key(1), &world.ledger, sight, later).len(),
        1,
        "the other has nothing"
    );
    // A node that is no validator has no voice among them, and is judged by what each sees itself.
    let validators = ValidatorSet::equal([1, 3, 4].map(|node| key(node).public())).expect("distinct");
    let genesis = world.ledger.genesis().clone().with_validators(validators);
    let mut other = World::new(4);
    other.ledger = Ledger::new(genesis).expect("valid");
    other.seqs.clear();
    let request = ResourceRequest {
        device: None,
        bytes: Bytes(1),
        share: Permille::WHOLE,
        priority: 0,
        hold: Millis(60_000),
        deadline: None,
        purpose: ShortText::default(),
    };
    let device = Command::RegisterDevice {
        device: DeviceId(1024),
        capacity: Bytes(1),
    };
    other.submit(1, AgentId(1), &device);
    other.submit(2, AgentId(2), &Command::Request(request));
    look(&mut other, &both, &[], 0);
    let duties = look(&mut other, &both, &[], 2_000);
    assert_eq!(duties.len(), 1, "a member itself, that nobody registered");
}

/// Node 2's owner has another process, an agent with a key of its own; it and the node's agent hold a lease each.
fn with_guest() -> (World, AgentId, PublicKey) {
    let mut world = World::new(4);
    world.lease(2);
    // Another process of node 2's owner, with a key of its own.
    let guest = AgentKey::from_secret(&[99; 32]);
    let (agent, owner, number) = (AgentId(3071), OwnerId(2), DeviceId(3072));
    let guest_key = guest.public();
    world.submit(
        2,
        AgentId(2),
        &Command::RegisterAgent {
            agent,
            owner,
            key: guest_key,
        },
    );
    let capacity = Bytes(9);
    world.submit(
        3,
        AgentId(3),
        &Command::RegisterDevice {
            device: number,
            capacity,
        },
    );
    let request = ResourceRequest {
        device: Some(number),
        bytes: Bytes(9),
        share: Permille::WHOLE,
        priority: 0,
        hold: Millis(60_000),
        deadline: None,
        purpose: ShortText::default(),
    };
    let command = Command::Request(request);
    let entry = SignedCommand::sign(&guest, world.ledger.chain_id(), agent, 0, &command).expect("small");
    assert!(matches!(
        world.commit(vec![entry])[..],
        [LedgerEvent::LeaseGranted(_)]
    ));
    (world, agent, guest_key)
}

#[test]
fn an_agent_with_a_followed_key_is_judged_by_it() {
    let (mut world, _, guest_key) = with_guest();
    let about = |duties: &[Duty]| -> Vec<u32> {
        let agent = |duty: &Duty| match &duty.command {
            Command::Statement(Statement {
                said: Said::Gone { agent, .. },
                ..
            }) => agent.get(),
            other => panic!("no report: {other:?}"),
        };
        duties.iter().map(agent).collect()
    };
    let with = |node: u32, guest: Option<u32>| {
        let mut own = opinions(&[(2, node), (3, 0), (4, 0)]);
        own.extend(guest.map(|phi_milli| Opinion {
            about: guest_key,
            phi_milli,
        }));
        own
    };
    for (own, expected) in [
        (with(50_000, None), vec![2048, 3071]),
        (with(50_000, Some(0)), vec![2048]),
        (with(0, Some(50_000)), vec![3071]),
    ] {
        let mut fresh = world.nodes[&1].clone();
        std::mem::swap(&mut fresh, world.nodes.get_mut(&1).expect("there"));
        look(&mut world, &own, &[2], 0);
        let duties = look(&mut world, &own, &[2], 2_000);
        assert_eq!(about(&duties), expected);
        world.nodes.insert(1, fresh);
    }
}

#[test]
fn an_agent_of_another_process_is_brought_back_by_that() {
    let (mut world, agent, _) = with_guest();
    for node in [1, 3, 4] {
        let at = world.ledger.time();
        let said = Said::Gone { agent, at };
        let chain = world.ledger.chain_id();
        let statement = Statement::sign(&key(node), chain, said);
        world.submit(node, AgentId(node), &Command::Statement(statement));
    }
    assert!(world.ledger.gone(agent).is_some());
    let shared = BTreeSet::new();
    let sight = Sight {
        own: &[],
        shared: &shared,
    };
    let vigil = Vigil::new(VigilConfig::default(), AgentId(2)).expect("valid");
    let mut apart = vigil.clone().without([agent]);
    let now = Duration::from_secs(1);
    assert_eq!(apart.duties(&key(2), &world.ledger, sight, now), []);
    let mut all = vigil;
    let duties = all.duties(&key(2), &world.ledger, sight, now);
    assert!(
        matches!(&duties[..], [Duty { agent: back, .. }] if *back == agent),
        "{duties:?}"
    );
}

#[test]
fn what_the_ledger_shows_is_not_said_again_before_it_fades() {
    let mut world = World::new(4);
    world.lease(2);
    let own = opinions(&[(2, 50_000), (3, 0), (4, 0)]);
    look(&mut world, &own, &[2], 0);
    let said = look(&mut world, &own, &[2], 2_000);
    assert_eq!(said.len(), 1);
    assert_eq!(look(&mut world, &own, &[2], 3_999), [], "it may be on its way");
    assert_eq!(look(&mut world, &own, &[2], 4_000), said, "or lost");
    let events = world.submit(1, AgentId(1), &said[0].command);
    assert!(matches!(
        events[..],
        [LedgerEvent::AgentReported { weight: 1, .. }]
    ));
    assert_eq!(look(&mut world, &own, &[2], 60_000), []);
    world.now += Duration::from_millis(5_000);
    world.commit(Vec::new());
    assert_eq!(
        look(&mut world, &own, &[2], 61_000).len(),
        1,
        "half of its time is over"
    );
}

#[test]
fn values_out_of_range_are_named() {
    let vigil = |change: fn(&mut VigilConfig)| {
        let mut config = VigilConfig::default();
        change(&mut config);
        Vigil::new(config, AgentId(1))
            .map(|_| ())
            .map_err(|error| error.to_string())
    };
    assert_eq!(vigil(|_| {}), Ok(()));
    for (change, words) in [
        (
            (|config| config.suspect_milli = 0) as fn(&mut VigilConfig),
            "suspect_milli is 0",
        ),
        (
            |config| config.clear_milli = 8_000,
            "clear_milli is 8000, allowed are 0 to below",
        ),
        (|config| config.at_once = 65, "at_once is 65, allowed are 1 to 64"),
        (|config| config.retry = Duration::ZERO, "retry is 0ns"),
        (
            |config| config.patience = Duration::from_secs(3601),
            "patience is 3601s",
        ),
        (
            |config| config.pause = Duration::from_secs(3601),
            "pause is 3601s",
        ),
    ] {
        let error = vigil(change).expect_err(words);
        assert!(error.starts_with(words), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever suspicions come and whoever agrees, a node names no more than its rate allows, only agents of peers that
    /// were suspected without a pause, and nothing about itself.
    #[test]
    fn nobody_is_reported_lightly(
        looks in prop::collection::vec((0_u64..3_000, prop::array::uniform3(0_u32..16_000), any::<[bool; 3]>()), 1..60),
    ) {
        let mut world = World::new(4);
        for node in 1..=4 {
            world.lease(node);
        }
        let (mut now, mut last) = (0, None);
        let mut since: BTreeMap<u32, u64> = BTreeMap::new();
        for (passed, phis, shared) in looks {
            now += passed;
            let phis: Vec<(u32, u32)> = (2..=4).zip(phis).collect();
            for &(node, phi) in &phis {
                if phi < 3_000 {
                    since.remove(&node);
                } else if phi >= 8_000 {
                    since.entry(node).or_insert(now);
                }
            }
            let shared: Vec<u32> = (2..=4).zip(shared).filter(|(_, yes)| *yes).map(|(node, _)| node).collect();
            let duties = look(&mut world, &opinions(&phis), &shared, now);
            prop_assert!(duties.is_empty() || last.is_none_or(|last| now - last >= 500));
            prop_assert!(duties.len() <= 8);
            for duty in &duties {
                let Command::Statement(Statement { said: Said::Gone { agent, .. }, .. }) = duty.command else {
                    panic!("a report");
                };
                let node = agent.get() / 1024;
                prop_assert!(since.get(&node).is_some_and(|since| now - since >= 2_000) && shared.contains(&node));
                prop_assert!(since.len() < 2, "more would be no quorum");
            }
            if !duties.is_empty() {
                last = Some(now);
            }
        }
    }
}
