//! Timestamps of the device around dispatches. Everything they need is made when the device is opened.

use super::staging::copied;
use crate::profile::{Cost, Sample, TimeSource};
use crossbeam::channel::{Receiver, Sender, bounded};
use wgpu::{BufferUsages, Features};

/// Timestamps in one set: the most that wgpu allows.
const QUERIES: u32 = wgpu::QUERY_SET_MAX_QUERIES;

/// Bytes of a timestamp.
const BYTES: u64 = wgpu::QUERY_SIZE as u64;

/// Runs that are timed at the same time, of all images together. A run that finds none is not timed.
const WATCHES: usize = 4;

/// What is asked of a device for the sake of timing, where it is offered.
pub(super) const FEATURES: Features =
    Features::TIMESTAMP_QUERY.union(Features::TIMESTAMP_QUERY_INSIDE_PASSES);

/// The stopwatches of a device.
#[derive(Debug)]
pub(super) struct Stopwatches {
    source: TimeSource,
    /// Nanoseconds of one tick.
    period: f32,
    home: Sender<Watch>,
    free: Receiver<Watch>,
}

#[derive(Debug)]
struct Watch {
    queries: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    readback: wgpu::Buffer,
}

impl Stopwatches {
    pub(super) fn new(device: &wgpu::Device, queue: &wgpu::Queue) -> Self {
        let source = if !device.features().contains(Features::TIMESTAMP_QUERY) {
            TimeSource::Completion
        } else if device.features().contains(FEATURES) {
            TimeSource::DispatchTimestamps
        } else {
            TimeSource::ListTimestamps
        };
        let (home, free) = bounded(WATCHES);
        if source != TimeSource::Completion {
            // There is room for all of them.
            (0..WATCHES).for_each(|_| drop(home.try_send(Watch::new(device))));
        }
        Self {
            source,
            period: queue.get_timestamp_period(),
            home,
            free,
        }
    }

    pub(super) const fn source(&self) -> TimeSource {
        self.source
    }

    /// What timing a run costs.
    pub(super) const fn cost(&self) -> Cost {
        Cost::DEVICE
    }

    /// Times the run that `sample` is of, with `dispatches` in `passes` passes.
    pub(super) fn start(&self, sample: Sample, dispatches: usize, passes: usize) -> Timing {
        let single = !sample.wants_whole()
            && self.source == TimeSource::DispatchTimestamps
            && dispatches + passes <= QUERIES as usize;
        let watch = if dispatches == 0 {
            None
        } else {
            self.free.try_recv().ok()
        };
        Timing {
            sample: Some(sample),
            watch,
            home: self.home.clone(),
            period: self.period,
            single,
            passes: Vec::with_capacity(if single { passes } else { 0 }),
            passes_left: passes,
            begun: false,
            next: 0,
            by_host: self.source == TimeSource::Completion,
        }
    }
}

impl Watch {
    fn new(device: &wgpu::Device) -> Self {
        let buffer = |label, usage| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some(label),
                size: u64::from(QUERIES) * BYTES,
                usage,
                mapped_at_creation: false,
            })
        };
        Self {
            queries: device.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("timestamps"),
                ty: wgpu::QueryType::Timestamp,
                count: QUERIES,
            }),
            resolved: buffer("timestamps", BufferUsages::QUERY_RESOLVE | BufferUsages::COPY_SRC),
            readback: buffer("timestamps", BufferUsages::MAP_READ | BufferUsages::COPY_DST),
        }
    }
}

/// A run that is being timed. Dropped before its times have arrived, it lets go of everything.
#[derive(Debug)]
pub(super) struct Timing {
    sample: Option<Sample>,
    watch: Option<Watch>,
    home: Sender<Watch>,
    period: f32,
    /// Whether every dispatch is timed, or only the whole.
    single: bool,
    /// Dispatches of each pass so far.
    passes: Vec<u32>,
    /// Passes that did not begin yet.
    passes_left: usize,
    begun: bool,
    /// The next timestamp.
    next: u32,
    by_host: bool,
}

