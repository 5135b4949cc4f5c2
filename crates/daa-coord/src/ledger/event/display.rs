//! Events as one line for people.

use super::LedgerEvent;
use std::fmt;

impl fmt::Display for LedgerEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dropped { agent, seq, reason } => {
                write!(f, "entry {seq} in the name of {agent} dropped: {reason}")
            }
            Self::Held { agent, seq, missing } => {
                write!(f, "command {seq} of {agent} waits for command {missing}")
            }
            Self::Rejected { agent, seq, reason } => {
                write!(f, "command {seq} of {agent} rejected: {reason}")
            }
            Self::DeviceRegistered { device, capacity, .. } => {
                write!(f, "{device} registered with {capacity}")
            }
            Self::AgentRegistered {
                registered, owner, ..
            } => write!(f, "{registered} of {owner} registered"),
            Self::AgentUnregistered { .. }
            | Self::FollowerUnregistered { .. }
            | Self::ValidatorsChanged { .. }
            | Self::AgentReported { .. }
            | Self::AgentGone { .. }
            | Self::AgentBack { .. }
            | Self::OffenceRecorded { .. }
            | Self::EvidenceRefused { .. }
            | Self::ValidatorRemoved { .. }
            | Self::ValidatorStays { .. } => self.fmt_member(f),
            Self::ContractCarriedOut { .. } | Self::LeaseChanged { .. } | Self::ConflictRecorded { .. } => {
                self.fmt_contract(f)
            }
            Self::QuotaSet { .. }
            | Self::PolicyAnnounced { .. }
            | Self::PolicyInForce { .. }
            | Self::CompensationOwed { .. }
            | Self::RequestDecided { .. } => self.fmt_rules(f),
            Self::RequestQueued { request, ahead, why } => {
                write!(f, "{request} waits behind {ahead} others: {why}")
            }
            Self::RequestRefused { request, reason } => write!(f, "{request} refused: {reason}"),
            Self::RequestCancelled { request, .. } => write!(f, "{request} withdrawn"),
            Self::TrialClaimed { .. }
            | Self::TrialTouched { .. }
            | Self::TrialRecorded { .. }
            | Self::TrialReleased { .. } => self.fmt_trial(f),
            _ => self.fmt_lease(f),
        }
    }
}

impl LedgerEvent {
    fn fmt_lease(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LeaseGranted(lease) => write!(
                f,
                "{} granted to {}: {} and {} of {} for {}",
                lease.id,
                lease.agent,
                lease.bytes,
                lease.share,
                lease.device,
                lease.left(lease.granted)
            ),
            Self::LeaseRenewed {
                lease, agent, until, ..
            } => write!(f, "{lease} of {agent} lasts until {}", until.get()),
            Self::RenewRefused {
                lease, agent, reason, ..
            } => write!(f, "{lease} of {agent} is not prolonged: {reason}"),
            Self::LeaseExpired { lease } => {
                write!(f, "{} of {} ran out, {} free", lease.id, lease.agent, lease.bytes)
            }
            Self::LeaseReleased { lease, .. } => {
                write!(
                    f,
                    "{} given back by {}, {} free",
                    lease.id, lease.agent, lease.bytes
                )
            }
            Self::LeaseWithdrawn { lease, reason } => {
                write!(f, "{} of {} ended: {reason}", lease.id, lease.agent)
            }
            Self::LeaseRevoked { lease, reason, .. } => {
                write!(
                    f,
                    "{} of {} ended by the operator: {reason}",
                    lease.id, lease.agent
                )
            }
            _ => Ok(()),
        }
    }

    fn fmt_contract(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ContractCarriedOut {
                parties: [first, second],
                parts: [one, other],
                mediated,
                ..
            } => {
                write!(f, "{first} has {one}, {second} has {other}: ")?;
                match mediated {
                    Some(rule) => write!(f, "mediated, {rule}"),
                    None => f.write_str("both signed"),
                }
            }
            Self::LeaseChanged { lease, before } => write!(
                f,
                "{} of {} has {} and {} until {}, no longer {} and {}",
                lease.id,
                lease.agent,
                lease.bytes,
                lease.share,
                lease.expires.get(),
                before.bytes,
                before.share
            ),
            Self::ConflictRecorded { request, record, .. } => write!(f, "{request}: {record}"),
            _ => Ok(()),
        }
    }

    fn fmt_rules(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::QuotaSet { owner, quota, .. } => match quota {
                Some(quota) => write!(f, "{owner} may use {} as its own", quota.nominal),
                None => write!(f, "{owner} has no quota any more"),
            },
            Self::PolicyAnnounced { policy, from, .. } => {
                write!(f, "policy {} counts from block {from} on", policy.version)
            }
            Self::PolicyInForce { policy } => write!(f, "policy {} counts from now on", policy.version),
            Self::CompensationOwed { agent, credit, left } => write!(
                f,
                "{agent} lost {left} of a lease; until {} a request of at most {} and {} keeps its place",
                credit.until.get(),
                credit.bytes,
                credit.share
            ),
            Self::RequestDecided {
                request,
                verdict,
                reason,
                ..
            } => write!(f, "{request} {verdict} by the operator: {reason}"),
            _ => Ok(()),
        }
    }

    fn fmt_member(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AgentUnregistered { unregistered, .. } => {
                write!(f, "{unregistered} is not registered any more")
            }
            Self::FollowerUnregistered {
                unregistered,
                sponsor,
            } => write!(
                f,
                "{unregistered} is not registered any more, as {sponsor} is not"
            ),
            Self::ValidatorsChanged { change, from, .. } => write!(f, "{change} from block {from} on"),
            Self::AgentReported {
                validator,
                about,
                weight,
                total,
                ..
            } => write!(
                f,
                "validator {validator} sees {about} gone, as does {weight} of {total} in weight"
            ),
            Self::AgentGone {
                about, weight, total, ..
            } => write!(
                f,
                "{about} is gone in the eyes of {weight} of {total} in weight; what it had is free"
            ),
            Self::AgentBack { agent, .. } => write!(f, "{agent} is back"),
            Self::OffenceRecorded { offence } => write!(f, "proven and recorded: {offence}"),
            Self::EvidenceRefused { reason } => write!(f, "evidence without effect: {reason}"),
            Self::ValidatorRemoved { key, from } => {
                write!(
                    f,
                    "validator {key} votes no more from block {from} on, because it lied"
                )
            }
            Self::ValidatorStays { key, reason } => {
                write!(f, "validator {key} lied and stays for now: {reason}")
            }
            _ => Ok(()),
        }
    }

    fn fmt_trial(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TrialClaimed {
                trial, agent, digest, ..
            } => write!(f, "{trial} claimed by {agent} (decision {digest:.8})"),
            Self::TrialTouched {
                trial, agent, until, ..
            } => write!(f, "{trial} of {agent} stays claimed until {}", until.get()),
            Self::TrialRecorded { trial, record, .. } => write!(
                f,
                "{trial} ended at {} with score {} millionths after {} epochs",
                record.agent, record.score_micro, record.epochs
            ),
            Self::TrialReleased {
                trial, agent, reason, ..
            } => write!(f, "{trial} of {agent} is free again: {reason}"),
            _ => Ok(()),
        }
    }
}
