//! Making a standard agent.

use super::{AgentConfiguration, StandardDAAAgent};
use crate::core::{Core, CoreSpec};
use crate::directory::PeerDirectory;
use crate::error::DAAResult;
use crate::records::{CognitivePattern, NeuralConfig};
use daa_base::{Clock, SystemClock};
use std::sync::Arc;

/// Describes a [`StandardDAAAgent`].
#[derive(Debug)]
pub struct DAAAgentBuilder {
    id: Option<String>,
    pattern: CognitivePattern,
    config: AgentConfiguration,
    clock: Option<Arc<dyn Clock>>,
    directory: Option<PeerDirectory>,
}

impl Default for DAAAgentBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl DAAAgentBuilder {
    /// An agent of the pattern Adaptive with the default configuration and a random identifier.
    #[must_use]
    pub fn new() -> Self {
        Self {
            id: None,
            pattern: CognitivePattern::Adaptive,
            config: AgentConfiguration::default(),
            clock: None,
            directory: None,
        }
    }

    /// Sets the identifier; a random UUID otherwise.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Sets the first pattern.
    #[must_use]
    pub fn with_cognitive_pattern(mut self, pattern: CognitivePattern) -> Self {
        self.pattern = pattern;
        self
    }

    /// Sets how far one experience moves the proficiency of its domain, above 0 and at most 1.
    #[must_use]
    pub fn with_learning_rate(mut self, rate: f64) -> Self {
        self.config.learning_rate = rate;
        self
    }

    /// Sets the score below which feedback changes the pattern.
    #[must_use]
    pub fn with_adaptation_threshold(mut self, threshold: f64) -> Self {
        self.config.adaptation_threshold = threshold;
        self
    }

    /// Describes a network for the agent.
    #[must_use]
    pub fn with_neural_config(mut self, config: NeuralConfig) -> Self {
        self.config.neural_network_config = Some(config);
        self
    }

    /// Replaces the whole configuration.
    #[must_use]
    pub fn with_configuration(mut self, config: AgentConfiguration) -> Self {
        self.config = config;
        self
    }

    /// Sets where time comes from; the system's clocks otherwise.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Sets where the agent finds its peers; the directory of this process otherwise.
    #[must_use]
    pub fn with_peer_directory(mut self, directory: PeerDirectory) -> Self {
        self.directory = Some(directory);
        self
    }

    /// Makes the agent and lists it in its directory.
    ///
    /// # Errors
    /// [`DAAError::ConfigError`](crate::DAAError::ConfigError) for a learning rate or threshold out of range,
    /// [`DAAError::NeuralError`](crate::DAAError::NeuralError) for a network that cannot be.
    pub async fn build(self) -> DAAResult<StandardDAAAgent> {
        let core = Core::open(CoreSpec {
            id: self.id.unwrap_or_else(|| uuid::Uuid::new_v4().to_string()),
            pattern: self.pattern,
            cooperates: self.config.coordination_willingness > 0.0,
            config: self.config,
            clock: self.clock.unwrap_or_else(|| Arc::new(SystemClock::new())),
            directory: self.directory.unwrap_or_else(PeerDirectory::process_wide),
            memory_bytes: usize::MAX,
        })?;
        Ok(StandardDAAAgent::over(core))
    }
}
