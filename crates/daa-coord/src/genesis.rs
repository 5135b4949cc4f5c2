//! What all replicas of one ledger share before its first block: a name, the operator's key, the first validators and
//! members, and the limits.

pub mod file;
mod member;

pub use member::{MAX_MEMBER, MAX_MEMBERS, Member, MemberError};

use crate::keys::{KeyError, PublicKey};
use crate::text::ShortText;
use crate::validators::ValidatorSet;
use daa_base::codec;
use daa_base::{AgentId, Millis, Permille};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The operator: the key in the genesis signs as this agent. It registers devices and agents everywhere, others only in
/// their own [block](crate::ledger::sponsored), and it alone sets rules and revokes leases.
pub const OPERATOR: AgentId = AgentId(0);

/// The allocation policy described in [`crate::ledger`].
pub const POLICY_ROTATING_QUEUE: u16 = 1;

/// The allocation policy described in [`crate::policy`]: quotas, cohorts that lend, fair shares, preemption.
pub const POLICY_FAIR_SHARES: u16 = 2;

/// Largest encoded [`Genesis`] in bytes.
pub const MAX_GENESIS: usize = 32 << 10;

/// Why a genesis is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A field is outside its range.
    #[error("{field} is {value}, allowed are {min} to {max}")]
    OutOfRange {
        /// The field's name.
        field: &'static str,
        /// Its value.
        value: u64,
        /// Smallest allowed value.
        min: u64,
        /// Largest allowed value.
        max: u64,
    },
    /// The operator's key cannot be used.
    #[error("operator key: {0}")]
    Operator(#[from] KeyError),
    /// A member cannot take part.
    #[error("members: {0}")]
    Member(#[from] MemberError),
}

/// Names one ledger: the digest of its genesis. A command signed for one chain means nothing on another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ChainId(pub [u8; 32]);

impl fmt::Display for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..8].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// How much of the weight of all validators a decision needs: more than `numerator / denominator` of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quorum {
    /// Below the denominator.
    pub numerator: u64,
    /// At most 1000.
    pub denominator: u64,
}

impl Quorum {
    /// More than two thirds: the least with which a third may lie and two quorums still share an honest validator.
    pub const TWO_THIRDS: Self = Self {
        numerator: 2,
        denominator: 3,
    };

    /// The stricter of `3 · votes > 2 · total` and `1000 · votes > threshold · total`.
    #[must_use]
    pub const fn stricter(threshold: Permille) -> Self {
        let numerator = threshold.get() as u64;
        if 3 * numerator > 2 * 1000 {
            Self {
                numerator,
                denominator: 1000,
            }
        } else {
            Self::TWO_THIRDS
        }
    }

    /// Whether `votes` of `total` suffice: `votes · denominator > numerator · total`, in integers.
    #[must_use]
    pub const fn is_reached(self, votes: u64, total: u64) -> bool {
        votes as u128 * self.denominator as u128 > self.numerator as u128 * total as u128
    }
}

impl fmt::Display for Quorum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "more than {}/{} of the weight",
            self.numerator, self.denominator
        )
    }
}

/// What becomes of a validator that is proven to have signed contradicting messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnEvidence {
    /// The ledger records it; the operator decides.
    Record,
    /// The ledger records it and takes its vote away.
    #[default]
    Remove,
}

/// Limits and rules of a ledger, fixed in its genesis.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerConfig {
    /// The allocation policy until the operator sets another: [`POLICY_ROTATING_QUEUE`] or [`POLICY_FAIR_SHARES`].
    pub policy: u16,
    /// Registered agents, the operator included; 1 to 4096.
    pub max_agents: u32,
    /// Registered devices; 1 to 1024.
    pub max_devices: u32,
    /// Waiting requests and live leases together; 1 to 65 536.
    pub max_open: u32,
    /// Waiting requests and live leases of one agent together; 1 to `max_open`.
    pub max_open_per_agent: u32,
    /// Longest hold of one grant or renewal, in milliseconds; 1 to 86 400 000 (a day).
    pub max_hold: Millis,
    /// How many grants may overtake a waiting request before devices are kept free for it; 1 to 1000.
    pub max_overtakes: u32,
    /// Sequence numbers an agent may be ahead of its oldest missing command; 1 to 64.
    pub seq_window: u32,
    /// Agreed time after which a trial claim that is not touched returns to the pool; 1 to 86 400 000 ms.
    pub claim_timeout: Millis,
    /// W: the decision on trial k sees only the trials numbered below k − W; 0 to 1024.
    pub trial_window: u32,
    /// Trials in all; 1 to 1 048 576.
    pub max_trials: u32,
    /// Commands in one block; 1 to 65 536.
    pub max_block_entries: u32,
    /// Part of all weight that must be exceeded for a decision, where that is more than two thirds; 0 to 999.
    pub consensus_threshold: Permille,
    /// What follows on proof that a validator lies.
    pub on_evidence: OnEvidence,
    /// Agreed time within which a quorum of validators must see an agent gone; 1 to 86 400 000 ms.
    pub health_window: Millis,
}

