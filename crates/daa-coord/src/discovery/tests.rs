//! Real connections over the loopback device.

use super::*;
use crate::genesis::ChainId;
use crate::keys::{AgentKey, Digest, Ed25519};
use crate::knowledge::{KnowledgeBase, KnowledgeConfig, SignedInsight, TrustBook, TrustConfig};
use crate::streams::{
    ContentId, MIN_CHUNK, Manifest, Provider, ProviderConfig, Receiver, ReceiverConfig, StreamError,
};
use crate::text::ShortText;
use daa_base::SystemClock;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const CHAIN: ChainId = ChainId([7; 32]);

/// Far longer than anything here takes.
const WAIT: Duration = Duration::from_secs(60);

fn key(n: u8) -> AgentKey {
    AgentKey::from_secret(&[n; 32])
}

fn members(keys: impl IntoIterator<Item = u8>) -> BTreeSet<PublicKey> {
    keys.into_iter().map(|n| key(n).public()).collect()
}

fn config(bootstrap: &[Multiaddr]) -> DiscoveryConfig {
    DiscoveryConfig {
        listen: vec!["/ip4/127.0.0.1/tcp/0".parse().expect("an address")],
        bootstrap: bootstrap.to_vec(),
        max_pending_per_ip: 64,
        round: Duration::from_millis(50),
        ping_interval: Duration::from_millis(50),
        ..DiscoveryConfig::default()
    }
}

fn start_on(chain: ChainId, n: u8, config: DiscoveryConfig, policy: impl Policy) -> (Network, Incoming) {
    let clock = Arc::new(SystemClock::new());
    Network::start(config, &key(n), chain, Arc::new(policy), clock).expect("started")
}

fn start(n: u8, config: DiscoveryConfig, policy: impl Policy) -> (Network, Incoming) {
    start_on(CHAIN, n, config, policy)
}

async fn address(network: &Network) -> Multiaddr {
    let view = network.wait_for(WAIT, |view| !view.listening.is_empty()).await;
    view.expect("it listens").listening[0].clone()
}

async fn sees(network: &Network, others: &BTreeSet<PublicKey>) {
    let seen = network
        .wait_for(WAIT, |view| others.is_subset(&view.connected))
        .await;
    assert!(seen.is_some(), "sees {:?}", network.view());
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime");
    runtime.block_on(async {
        assert!(tokio::time::timeout(2 * WAIT, test).await.is_ok(), "it ends");
    });
}

/// Answers everything with `Taken`.
fn serve(mut incoming: Incoming) {
    tokio::spawn(async move {
        while let Some(served) = incoming.next().await {
            served.answer(Response::Taken);
        }
    });
}

const fn talk(n: u8) -> Request {
    let mut id = [0; 32];
    id[0] = n;
    Request::Manifest(ContentId(Digest(id)))
}

#[test]
fn one_bootstrap_address_is_enough_to_find_everybody() {
    run(async {
        let all = members(1..=4);
        let (first, _in1) = start(1, config(&[]), all.clone());
        let at = [address(&first).await];
        let others: Vec<_> = (2..=4).map(|n| start(n, config(&at), all.clone())).collect();
        for (network, _) in others.iter().chain([&(first.clone(), _in1)]) {
            let mut others = all.clone();
            others.remove(&network.me());
            sees(network, &others).await;
        }
        // Two that were not told of each other talk.
        let status = Status {
            chain: CHAIN,
            height: 3,
            state: Digest([2; 32]),
        };
        let (two, three) = (&others[0].0, &others[1].0);
        assert_eq!(
            two.request(three.me(), Request::Status).await,
            Err(RequestError::Refused {
                peer: three.me(),
                refusal: Refusal::NotHere
            })
        );
        three.set_status(status);
        assert_eq!(
            two.request(three.me(), Request::Status).await,
            Ok(Response::Status(status))
        );
        three.stop().await;
        let gone = two
            .wait_for(WAIT, |view| !view.connected.contains(&key(3).public()))
            .await;
        assert!(gone.is_some());
        assert_eq!(
            three.request(two.me(), Request::Status).await,
            Err(RequestError::Stopped)
        );
    });
}

