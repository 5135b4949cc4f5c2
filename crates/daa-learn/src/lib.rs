//! Data readers, networks as data, training with checkpoints, and architecture search.
