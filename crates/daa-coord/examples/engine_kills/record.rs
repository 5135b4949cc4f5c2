//! What nodes have acknowledged, and whether what they say later goes with it.

use super::report::{Report, Situation};
use daa_base::{AgentId, LeaseId, Timestamp};
use daa_coord::consensus::BlockId;
use daa_coord::{Digest, Lease};
use std::collections::{BTreeMap, BTreeSet};

/// An acknowledged grant.
pub(crate) struct Known {
    pub(crate) lease: Lease,
    /// Lowest and highest height at which a node's published ledger held it.
    pub(crate) seen: (u64, u64),
    /// A height at which a node's published ledger did not hold it any more.
    pub(crate) over: Option<u64>,
    /// Somebody was asked to end it.
    pub(crate) ending: bool,
}

/// The ledger of one node, as it has published it.
#[derive(Default)]
struct Mirror {
    height: u64,
    time: Timestamp,
    leases: BTreeMap<LeaseId, Lease>,
    /// The highest block that it ever published.
    published: u64,
}

/// What was counted.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) granted: u64,
    /// Ended on demand: released or revoked.
    pub(crate) ended: u64,
    pub(crate) expired: u64,
    /// Starts at which the stored blocks were compared with what was published before.
    pub(crate) found: u64,
    /// Pairs of a node and an acknowledged lease, compared after restarts.
    pub(crate) compared: u64,
}

/// See the [module documentation](self).
pub(crate) struct Record {
    pub(crate) leases: BTreeMap<LeaseId, Known>,
    /// Those that are not over.
    pub(crate) active: BTreeSet<LeaseId>,
    /// Those, and those that are over but not yet for every node.
    watched: BTreeSet<LeaseId>,
    /// Digests of published blocks, ledgers' hashes after them, names of stored blocks; each by height.
    pub(crate) blocks: BTreeMap<u64, Digest>,
    pub(crate) states: BTreeMap<u64, Digest>,
    pub(crate) tips: BTreeMap<u64, BlockId>,
    /// The next number of each agent and what it has open, with the height at which that was so.
    pub(crate) agents: BTreeMap<AgentId, (u64, u64, u32)>,
    nodes: Vec<Mirror>,
    pub(crate) counts: Counts,
    forgotten: Option<LeaseId>,
}

fn same<T: PartialEq + Copy>(
    all: &mut BTreeMap<u64, T>,
    height: u64,
    found: T,
    what: &str,
) -> Result<(), String> {
    if *all.entry(height).or_insert(found) == found {
        Ok(())
    } else {
        Err(format!("two nodes have different {what} at height {height}"))
    }
}

impl Record {
    pub(crate) fn new(nodes: usize) -> Self {
        Self {
            leases: BTreeMap::new(),
            active: BTreeSet::new(),
            watched: BTreeSet::new(),
            blocks: BTreeMap::new(),
            states: BTreeMap::new(),
            tips: BTreeMap::new(),
            agents: BTreeMap::new(),
            nodes: (0..nodes).map(|_| Mirror::default()).collect(),
            counts: Counts::default(),
            forgotten: None,
        }
    }

    /// Takes in what node number `node` says.
    ///
    /// # Errors
    /// What of the acknowledged is lost or contradicted.
    pub(crate) fn hear(&mut self, node: usize, report: Report) -> Result<(), String> {
        match report {
            Report::Found { height, tip } => {
                let published = self.nodes[node].published;
                if height < published {
                    return Err(format!(
                        "node {node} had published height {published} and comes back with {height}"
                    ));
                }
                self.counts.found += 1;
                self.nodes[node] = Mirror {
                    published,
                    ..Mirror::default()
                };
                tip.map_or(Ok(()), |tip| same(&mut self.tips, height, tip, "stored blocks"))
            }
            Report::Block { height, digest } => {
                let mirror = &mut self.nodes[node];
                mirror.published = mirror.published.max(height);
                same(&mut self.blocks, height, digest, "published blocks")
            }
            Report::Situation(now) => self.situation(node, *now),
        }
    }

