//! The types of `telemetry`, field by field and variant by variant.

use super::pin;
use ruv_swarm_daa::chrono::{DateTime, Utc};
use ruv_swarm_daa::telemetry::TelemetryEvent;
use serde_json::Value;
use std::collections::HashMap;

#[test]
fn telemetry_types_are_the_older_ones() {
    pin(|v: TelemetryEvent| {
        let TelemetryEvent {
            timestamp,
            event_type,
            agent_id,
            metadata,
        } = v;
        let _: (DateTime<Utc>, String, Option<String>, HashMap<String, Value>) =
            (timestamp, event_type, agent_id, metadata);
    });
}