impl Default for LedgerConfig {
    fn default() -> Self {
        Self {
            policy: POLICY_ROTATING_QUEUE,
            max_agents: 256,
            max_devices: 64,
            max_open: 4096,
            max_open_per_agent: 64,
            max_hold: Millis(60_000),
            max_overtakes: 8,
            seq_window: 64,
            claim_timeout: Millis(600_000),
            trial_window: 8,
            max_trials: 65_536,
            max_block_entries: 1024,
            consensus_threshold: Permille::ZERO,
            on_evidence: OnEvidence::Remove,
            health_window: Millis(10_000),
        }
    }
}

impl LedgerConfig {
    /// Whether every field is within its range. The ranges bound the encoded state below the snapshot limit.
    ///
    /// # Errors
    /// [`ConfigError::OutOfRange`] for the first field that is not.
    pub fn validate(&self) -> Result<(), ConfigError> {
        const DAY: u64 = 86_400_000;
        let max_open = u64::from(self.max_open);
        for (field, value, min, max) in [
            ("policy", u64::from(self.policy), 1, 2),
            ("max_agents", u64::from(self.max_agents), 1, 4096),
            ("max_devices", u64::from(self.max_devices), 1, 1024),
            ("max_open", max_open, 1, 65_536),
            (
                "max_open_per_agent",
                u64::from(self.max_open_per_agent),
                1,
                max_open,
            ),
            ("max_hold", self.max_hold.get(), 1, DAY),
            ("max_overtakes", u64::from(self.max_overtakes), 1, 1000),
            ("seq_window", u64::from(self.seq_window), 1, 64),
            ("claim_timeout", self.claim_timeout.get(), 1, DAY),
            ("trial_window", u64::from(self.trial_window), 0, 1024),
            ("max_trials", u64::from(self.max_trials), 1, 1 << 20),
            ("max_block_entries", u64::from(self.max_block_entries), 1, 65_536),
            (
                "consensus_threshold",
                u64::from(self.consensus_threshold.get()),
                0,
                999,
            ),
            ("health_window", self.health_window.get(), 1, DAY),
        ] {
            if !(min..=max).contains(&value) {
                return Err(ConfigError::OutOfRange {
                    field,
                    value,
                    min,
                    max,
                });
            }
        }
        Ok(())
    }
}

/// The agreed beginning of a ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Genesis {
    name: ShortText,
    operator: PublicKey,
    config: LedgerConfig,
    validators: ValidatorSet,
    /// In the order of their numbers.
    members: Vec<Member>,
}

impl Genesis {
    /// A ledger called `name`, run by the holder of `operator`, under `config`.
    ///
    /// # Errors
    /// [`ConfigError`] when the configuration is out of range or the key unusable.
    pub fn new(name: ShortText, operator: PublicKey, config: LedgerConfig) -> Result<Self, ConfigError> {
        let genesis = Self {
            name,
            operator,
            config,
            validators: ValidatorSet::default(),
            members: Vec::new(),
        };
        genesis.validate()?;
        Ok(genesis)
    }

    /// The same ledger, agreed on by `validators` from its first block on.
    #[must_use]
    pub fn with_validators(self, validators: ValidatorSet) -> Self {
        Self { validators, ..self }
    }

    /// The same ledger, with `members` as agents from its first block on; instead of those named before.
    ///
    /// A member may have a validator's key, and as a rule has: then it is a node that votes and works. It may have the
    /// operator's, too.
    ///
    /// # Errors
    /// [`ConfigError`] when they are more than [`MAX_MEMBERS`], or than `max_agents` allows, or one cannot take part.
    pub fn with_members(self, mut members: Vec<Member>) -> Result<Self, ConfigError> {
        members.sort_unstable_by_key(|member| member.agent);
        member::check(&members, &self.config)?;
        Ok(Self { members, ..self })
    }

