//! Where agents of one process find each other.

use crate::core::Core;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock, Weak};

/// The agents that can be reached, by identifier. Clones share the same content.
///
/// An agent is listed from its creation until it is shut down or dropped. Of two living agents with the same
/// identifier the later one is listed.
#[derive(Debug, Clone, Default)]
pub struct PeerDirectory {
    agents: Arc<RwLock<BTreeMap<String, Weak<Core>>>>,
}

impl PeerDirectory {
    /// A directory without agents, shared with nobody yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The directory of this process, which agents join when their builder names no other.
    #[must_use]
    pub fn process_wide() -> Self {
        static SHARED: OnceLock<PeerDirectory> = OnceLock::new();
        SHARED.get_or_init(Self::new).clone()
    }

    /// The identifiers of all listed agents, in order.
    #[must_use]
    pub fn ids(&self) -> Vec<String> {
        let agents = self.agents.read().unwrap_or_else(PoisonError::into_inner);
        agents
            .iter()
            .filter(|(_, agent)| agent.strong_count() > 0)
            .map(|(id, _)| id.clone())
            .collect()
    }

    pub(crate) fn enter(&self, agent: &Arc<Core>) {
        let mut agents = self.agents.write().unwrap_or_else(PoisonError::into_inner);
        agents.insert(agent.id().to_owned(), Arc::downgrade(agent));
    }

    /// Takes `agent` out, unless a later agent of the same identifier stands there.
    pub(crate) fn leave(&self, agent: &Core) {
        let mut agents = self.agents.write().unwrap_or_else(PoisonError::into_inner);
        if agents
            .get(agent.id())
            .is_some_and(|listed| std::ptr::eq(listed.as_ptr(), agent))
        {
            agents.remove(agent.id());
        }
    }

    pub(crate) fn find(&self, id: &str) -> Option<Arc<Core>> {
        let agents = self.agents.read().unwrap_or_else(PoisonError::into_inner);
        agents.get(id).and_then(Weak::upgrade)
    }
}
