//! Several workers at one call of a host function.

use crate::program::Scratch;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

/// What the workers at one image do together.
type Task<'a> = &'a (dyn Fn(&mut Scratch) + Sync);

/// The workers at one image: the one whose turn it is lends what can be done by several to those that help it.
#[derive(Default)]
pub(crate) struct Crew {
    slot: Mutex<Slot>,
    /// Told when there is a task, and when the shift ends.
    news: Condvar,
    /// Told when the last helper is through with a task.
    left: Condvar,
    /// Parts that some call could be done in, at most.
    width: AtomicUsize,
    /// Workers that help.
    helpers: AtomicUsize,
}

#[derive(Default)]
struct Slot {
    /// A turn of the image; 0 before the first.
    shift: u64,
    open: bool,
    /// Only while [`Crew::run`] is in the call that lent it.
    task: Option<Task<'static>>,
    /// Tells tasks apart.
    number: u64,
    /// Helpers that are in the task.
    inside: usize,
    /// Helpers that wait for news.
    waiting: usize,
    panic: Option<Box<dyn std::any::Any + Send>>,
}

impl Crew {
    fn lock(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a shift. Helpers name it, so that none that comes late is in the next.
    pub(crate) fn open(&self) -> u64 {
        let mut slot = self.lock();
        slot.shift += 1;
        slot.open = true;
        slot.shift
    }

    /// Ends the shift, and sends the helpers away.
    pub(crate) fn close(&self) {
        let mut slot = self.lock();
        slot.open = false;
        let waiting = slot.waiting;
        drop(slot);
        if waiting > 0 {
            self.news.notify_all();
        }
    }

    /// Workers that could help with what was seen so far.
    pub(crate) fn useful(&self) -> usize {
        self.width.load(Ordering::Relaxed).saturating_sub(1)
    }

    /// How many workers are here for a call that could be done in up to `most` parts.
    pub(crate) fn hands(&self, most: usize) -> usize {
        self.width.fetch_max(most, Ordering::Relaxed);
        most.min(self.helpers.load(Ordering::Relaxed) + 1)
    }

    /// Does `task` here, and on every helper that comes before it is done here. Returns, or panics, when all are through.
    pub(crate) fn run(&self, task: Task<'_>, scratch: &mut Scratch) {
        // SAFETY: only the lifetime is changed, and the task is not used after this function, during which it lives.
        // `task` is in `slot` until `recall` is dropped, which happens before this function returns or unwinds: `recall`
        // is neither forgotten nor moved. Helpers copy it out of the slot under the lock and count themselves in under
        // the same lock; `Recall::drop` takes it out under that lock, so none comes after, and waits until the
        // count is zero. A helper counts itself out, also after a panic, when its call has returned, and does not
        // touch its copy again. The referent is `Sync`, so it may be called on other threads.
        let lent = unsafe { std::mem::transmute::<Task<'_>, Task<'static>>(task) };
        let recall = Recall(self);
        let mut slot = self.lock();
        slot.task = Some(lent);
        slot.number += 1;
        let waiting = slot.waiting;
        drop(slot);
        if waiting > 0 {
            self.news.notify_all();
        }
        task(scratch);
        drop(recall);
        let panic = self.lock().panic.take();
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }

    /// Helps until the shift ends, or `is_over`, which is asked after each task and whenever there was none for
    /// `patience`. Whether the shift goes on.
    pub(crate) fn help(
        &self,
        shift: u64,
        scratch: &mut Scratch,
        patience: Duration,
        is_over: impl Fn() -> bool,
    ) -> bool {
        self.helpers.fetch_add(1, Ordering::Relaxed);
        let (mut done, mut slot) = (0, self.lock());
        while slot.open && slot.shift == shift {
            if let Some(task) = slot.task
                && slot.number != done
            {
                done = slot.number;
                slot.inside += 1;
                drop(slot);
                let outcome = catch_unwind(AssertUnwindSafe(|| task(scratch)));
                slot = self.lock();
                slot.inside -= 1;
                if let Err(panic) = outcome {
                    slot.panic.get_or_insert(panic);
                }
                if slot.inside == 0 && slot.task.is_none() {
                    self.left.notify_one();
                }
            } else {
                slot.waiting += 1;
                slot = self
                    .news
                    .wait_timeout(slot, patience)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0;
                slot.waiting -= 1;
            }
            if is_over() {
                break;
            }
        }
        let goes_on = slot.open && slot.shift == shift;
        drop(slot);
        self.helpers.fetch_sub(1, Ordering::Relaxed);
        goes_on
    }

    /// With `helpers` that never come, so that every call is divided as if they were there.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn with_absent_helpers(helpers: usize) -> Self {
        let crew = Self::default();
        crew.helpers.store(helpers, Ordering::Relaxed);
        crew
    }
}

