use super::*;
use crate::chain::{Chain, DEVICE};
use crate::config::{Schedule, Trust};
use daa_base::{AgentId, Clock, Seed, SystemClock};

const PATIENCE: Duration = Duration::from_secs(30);

/// A ledger on which two agents share one device, and whose leases last `hold` at most.
async fn chain(hold: u64) -> Chain {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let schedule = Schedule {
        agents: 2,
        trust: Trust::Local,
        lease: Millis(hold),
        ..Schedule::default()
    };
    let started = Chain::start(Seed(3), &schedule, 8, Bytes(1000), clock);
    started.await.expect("starts")
}

fn lessee(chain: &Chain, agent: u32, hold: u64) -> Lessee {
    let client = chain.client(AgentId(agent), PATIENCE).expect("registered");
    Lessee::start(client, Millis(hold)).expect("starts")
}

fn want(bytes: u64) -> Want {
    Want {
        device: DEVICE,
        bytes: Bytes(bytes),
        share: Permille::WHOLE,
        purpose: "a test".to_owned(),
    }
}

/// The first standing that `wanted` picks.
async fn until<T>(tenure: &mut Tenure, wanted: impl Fn(Standing) -> Option<T>) -> T {
    let found = async {
        loop {
            if let Some(found) = wanted(tenure.standing()) {
                return found;
            }
            tenure.changed().await.expect("the lessee runs");
        }
    };
    tokio::time::timeout(PATIENCE, found).await.expect("in time")
}

fn held(standing: Standing) -> Option<Lease> {
    match standing {
        Standing::Held(lease) => Some(lease),
        _ => None,
    }
}

/// Waits until the ledger is as `wanted`.
async fn settled(lessee: &Lessee, wanted: impl Fn(&Ledger) -> bool) {
    let news = Arc::new(Notify::new());
    let bell = Arc::downgrade(&news);
    let ring = move |_: &daa_coord::NodeUpdate| bell.upgrade().inspect(|bell| bell.notify_one()).is_some();
    lessee.ledger.attach(ring).expect("runs");
    let reached = async {
        while !lessee.ledger.view(&wanted) {
            news.notified().await;
        }
    };
    tokio::time::timeout(PATIENCE, reached).await.expect("in time");
}

#[tokio::test]
async fn what_is_dropped_is_given_back_or_withdrawn() {
    let chain = chain(60_000).await;
    let (first, second) = (lessee(&chain, 1, 60_000), lessee(&chain, 2, 60_000));
    let mut tenure = first.ask(want(600)).expect("runs");
    let lease = until(&mut tenure, held).await;
    assert_eq!((lease.agent, lease.bytes), (AgentId(1), Bytes(600)));
    let mut waiting = second.ask(want(600)).expect("runs");
    until(&mut waiting, |standing| {
        matches!(standing, Standing::Waiting { .. }).then_some(())
    })
    .await;
    drop(waiting);
    settled(&second, |ledger| ledger.queue().count() == 0).await;
    drop(tenure);
    settled(&first, |ledger| ledger.leases().count() == 0).await;
    for lessee in [&first, &second] {
        lessee.leave().await;
        assert!(matches!(lessee.ask(want(1)), Err(AgentError::LogClosed)));
    }
    chain.shutdown();
}

#[tokio::test]
async fn a_lease_is_prolonged_until_another_wants_the_device() {
    let hold = 600;
    let chain = chain(hold).await;
    let (first, second) = (lessee(&chain, 1, hold), lessee(&chain, 2, hold));
    let mut tenure = first.ask(want(600)).expect("runs");
    let lease = until(&mut tenure, held).await;
    let prolonged = |ledger: &Ledger| {
        let now = ledger.lease(lease.id).map(|lease| lease.expires);
        now.is_some_and(|expires| expires.since(lease.expires) >= Millis(hold))
    };
    settled(&first, prolonged).await;
    assert!(!tenure.is_ending());
    let mut other = second.ask(want(600)).expect("runs");
    let why = until(&mut tenure, |standing| match standing {
        Standing::Leaving { reason } => Some(reason),
        _ => None,
    });
    assert!(!why.await.is_empty());
    assert!(tenure.is_ending());
    drop(tenure);
    let next = until(&mut other, held).await;
    assert!(next.token > lease.token);
    chain.shutdown();
}

