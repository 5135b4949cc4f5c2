//! Links between nodes: what is lost, delayed, repeated, overtaken, and who is cut off from whom.
//!
//! A link has a delay of a base and a uniform part; now and then a message takes many times as long, so that messages
//! overtake one another. From the planned moment of healing on, nothing is lost or repeated and no cut remains.

use super::draw::Draw;
use super::queue::Micros;
use daa_base::Rng;

/// How one direction of a link behaves until it heals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Link {
    /// Shortest delay.
    pub(super) base: Micros,
    /// Added uniformly from 0 to this.
    pub(super) spread: Micros,
    /// Messages of a thousand that take up to [`LATE`] times as long.
    pub(super) late: u32,
    /// Messages of a thousand that are lost.
    pub(super) lost: u32,
    /// Messages of a thousand that arrive twice.
    pub(super) twice: u32,
}

/// A late message takes up to so many times the longest ordinary delay.
const LATE: u64 = 20;

/// Nodes that cannot reach others for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) from: Micros,
    pub(super) until: Micros,
    /// Bit i: node i is on the first side.
    pub(super) side: u64,
    /// Which directions are cut.
    pub(super) kind: CutKind,
}

/// Which messages a cut stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CutKind {
    /// Between the sides, both ways.
    Both,
    /// From the first side to the other only.
    OneWay,
}

/// When a message arrives: not at all, once or twice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Arrivals {
    pub(super) first: Option<Micros>,
    pub(super) again: Option<Micros>,
}

/// What the network did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct NetworkCounts {
    pub(super) lost: u64,
    pub(super) late: u64,
    pub(super) twice: u64,
    pub(super) cut: u64,
    pub(super) carried: u64,
}

/// All links of a cluster.
#[derive(Debug)]
pub(super) struct Network {
    nodes: usize,
    links: Vec<Link>,
    cuts: Vec<Cut>,
    heals: Micros,
    rng: Rng,
    pub(super) counts: NetworkCounts,
}

impl Network {
    /// `links` has one entry for each pair, sender first.
    pub(super) fn new(nodes: usize, links: Vec<Link>, cuts: Vec<Cut>, heals: Micros, rng: Rng) -> Self {
        debug_assert_eq!(links.len(), nodes * nodes);
        Self {
            nodes,
            links,
            cuts,
            heals,
            rng,
            counts: NetworkCounts::default(),
        }
    }

    fn is_cut(&self, now: Micros, from: usize, to: usize) -> bool {
        now < self.heals
            && self.cuts.iter().any(|cut| {
                let (first, second) = (cut.side >> from & 1 == 1, cut.side >> to & 1 == 1);
                (cut.from..cut.until).contains(&now)
                    && match cut.kind {
                        CutKind::Both => first != second,
                        CutKind::OneWay => first && !second,
                    }
            })
    }

    /// When a message that leaves now arrives.
    pub(super) fn carry(&mut self, now: Micros, from: usize, to: usize) -> Arrivals {
        if self.is_cut(now, from, to) {
            self.counts.cut += 1;
            return Arrivals::default();
        }
        let link = self.links[from * self.nodes + to];
        let healed = now >= self.heals;
        if !healed && self.rng.chance(link.lost) {
            self.counts.lost += 1;
            return Arrivals::default();
        }
        let first = Some(now + self.delay(link));
        let mut again = None;
        if !healed && self.rng.chance(link.twice) {
            self.counts.twice += 1;
            again = Some(now + self.delay(link));
        }
        self.counts.carried += 1;
        Arrivals { first, again }
    }

    fn delay(&mut self, link: Link) -> Micros {
        let delay = link.base + self.rng.within(0..=link.spread);
        if !self.rng.chance(link.late) {
            return delay;
        }
        self.counts.late += 1;
        delay * self.rng.within(2..=LATE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use daa_base::Seed;

    fn network(link: Link, cuts: Vec<Cut>) -> Network {
        Network::new(3, vec![link; 9], cuts, 1_000_000, Seed(1).stream("network").rng())
    }

    const CALM: Link = Link {
        base: 100,
        spread: 50,
        late: 0,
        lost: 0,
        twice: 0,
    };

    #[test]
    fn a_cut_stops_the_directions_it_names_while_it_lasts() {
        let cut = |kind| Cut {
            from: 10,
            until: 20,
            side: 0b001,
            kind,
        };
        let arrives = |network: &mut Network, now, from, to| network.carry(now, from, to).first.is_some();
        let mut both = network(CALM, vec![cut(CutKind::Both)]);
        let mut one_way = network(CALM, vec![cut(CutKind::OneWay)]);
        for network in [&mut both, &mut one_way] {
            assert!(arrives(network, 9, 0, 1) && arrives(network, 20, 0, 1) && arrives(network, 15, 1, 2));
            assert!(!arrives(network, 15, 0, 1));
        }
        assert!(!arrives(&mut both, 15, 1, 0) && arrives(&mut one_way, 15, 1, 0));
    }

    #[test]
    fn loss_repetition_and_lateness_happen_as_often_as_asked_and_end_with_healing() {
        let wild = Link {
            late: 100,
            lost: 200,
            twice: 300,
            ..CALM
        };
        let mut network = network(wild, vec![]);
        for _ in 0..10_000 {
            network.carry(5, 0, 1);
        }
        let counts = network.counts;
        assert!((1_800..2_200).contains(&counts.lost), "{counts:?}");
        assert!(
            (2_100..2_700).contains(&counts.twice),
            "300 of 8000 sent: {counts:?}"
        );
        assert!((850..1_250).contains(&counts.late), "{counts:?}");
        network.counts = NetworkCounts::default();
        for _ in 0..1_000 {
            let Arrivals { first, again } = network.carry(1_000_000, 0, 1);
            assert!(first.is_some() && again.is_none());
        }
        assert_eq!((network.counts.lost, network.counts.twice), (0, 0));
    }
}
