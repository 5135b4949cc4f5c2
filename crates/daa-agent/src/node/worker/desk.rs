//! What is known of one order, for the run that gave it.

use crate::events::{Event, Observer, Work};
use crate::library::Library;
use crate::stop::StopHandle;
use crate::work::{End, MAX_NEWS, News, Tell};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// News that are kept of one order; what comes later is not told.
const MAX_KEPT: usize = 65_536;

#[derive(Debug, Default)]
struct State {
    news: Vec<News>,
    end: Option<End>,
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

    /// The order has ended. When nobody waits for its result, that is withdrawn at once.
    pub(super) fn end(&self, end: End, library: &Library) {
        let mut state = self.lock();
        if let (true, End::Done { state, .. }) = (state.closed, &end) {
            library.withdraw(state);
        }
        state.end = Some(end);
    }

    /// The run needs it no more.
    pub(super) fn close(&self, library: &Library) {
        self.stop.stop("the run needs it no more");
        let mut state = self.lock();
        state.closed = true;
        if let Some(End::Done { state, .. }) = &state.end {
            library.withdraw(state);
        }
    }
}

impl Observer for Desk {
    fn observe(&self, event: &Event) {
        let mut state = self.lock();
        if state.news.len() < MAX_KEPT {
            state.news.extend(News::of(&event.kind));
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