/// Takes the lent task back.
struct Recall<'a>(&'a Crew);

impl Drop for Recall<'_> {
    fn drop(&mut self) {
        let mut slot = self.0.lock();
        slot.task = None;
        while slot.inside > 0 {
            // Without a deadline: what a helper is at borrows from the caller. It ends as what the caller did ended.
            slot = self.0.left.wait(slot).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl fmt::Debug for Crew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Crew")
            .field("width", &self.width)
            .field("helpers", &self.helpers)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;
    use std::sync::{Barrier, mpsc};

    const LONG: Duration = Duration::from_secs(60);

    /// Sums of borrowed slices, each done once, by whoever is there, in shifts that helpers join and leave at any time.
    #[test]
    fn what_is_lent_is_done_once_and_outlives_nobody() {
        let rounds = if cfg!(miri) { 5 } else { 500 };
        let (crew, stop) = (Crew::default(), AtomicBool::new(false));
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !stop.load(Ordering::Acquire) {
                        let shift = crew.lock().shift;
                        crew.help(shift, &mut Scratch::default(), Duration::from_micros(50), || {
                            false
                        });
                        std::thread::yield_now();
                    }
                });
            }
            for round in 0..rounds {
                crew.open();
                for size in 1..8_usize {
                    let mut output = vec![0_usize; size * 3];
                    let parts = Mutex::new(output.chunks_mut(size).enumerate());
                    crew.run(
                        &|_| {
                            while let Some((index, part)) = { parts.lock().expect("no panic") }.next() {
                                part.iter_mut().for_each(|word| *word += index + round);
                            }
                        },
                        &mut Scratch::default(),
                    );
                    let want = (0..size * 3).map(|word| word / size + round).collect::<Vec<_>>();
                    assert_eq!(output, want);
                }
                crew.close();
            }
            stop.store(true, Ordering::Release);
        });
        assert_eq!(crew.helpers.load(Ordering::Relaxed), 0);
    }

    /// A helper's panic is the caller's, after both are through.
    #[test]
    fn a_panic_of_a_helper_is_handed_on() {
        let (crew, meet) = (Crew::default(), Barrier::new(2));
        let shift = crew.open();
        std::thread::scope(|scope| {
            let helper = scope.spawn(|| crew.help(shift, &mut Scratch::default(), LONG, || false));
            let here = std::thread::current().id();
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                crew.run(
                    &|_| {
                        meet.wait();
                        assert!(std::thread::current().id() == here, "in a helper");
                    },
                    &mut Scratch::default(),
                );
            }));
            assert_eq!(
                outcome.expect_err("handed on").downcast_ref(),
                Some(&"in a helper")
            );
            crew.close();
            helper.join().expect("it lives on");
        });
    }

    /// The caller's own panic waits for the helpers too.
    #[test]
    fn the_callers_panic_waits_for_helpers() {
        let (crew, done) = (Crew::default(), AtomicBool::new(false));
        let shift = crew.open();
        let (came, comes) = mpsc::channel();
        let comes = Mutex::new(comes);
        std::thread::scope(|scope| {
            let helper = scope.spawn(|| crew.help(shift, &mut Scratch::default(), LONG, || false));
            let here = std::thread::current().id();
            let came = Mutex::new(came);
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                crew.run(
                    &|_| {
                        if std::thread::current().id() == here {
                            comes.lock().expect("one reader").recv().expect("it comes");
                            panic!("the caller");
                        }
                        came.lock().expect("one helper").send(()).expect("it is awaited");
                        for _ in 0..100 {
                            std::thread::yield_now();
                        }
                        done.store(true, Ordering::Release);
                    },
                    &mut Scratch::default(),
                );
            }));
            assert!(
                outcome.is_err() && done.load(Ordering::Acquire),
                "it did not wait"
            );
            crew.close();
            helper.join().expect("it lives on");
        });
    }

    #[test]
    fn helpers_of_another_shift_leave_at_once() {
        let crew = Crew::default();
        let first = crew.open();
        crew.close();
        crew.open();
        assert!(!crew.help(first, &mut Scratch::default(), LONG, || false));
        assert_eq!((crew.hands(3), crew.useful()), (1, 2));
    }
}