#[tokio::test]
async fn a_holder_hears_when_the_operator_takes_its_lease() {
    let chain = chain(60_000).await;
    let lessee = lessee(&chain, 1, 60_000);
    let mut tenure = lessee.ask(want(600)).expect("runs");
    let lease = until(&mut tenure, held).await;
    let revoke = Command::Revoke {
        lease: lease.id,
        reason: ShortText::fitted("a test"),
    };
    let mut operator = chain.operator().expect("there");
    operator.call(&revoke).await.expect("answered");
    let over = until(&mut tenure, |standing| match standing {
        Standing::Over { end, reason } => Some((end, reason)),
        _ => None,
    });
    let (end, reason) = over.await;
    assert_eq!(end, LeaseEnd::Revoked);
    assert!(reason.contains("a test"), "{reason}");
    chain.shutdown();
}

#[tokio::test]
async fn what_cannot_be_is_refused() {
    let chain = chain(60_000).await;
    let lessee = lessee(&chain, 1, 60_000);
    let mut tenure = lessee.ask(want(1001)).expect("runs");
    let refused = until(&mut tenure, |standing| match standing {
        Standing::Refused { reason } => Some(reason),
        _ => None,
    });
    assert!(refused.await.contains("1001"));
    chain.shutdown();
}

#[tokio::test]
async fn leases_of_a_process_that_died_are_given_back_by_the_next() {
    let chain = chain(60_000).await;
    let mut dead = chain.client(AgentId(1), PATIENCE).expect("registered");
    let request = || {
        Command::Request(ResourceRequest {
            device: Some(DEVICE),
            bytes: Bytes(600),
            share: Permille::WHOLE,
            priority: 0,
            hold: Millis(60_000),
            deadline: None,
            purpose: ShortText::fitted("a test"),
        })
    };
    let granted = dead.call(&request()).await.expect("answered");
    assert!(
        matches!(granted, Some(LedgerEvent::LeaseGranted(_))),
        "{granted:?}"
    );
    let waiting = dead.submit(&request()).expect("runs");
    loop {
        let signals = tokio::time::timeout(PATIENCE, dead.turn())
            .await
            .expect("in time");
        let is_waiting = |signal: &Signal| matches!(signal, Signal::Waiting { seq, .. } if *seq == waiting);
        if signals.expect("runs").iter().any(is_waiting) {
            break;
        }
    }
    drop(dead);
    let lessee = lessee(&chain, 1, 60_000);
    settled(&lessee, |ledger| {
        ledger.leases().count() == 0 && ledger.queue().count() == 0
    })
    .await;
    let mut tenure = lessee.ask(want(1000)).expect("runs");
    until(&mut tenure, held).await;
    lessee.leave().await;
    chain.shutdown();
}

#[tokio::test]
async fn only_devices_of_the_node_itself_are_asked_for() {
    let chain = chain(60_000).await;
    let lessee = lessee(&chain, 1, 60_000);
    let stranger = daa_coord::AgentKey::from_secret(&[7; 32]).public();
    let error = lessee.device(&stranger, Bytes(1)).expect_err("no agent");
    assert!(error.contains("does not know it"), "{error}");
    let agent = lessee.ledger.view(|ledger| ledger.agent_key(AgentId(2)));
    let error = lessee.device(&agent.expect("registered"), Bytes(1));
    assert!(
        error.expect_err("the operator's").contains("0 B"),
        "no device of its own"
    );
    chain.shutdown();
}
