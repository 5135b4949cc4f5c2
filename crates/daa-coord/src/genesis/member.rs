//! Who takes part from the beginning.

use super::{ConfigError, LedgerConfig};
use crate::keys::{KeyError, PublicKey};
use daa_base::{AgentId, OwnerId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Most members of one genesis.
pub const MAX_MEMBERS: usize = 256;

/// Largest number of a member: from 1024 on, agents belong to the blocks of
/// [sponsors](crate::ledger::sponsored).
pub const MAX_MEMBER: u32 = 1023;

/// An agent that is registered before the first block: a node of an owner, as a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The agent, 1 to [`MAX_MEMBER`].
    pub agent: AgentId,
    /// Whose agent it is.
    pub owner: OwnerId,
    /// The key it signs with.
    pub key: PublicKey,
}

/// What is wrong with one member.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MemberError {
    /// The agent's number is outside its range.
    #[error("agent is {}, allowed are 1 to {MAX_MEMBER}", agent.get())]
    Agent {
        /// The agent.
        agent: AgentId,
    },
    /// Two members have one number.
    #[error("agent {} is named twice", agent.get())]
    AgentTwice {
        /// The agent.
        agent: AgentId,
    },
    /// Two members have one key.
    #[error("key {} of {agent} is another member's as well", key.to_hex())]
    KeyTwice {
        /// The later of the two.
        agent: AgentId,
        /// The key.
        key: PublicKey,
    },
    /// The key cannot be used.
    #[error("key of {agent}: {source}")]
    Key {
        /// The member.
        agent: AgentId,
        /// What is wrong with it.
        source: KeyError,
    },
    /// They are not in the order of their numbers, which a genesis that was decoded must be.
    #[error("{agent} is not in the order of the numbers")]
    Order {
        /// The first that is out of order.
        agent: AgentId,
    },
}

/// Checks members in their canonical order.
pub(super) fn check(members: &[Member], config: &LedgerConfig) -> Result<(), ConfigError> {
    // The operator is an agent as well.
    let max = (MAX_MEMBERS as u64).min(u64::from(config.max_agents).saturating_sub(1));
    let value = members.len() as u64;
    if value > max {
        let (field, min) = ("members", 0);
        return Err(ConfigError::OutOfRange {
            field,
            value,
            min,
            max,
        });
    }
    let (mut last, mut keys) = (AgentId(0), BTreeSet::new());
    for &Member { agent, key, .. } in members {
        if !(1..=MAX_MEMBER).contains(&agent.get()) {
            return Err(MemberError::Agent { agent }.into());
        }
        if agent == last {
            return Err(MemberError::AgentTwice { agent }.into());
        }
        if agent < last {
            return Err(MemberError::Order { agent }.into());
        }
        key.check().map_err(|source| MemberError::Key { agent, source })?;
        if !keys.insert(key) {
            return Err(MemberError::KeyTwice { agent, key }.into());
        }
        last = agent;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::genesis::Genesis;
    use crate::keys::AgentKey;
    use crate::text::ShortText;
    use daa_base::codec;

    fn member(agent: u32, key: u8) -> Member {
        Member {
            agent: AgentId(agent),
            owner: OwnerId(agent),
            key: AgentKey::from_secret(&[key; 32]).public(),
        }
    }

    fn genesis(config: LedgerConfig, members: Vec<Member>) -> Result<Genesis, ConfigError> {
        let operator = AgentKey::from_secret(&[99; 32]).public();
        Genesis::new(ShortText::fitted("lab"), operator, config)?.with_members(members)
    }

    #[test]
    fn members_count_in_the_chain_and_their_order_does_not() {
        let with = |members| {
            genesis(LedgerConfig::default(), members)
                .expect("valid")
                .chain_id()
        };
        let both = with(vec![member(1, 1), member(7, 2)]);
        assert_eq!(both, with(vec![member(7, 2), member(1, 1)]));
        let mut other_owner = member(7, 2);
        other_owner.owner = OwnerId(1);
        for different in [
            vec![],
            vec![member(1, 1)],
            vec![member(1, 1), member(8, 2)],
            vec![member(1, 1), member(7, 3)],
            vec![member(1, 1), other_owner],
        ] {
            assert_ne!(both, with(different));
        }
    }

    #[test]
    fn what_is_wrong_with_a_member_is_named() {
        let weak = Member {
            key: PublicKey([0; 32]),
            ..member(2, 1)
        };
        for (members, words) in [
            (vec![member(0, 1)], "members: agent is 0, allowed are 1 to 1023"),
            (
                vec![member(1024, 1)],
                "members: agent is 1024, allowed are 1 to 1023",
            ),
            (
                vec![member(3, 1), member(3, 2)],
                "members: agent 3 is named twice",
            ),
            (
                vec![member(3, 1), member(4, 1)],
                "of agent-4 is another member's as well",
            ),
            (vec![weak], "members: key of agent-2: "),
        ] {
            let error = genesis(LedgerConfig::default(), members).expect_err(words);
            assert!(error.to_string().contains(words), "{error}");
        }
        let config = LedgerConfig {
            max_agents: 2,
            ..LedgerConfig::default()
        };
        let error = genesis(config, vec![member(1, 1), member(2, 2)]).expect_err("the operator is one");
        assert_eq!(error.to_string(), "members is 2, allowed are 0 to 1");
    }

    #[test]
    fn the_largest_genesis_fits_and_a_decoded_one_is_checked() {
        let key = |n: u32| {
            let mut secret = [7; 32];
            secret[..4].copy_from_slice(&n.to_le_bytes());
            AgentKey::from_secret(&secret).public()
        };
        let members: Vec<_> = (MAX_MEMBER + 1 - MAX_MEMBERS as u32..=MAX_MEMBER)
            .map(|agent| Member {
                agent: AgentId(agent),
                owner: OwnerId(u32::MAX),
                key: key(agent),
            })
            .collect();
        let config = LedgerConfig {
            max_agents: 4096,
            ..LedgerConfig::default()
        };
        let validators = (0..128).map(|n| crate::Validator {
            key: key(n),
            power: 1 << 32,
        });
        let largest = genesis(config, members)
            .expect("at the bound")
            .with_validators(crate::ValidatorSet::new(validators).expect("at the bound"));
        let bytes = codec::encode::<{ crate::genesis::MAX_GENESIS }, _>(&largest).expect("fits");
        assert!(bytes.len() > 14_000, "{}", bytes.len());
        let text = crate::genesis::file::to_text(&largest);
        assert_eq!(crate::genesis::file::from_text(&text).expect("fits"), largest);
        // The first two members change places.
        let mut swapped = largest;
        swapped.members.swap(0, 1);
        assert!(matches!(
            swapped.validate(),
            Err(ConfigError::Member(MemberError::Order { .. }))
        ));
    }
}