#[test]
fn strangers_and_other_chains_are_not_served() {
    run(async {
        let (node, incoming) = start(1, config(&[]), members([2, 4]));
        serve(incoming);
        let at = [address(&node).await];
        let (stranger, _in) = start(3, config(&at), members([1]));
        let refused = stranger.request(key(1).public(), talk(1)).await;
        assert!(
            matches!(refused, Err(RequestError::Unreachable { .. })),
            "{refused:?}"
        );
        let (other, _in) = start_on(ChainId([8; 32]), 4, config(&at), members([1]));
        sees(&other, &members([1])).await;
        let refused = other.request(key(1).public(), talk(1)).await;
        assert!(
            matches!(refused, Err(RequestError::Unreachable { .. })),
            "{refused:?}"
        );
        let (member, _in) = start(2, config(&at), members([1]));
        sees(&member, &members([1])).await;
        assert_eq!(
            member.request(key(1).public(), talk(1)).await,
            Ok(Response::Taken)
        );
        counted(&node, |traffic| traffic.refused_connections > 0).await;
        assert_eq!(node.traffic().served, 1);
    });
}

/// A policy that changes its mind.
#[derive(Debug, Clone, Default)]
struct Fickle(Arc<Mutex<BTreeSet<PublicKey>>>);

impl Policy for Fickle {
    fn allows(&self, peer: &PublicKey) -> bool {
        self.0.lock().expect("not poisoned").contains(peer)
    }
}

#[test]
fn whoever_is_no_longer_allowed_is_disconnected() {
    run(async {
        let policy = Fickle::default();
        policy.0.lock().expect("not poisoned").extend(members([2]));
        let (node, incoming) = start(1, config(&[]), policy.clone());
        serve(incoming);
        let (member, _in) = start(2, config(&[address(&node).await]), members([1]));
        sees(&node, &members([2])).await;
        assert_eq!(member.request(node.me(), talk(1)).await, Ok(Response::Taken));
        policy.0.lock().expect("not poisoned").clear();
        let gone = node.wait_for(WAIT, |view| view.connected.is_empty()).await;
        assert!(gone.is_some());
        assert!(member.request(node.me(), talk(1)).await.is_err());
    });
}

#[test]
fn work_is_asked_for_answered_and_charged() {
    run(async {
        let mut settings = config(&[]);
        // Room for two orders at once and a few small requests.
        settings.budget.byte_burst = 3 * MAX_WORK as u64 - 1;
        settings.budget.bytes_per_second = 1;
        let (node, mut incoming) = start(1, settings, members([2]));
        tokio::spawn(async move {
            while let Some(served) = incoming.next().await {
                let Request::Work(mut order) = served.request.clone() else {
                    panic!("only work is asked for");
                };
                order.reverse();
                served.answer(Response::Work(order));
            }
        });
        let (lead, _in) = start(2, config(&[address(&node).await]), members([1]));
        sees(&lead, &members([1])).await;
        let order: Vec<u8> = (0..MAX_WORK).map(|at| at as u8).collect();
        let done = Response::Work(order.iter().rev().copied().collect());
        for _ in 0..2 {
            let asked = lead.request(node.me(), Request::Work(order.clone())).await;
            assert_eq!(asked, Ok(done.clone()));
        }
        let peer = node.me();
        let asked = lead.request(peer, Request::Work(order.clone())).await;
        let refusal = Refusal::TooMuch;
        assert_eq!(asked, Err(RequestError::Refused { peer, refusal }));
        let too_large = Request::Work(vec![0; MAX_WORK + 1]);
        assert!(
            lead.request(peer, too_large).await.is_err(),
            "it is not even sent"
        );
        assert_eq!(node.traffic().malformed, 0);
    });
}

