use super::*;
use crate::chain::{Chain, ChainClient, DEVICE};
use crate::config::{Schedule, Trust};
use daa_base::{AgentId, Clock, FencingToken, Permille, Seed, SystemClock};
use daa_coord::{AgentKey, Command, ResourceRequest, ShortText};

const PATIENCE: Duration = Duration::from_secs(30);

/// A ledger where agent 1 holds a lease of 600 bytes.
async fn world() -> (Chain, ChainClient, Lease) {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let schedule = Schedule {
        agents: 2,
        trust: Trust::Local,
        lease: Millis(60_000),
        ..Schedule::default()
    };
    let chain = Chain::start(Seed(3), &schedule, 8, Bytes(1000), clock);
    let chain = chain.await.expect("starts");
    let mut client = chain.client(AgentId(1), PATIENCE).expect("registered");
    let request = Command::Request(ResourceRequest {
        device: Some(DEVICE),
        bytes: Bytes(600),
        share: Permille::WHOLE,
        priority: 0,
        hold: Millis(60_000),
        deadline: None,
        purpose: ShortText::fitted("a test"),
    });
    let lease = match client.call(&request).await.expect("answered") {
        Some(LedgerEvent::LeaseGranted(lease)) => lease,
        other => panic!("{other:?}"),
    };
    (chain, client, lease)
}

#[tokio::test]
async fn a_lease_opens_the_device_to_its_holder_for_what_it_is_over() {
    let (chain, client, lease) = world().await;
    let key = |agent| {
        client
            .node()
            .view(|ledger| ledger.agent_key(AgentId(agent)).expect("registered"))
    };
    let grant = Grant {
        lease: lease.id,
        token: lease.token,
    };
    let opens = |grant: Grant, from: PublicKey, bytes| {
        client
            .node()
            .view(|ledger| opens(ledger, &lease, &grant, &from, Bytes(bytes)))
    };
    assert_eq!(opens(grant, key(1), 600), Ok(()));
    let stranger = AgentKey::from_secret(&[9; 32]).public();
    let late = Grant {
        token: FencingToken(lease.token.0 + 1),
        ..grant
    };
    for (grant, from, bytes, word) in [
        (grant, key(2), 600, "another's"),
        (grant, stranger, 600, "another's"),
        (late, key(1), 600, "token"),
        (grant, key(1), 601, "needs 601"),
    ] {
        let error = opens(grant, from, bytes).expect_err(word);
        assert!(error.contains(word), "{error}");
    }
    chain.shutdown();
}

#[tokio::test]
async fn a_lease_is_followed_from_its_grant_to_its_end() {
    let (chain, mut client, lease) = world().await;
    let mut tenure = Tenure::follow(client.node(), lease.id).expect("runs");
    assert_eq!(tenure.known().await, Ok(lease.clone()));
    assert_eq!(tenure.over(lease.expires), None);
    let (id, token) = (lease.id, lease.token);
    let release = Command::Release { lease: id, token };
    client.call(&release).await.expect("answered");
    let ended = async {
        loop {
            if let Some(over) = tenure.over(Timestamp(0)) {
                return over;
            }
            tenure.changed().await;
        }
    };
    let (end, why) = tokio::time::timeout(PATIENCE, ended).await.expect("in time");
    assert_eq!(
        (end, why.as_str()),
        (LeaseEnd::Released, "the run gave the lease back")
    );
    let mut late = Tenure::follow(client.node(), id).expect("runs");
    assert!(late.standing.borrow_and_update().eq(&Standing::Unknown));
    chain.shutdown();
}

#[tokio::test]
async fn a_node_that_hears_nothing_more_ends_leases_by_its_own_clock() {
    let (chain, client, lease) = world().await;
    let mut tenure = Tenure::follow(client.node(), lease.id).expect("runs");
    let after = |millis| Timestamp(lease.expires.get() + millis);
    assert_eq!(tenure.over(after(SLACK.get() - 1)), None);
    let (end, why) = tenure.over(after(SLACK.get())).expect("long ago");
    assert_eq!(end, LeaseEnd::Expired);
    assert!(why.contains("clock of the node"), "{why}");
    chain.shutdown();
}

#[test]
fn what_has_ended_stays_ended() {
    let (sender, seen) = watch::channel(Standing::Unknown);
    let over = |why: &str| Standing::Over {
        end: LeaseEnd::Expired,
        why: why.to_owned(),
    };
    settle(&sender, Standing::Unknown);
    assert_eq!(*seen.borrow(), Standing::Unknown, "it may come yet");
    settle(&sender, over("first"));
    settle(&sender, over("second"));
    settle(&sender, Standing::Unknown);
    assert_eq!(*seen.borrow(), over("first"));
}
