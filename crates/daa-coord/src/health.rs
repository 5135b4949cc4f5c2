//! Who seems to be gone: phi-accrual failure detection, and what other nodes say about it.
//!
//! A [`Detector`] follows one peer. It keeps the last intervals between signs of life and answers with a *suspicion* φ
//! instead of yes or no: φ = −log₁₀ of the probability that the next sign is still to come, if intervals are normal with
//! the mean and deviation of the window (Hayashibara, Défago, Yared and Katayama: The φ Accrual Failure Detector, SRDS
//! 2004). φ = 8 is wrong once in 10⁸ if the model holds. The normal tail is computed by the logistic approximation of
//! Bowling et al. (A logistic approximation to the cumulative normal distribution, JIEM 2009), as in Akka's detector: its
//! error is below 0.0002 in probability, and far out it grows with time, which is what a threshold needs.
//!
//! Suspicion is a hint. It is in floating point, differs between nodes, is never replicated and decides nothing by
//! itself: whether a holder is gone is voted on in the ledger. [`Opinions`] collects what others say so that a node knows
//! when such a vote is worth proposing. There each peer has one voice, weighs what the caller says it weighs, is
//! forgotten after a while, and cannot speak for others. [`Vigil`] says what this node should put into the ledger: its votes
//! about agents of nodes that it finds silent, and the signs of life of its own.

mod detector;
mod opinions;
mod vigil;

pub use detector::{Detector, DetectorConfig};
pub use opinions::{MAX_OPINIONS, Opinion, OpinionError, Opinions, OpinionsConfig};
pub use vigil::{Duty, Sight, Vigil, VigilConfig};

use crate::keys::PublicKey;
use std::collections::BTreeMap;
use std::time::Duration;

/// A limit that was left.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{field} is {value}, allowed are {allowed}")]
pub struct HealthConfigError {
    /// The field's name.
    pub field: &'static str,
    /// Its value.
    pub value: String,
    /// What is allowed.
    pub allowed: &'static str,
}

/// The detectors of all peers that are followed.
#[derive(Debug, Clone)]
pub struct Monitor {
    config: DetectorConfig,
    peers: BTreeMap<PublicKey, Detector>,
    most: usize,
}

impl Monitor {
    /// A monitor for at most `most` peers.
    ///
    /// # Errors
    /// [`HealthConfigError`].
    pub fn new(config: DetectorConfig, most: usize) -> Result<Self, HealthConfigError> {
        config.validate()?;
        Ok(Self {
            config,
            peers: BTreeMap::new(),
            most,
        })
    }

    /// Follows `peer` from `now` on, as if a sign of life had just come. Returns whether it is followed: nobody is
    /// added beyond the limit, and nobody pushed out.
    pub fn follow(&mut self, peer: PublicKey, now: Duration) -> bool {
        if self.peers.contains_key(&peer) {
            return true;
        }
        if self.peers.len() >= self.most {
            return false;
        }
        self.peers.insert(peer, Detector::started(self.config, now));
        true
    }

    /// No longer follows `peer`.
    pub fn forget(&mut self, peer: &PublicKey) {
        self.peers.remove(peer);
    }

    /// A sign of life came from `peer`, authenticated by whoever calls. Peers that are not followed are not added.
    pub fn alive(&mut self, peer: &PublicKey, now: Duration) {
        if let Some(detector) = self.peers.get_mut(peer) {
            detector.alive(now);
        }
    }

    /// The suspicion against `peer` in thousandths of φ; `None` if it is not followed.
    #[must_use]
    pub fn suspicion(&self, peer: &PublicKey, now: Duration) -> Option<u32> {
        self.peers.get(peer).map(|detector| detector.phi_milli(now))
    }

    /// All followed peers in the order of their keys, with their suspicion in thousandths of φ.
    pub fn all(&self, now: Duration) -> impl Iterator<Item = (PublicKey, u32)> + '_ {
        self.peers
            .iter()
            .map(move |(&peer, detector)| (peer, detector.phi_milli(now)))
    }

    /// The peers whose suspicion has reached the threshold.
    pub fn suspects(&self, now: Duration) -> impl Iterator<Item = PublicKey> + '_ {
        let threshold = self.config.threshold_milli;
        self.all(now)
            .filter(move |(_, phi)| *phi >= threshold)
            .map(|(peer, _)| peer)
    }
}

#[cfg(test)]
mod tests;
