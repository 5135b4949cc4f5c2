//! What is known of one order, for the run that gave it.

use crate::events::{Event, EventKind, Observer, Work};
use crate::library::Published;
use crate::stop::StopHandle;
use crate::work::{End, MAX_NEWS, News, Tell};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// News that are kept of one order; what comes later is not told.
const MAX_KEPT: usize = 65_536;

#[derive(Debug, Default)]
struct State {
    news: Vec<News>,
    end: Option<End>,
    /// The state that was handed in, as long as somebody needs it.
    result: Option<Published>,
    /// When the last lease was asked for, by the times of events.
    asked_ms: Option<u64>,
    /// Nobody needs the result any more.
    closed: bool,
}

/// One order, from when it is taken until the run needs it no more.
#[derive(Debug)]
pub(super) struct Desk {
    work: Work,
    stop: StopHandle,
    state: Mutex<State>,
}

impl Desk {
    pub(super) fn new(work: Work) -> Self {
        Self {
            work,
            stop: StopHandle::new(),
            state: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) const fn work(&self) -> Work {
        self.work
    }

    pub(super) const fn stop(&self) -> &StopHandle {
        &self.stop
    }

    pub(super) fn has_ended(&self) -> bool {
        self.lock().end.is_some()
    }

    /// The news after the first `told`, as many as one answer takes, and the end once all are told.
    pub(super) fn look(&self, told: u64) -> Tell {
        let state = self.lock();
        let from = usize::try_from(told).unwrap_or(usize::MAX).min(state.news.len());
        let news: Vec<News> = state.news[from..].iter().take(MAX_NEWS).cloned().collect();
        match &state.end {
            Some(end) if from + news.len() == state.news.len() => Tell::Ended {
                news,
                end: end.clone(),
            },
            _ => Tell::Going { news },
        }
    }

    /// The order has ended, with this result. When nobody waits for it, it is withdrawn at once.
    pub(super) fn end(&self, end: End, result: Option<Published>) {
        let mut state = self.lock();
        if !state.closed {
            state.result = result;
        }
        state.end = Some(end);
    }

    /// Nobody needs it any more, for this `reason`.
    pub(super) fn close(&self, reason: &str) {
        self.stop.stop(reason);
        let mut state = self.lock();
        state.closed = true;
        state.result = None;
    }
}

impl Observer for Desk {
    fn observe(&self, event: &Event) {
        let mut state = self.lock();
        if matches!(event.kind, EventKind::LeaseRequested { .. }) {
            state.asked_ms = Some(event.at_ms);
        }
        let waited_ms = state.asked_ms.map(|asked| event.at_ms.saturating_sub(asked));
        if state.news.len() < MAX_KEPT {
            state.news.extend(News::of(&event.kind, waited_ms));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queued(ahead: u32) -> News {
        News::Queued {
            ahead,
            reason: String::new(),
        }
    }

    #[test]
    fn the_end_is_told_with_the_last_news_and_not_before() {
        let desk = Desk::new(Work::Final);
        let count = MAX_NEWS as u32 + 3;
        desk.lock().news = (0..count).map(queued).collect();
        let end = End::Failed {
            reason: "a test".to_owned(),
        };
        desk.lock().end = Some(end.clone());
        let first = (0..MAX_NEWS as u32).map(queued).collect();
        assert_eq!(desk.look(0), Tell::Going { news: first });
        let news = (MAX_NEWS as u32..count).map(queued).collect();
        assert_eq!(
            desk.look(MAX_NEWS as u64),
            Tell::Ended {
                news,
                end: end.clone()
            }
        );
        let news = Vec::new();
        assert_eq!(desk.look(u64::MAX), Tell::Ended { news, end });
    }

    #[test]
    fn waits_for_leases_are_told_by_the_clock_of_the_node() {
        use daa_base::{AgentId, Bytes, FencingToken, LeaseId, Permille};
        let desk = Desk::new(Work::Final);
        let observe = |at_ms, kind: EventKind| {
            desk.observe(&Event {
                at_ms,
                time: String::new(),
                message: String::new(),
                kind,
            });
        };
        let (agent, work, bytes) = (AgentId(1), Work::Final, Bytes(5));
        let share = Permille::new(1000).expect("the whole");
        observe(
            40,
            EventKind::LeaseRequested {
                agent,
                work,
                bytes,
                share,
            },
        );
        observe(
            1_040,
            EventKind::LeaseGranted {
                agent,
                work,
                lease: LeaseId(3),
                bytes,
                token: FencingToken(9),
                waited_ms: None,
            },
        );
        let Tell::Going { news } = desk.look(1) else {
            panic!("under way");
        };
        let waited = news.first().cloned().map(|news| news.event(agent, work));
        let is_told = |kind: &EventKind| {
            matches!(
                kind,
                EventKind::LeaseGranted {
                    waited_ms: Some(1_000),
                    ..
                }
            )
        };
        assert!(waited.as_ref().is_some_and(is_told), "{waited:?}");
    }

    #[test]
    fn a_full_answer_fits_its_message() {
        let news = vec![
            News::Queued {
                ahead: u32::MAX,
                reason: "x".repeat(crate::work::MAX_TEXT),
            };
            MAX_NEWS
        ];
        let end = End::Failed {
            reason: "x".repeat(crate::work::MAX_TEXT),
        };
        assert!(Tell::Ended { news, end }.encode().is_ok());
    }
}
