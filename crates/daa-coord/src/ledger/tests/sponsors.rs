//! Who may register whom and what.

use super::*;
use crate::genesis::Member;
use crate::ledger::reason::WithdrawReason;
use crate::ledger::{MAX_SPONSOR, MAX_SPONSORED, sponsor_of, sponsored};
use crate::validators::ValidatorSet;

/// Any key that is nobody's.
fn fresh(n: u8) -> AgentKey {
    AgentKey::from_secret(&[200 + n; 32])
}

/// Agents 1 to 3 of owners 1 to 3, as members, and nothing else.
fn of_members(config: LedgerConfig) -> Genesis {
    let members = (1..=AGENTS).map(|agent| Member {
        agent: AgentId(agent),
        owner: OwnerId(agent),
        key: key_of(AgentId(agent)).public(),
    });
    genesis(config).with_members(members.collect()).expect("valid")
}

/// A scene in which agents 1 to 3 were there from the beginning.
fn membership(config: LedgerConfig) -> Scene {
    Scene::of(of_members(config))
}

fn agent(id: u32, owner: u32, key: PublicKey) -> Command {
    Command::RegisterAgent {
        agent: AgentId(id),
        owner: OwnerId(owner),
        key,
    }
}

fn device(id: u32, capacity: u64) -> Command {
    Command::RegisterDevice {
        device: DeviceId(id),
        capacity: Bytes(capacity),
    }
}

fn unregister(id: u32) -> Command {
    Command::UnregisterAgent { agent: AgentId(id) }
}

fn registered(events: &[LedgerEvent]) -> bool {
    use LedgerEvent::{AgentRegistered, DeviceRegistered};
    matches!(events, [AgentRegistered { .. } | DeviceRegistered { .. }, ..])
}

/// Lets a sponsored agent, whose key the scene does not know, sign its command number `seq`.
fn run_as(scene: &mut Scene, key: &AgentKey, id: u32, seq: u64, command: &Command) -> Vec<LedgerEvent> {
    let chain = scene.ledger.chain_id();
    let entry = SignedCommand::sign(key, chain, AgentId(id), seq, command).expect("small");
    scene.commit(vec![entry])
}

#[test]
fn blocks_are_disjoint_and_fill_the_numbers() {
    assert_eq!(sponsored(0, 0), None);
    assert_eq!(
        (sponsored(1, 0), sponsored(1, 1023), sponsored(1, 1024)),
        (Some(1024), Some(2047), None)
    );
    assert_eq!(sponsored(MAX_SPONSOR, 1023), Some(u32::MAX));
    assert_eq!((MAX_SPONSOR, sponsored(MAX_SPONSOR + 1, 0)), (4_194_303, None));
    for sponsor in [1, 2, 77, MAX_SPONSOR] {
        for k in [0, 1, 1023] {
            assert_eq!(sponsored(sponsor, k).and_then(sponsor_of), Some(sponsor));
        }
    }
    assert_eq!((sponsor_of(0), sponsor_of(1023)), (None, None));
}

#[test]
fn members_take_part_before_any_command() {
    let genesis = of_members(LedgerConfig::default());
    let mut ledger = Ledger::new(genesis.clone()).expect("valid");
    ledger.check_invariants().expect("sound");
    let ids: Vec<_> = ledger
        .agents()
        .map(|agent| (agent.agent.get(), agent.owner.get()))
        .collect();
    assert_eq!(ids, [(0, 0), (1, 1), (2, 2), (3, 3)]);
    let key = key_of(AgentId(2));
    assert_eq!(ledger.agent_of(&key.public()), Some(AgentId(2)));
    assert_eq!(ledger.agent_of(&key_of(OPERATOR).public()), None);
    assert_eq!(ledger.agent_of(&fresh(0).public()), None);
    let id = AgentId(2);
    let entry = SignedCommand::sign(&key, ledger.chain_id(), id, 0, &device(2048, 10)).expect("small");
    let block = Block {
        height: 1,
        time: Timestamp(5),
        entries: vec![entry],
        ..Block::default()
    };
    assert!(registered(&ledger.apply(&block).expect("first")));
    let restored = Ledger::restore(&genesis, &ledger.snapshot()).expect("whole");
    assert_eq!(restored, ledger);
    let other = super::genesis(LedgerConfig::default());
    assert!(matches!(
        Ledger::restore(&other, &ledger.snapshot()),
        Err(LedgerError::WrongChain { .. })
    ));
}

