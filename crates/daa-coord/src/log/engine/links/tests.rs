//! Hubs without sockets, and connections over pipes in memory.

use super::frame::{Frame, Kind};
use super::hub::{Fault, Hub, Outbox, Side, Standing};
use crate::consensus::{Height, Part};
use crate::keys::{AgentKey, PublicKey};
use crate::log::engine::codec::EngineCodec;
use arc_malachitebft_app_channel::app::engine::network::{NetworkEvent, Subscriber};
use arc_malachitebft_app_channel::app::engine::util::output_port::{OutputPort, OutputPortSubscriberTrait};
use arc_malachitebft_app_channel::app::streaming::{StreamContent, StreamId, StreamMessage};
use arc_malachitebft_codec::Codec as _;
use arc_malachitebft_sync::{InboundRequestId, Request, Response, ValueRequest, ValueResponse};
use bytes::Bytes;
use std::sync::{Arc, Mutex};

type Event = NetworkEvent<crate::consensus::ChainContext>;

fn key(number: u8) -> PublicKey {
    AgentKey::from_secret(&[number; 32]).public()
}

/// Keys 1 to 9 are validators, 10 to 19 agents.
fn standing(of: &PublicKey) -> Standing {
    match (1..20).find(|&number| key(number) == *of) {
        Some(1..=9) => Standing::Validator,
        Some(_) => Standing::Agent,
        None => Standing::Stranger,
    }
}

fn hub() -> Hub {
    Hub::new(key(1), (Box::new(standing), Box::new(|_| ())), 2, 3)
}

#[derive(Debug, Clone, Default)]
struct Heard(Arc<Mutex<Vec<Event>>>);

impl Heard {
    fn take(&self) -> Vec<Event> {
        std::mem::take(&mut self.0.lock().expect("whole"))
    }
}

impl OutputPortSubscriberTrait<Event> for Heard {
    fn subscribe_to_port(&self, _port: &OutputPort<Event>) {}
}

impl Subscriber<Event> for Heard {
    fn send(&self, event: Event) {
        self.0.lock().expect("whole").push(event);
    }
}

fn heard_by(hub: &Hub) -> Heard {
    let heard = Heard::default();
    hub.subscribe(Box::new(heard.clone()));
    heard
}

fn sent(outbox: &mut Outbox) -> Vec<Frame> {
    std::iter::from_fn(|| outbox.queue.try_recv().ok()).collect()
}

fn part(part: Part) -> Frame {
    let message = StreamMessage::new(
        StreamId::new(Bytes::from_static(b"s")),
        0,
        StreamContent::Data(part),
    );
    Frame::new(Kind::Part, EngineCodec.encode(&message).expect("small"))
}

fn request() -> Request<crate::consensus::ChainContext> {
    Request::ValueRequest(ValueRequest::new(Height(1)..=Height(2)))
}

#[test]
fn only_members_come_in_and_guests_are_bounded() {
    let hub = hub();
    let heard = heard_by(&hub);
    assert!(hub.admit(key(1), Side::Accepted).is_none(), "itself");
    assert!(hub.admit(key(99), Side::Accepted).is_none(), "a stranger");
    let _guests = [10, 11].map(|number| hub.admit(key(number), Side::Accepted).expect("room"));
    assert!(hub.admit(key(12), Side::Accepted).is_none(), "no room for guests");
    let _validator = hub.admit(key(2), Side::Accepted).expect("validators have room");
    let _dialed = hub
        .admit(key(99), Side::Dialed)
        .expect("whom it calls may be unknown");
    assert_eq!(heard.take().len(), 4);
}

#[test]
fn a_peer_has_two_connections_at_most_and_is_gone_with_the_last() {
    let hub = hub();
    let heard = heard_by(&hub);
    let old = hub.admit(key(2), Side::Accepted).expect("a validator");
    assert_eq!(hub.newcomers(), [key(2)].into());
    let mut new = hub
        .admit(key(2), Side::Accepted)
        .expect("the old one may be dead");
    let mut dialed = hub.admit(key(2), Side::Dialed).expect("the other way");
    assert_eq!(hub.newcomers(), [].into(), "it was there");
    assert!(hub.admit(key(2), Side::Dialed).is_none(), "a second address");
    hub.lost(&key(2), Side::Accepted, old.serial);
    hub.publish(
        Kind::Part,
        &StreamMessage::<Part>::new(
            StreamId::new(Bytes::from_static(b"s")),
            0,
            StreamContent::Data(Part::Status { height: 3 }),
        ),
    );
    assert_eq!(
        (sent(&mut dialed).len(), sent(&mut new).len()),
        (1, 0),
        "its own connection is for sending"
    );
    hub.lost(&key(2), Side::Dialed, dialed.serial);
    assert!(hub.is_connected(&key(2)));
    hub.lost(&key(2), Side::Accepted, new.serial);
    assert!(!hub.is_connected(&key(2)));
    let heard = heard.take();
    assert!(
        matches!(heard[..], [Event::PeerConnected(_), Event::PeerDisconnected(_)]),
        "{heard:?}"
    );
}

