//! A plan in words.

use super::super::keys::Signatures;
use super::super::network::CutKind;
use super::{ClockModel, Crash, MS, Plan, WalPoint};
use std::fmt;

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options = &self.options;
        let (seed, nodes, mode) = (self.named.0, options.nodes, options.mode.name());
        let signatures = match self.signatures {
            Signatures::Model => "model signatures",
            Signatures::Real => "Ed25519 signatures",
        };
        writeln!(f, "seed {seed}: {nodes} validators, {mode}, {signatures}")?;
        writeln!(f, "the network heals at {} ms", self.heals / MS)?;
        for (at, node) in self.nodes.iter().enumerate() {
            let lies: Vec<_> = node.lies.iter().map(|lie| lie.name()).collect();
            let role = if node.twin {
                format!("twin with the key of validator {}", node.validator)
            } else if lies.is_empty() {
                "correct".to_owned()
            } else {
                format!("liar: {}", lies.join(", "))
            };
            let ClockModel { skew_ms, rate_ppm } = node.clock;
            writeln!(
                f,
                "node {at}: {role}, weight {}; clock {skew_ms:+} ms {rate_ppm:+} ppm; flush up to {} us",
                node.power, node.disk.flush
            )?;
        }
        for cut in &self.cuts {
            let (from, until) = (cut.from / MS, cut.until / MS);
            let side: Vec<_> = (0..self.nodes.len())
                .filter(|&node| cut.side >> node & 1 == 1)
                .map(|node| node.to_string())
                .collect();
            let (side, how) = (
                side.join(", "),
                match cut.kind {
                    CutKind::Both => "are cut off, both ways,",
                    CutKind::OneWay => "reach nobody else",
                },
            );
            writeln!(f, "nodes {side} {how} from {from} to {until} ms")?;
        }
        for crash in &self.crashes {
            let Crash {
                node, at, effects, ..
            } = crash;
            let (at, away) = (at / MS, crash.away / MS);
            writeln!(
                f,
                "node {node} crashes {effects} effects after {at} ms, for {away} ms"
            )?;
        }
        if let Some(WalPoint {
            node, record, place, ..
        }) = self.wal_point
        {
            let place = place.name();
            writeln!(f, "node {node}: {place}, its number {record}")?;
        }
        Ok(())
    }
}
