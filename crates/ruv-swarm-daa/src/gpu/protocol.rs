//! Coordination of several agents: what is exchanged, what is counted, and the quorum a vote would need.

use super::config::CoordinationConfig;
use super::monitor::RunningMean;
use crate::error::{DAAError, DAAResult};
use crate::records::{AgentMetrics, CoordinationResult, Knowledge};
use chrono::{DateTime, Utc};
use std::collections::{BTreeMap, VecDeque};

/// Most coordinations and peers remembered; the oldest goes first.
const MAX_HISTORY: usize = 10_000;

/// What the protocol is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CoordinationState {
    /// Not started.
    Initializing,
    /// Taking part.
    Active,
    /// Switched off for this agent.
    Disabled,
    /// Stopped.
    Stopped,
}

/// Measured figures of all coordinations.
#[derive(Debug, Clone, PartialEq)]
pub struct CoordinationMetrics {
    /// Coordinations in which at least one peer took part.
    pub successful_coordinations: u64,
    /// The others.
    pub failed_coordinations: u64,
    /// Mean time in milliseconds; 0 before the first.
    pub average_coordination_time_ms: f64,
    /// Share of the peers asked that took part, 0 to 1; 0 before the first.
    pub resource_sharing_efficiency: f32,
    /// Share of coordinations with a vote that reached its quorum, 0 to 1.
    pub consensus_reached_ratio: f32,
}

/// What kind of insight it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InsightType {
    /// A peer does better.
    PerformanceImprovement,
    /// A peer knows something.
    Knowledge,
}

/// Something learned from a peer.
#[derive(Debug, Clone)]
pub struct SharedInsight {
    /// Kind.
    pub insight_type: InsightType,
    /// In words.
    pub content: String,
    /// Confidence, 0 to 1.
    pub confidence: f32,
    /// Where it comes from.
    pub source_agents: Vec<String>,
}

/// A [`CoordinationResult`] with what can be learned from it.
#[derive(Debug, Clone)]
pub struct EnhancedCoordinationResult {
    /// Whether at least one peer took part.
    pub success: bool,
    /// The peers that took part.
    pub coordinated_agents: Vec<String>,
    /// The knowledge that changed hands, in either direction.
    pub shared_knowledge: Vec<Knowledge>,
    /// Whether a vote was held and reached a quorum; no vote is held yet.
    pub consensus_reached: bool,
    /// Measured time in milliseconds, rounded up, at least 1.
    pub coordination_time_ms: u64,
    /// What the peers' knowledge tells this agent.
    pub shared_insights: Vec<SharedInsight>,
}

impl EnhancedCoordinationResult {
    pub(super) fn new(result: CoordinationResult, own: &AgentMetrics) -> Self {
        let theirs = result
            .shared_knowledge
            .iter()
            .filter(|piece| piece.source_agent != own.agent_id);
        Self {
            shared_insights: theirs.filter_map(|piece| insight(piece, own)).collect(),
            success: result.success,
            coordinated_agents: result.coordinated_agents,
            shared_knowledge: result.shared_knowledge,
            consensus_reached: result.consensus_reached,
            coordination_time_ms: result.coordination_time_ms,
        }
    }
}

impl From<EnhancedCoordinationResult> for CoordinationResult {
    fn from(result: EnhancedCoordinationResult) -> Self {
        Self {
            success: result.success,
            coordinated_agents: result.coordinated_agents,
            shared_knowledge: result.shared_knowledge,
            consensus_reached: result.consensus_reached,
            coordination_time_ms: result.coordination_time_ms,
        }
    }
}