#[test]
fn a_flooding_peer_fills_its_own_place_only() {
    run(async {
        let mut settings = config(&[]);
        settings.serving = 4;
        settings.queue_per_peer = 6;
        settings.streams_per_peer = 32;
        let (node, mut incoming) = start(1, settings, members([2, 3]));
        let at = [address(&node).await];
        let mut theirs = config(&at);
        theirs.streams_per_peer = 32;
        let (flooder, _in) = start(2, theirs, members([1]));
        let (honest, _in) = start(3, config(&at), members([1]));
        sees(&node, &members([2, 3])).await;
        sees(&flooder, &members([1])).await;
        sees(&honest, &members([1])).await;
        // Twenty at once, of which two are given out, six wait, and twelve find their place full; nothing is answered.
        let flood: Vec<_> = (0..20)
            .map(|n| {
                let flooder = flooder.clone();
                tokio::spawn(async move { flooder.request(key(1).public(), talk(n)).await })
            })
            .collect();
        counted(&node, |traffic| traffic.queue_full == 12).await;
        let asking = {
            let honest = honest.clone();
            tokio::spawn(async move { honest.request(key(1).public(), talk(99)).await })
        };
        // What was given out before the honest request came stands before it, and nothing else.
        counted(&node, |traffic| traffic.served == 3).await;
        let mut before = 0;
        loop {
            let served = incoming.next().await.expect("requests wait");
            let from = served.from;
            served.answer(Response::Taken);
            if from == key(3).public() {
                break;
            }
            before += 1;
        }
        assert!(before <= 2, "{before} of the flooder's were served first");
        assert_eq!(asking.await.expect("no panic"), Ok(Response::Taken));
        serve(incoming);
        let mut taken = 0;
        for asked in flood {
            taken += usize::from(asked.await.expect("no panic").is_ok());
        }
        assert_eq!(taken, 8, "two that were given out and six that waited");
    });
}

/// Waits for a count.
async fn counted(network: &Network, holds: impl FnMut(&Traffic) -> bool) {
    let held = network.wait_for_traffic(WAIT, holds).await;
    assert!(held.is_some(), "{:?}", network.traffic());
}

#[test]
fn whoever_goes_on_beyond_its_budget_is_cut_off_and_others_are_not() {
    run(async {
        let mut settings = config(&[]);
        settings.budget.request_burst = 10;
        settings.budget.requests_per_second = 1;
        settings.budget.strikes = 20;
        settings.budget.cut_off = Duration::from_secs(3600);
        let (node, incoming) = start(1, settings, members([2, 3]));
        serve(incoming);
        let at = [address(&node).await];
        let (flooder, _in) = start(2, config(&at), members([1]));
        let (honest, _in) = start(3, config(&at), members([1]));
        sees(&flooder, &members([1])).await;
        sees(&honest, &members([1])).await;
        for _ in 0..100 {
            let _ = flooder.request(node.me(), talk(1)).await;
            if !node.view().connected.contains(&flooder.me()) {
                break;
            }
        }
        let gone = node
            .wait_for(WAIT, |view| !view.connected.contains(&key(2).public()))
            .await;
        assert!(gone.is_some(), "{:?}", node.traffic());
        let traffic = node.traffic();
        assert!(traffic.over_requests >= 19 && traffic.cut_off >= 1, "{traffic:?}");
        assert_eq!(honest.request(node.me(), talk(2)).await, Ok(Response::Taken));
        counted(&node, |traffic| traffic.refused_connections > 0).await;
    });
}

#[test]
fn silence_is_suspected_and_voices_add_up() {
    run(async {
        let all = members(1..=4);
        let weights: Vec<_> = all.iter().map(|member| (*member, 1)).collect();
        let mut settings = config(&[]);
        settings.detector.expected = Duration::from_millis(50);
        settings.detector.least_deviation = Duration::from_millis(20);
        settings.detector.acceptable_pause = Duration::from_millis(500);
        let (first, _in1) = start(1, settings.clone(), all.clone());
        settings.bootstrap = vec![address(&first).await];
        let nodes: Vec<_> = (2..=4).map(|n| start(n, settings.clone(), all.clone())).collect();
        for (network, _) in &nodes {
            let mut others = all.clone();
            others.remove(&network.me());
            sees(network, &others).await;
        }
        sees(&first, &members(2..=4)).await;
        for network in [&first, &nodes[0].0, &nodes[1].0] {
            network.set_members(weights.clone()).await.expect("it runs");
        }
        let gone = key(4).public();
        nodes[2].0.stop().await;
        let noticed = first.wait_for(WAIT, |view| view.suspected.contains(&gone)).await;
        assert!(noticed.is_some(), "{:?}", first.suspicions().await);
    });
}

/// Answers for bulk data: the right bytes, or others.
fn serve_data(mut incoming: Incoming, data: Vec<u8>, lies: bool) -> ContentId {
    let manifest = Arc::new(Manifest::of(&data[..], MIN_CHUNK).expect("in range"));
    let mut provider = Provider::new(ProviderConfig::default()).expect("in range");
    let id = provider.publish(manifest).expect("room");
    tokio::spawn(async move {
        while let Some(served) = incoming.next().await {
            let provided = provide(&mut provider, served, |chunk| {
                let start = chunk.offset as usize;
                let mut bytes = data[start..start + chunk.length as usize].to_vec();
                if lies {
                    bytes[0] ^= 1;
                }
                Ok(bytes)
            });
            assert!(provided.is_none(), "only data are asked for");
        }
    });
    id
}

