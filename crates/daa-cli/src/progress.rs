//! What a run shows while it works: a bar for the search's epochs and a line per agent.

mod board;

use crate::messages::Messages;
use board::Board;
use daa_agent::events::{Event, EventKind, Observer};
use daa_base::AgentId;
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How often the clock of the bar moves while nothing happens.
const TICK: Duration = Duration::from_millis(250);

/// Draws what it observes. Off a terminal it prints warnings only; with -v, a line per event.
#[derive(Debug)]
pub(crate) struct Progress {
    messages: Messages,
    drawn: Mutex<Drawn>,
}

#[derive(Debug, Default)]
struct Drawn {
    board: Board,
    epochs: Option<ProgressBar>,
    agents: BTreeMap<AgentId, ProgressBar>,
}

impl Progress {
    pub(crate) fn new(messages: &Messages) -> Self {
        Self {
            messages: messages.clone(),
            drawn: Mutex::new(Drawn::default()),
        }
    }

    /// Takes everything drawn off the terminal.
    pub(crate) fn clear(&self) {
        let mut drawn = self.drawn.lock().unwrap_or_else(PoisonError::into_inner);
        let Drawn { epochs, agents, .. } = &mut *drawn;
        for bar in std::mem::take(agents).into_values().chain(epochs.take()) {
            bar.finish_and_clear();
        }
    }

    fn draw(&self, kind: &EventKind) {
        let mut drawn = self.drawn.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = drawn.board.apply(kind);
        if let EventKind::RunStarted { agents, .. } = kind {
            self.start(&mut drawn, *agents);
        }
        let Drawn {
            board,
            epochs,
            agents,
        } = &mut *drawn;
        if let Some(bar) = epochs {
            if let Some(budget) = board.budget() {
                bar.set_length(budget);
            }
            bar.set_position(board.epochs());
            bar.set_message(board.headline().to_owned());
        }
        if let Some((agent, bar)) = changed.and_then(|agent| Some((agent, agents.get(&agent)?))) {
            bar.set_message(board.line(agent));
        }
    }

    fn start(&self, drawn: &mut Drawn, agents: usize) {
        // The templates are fixed and valid; a plain bar would do if they were not.
        let bar = ProgressStyle::with_template("{msg:24} [{bar:32}] {pos}/{len} epochs, {elapsed}");
        let line = ProgressStyle::with_template("  {prefix:9} {wide_msg}");
        let bars = self.messages.bars();
        let epochs = bars
            .add(ProgressBar::no_length().with_style(bar.unwrap_or_else(|_| ProgressStyle::default_bar())));
        epochs.enable_steady_tick(TICK);
        drawn.epochs = Some(epochs);
        for id in (1..=agents).filter_map(|number| u32::try_from(number).ok().map(AgentId)) {
            let style = line
                .as_ref()
                .map_or_else(|_| ProgressStyle::default_spinner(), Clone::clone);
            let bar = bars.add(ProgressBar::new_spinner().with_style(style));
            bar.set_prefix(id.to_string());
            bar.set_message("starts");
            drawn.agents.insert(id, bar);
        }
    }
}

impl Observer for Progress {
    fn observe(&self, event: &Event) {
        if event.kind.is_metric() {
            tracing::debug!("{}", event.message);
        } else {
            tracing::info!("{}", event.message);
        }
        if let EventKind::DataWarning { .. }
        | EventKind::NotShared { .. }
        | EventKind::DeviceFailed { .. }
        | EventKind::DeviceReturned { .. } = event.kind
        {
            self.messages.warning(&event.message);
        }
        if !self.messages.bars().is_hidden() {
            self.draw(&event.kind);
        }
    }
}
