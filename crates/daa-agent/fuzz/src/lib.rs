//! What daa-agent reads from peers and from run folders, each with what must hold whatever the bytes are: no panic, and what
//! decodes encodes to the same bytes.
//!
//! The fuzz targets beside this file call it, and so does the crate's own suite with fewer and cheaper inputs.

use daa_agent::doors;

/// A decoder: its name, what feeds it, and some bytes that it takes.
pub type Decoder = (&'static str, fn(&[u8]), fn() -> Vec<Vec<u8>>);

/// All of them.
pub const DECODERS: [Decoder; 6] = [
    ("ask", ask, doors::asks),
    ("tell", tell, doors::tells),
    ("job", job, doors::jobs),
    ("orders", orders, doors::jobs),
    ("recipes", recipes, doors::insights),
    ("events", events, doors::lines),
];

/// What a run asks of a node.
pub fn ask(bytes: &[u8]) {
    assert!(doors::ask(bytes).is_none_or(|again| again == bytes));
}

/// What a node answers.
pub fn tell(bytes: &[u8]) {
    assert!(doors::tell(bytes).is_none_or(|again| again == bytes));
}

/// A job that a node fetches.
pub fn job(bytes: &[u8]) {
    assert!(doors::job(bytes).is_none_or(|again| again == bytes));
}

/// What a node makes of a job before it takes orders.
pub fn orders(bytes: &[u8]) {
    let _ = doors::orders_of_job(bytes);
}

/// Recipes in an insight.
pub fn recipes(bytes: &[u8]) {
    doors::recipes(bytes);
}

/// Lines of a run folder's events.
pub fn events(bytes: &[u8]) {
    doors::events(bytes);
}