/// A peer's success rate, where it is better than the agent's own; or a piece of what the peer knows.
fn insight(piece: &Knowledge, own: &AgentMetrics) -> Option<SharedInsight> {
    let of_kind = |insight_type, content| SharedInsight {
        insight_type,
        content,
        confidence: piece.confidence as f32,
        source_agents: vec![piece.source_agent.clone()],
    };
    let Some(rate) = piece
        .content
        .get("success_rate")
        .and_then(serde_json::Value::as_f64)
    else {
        let content = format!(
            "{} knows about {}: {}",
            piece.source_agent, piece.domain, piece.content
        );
        return Some(of_kind(InsightType::Knowledge, content));
    };
    let pattern = piece
        .content
        .get("pattern")
        .and_then(serde_json::Value::as_str)
        .unwrap_or("unknown");
    (rate > own.success_rate).then(|| {
        of_kind(
            InsightType::PerformanceImprovement,
            format!(
                "{} succeeds in {:.0} % of its tasks with the pattern {pattern}, this agent in {:.0} %",
                piece.source_agent,
                rate * 100.0,
                own.success_rate * 100.0
            ),
        )
    })
}

/// How agents coordinate.
#[derive(Debug)]
pub struct MultiAgentCoordinationProtocol {
    /// The agent.
    pub agent_id: String,
    /// What it is doing.
    pub coordination_state: CoordinationState,
    /// The peers it met.
    pub peer_discovery: PeerDiscoveryManager,
    /// How votes are counted.
    pub consensus_algorithm: DistributedConsensusAlgorithm,
    /// How resources are negotiated.
    pub resource_negotiator: ResourceNegotiator,
    /// How conflicts are resolved.
    pub conflict_resolver: ConflictResolver,
    /// What happened so far.
    pub coordination_history: CoordinationHistory,
    config: CoordinationConfig,
}

impl MultiAgentCoordinationProtocol {
    /// A protocol with the default settings.
    #[must_use]
    pub fn new(agent_id: String) -> Self {
        let config = CoordinationConfig::default();
        Self {
            agent_id,
            coordination_state: CoordinationState::Initializing,
            peer_discovery: PeerDiscoveryManager::default(),
            consensus_algorithm: DistributedConsensusAlgorithm {
                consensus_threshold: config.consensus_threshold,
            },
            resource_negotiator: ResourceNegotiator::default(),
            conflict_resolver: ConflictResolver::default(),
            coordination_history: CoordinationHistory::default(),
            config,
        }
    }

    /// Replaces the settings.
    ///
    /// # Errors
    /// [`DAAError::ConfigError`] for a setting out of range.
    pub fn configure(&mut self, config: CoordinationConfig) -> DAAResult<()> {
        config.validate()?;
        self.consensus_algorithm.consensus_threshold = config.consensus_threshold;
        self.config = config;
        Ok(())
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &CoordinationConfig {
        &self.config
    }

    /// Counts one coordination with `asked` peers.
    pub fn record(&mut self, result: &CoordinationResult, asked: usize, now: DateTime<Utc>) {
        if self.config.enable_peer_discovery {
            self.peer_discovery.note(&result.coordinated_agents, now);
        }
        self.coordination_history.push(CoordinationRecord {
            timestamp: now,
            participants: result.coordinated_agents.clone(),
            asked,
            success: result.success,
            consensus_reached: result.consensus_reached,
            time_ms: result.coordination_time_ms,
        });
    }
}

/// The peers an agent met, and when last.
#[derive(Debug, Default)]
pub struct PeerDiscoveryManager {
    known: BTreeMap<String, DateTime<Utc>>,
}

impl PeerDiscoveryManager {
    /// The peers, and when each was met last.
    #[must_use]
    pub fn known_peers(&self) -> &BTreeMap<String, DateTime<Utc>> {
        &self.known
    }

    fn note(&mut self, peers: &[String], now: DateTime<Utc>) {
        for peer in peers {
            if self.known.len() < MAX_HISTORY || self.known.contains_key(peer) {
                self.known.insert(peer.clone(), now);
            }
        }
    }
}

/// How votes are counted. Holding a vote is not built yet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DistributedConsensusAlgorithm {
    /// Share of the votes that is needed on top of the Byzantine quorum, above 0 and at most 1.
    pub consensus_threshold: f32,
}

