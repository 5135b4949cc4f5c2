//! The driver's pipeline cache, and when it is read from its file and written there.

use super::frame::MAX_KEYS;
use super::key::{Digest, Identity};
use super::store::{Saved, Store};
use crate::pipelines::PipelineFileReport;
use crate::raw;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A driver's cache with a file behind it.
#[derive(Debug)]
pub(super) struct CacheFile {
    cache: wgpu::PipelineCache,
    store: Store,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The pipelines that the driver's cache holds.
    keys: BTreeSet<Digest>,
    /// Whether some of them are not in the file.
    unsaved: bool,
    /// Whether a thread is saving just now.
    saving: bool,
    report: PipelineFileReport,
}

impl CacheFile {
    /// Reads the file. Whatever is wrong with it, a cache is opened, if an empty one.
    pub(super) fn open(device: &wgpu::Device, folder: &Path, identity: Identity) -> Self {
        let store = Store::new(folder, identity);
        let mut report = PipelineFileReport::default();
        let loaded = store.load().unwrap_or_else(|refused| {
            tracing::warn!(folder = %folder.display(), %refused, "the pipeline file is not used and made anew");
            report.rebuilt += 1;
            report.refusal = Some(refused.to_string());
            None
        });
        let cache = raw::create_pipeline_cache(device, loaded.as_ref());
        let keys = loaded
            .as_ref()
            .map_or_else(BTreeSet::new, |loaded| loaded.keys().clone());
        report.found = keys.len() as u64;
        Self {
            cache,
            store,
            state: Mutex::new(State {
                keys,
                report,
                ..State::default()
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) const fn cache(&self) -> Option<&wgpu::PipelineCache> {
        Some(&self.cache)
    }

    /// A pipeline was compiled with the cache. One that the file had already changes nothing.
    pub(super) fn made(&self, key: Digest) {
        let mut state = self.lock();
        if state.keys.len() < MAX_KEYS && state.keys.insert(key) {
            state.unsaved = true;
        }
    }

    /// Writes the file if something is not in it, and nobody is doing so. No lock is held meanwhile.
    pub(super) fn save(&self) {
        let mut state = self.lock();
        if !state.unsaved || state.saving || state.report.failed > 0 {
            return;
        }
        (state.saving, state.unsaved) = (true, false);
        let keys = state.keys.clone();
        drop(state);
        // No data: the device is gone.
        let saved = self.cache.get_data().map(|data| self.store.save(&keys, &data));
        let mut state = self.lock();
        state.saving = false;
        match saved {
            Some(Ok(Saved::Written)) => state.report.saved += 1,
            Some(Ok(Saved::Busy)) => state.unsaved = true,
            None => {}
            Some(Ok(Saved::TooLarge)) => {
                state.report.failed += 1;
                drop(state);
                tracing::warn!("the driver's pipeline cache is too large to be kept");
            }
            Some(Err(error)) => {
                state.report.failed += 1;
                drop(state);
                tracing::warn!(%error, "the pipeline file cannot be written; pipelines are not kept");
            }
        }
    }

    pub(super) fn report(&self) -> PipelineFileReport {
        self.lock().report.clone()
    }
}