impl Timing {
    /// Where the timestamps around the next pass go, if only the whole is timed and it is the first or the last.
    pub(super) fn around(&mut self) -> Option<wgpu::ComputePassTimestampWrites<'_>> {
        let first = !std::mem::replace(&mut self.begun, true);
        self.passes_left = self.passes_left.saturating_sub(1);
        let last = self.passes_left == 0;
        let watch = self.watch.as_ref().filter(|_| !self.single && (first || last))?;
        Some(wgpu::ComputePassTimestampWrites {
            query_set: &watch.queries,
            beginning_of_pass_write_index: first.then_some(0),
            end_of_pass_write_index: last.then_some(1),
        })
    }

    /// A pass begins.
    pub(super) fn begin(&mut self, pass: &mut wgpu::ComputePass<'_>) {
        if self.single {
            self.passes.push(0);
            self.stamp(pass);
        }
    }

    /// A dispatch was recorded.
    pub(super) fn mark(&mut self, pass: &mut wgpu::ComputePass<'_>) {
        if let (true, Some(count)) = (self.single, self.passes.last_mut()) {
            *count += 1;
            self.stamp(pass);
        }
    }

    fn stamp(&mut self, pass: &mut wgpu::ComputePass<'_>) {
        if let Some(watch) = &self.watch {
            pass.write_timestamp(&watch.queries, self.next);
            self.next += 1;
        }
    }

    /// Encodes the way of the timestamps to the host, and what happens when they have arrived.
    pub(super) fn finish(mut self, encoder: &mut wgpu::CommandEncoder) {
        let Some(watch) = &self.watch else {
            if self.by_host {
                let sample = self.sample.take();
                encoder
                    .on_submitted_work_done(move || sample.into_iter().for_each(Sample::finish_unmeasured));
            }
            return;
        };
        let count = if self.single { self.next } else { 2 };
        let bytes = u64::from(count) * BYTES;
        encoder.resolve_query_set(&watch.queries, 0..count, &watch.resolved, 0);
        encoder.copy_buffer_to_buffer(&watch.resolved, 0, &watch.readback, 0, bytes);
        let readback = watch.readback.clone();
        encoder.map_buffer_on_submit(&readback.clone(), wgpu::MapMode::Read, 0..bytes, move |mapped| {
            if mapped.is_err() {
                return;
            }
            if let Ok(copy) = copied(&readback, bytes) {
                let (stamps, _) = copy.as_chunks::<{ wgpu::QUERY_SIZE as usize }>();
                let stamps: Vec<u64> = stamps.iter().map(|stamp| u64::from_le_bytes(*stamp)).collect();
                self.enter(&stamps);
            }
            drop(self);
        });
    }

    fn enter(&mut self, stamps: &[u64]) {
        let Some(sample) = self.sample.take() else {
            return;
        };
        let (busy, dispatches) = spans(stamps, &self.passes, self.period);
        if self.single {
            // Passes may be far apart.
            sample.finish_dispatches(dispatches.iter().sum(), dispatches);
        } else {
            sample.finish_whole(busy);
        }
    }
}

impl Drop for Timing {
    fn drop(&mut self) {
        // There is room for every watch; the device may be gone.
        self.watch
            .take()
            .into_iter()
            .for_each(|watch| drop(self.home.try_send(watch)));
    }
}

/// Nanoseconds from the first to the last of `stamps`, and between any two of them in each pass of so many dispatches,
/// which has a stamp before its first dispatch and one after each.
fn spans(stamps: &[u64], passes: &[u32], period: f32) -> (u64, Vec<u64>) {
    // A driver's counter may jump; a time is never negative.
    let span = |from: u64, to: u64| (to.saturating_sub(from) as f64 * f64::from(period)) as u64;
    let busy = match stamps {
        [first, .., last] => span(*first, *last),
        _ => 0,
    };
    let mut rest = stamps;
    let mut dispatches = Vec::with_capacity(stamps.len());
    for count in passes {
        let (pass, others) = rest.split_at((*count as usize + 1).min(rest.len()));
        dispatches.extend(pass.windows(2).map(|pair| span(pair[0], pair[1])));
        rest = others;
    }
    (busy, dispatches)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_become_times_of_dispatches() {
        let stamps = [100, 110, 130, 200, 205];
        assert_eq!(spans(&stamps, &[2, 1], 1.0), (105, vec![10, 20, 5]));
        assert_eq!(spans(&stamps, &[2, 1], 2.5), (262, vec![25, 50, 12]));
        assert_eq!(spans(&[7, 9], &[], 1.0), (2, vec![]));
    }

    #[test]
    fn no_stamps_make_a_time_that_cannot_be() {
        assert_eq!(spans(&[], &[3], 1.0), (0, vec![]));
        assert_eq!(spans(&[9, 4, 6], &[2], 1.0), (0, vec![0, 2]));
        assert_eq!(spans(&[u64::MAX, 0], &[1], f32::NAN), (0, vec![0]));
    }
}