    /// Checks what [`Genesis::new`] and [`Genesis::with_members`] check, for a genesis that was decoded.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.config.validate()?;
        member::check(&self.members, &self.config)?;
        Ok(self.operator.check()?)
    }

    /// The ledger's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name.as_str()
    }

    /// The operator's public key.
    #[must_use]
    pub const fn operator(&self) -> PublicKey {
        self.operator
    }

    /// Who votes on the first block; nobody where one process orders commands by itself.
    #[must_use]
    pub const fn validators(&self) -> &ValidatorSet {
        &self.validators
    }

    /// The agents that are registered before the first block, by number; the operator is not named among them.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The part of the validators' weight that decides.
    #[must_use]
    pub const fn quorum(&self) -> Quorum {
        Quorum::stricter(self.config.consensus_threshold)
    }

    /// Limits and rules.
    #[must_use]
    pub const fn config(&self) -> &LedgerConfig {
        &self.config
    }

    /// The chain this genesis begins: a digest of every field, so that two ledgers that differ in any rule differ here.
    ///
    /// # Panics
    /// Never: every part of a genesis is bounded.
    #[must_use]
    pub fn chain_id(&self) -> ChainId {
        let bytes = codec::encode::<MAX_GENESIS, _>(self)
            .expect("128 validators and 256 members of less than 50 bytes each and 300 bytes of rules fit");
        let mut hasher = blake3::Hasher::new_derive_key("daa-coord 2026 chain id");
        hasher.update(&bytes);
        ChainId(*hasher.finalize().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::AgentKey;

    fn genesis(name: &str, config: LedgerConfig) -> Result<Genesis, ConfigError> {
        let operator = AgentKey::from_secret(&[1; 32]).public();
        Genesis::new(ShortText::fitted(name), operator, config)
    }

    #[test]
    fn every_rule_is_part_of_the_chain_id() {
        let base = genesis("a", LedgerConfig::default()).expect("valid").chain_id();
        let named = genesis("b", LedgerConfig::default()).expect("valid").chain_id();
        let ruled = LedgerConfig {
            trial_window: 9,
            ..LedgerConfig::default()
        };
        assert_ne!(base, named);
        assert_ne!(base, genesis("a", ruled).expect("valid").chain_id());
        assert_eq!(
            base,
            genesis("a", LedgerConfig::default()).expect("valid").chain_id()
        );
    }

    #[test]
    fn the_stricter_quorum_rule_applies() {
        let with = |threshold| {
            let config = LedgerConfig {
                consensus_threshold: Permille::new(threshold).expect("in range"),
                ..LedgerConfig::default()
            };
            genesis("a", config).map(|genesis| genesis.quorum())
        };
        assert_eq!(with(660), Ok(Quorum::TWO_THIRDS));
        assert_eq!(with(666), Ok(Quorum::TWO_THIRDS));
        let strict = with(750).expect("below 1");
        assert_eq!((strict.numerator, strict.denominator), (750, 1000));
        assert!(strict.is_reached(4, 4) && !strict.is_reached(3, 4));
        assert!(matches!(
            with(1000),
            Err(ConfigError::OutOfRange {
                field: "consensus_threshold",
                ..
            })
        ));
        for total in 1..=200_u64 {
            let faulty = (total - 1) / 3;
            let needed = (0..=total).find(|&votes| Quorum::TWO_THIRDS.is_reached(votes, total));
            let needed = needed.expect("all votes decide");
            assert!(2 * needed > total + faulty && needed <= total - faulty, "{total}");
        }
        assert!(!Quorum::TWO_THIRDS.is_reached(33, 50), "0.66 of 50 is not enough");
    }

    #[test]
    fn values_out_of_range_are_named() {
        let config = LedgerConfig {
            max_overtakes: 0,
            ..LedgerConfig::default()
        };
        let error = genesis("a", config).expect_err("zero is out of range");
        assert_eq!(error.to_string(), "max_overtakes is 0, allowed are 1 to 1000");
        let config = LedgerConfig {
            max_open: 10,
            max_open_per_agent: 11,
            ..LedgerConfig::default()
        };
        let error = genesis("a", config).expect_err("an agent cannot have more than all");
        assert_eq!(error.to_string(), "max_open_per_agent is 11, allowed are 1 to 10");
        let weak = Genesis::new(ShortText::default(), PublicKey([0; 32]), LedgerConfig::default());
        assert_eq!(weak, Err(ConfigError::Operator(KeyError::InvalidKey)));
    }
}
