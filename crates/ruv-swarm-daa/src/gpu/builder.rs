//! Making a GPU agent.

use super::agent::{AgentSpec, EnhancedGPUDAAAgent};
use crate::agent::AgentConfiguration;
use crate::directory::PeerDirectory;
use crate::error::DAAResult;
use crate::records::CognitivePattern;
use daa_base::{Clock, SystemClock};
use std::sync::Arc;

/// Score below which feedback makes a GPU agent act, unless its configuration says otherwise.
const THRESHOLD: f64 = 0.5;

/// Describes an [`EnhancedGPUDAAAgent`].
#[derive(Debug)]
pub struct EnhancedGPUDAAAgentBuilder {
    spec: AgentSpec,
}

impl Default for EnhancedGPUDAAAgentBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl EnhancedGPUDAAAgentBuilder {
    /// A random UUID, the pattern Adaptive, 1024 MiB, coordination and optimization on.
    #[must_use]
    pub fn new() -> Self {
        Self {
            spec: AgentSpec {
                id: None,
                pattern: CognitivePattern::Adaptive,
                memory_limit_mb: 1024,
                coordination: true,
                optimization: true,
                config: AgentConfiguration {
                    adaptation_threshold: THRESHOLD,
                    ..AgentConfiguration::default()
                },
                clock: Arc::new(SystemClock::new()),
                directory: PeerDirectory::process_wide(),
                #[cfg(feature = "coordination")]
                ledger: None,
            },
        }
    }

    /// Sets the identifier.
    #[must_use]
    pub fn with_id(mut self, id: String) -> Self {
        self.spec.id = Some(id);
        self
    }

    /// Sets the first pattern.
    #[must_use]
    pub fn with_cognitive_pattern(mut self, pattern: CognitivePattern) -> Self {
        self.spec.pattern = pattern;
        self
    }

    /// Sets the bound on tasks' memory and on what the agent remembers, in MiB, 1 to 2^30.
    #[must_use]
    pub fn with_memory_limit(mut self, mb: u64) -> Self {
        self.spec.memory_limit_mb = mb;
        self
    }

    /// Sets whether the agent exchanges knowledge with peers.
    #[must_use]
    pub fn with_coordination(mut self, enabled: bool) -> Self {
        self.spec.coordination = enabled;
        self
    }

    /// Sets whether the optimizer runs while the agent learns.
    #[must_use]
    pub fn with_autonomous_optimization(mut self, enabled: bool) -> Self {
        self.spec.optimization = enabled;
        self
    }

    /// Replaces the configuration.
    #[must_use]
    pub fn with_configuration(mut self, config: AgentConfiguration) -> Self {
        self.spec.config = config;
        self
    }

    /// Sets where time comes from; the system's clocks otherwise.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.spec.clock = clock;
        self
    }

    /// Sets where the agent finds its peers; the directory of this process otherwise.
    #[must_use]
    pub fn with_peer_directory(mut self, directory: PeerDirectory) -> Self {
        self.spec.directory = directory;
        self
    }

    /// Sets the ledger of the device that the agent shares with others; a ledger of its own otherwise. Its tasks wait
    /// in line, at most 30 seconds, while others hold what they need.
    #[cfg(feature = "coordination")]
    #[must_use]
    pub fn with_resource_ledger(mut self, ledger: &super::ledger::ResourceLedger) -> Self {
        self.spec.ledger = Some(ledger.clone());
        self
    }

    /// Makes the agent and lists it in its directory.
    ///
    /// # Errors
    /// [`DAAError::ConfigError`](crate::DAAError::ConfigError) for a memory limit, learning rate or threshold out of
    /// range.
    pub async fn build(self) -> DAAResult<EnhancedGPUDAAAgent> {
        EnhancedGPUDAAAgent::open(self.spec)
    }
}
