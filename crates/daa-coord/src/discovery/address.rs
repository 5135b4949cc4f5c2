//! Names and addresses of peers.

use crate::keys::PublicKey;
use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};
use std::net::SocketAddr;

/// What an Ed25519 key's name starts with: an identity multihash of 36 bytes that are a protobuf of the key's type (1) and
/// its 32 bytes (libp2p peer id specification).
const PREFIX: [u8; 6] = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20];

/// Why an address cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// It is not an address.
    #[error(
        "`{text}` is no address: {reason}; allowed are 192.0.2.1:7000, [2001:db8::1]:7000 and /ip4/192.0.2.1/tcp/7000"
    )]
    Malformed {
        /// What was given.
        text: String,
        /// What is wrong.
        reason: String,
    },
    /// It is not a plain one.
    #[error(
        "`{address}` is not /ip4 or /ip6, /tcp and at most /p2p; names are not looked up, and nothing is relayed"
    )]
    Unsupported {
        /// The address.
        address: Multiaddr,
    },
}

/// The peer whose connections are authenticated with `key`, if there can be one: the key must be an Ed25519 key.
pub(crate) fn peer_id(key: &PublicKey) -> Option<PeerId> {
    PeerId::from_bytes(&[&PREFIX[..], &key.0].concat()).ok()
}

/// The key of a connected peer; `None` for peers with other kinds of keys.
#[must_use]
pub fn peer_of(peer: &PeerId) -> Option<PublicKey> {
    let bytes = peer.to_bytes();
    let key = bytes.strip_prefix(&PREFIX)?;
    Some(PublicKey(key.try_into().ok()?))
}

/// How libp2p writes the name of `key`, as in the last part of an address: `12D3KooW…`.
#[must_use]
pub fn peer_name(key: &PublicKey) -> String {
    peer_id(key).map_or_else(|| key.to_hex(), |peer| peer.to_base58())
}

pub(crate) fn keypair(secret: &[u8]) -> Result<Keypair, String> {
    // A copy, which the call wipes.
    let mut copy = secret.to_vec();
    Keypair::ed25519_from_bytes(&mut copy).map_err(|error| error.to_string())
}

/// An address as people write it: `192.0.2.1:7000`, `[2001:db8::1]:7000`, or a multiaddress of IP and TCP, which may end
/// in the peer's name.
///
/// # Errors
/// [`AddressError`].
pub fn socket_address(text: &str) -> Result<Multiaddr, AddressError> {
    if let Ok(socket) = text.parse::<SocketAddr>() {
        return Ok(Multiaddr::from(socket.ip()).with(Protocol::Tcp(socket.port())));
    }
    let address: Multiaddr =
        text.parse()
            .map_err(|error: libp2p::multiaddr::Error| AddressError::Malformed {
                text: text.chars().take(200).collect(),
                reason: error.to_string(),
            })?;
    if is_plain(&address) {
        Ok(address)
    } else {
        Err(AddressError::Unsupported { address })
    }
}

/// Whether it is IP and TCP, with at most a peer's name behind: what peers may make us dial.
pub(super) fn is_plain(address: &Multiaddr) -> bool {
    let mut parts = address.iter();
    matches!(parts.next(), Some(Protocol::Ip4(_) | Protocol::Ip6(_)))
        && matches!(parts.next(), Some(Protocol::Tcp(_)))
        && matches!(parts.next(), None | Some(Protocol::P2p(_)))
        && parts.next().is_none()
}

/// The peer that an address names at its end.
pub(super) fn named_peer(address: &Multiaddr) -> Option<PeerId> {
    match address.iter().last() {
        Some(Protocol::P2p(peer)) => Some(peer),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::AgentKey;

    #[test]
    fn keys_and_peers_are_the_same_thing() {
        let key = AgentKey::from_secret(&[7; 32]);
        let pair = keypair(key.secret()).expect("32 bytes");
        let peer = pair.public().to_peer_id();
        assert_eq!(peer_of(&peer), Some(key.public()));
        assert_eq!(peer_id(&key.public()), Some(peer));
        assert!(peer_name(&key.public()).starts_with("12D3KooW"));
        assert_eq!(peer_of(&PeerId::random()), None, "a hash is no key");
    }

    #[test]
    fn addresses_are_read_like_people_write_them() {
        for (text, read) in [
            ("127.0.0.1:7000", "/ip4/127.0.0.1/tcp/7000"),
            ("[::1]:1", "/ip6/::1/tcp/1"),
            ("/ip4/10.0.0.1/tcp/9", "/ip4/10.0.0.1/tcp/9"),
        ] {
            assert_eq!(socket_address(text).map(|a| a.to_string()), Ok(read.to_owned()));
        }
        for text in [
            "",
            "localhost",
            "1.2.3.4",
            "/dns/example.org/tcp/1",
            "/ip4/1.2.3.4/udp/1",
            "/ip4/1.2.3.4/tcp/1/ws",
        ] {
            assert!(socket_address(text).is_err(), "{text}");
        }
    }
}
