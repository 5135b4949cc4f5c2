//! What validators say under their own keys: that they leave, that they change their key, that an agent is gone.
//!
//! Validators are not agents: they have no sequence numbers, and a statement travels inside a command of any agent. A
//! statement is bound to its chain and to a moment: changes of membership to the number of changes so far and a last
//! height, so each works once; reports to the agreed time at which they were made.

use crate::genesis::ChainId;
use crate::keys::{PublicKey, Signature, Signed, Signer};
use daa_base::codec;
use daa_base::{AgentId, Timestamp};
use serde::{Deserialize, Serialize};

const STATEMENT_DOMAIN: &[u8] = b"daa-coord/validator/v1";
const ROTATION_DOMAIN: &[u8] = b"daa-coord/rotation/v1";
const MAX_SAID: usize = 256;

/// When a change of membership may take effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct When {
    /// Changes of membership before this one ([`Ledger::membership_epoch`](crate::Ledger::membership_epoch)).
    pub epoch: u64,
    /// Last height at which it may be decided.
    pub until: u64,
}

/// What a validator says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Said {
    /// It votes no more.
    Leave {
        /// When.
        when: When,
    },
    /// It votes under another key from now on.
    Rotate {
        /// When.
        when: When,
        /// The new key.
        to: PublicKey,
        /// By the new key, over the chain, the old key and `when`: whoever rotates holds it.
        proof: Signature,
    },
    /// It sees an agent gone.
    Gone {
        /// The agent.
        agent: AgentId,
        /// Agreed time at which it was seen so.
        at: Timestamp,
    },
}

/// A validator's word, signed by it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// Who says it.
    pub validator: PublicKey,
    /// What.
    pub said: Said,
    /// Over the domain, the chain, the validator and what it says.
    pub signature: Signature,
}

impl Statement {
    /// Signs `said` for `chain`.
    #[must_use]
    pub fn sign(key: &(impl Signer + ?Sized), chain: ChainId, said: Said) -> Self {
        let validator = key.public();
        let signature = key.sign(&signing_bytes(chain, validator, &said));
        Self {
            validator,
            said,
            signature,
        }
    }

    /// The statement by which the holder of `old` votes under `new`.
    #[must_use]
    pub fn rotate(
        old: &(impl Signer + ?Sized),
        new: &(impl Signer + ?Sized),
        chain: ChainId,
        when: When,
    ) -> Self {
        let said = Said::Rotate {
            when,
            to: new.public(),
            proof: new.sign(&rotation_bytes(chain, old.public(), when)),
        };
        Self::sign(old, chain, said)
    }

    /// Checks every signature inside with `check`.
    pub(crate) fn holds(&self, chain: ChainId, check: impl Fn(&Signed<'_>) -> bool) -> bool {
        let own = check(&Signed {
            key: self.validator,
            message: &signing_bytes(chain, self.validator, &self.said),
            signature: self.signature,
        });
        match self.said {
            Said::Rotate { when, to, proof } if own => check(&Signed {
                key: to,
                message: &rotation_bytes(chain, self.validator, when),
                signature: proof,
            }),
            _ => own,
        }
    }
}

fn signing_bytes(chain: ChainId, validator: PublicKey, said: &Said) -> Vec<u8> {
    let said = codec::encode::<MAX_SAID, _>(said).expect("every statement has a fixed size below the limit");
    [STATEMENT_DOMAIN, &chain.0, &validator.0, &said].concat()
}

fn rotation_bytes(chain: ChainId, old: PublicKey, when: When) -> Vec<u8> {
    let (epoch, until) = (when.epoch.to_le_bytes(), when.until.to_le_bytes());
    [ROTATION_DOMAIN, &chain.0, &old.0, &epoch, &until].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Command, MAX_PAYLOAD};
    use crate::keys::{AgentKey, Ed25519, SignatureScheme};

    const CHAIN: ChainId = ChainId([5; 32]);

    fn holds(statement: &Statement, chain: ChainId) -> bool {
        statement.holds(chain, |signed| Ed25519.verify(signed))
    }

    #[test]
    fn a_statement_holds_for_its_validator_chain_and_words_only() {
        let key = AgentKey::from_secret(&[9; 32]);
        let when = When { epoch: 3, until: 9 };
        let good = Statement::sign(&key, CHAIN, Said::Leave { when });
        assert!(holds(&good, CHAIN) && !holds(&good, ChainId([6; 32])));
        let mut other = good.clone();
        other.said = Said::Leave {
            when: When { epoch: 4, until: 9 },
        };
        assert!(!holds(&other, CHAIN));
        let mut other = good;
        other.validator = AgentKey::from_secret(&[8; 32]).public();
        assert!(!holds(&other, CHAIN));
    }

    #[test]
    fn nobody_rotates_to_a_key_that_is_not_his() {
        let [old, new, thief] = [1, 2, 3].map(|n| AgentKey::from_secret(&[n; 32]));
        let when = When { epoch: 0, until: 9 };
        let good = Statement::rotate(&old, &new, CHAIN, when);
        assert!(holds(&good, CHAIN));
        let Said::Rotate { proof, .. } = good.said else {
            panic!("a rotation");
        };
        let said = Said::Rotate {
            when,
            to: new.public(),
            proof,
        };
        assert!(!holds(&Statement::sign(&thief, CHAIN, said), CHAIN));
        let bytes = codec::encode::<MAX_PAYLOAD, _>(&Command::Statement(good)).expect("fits");
        assert!(bytes.len() < MAX_PAYLOAD / 2, "{} bytes", bytes.len());
    }
}