#[test]
fn a_sponsor_registers_works_and_takes_back() {
    let mut scene = membership(LedgerConfig::default());
    let worker = fresh(1);
    assert!(registered(&scene.run(1, &agent(1030, 1, worker.public()))));
    assert!(registered(&scene.run(1, &device(1024, 500))));
    // A node's agents may sign with the node's key.
    assert!(registered(
        &scene.run(1, &agent(1031, 1, key_of(AgentId(1)).public()))
    ));
    assert_eq!(
        scene.ledger.agent_of(&key_of(AgentId(1)).public()),
        Some(AgentId(1))
    );
    assert_eq!(scene.ledger.agent_of(&worker.public()), Some(AgentId(1030)));
    let of = |scene: &Scene, n| {
        let agents: Vec<u32> = scene
            .ledger
            .agents_of(AgentId(n))
            .map(|a| a.agent.get())
            .collect();
        let devices: Vec<u32> = scene
            .ledger
            .devices_of(AgentId(n))
            .map(|d| d.device.get())
            .collect();
        (agents, devices)
    };
    assert_eq!(of(&scene, 1), (vec![1030, 1031], vec![1024]));
    assert_eq!(of(&scene, 2), (vec![], vec![]));
    let mut wanted = wish(400);
    wanted.device = Some(DeviceId(1024));
    let events = run_as(&mut scene, &worker, 1030, 0, &Command::Request(wanted.clone()));
    assert!(
        matches!(&events[..], [LedgerEvent::LeaseGranted(_)]),
        "{events:?}"
    );
    let events = scene.run(1, &unregister(1030));
    assert!(
        matches!(
            &events[..],
            [
                LedgerEvent::AgentUnregistered { .. },
                LedgerEvent::LeaseWithdrawn { .. }
            ]
        ),
        "{events:?}"
    );
    assert_eq!(of(&scene, 1).0, [1031]);
    // The number comes back with another key, and its count goes on.
    assert!(registered(&scene.run(1, &agent(1030, 1, fresh(2).public()))));
    assert_eq!(scene.ledger.next_seq(AgentId(1030)), Some(1));
    let old = run_as(&mut scene, &worker, 1030, 1, &Command::Request(wanted));
    assert_eq!(dropped(&old), DropReason::BadSignature);
    scene.replay();
}

