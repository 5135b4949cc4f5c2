//! The public API of ruv-swarm-daa 1.0.6, kept source-compatible, on top of the DAA crates.
