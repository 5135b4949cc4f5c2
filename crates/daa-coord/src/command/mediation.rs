//! Two agents that could not agree ask the ledger to divide for them, and both say that they will take it.

use crate::genesis::ChainId;
use crate::keys::{Signature, Signed, Signer};
use crate::negotiate::{Charter, Side, Weights};
use serde::{Deserialize, Serialize};

const MEDIATION_DOMAIN: &[u8] = b"daa-coord/mediation/v1";

/// A plea that both signed: the ledger divides as [`crate::conflict::mediate`] says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plea {
    /// What is divided, between whom.
    pub charter: Charter,
    /// What each of them says that it values.
    pub weights: [Weights; 2],
    /// Of both, over the domain, the chain, the charter and the weights.
    pub signatures: [Signature; 2],
}

impl Plea {
    /// What one side signs.
    #[must_use]
    pub fn sign(signer: &(impl Signer + ?Sized), charter: &Charter, weights: [Weights; 2]) -> Signature {
        signer.sign(&signing_bytes(charter.chain, charter, weights))
    }

    /// Checks both signatures for `chain` with `check`.
    pub(crate) fn holds(&self, chain: ChainId, check: impl Fn(&Signed<'_>) -> bool) -> bool {
        let message = signing_bytes(chain, &self.charter, self.weights);
        [Side::First, Side::Second].into_iter().all(|side| {
            check(&Signed {
                key: self.charter.party(side).key,
                message: &message,
                signature: self.signatures[side.index()],
            })
        })
    }
}

/// Every part has a fixed length, so no two pleas share their bytes.
fn signing_bytes(chain: ChainId, charter: &Charter, weights: [Weights; 2]) -> Vec<u8> {
    let mut bytes = [MEDIATION_DOMAIN, &chain.0, &charter.id().0].concat();
    for own in weights {
        for weight in [own.bytes, own.share, own.time, own.priority] {
            bytes.extend_from_slice(&weight.to_le_bytes());
        }
    }
    bytes
}