impl DistributedConsensusAlgorithm {
    /// Votes that `voters` need: more than two thirds, and no less than the threshold.
    #[must_use]
    pub fn votes_needed(&self, voters: u32) -> u32 {
        let quorum = u64::from(voters) * 2 / 3 + 1;
        let threshold = (f64::from(self.consensus_threshold) * f64::from(voters)).ceil();
        // A threshold is at most 1, so it never asks for more votes than there are.
        u32::try_from(quorum).unwrap_or(u32::MAX).max(threshold as u32)
    }

    /// Would hold a vote.
    ///
    /// # Errors
    /// Always [`DAAError::CoordinationError`]: it is not built yet.
    pub async fn seek_consensus(&mut self, proposal: &str) -> DAAResult<bool> {
        Err(DAAError::coordination(format!(
            "voting on `{proposal}` is not built yet in this crate"
        )))
    }
}

/// Negotiates resources; not built yet.
#[derive(Debug, Default)]
pub struct ResourceNegotiator {
    requests: u64,
}

impl ResourceNegotiator {
    /// Would ask peers for offers.
    ///
    /// # Errors
    /// Always [`DAAError::CoordinationError`]: it is not built yet.
    pub async fn negotiate_with_peers(&mut self, peers: &[String]) -> DAAResult<()> {
        self.requests += 1;
        Err(DAAError::coordination(format!(
            "negotiating with {} peers is not built yet in this crate",
            peers.len()
        )))
    }

    /// How often it was asked.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests
    }
}

/// Resolves conflicts; not built yet.
#[derive(Debug, Default)]
pub struct ConflictResolver {
    requests: u64,
}

impl ConflictResolver {
    /// Would settle a conflict between `agents`.
    ///
    /// # Errors
    /// Always [`DAAError::CoordinationError`]: it is not built yet.
    pub async fn resolve(&mut self, agents: &[String]) -> DAAResult<()> {
        self.requests += 1;
        Err(DAAError::coordination(format!(
            "settling a conflict of {} agents is not built yet in this crate",
            agents.len()
        )))
    }

    /// How often it was asked.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests
    }
}

/// One coordination.
#[derive(Debug, Clone)]
pub struct CoordinationRecord {
    /// When it ended.
    pub timestamp: DateTime<Utc>,
    /// The peers that took part.
    pub participants: Vec<String>,
    /// How many were asked.
    pub asked: usize,
    /// Whether at least one took part.
    pub success: bool,
    /// Whether a vote reached its quorum.
    pub consensus_reached: bool,
    /// Measured time in milliseconds.
    pub time_ms: u64,
}

/// The coordinations so far, at most 10 000, and figures over all of them.
#[derive(Debug, Default)]
pub struct CoordinationHistory {
    records: VecDeque<CoordinationRecord>,
    times: RunningMean,
    successes: u64,
    votes: u64,
    asked: u64,
    reached: u64,
}

impl CoordinationHistory {
    fn push(&mut self, record: CoordinationRecord) {
        self.times.add(record.time_ms as f64);
        self.successes += u64::from(record.success);
        self.votes += u64::from(record.consensus_reached);
        self.asked += record.asked as u64;
        self.reached += record.participants.len() as u64;
        if self.records.len() == MAX_HISTORY {
            self.records.pop_front();
        }
        self.records.push_back(record);
    }

    /// The coordinations kept, oldest first.
    pub fn records(&self) -> impl Iterator<Item = &CoordinationRecord> {
        self.records.iter()
    }

    /// Figures over all coordinations.
    #[must_use]
    pub fn metrics(&self) -> CoordinationMetrics {
        let total = self.times.count();
        CoordinationMetrics {
            successful_coordinations: self.successes,
            failed_coordinations: total - self.successes,
            average_coordination_time_ms: self.times.mean(),
            resource_sharing_efficiency: self.reached as f32 / self.asked.max(1) as f32,
            consensus_reached_ratio: self.votes as f32 / total.max(1) as f32,
        }
    }
}