#[test]
fn what_is_not_a_peers_to_send_is_not_heard() {
    let hub = hub();
    let heard = heard_by(&hub);
    let status = part(Part::Status { height: 3 });
    hub.deliver(&key(99), status.clone())
        .expect("dropped, perhaps it is honest");
    assert!(heard.take().is_empty(), "a stranger's");
    hub.deliver(&key(10), status).expect("an agent's");
    hub.deliver(&key(10), Frame::new(Kind::Consensus, Bytes::from_static(b"junk")))
        .expect("an agent has no vote, so nobody looks");
    assert_eq!(heard.take().len(), 1);
    let junk = hub.deliver(&key(2), Frame::new(Kind::Consensus, Bytes::from_static(b"junk")));
    assert_eq!(junk, Err(Fault::Malformed));
    let block = crate::consensus::BlockPart {
        height: Height(1),
        round: arc_malachitebft_core_types::Round::ZERO,
        pol_round: arc_malachitebft_core_types::Round::Nil,
        proposer: key(10),
        index: 0,
        count: 1,
        bytes: vec![1],
    };
    let block = part(Part::Block(block));
    assert_eq!(hub.deliver(&key(10), block.clone()), Err(Fault::NotAllowed));
    assert_eq!(hub.dropped(), 4);
    hub.deliver(&key(2), block).expect("a validator's");
    assert_eq!(heard.take().len(), 1);
}

#[test]
fn requests_are_answered_once_and_by_whom_they_were_sent_to() {
    let (asking, asked) = (hub(), hub());
    let (heard, served) = (heard_by(&asking), heard_by(&asked));
    let mut to_two = asking.admit(key(2), Side::Dialed).expect("a validator");
    let mut to_three = asked.admit(key(3), Side::Accepted).expect("a validator");
    asking.ask(super::hub::peer_id(&key(2)).expect("Ed25519"), &request());
    let [question] = &sent(&mut to_two)[..] else {
        panic!("one frame")
    };
    asked.deliver(&key(3), question.clone()).expect("well-formed");
    let served = served.take();
    let Some(Event::SyncRequest(number, ..)) = served.last() else {
        panic!("{served:?}")
    };
    let response = Response::ValueResponse(ValueResponse::new(Height(1), Vec::new()));
    asked.answer(number, Some(&response));
    asked.answer(number, Some(&response));
    let [answer] = &sent(&mut to_three)[..] else {
        panic!("one frame")
    };
    heard.take();
    asking
        .deliver(&key(4), answer.clone())
        .expect("not what was asked");
    assert!(heard.take().is_empty(), "somebody else answers");
    for _ in 0..2 {
        asking.deliver(&key(2), answer.clone()).expect("well-formed");
    }
    let heard = heard.take();
    assert!(matches!(heard[..], [Event::SyncResponse(..)]), "{heard:?}");
}

#[test]
fn requests_end_with_the_connection_and_are_bounded() {
    let hub = hub();
    let heard = heard_by(&hub);
    let outbox = hub.admit(key(2), Side::Dialed).expect("a validator");
    hub.ask(super::hub::peer_id(&key(2)).expect("Ed25519"), &request());
    let body = EngineCodec.encode(&request()).expect("small");
    let asked: Vec<_> = (0..40)
        .map(|number| hub.deliver(&key(2), Frame::numbered(Kind::Request, number, &body)))
        .collect();
    assert!(asked[15].is_ok());
    assert_eq!(asked[16], Err(Fault::NotAllowed));
    heard.take();
    hub.lost(&key(2), Side::Dialed, outbox.serial);
    let heard = heard.take();
    let failed = |event: &&Event| matches!(event, Event::SyncRequestFailed(..));
    let dropped = |event: &&Event| matches!(event, Event::SyncInboundRequestFailed(..));
    assert_eq!(heard.iter().filter(failed).count(), 1);
    assert_eq!(heard.iter().filter(dropped).count(), 16);
    hub.answer(&InboundRequestId::new("no number"), None);
}

#[test]
fn what_waits_to_be_sent_is_bounded() {
    let hub = hub();
    let mut outbox = hub.admit(key(2), Side::Dialed).expect("a validator");
    let large = StreamMessage::<Part>::new(
        StreamId::new(Bytes::from_static(b"s")),
        0,
        StreamContent::Data(Part::Block(crate::consensus::BlockPart {
            height: Height(1),
            round: arc_malachitebft_core_types::Round::ZERO,
            pol_round: arc_malachitebft_core_types::Round::Nil,
            proposer: key(1),
            index: 0,
            count: 1,
            bytes: vec![1; 512 << 10],
        })),
    );
    for _ in 0..100 {
        hub.publish(Kind::Part, &large);
    }
    let waiting = sent(&mut outbox).len();
    assert!((60..64).contains(&waiting), "{waiting}");
}

#[test]
fn who_is_no_member_any_longer_is_read_no_further() {
    let hub = hub();
    let of = |number, side| hub.allowance(&key(number), side);
    assert!(
        of(2, Side::Accepted) > of(10, Side::Accepted),
        "validators may send more"
    );
    assert!(of(10, Side::Accepted).is_some());
    assert_eq!(of(99, Side::Accepted), None);
    assert!(of(99, Side::Dialed).is_some());
}

#[test]
fn connections_of_one_address_are_bounded() {
    let hub = hub();
    let ip = std::net::IpAddr::from([192, 0, 2, 1]);
    assert_eq!([(); 5].map(|()| hub.arrive(ip)), [true, true, true, false, false]);
    hub.depart(ip);
    assert!(hub.arrive(ip));
}
