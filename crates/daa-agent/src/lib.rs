//! Autonomous agents that train and search under leases, and the run folder they leave behind.