    fn situation(&mut self, node: usize, now: Situation) -> Result<(), String> {
        let mirror = &mut self.nodes[node];
        mirror.height = now.height;
        mirror.time = now.time;
        mirror.published = mirror.published.max(now.height);
        for id in &now.gone {
            mirror.leases.remove(id);
        }
        mirror
            .leases
            .extend(now.leases.into_iter().map(|lease| (lease.id, lease)));
        if let Some(forgotten) = self.forgotten.filter(|_| node == 0) {
            mirror.leases.remove(&forgotten);
        }
        for (agent, next, open) in now.agents {
            let known = self.agents.entry(agent).or_default();
            if now.height >= known.0 {
                *known = (now.height, next, open);
            }
        }
        same(&mut self.states, now.height, now.hash, "ledgers")?;
        self.compare(node)
    }

    /// Whether a node's ledger holds every acknowledged lease that is not over at its height, and none that is.
    fn compare(&mut self, node: usize) -> Result<(), String> {
        let mirror = &self.nodes[node];
        let height = mirror.height;
        for (&id, lease) in &mirror.leases {
            let Some(known) = self.leases.get_mut(&id) else {
                let known = Known {
                    lease: lease.clone(),
                    seen: (height, height),
                    over: None,
                    ending: false,
                };
                self.leases.insert(id, known);
                self.active.insert(id);
                self.watched.insert(id);
                self.counts.granted += 1;
                continue;
            };
            if known.lease != *lease {
                return Err(format!(
                    "{id} was acknowledged as {:?}, node {node} has {lease:?}",
                    known.lease
                ));
            }
            if let Some(over) = known.over.filter(|&over| over <= height) {
                return Err(format!(
                    "{id} was over at height {over}, node {node} has it at height {height}"
                ));
            }
            known.seen = (known.seen.0.min(height), known.seen.1.max(height));
        }
        self.compare_absent(node)
    }

    fn compare_absent(&mut self, node: usize) -> Result<(), String> {
        let all = self.nodes.iter().map(|mirror| mirror.height).min().unwrap_or(0);
        let Mirror {
            height, time, leases, ..
        } = &self.nodes[node];
        let absent = self.watched.iter().filter(|id| !leases.contains_key(id));
        for id in absent.copied().collect::<Vec<_>>() {
            let Some(known) = self.leases.get_mut(&id).filter(|known| known.seen.0 <= *height) else {
                continue;
            };
            let expired = known.lease.expires <= *time;
            if *height <= known.seen.1 || !(known.ending || expired) {
                let (first, last) = known.seen;
                return Err(format!(
                    "lost: {:?} was acknowledged at heights {first} to {last}; node {node} does not have it at {height}",
                    known.lease
                ));
            }
            if self.active.remove(&id) {
                let counts = &mut self.counts;
                *(if known.ending {
                    &mut counts.ended
                } else {
                    &mut counts.expired
                }) += 1;
            }
            let over = known.over.map_or(*height, |over| over.min(*height));
            known.over = Some(over);
            if over <= all {
                self.watched.remove(&id);
            }
        }
        Ok(())
    }

    /// Compares the ledgers of all nodes with all that was acknowledged.
    ///
    /// # Errors
    /// What is lost.
    pub(crate) fn compare_all(&mut self) -> Result<(), String> {
        for node in 0..self.nodes.len() {
            self.compare(node)?;
            self.counts.compared += self.active.len() as u64;
        }
        Ok(())
    }

    /// The highest height that was acknowledged.
    pub(crate) fn height(&self) -> u64 {
        self.nodes.iter().map(|node| node.published).max().unwrap_or(0)
    }

    /// The heights of the ledgers of all nodes; 0 for one that has not said yet.
    pub(crate) fn heights(&self) -> Vec<u64> {
        self.nodes.iter().map(|node| node.height).collect()
    }