#[test]
fn bulk_data_come_whole_although_one_source_lies_and_one_is_not_there() {
    run(async {
        let data: Vec<u8> = (0..200_000_u32).map(|n| (n * 7 + n / 251) as u8).collect();
        let (honest, incoming) = start(1, config(&[]), members(1..=3));
        let id = serve_data(incoming, data.clone(), false);
        let at = [address(&honest).await];
        let (liar, incoming) = start(2, config(&at), members(1..=3));
        serve_data(incoming, data.clone(), true);
        let (asker, _in) = start(3, config(&at), members(1..=3));
        sees(&asker, &members([1, 2])).await;
        let settings = ReceiverConfig {
            failures: 50,
            ..ReceiverConfig::default()
        };
        let sources = [honest.me(), liar.me(), key(9).public()];
        let mut receiver = Receiver::new(settings, id, sources).expect("in range");
        let clock = SystemClock::new();
        let mut got = vec![0; data.len()];
        let fetched = fetch(&asker, &clock, &mut receiver, |chunk, bytes| {
            let start = chunk.offset as usize;
            got[start..start + bytes.len()].copy_from_slice(bytes);
            Ok(())
        });
        assert_eq!(fetched.await, Ok(()));
        assert!(got == data, "every byte");
        assert!(
            !receiver.sources().any(|source| *source == liar.me()),
            "the liar was found out"
        );
        // Nobody has it.
        let id = ContentId(Digest([1; 32]));
        let settings = ReceiverConfig {
            failures: 2,
            ..settings
        };
        let mut receiver = Receiver::new(settings, id, [honest.me()]).expect("in range");
        let none = fetch(&asker, &clock, &mut receiver, |_, _| Ok(())).await;
        assert_eq!(none, Err(StreamError::NoSource { id }));
    });
}

#[test]
fn insights_travel_and_are_checked() {
    run(async {
        let (node, mut incoming) = start(1, config(&[]), members([2]));
        let (author, _in) = start(2, config(&[address(&node).await]), members([1]));
        sees(&author, &members([1])).await;
        let trust = TrustBook::new(TrustConfig::default()).expect("in range");
        let mut base = KnowledgeBase::new(CHAIN, KnowledgeConfig::default(), trust);
        base.set_authors(members([2]));
        let taker = tokio::spawn(async move {
            for _ in 0..2 {
                let served = incoming.next().await.expect("a request");
                let Request::Insight(signed) = served.request.clone() else {
                    panic!("an insight")
                };
                let taken = base.take(&Ed25519, signed).is_ok();
                let refused = Response::Refused(Refusal::Invalid);
                served.answer(if taken { Response::Taken } else { refused });
            }
            base
        });
        let topic = ShortText::fitted("learning rate");
        let signed = SignedInsight::sign(&key(2), CHAIN, topic, 1, vec![1, 2, 3]).expect("small");
        let mut forged = signed.clone();
        forged.insight.version = 2;
        assert_eq!(
            author.request(node.me(), Request::Insight(signed)).await,
            Ok(Response::Taken)
        );
        let refused = author.request(node.me(), Request::Insight(forged)).await;
        assert!(
            matches!(
                refused,
                Err(RequestError::Refused {
                    refusal: Refusal::Invalid,
                    ..
                })
            ),
            "{refused:?}"
        );
        let base = taker.await.expect("no panic");
        assert_eq!((base.counters().accepted, base.counters().forged), (1, 1));
    });
}

#[test]
fn configurations_out_of_range_are_named() {
    let mut settings = config(&[]);
    settings.serving = 0;
    let error = settings.validate().expect_err("nobody would serve");
    assert_eq!(error.to_string(), "serving is 0, allowed are 1 to 4096");
    let mut settings = config(&[]);
    settings.bootstrap = vec!["/dns/example.org/tcp/1".parse().expect("an address")];
    assert!(settings.validate().is_err(), "names are not looked up");
    let mut settings = config(&[]);
    settings.budget.byte_burst = 0;
    assert!(settings.validate().is_err());
}
