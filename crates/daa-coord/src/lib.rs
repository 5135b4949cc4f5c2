//! Agreement between agents: a deterministic ledger of devices, quotas and leases behind a commit log.