    /// Somebody will be asked to end the lease.
    pub(crate) fn end(&mut self, id: LeaseId) {
        if let Some(known) = self.leases.get_mut(&id) {
            known.ending = true;
        }
    }

    /// Leases of an agent that are not over, and that nobody was asked to end.
    pub(crate) fn held(&self, agent: AgentId) -> Vec<&Lease> {
        let active = self.active.iter().filter_map(|id| self.leases.get(id));
        active
            .filter(|known| !known.ending && known.lease.agent == agent)
            .map(|known| &known.lease)
            .collect()
    }

    /// From now on acts as if the first node did not have the lease, to show that this is noticed.
    pub(crate) fn forget(&mut self, id: LeaseId) {
        self.forgotten = Some(id);
        self.nodes[0].leases.remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::tests::lease;

    fn at(height: u64, leases: &[u64], gone: &[u64]) -> Report {
        Report::Situation(Box::new(Situation {
            height,
            time: Timestamp(height),
            hash: Digest([height as u8; 32]),
            leases: leases.iter().map(|&id| lease(id)).collect(),
            gone: gone.iter().map(|&id| LeaseId(id)).collect(),
            agents: Vec::new(),
        }))
    }

    fn found(height: u64) -> Report {
        Report::Found { height, tip: None }
    }

    fn first_fault(history: Vec<(usize, Report)>) -> Option<String> {
        let mut record = Record::new(2);
        history
            .into_iter()
            .find_map(|(node, report)| record.hear(node, report).err())
    }

    #[test]
    fn a_lease_that_a_node_does_not_have_after_its_restart_is_lost() {
        let history = vec![(0, at(5, &[1, 2], &[])), (0, found(5)), (0, at(6, &[2], &[]))];
        let fault = first_fault(history).expect("one is lost");
        assert!(fault.contains("lost") && fault.contains("LeaseId(1)"), "{fault}");
    }

    #[test]
    fn a_node_that_is_behind_has_lost_nothing_and_one_that_shows_older_blocks_than_it_published_has() {
        let behind = vec![(0, at(5, &[1], &[])), (1, at(4, &[], &[])), (1, at(5, &[1], &[]))];
        assert_eq!(first_fault(behind), None);
        let forgot = vec![(0, at(5, &[1], &[])), (0, found(4))];
        assert!(first_fault(forgot).is_some_and(|fault| fault.contains("comes back with 4")));
    }

    #[test]
    fn a_lease_ends_on_demand_or_when_its_time_is_over_and_does_not_come_back() {
        let mut record = Record::new(2);
        record.hear(0, at(5, &[1, 2], &[])).expect("two grants");
        record.end(LeaseId(1));
        record.hear(0, at(6, &[], &[1])).expect("ended on demand");
        record.hear(0, at(1000, &[], &[2])).expect("expired");
        assert_eq!((record.counts.ended, record.counts.expired), (1, 1));
        assert!(
            record.hear(1, at(5, &[1, 2], &[])).is_ok(),
            "it was so at that height"
        );
        assert!(
            record.hear(1, at(7, &[], &[1, 2])).is_err(),
            "the second was alive until its time"
        );
        assert!(record.hear(1, at(1001, &[1], &[])).is_err(), "it came back");
    }

    #[test]
    fn other_tokens_and_other_hashes_are_contradictions() {
        let mut other = lease(1);
        other.token.0 += 1;
        let mut forged = at(6, &[], &[]);
        if let Report::Situation(now) = &mut forged {
            now.leases = vec![other];
        }
        assert!(first_fault(vec![(0, at(5, &[1], &[])), (1, forged)]).is_some());
        let block = |byte| Report::Block {
            height: 3,
            digest: Digest([byte; 32]),
        };
        assert!(first_fault(vec![(0, block(1)), (1, block(1))]).is_none());
        assert!(first_fault(vec![(0, block(1)), (1, block(2))]).is_some());
    }
}