#[test]
fn nobody_registers_outside_its_block_or_for_another_owner_or_with_somebodys_key() {
    let validators = ValidatorSet::equal((1..5).map(|n| members::validator(n).public())).expect("four keys");
    let genesis = of_members(LedgerConfig::default()).with_validators(validators);
    let mut scene = Scene::of(genesis);
    let key = fresh(1).public();
    for number in [1, 4, 1023, 2048, 3072, u32::MAX] {
        for command in [agent(number, 1, key), device(number, 9), unregister(number)] {
            let (first, last) = (1024, 2047);
            assert_eq!(
                rejection(&scene.run(1, &command)),
                Rejection::OutsideBlock { number, first, last }
            );
        }
    }
    assert_eq!(rejection(&scene.run(1, &unregister(0))), Rejection::OperatorStays);
    let other_owner = scene.run(1, &agent(1024, 2, key));
    assert_eq!(
        rejection(&other_owner),
        Rejection::OtherOwner { owner: OwnerId(1) }
    );
    scene.run(2, &agent(2048, 2, fresh(2).public()));
    for taken in [
        key_of(AgentId(2)).public(),
        key_of(OPERATOR).public(),
        fresh(2).public(),
        members::validator(3).public(),
    ] {
        let events = scene.run(1, &agent(1024, 1, taken));
        assert_eq!(rejection(&events), Rejection::KeyTaken { key: taken });
    }
    let weak = scene.run(1, &agent(1024, 1, PublicKey([0; 32])));
    assert_eq!(rejection(&weak), Rejection::InvalidKey);
    // What the operator put into the block stays the operator's.
    assert!(registered(&scene.run(0, &agent(1500, 3, fresh(3).public()))));
    assert!(registered(&scene.run(0, &device(1500, 100))));
    assert_eq!(
        rejection(&scene.run(1, &unregister(1500))),
        Rejection::NotSponsor { number: 1500 }
    );
    assert!(matches!(
        rejection(&scene.run(1, &device(1500, 99))),
        Rejection::DeviceExists { .. }
    ));
    let exists = scene.run(1, &agent(1500, 1, key));
    assert_eq!(
        rejection(&exists),
        Rejection::AgentExists { agent: AgentId(1500) }
    );
    assert_eq!(
        rejection(&scene.run(1, &unregister(1024))),
        Rejection::NoSuchAgent { agent: AgentId(1024) }
    );
    // Another's lease, quota or policy is no matter of sponsors.
    let lease = scene.grant(2, wish(10));
    let reason = ShortText::default();
    let revoke = Command::Revoke {
        lease: lease.id,
        reason,
    };
    assert_eq!(rejection(&scene.run(1, &revoke)), Rejection::NotOperator);
    scene.replay();
}

#[test]
fn sponsored_agents_sponsor_nobody() {
    let mut scene = membership(LedgerConfig::default());
    let child = fresh(1);
    scene.run(1, &agent(1024, 1, child.public()));
    for (seq, command) in (0..).zip([
        agent(1024 * 1024, 1, fresh(2).public()),
        device(1024 * 1024, 5),
        unregister(1024 * 1024),
        device(1025, 5),
    ]) {
        let events = run_as(&mut scene, &child, 1024, seq, &command);
        assert_eq!(rejection(&events), Rejection::NotOperator);
    }
}

#[test]
fn a_sponsor_is_bounded_and_cannot_keep_another_out() {
    let config = LedgerConfig {
        max_agents: 40,
        max_devices: 7,
        ..LedgerConfig::default()
    };
    // Three members share (40 − 4) places for agents and 7 for devices.
    let mut scene = membership(config);
    let key = key_of(AgentId(1)).public();
    for k in 0..12 {
        assert!(registered(&scene.run(1, &agent(1024 + k, 1, key))), "{k}");
    }
    let over = scene.run(1, &agent(1036, 1, key));
    assert_eq!(rejection(&over), Rejection::SponsorAgents { limit: 12 });
    scene.run(1, &unregister(1024));
    let over = scene.run(1, &agent(1036, 1, key));
    assert_eq!(
        rejection(&over),
        Rejection::SponsorAgents { limit: 12 },
        "a number that was given up is still known"
    );
    assert!(
        registered(&scene.run(1, &agent(1024, 1, key))),
        "and can be used again"
    );
    for k in 0..2 {
        assert!(registered(&scene.run(1, &device(1024 + k, 5))));
    }
    let over = scene.run(1, &device(1026, 5));
    assert_eq!(rejection(&over), Rejection::SponsorDevices { limit: 2 });
    assert!(
        registered(&scene.run(1, &device(1025, 6))),
        "what is there may change"
    );
    for n in [2, 3] {
        assert!(registered(&scene.run(n, &device(n * 1024, 5))));
        for k in 0..12 {
            let key = key_of(AgentId(n)).public();
            assert!(registered(&scene.run(n, &agent(n * 1024 + k, n, key))), "{n} {k}");
        }
    }
    scene.replay();
    // Without members the bound is that of one sponsor.
    let mut alone = Scene::new(LedgerConfig::default());
    for k in 0..MAX_SPONSORED {
        assert!(registered(&alone.run(1, &agent(1024 + k, 1, key))), "{k}");
    }
    assert_eq!(
        rejection(&alone.run(1, &agent(1024 + MAX_SPONSORED, 1, key))),
        Rejection::SponsorAgents { limit: 64 }
    );
}

#[test]
fn the_capacity_of_an_own_device_changes_but_not_below_what_is_leased() {
    let mut scene = membership(LedgerConfig::default());
    scene.run(1, &device(1024, 500));
    let wanted = |bytes| {
        let mut wanted = wish(bytes);
        wanted.device = Some(DeviceId(1024));
        wanted
    };
    let lease = scene.grant(2, wanted(300));
    let (large, ..) = scene.queue(3, wanted(450));
    let (small, ..) = scene.queue(3, wanted(250));
    let below = scene.run(1, &device(1024, 299));
    let (device_id, used) = (DeviceId(1024), Bytes(300));
    assert_eq!(
        rejection(&below),
        Rejection::BelowLeases {
            device: device_id,
            used
        }
    );
    assert_eq!(
        rejection(&scene.run(1, &device(1024, 0))),
        Rejection::ZeroCapacity
    );
    let events = scene.run(1, &device(1024, 440));
    let (bytes, capacity) = (Bytes(450), Bytes(440));
    assert!(
        matches!(&events[..], [LedgerEvent::DeviceRegistered { .. }, LedgerEvent::RequestRefused { request, reason }]
            if *request == large && *reason == RefuseReason::TooLarge { bytes, capacity }),
        "{events:?}"
    );
    let events = scene.run(1, &device(1024, 550));
    assert!(
        matches!(&events[..], [LedgerEvent::DeviceRegistered { .. }, LedgerEvent::LeaseGranted(granted)]
            if granted.request == small && granted.token > lease.token),
        "{events:?}"
    );
    // Nobody else changes it, the operator included.
    for who in [0, 2] {
        assert!(matches!(
            rejection(&scene.run(who, &device(1024, 600))),
            Rejection::DeviceExists { .. } | Rejection::OutsideBlock { .. }
        ));
    }
    assert!(registered(&scene.run(0, &device(1024, 550))), "the same again");
    let of: Vec<_> = scene
        .ledger
        .devices_of(AgentId(1))
        .map(|device| device.capacity)
        .collect();
    assert_eq!(of, [Bytes(550)]);
    scene.replay();
}

#[test]
fn followers_go_with_their_sponsor() {
    let mut scene = membership(LedgerConfig::default());
    let worker = fresh(1);
    scene.run(1, &agent(1024, 1, worker.public()));
    scene.run(1, &agent(1025, 1, fresh(2).public()));
    scene.run(1, &device(1024, 500));
    run_as(&mut scene, &worker, 1024, 0, &Command::Request(wish(600)));
    let events = scene.run(0, &unregister(1));
    let gone: Vec<_> = events.iter().map(ToString::to_string).collect();
    assert_eq!(
        [&gone[0], &gone[1], &gone[3]],
        [
            "agent-1 is not registered any more",
            "agent-1024 is not registered any more, as agent-1 is not",
            "agent-1025 is not registered any more, as agent-1 is not"
        ]
    );
    assert!(
        matches!(
            &events[2],
            LedgerEvent::LeaseWithdrawn {
                reason: WithdrawReason::HolderUnregistered,
                ..
            }
        ),
        "{gone:?}"
    );
    assert_eq!(events.iter().filter(|event| event.answers().is_some()).count(), 1);
    assert_eq!(scene.ledger.agents_of(AgentId(1)).count(), 0);
    assert_eq!(
        dropped(&run_as(&mut scene, &worker, 1024, 1, &Command::Request(wish(1)))),
        DropReason::UnknownAgent
    );
    // Its device stays, and can be leased.
    let mut wanted = wish(100);
    wanted.device = Some(DeviceId(1024));
    scene.grant(2, wanted);
    scene.replay();
}
