//! Files that other nodes may fetch by content id, and files fetched from them.

use crate::error::{AgentError, FolderError};
use daa_base::Clock;
use daa_coord::PublicKey;
use daa_coord::discovery::{Network, Served, fetch, provide};
use daa_coord::streams::{
    ContentId, MAX_CHUNK, Manifest, Provider, ProviderConfig, Receiver, ReceiverConfig, StreamError,
};
use daa_learn::files;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Contents provided at one time: more than the orders that a node keeps for all its jobs.
const MAX_CONTENTS: usize = 8192;

/// What is provided, and the way to what others provide.
#[derive(Debug)]
pub(crate) struct Library {
    network: Network,
    clock: Arc<dyn Clock>,
    shelves: Mutex<Shelves>,
}

/// A file that others may fetch until this is dropped.
#[derive(Debug)]
pub(crate) struct Published {
    library: Arc<Library>,
    id: ContentId,
    path: PathBuf,
}

impl Published {
    /// What it is fetched by.
    pub(crate) const fn id(&self) -> ContentId {
        self.id
    }
}

impl Drop for Published {
    fn drop(&mut self) {
        let mut shelves = self.library.lock();
        let Some(paths) = shelves.files.get_mut(&self.id) else {
            return;
        };
        if let Some(at) = paths.iter().position(|path| *path == self.path) {
            paths.swap_remove(at);
        }
        if paths.is_empty() {
            shelves.files.remove(&self.id);
            shelves.provider.withdraw(&self.id);
        }
    }
}

#[derive(Debug)]
struct Shelves {
    provider: Provider,
    /// Where each content lies: several places have the same where trainings end in the same state.
    files: BTreeMap<ContentId, Vec<PathBuf>>,
}

impl Library {
    pub(crate) fn new(network: Network, clock: Arc<dyn Clock>) -> Result<Self, AgentError> {
        let mut config = ProviderConfig::default();
        config.contents = MAX_CONTENTS;
        let provider = Provider::new(config)?;
        Ok(Self {
            network,
            clock,
            shelves: Mutex::new(Shelves {
                provider,
                files: BTreeMap::new(),
            }),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Shelves> {
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Provides the file at `path` as long as what is returned is kept. Reads it: not for threads that must not block.
    pub(crate) fn publish(self: &Arc<Self>, path: &Path) -> Result<Published, AgentError> {
        let file = File::open(path).map_err(|source| FolderError::Io {
            path: path.to_owned(),
            doing: "open",
            source,
        })?;
        let manifest = Arc::new(Manifest::of(file, MAX_CHUNK)?);
        let mut shelves = self.lock();
        let id = shelves.provider.publish(manifest)?;
        shelves.files.entry(id).or_default().push(path.to_owned());
        Ok(Published {
            library: Arc::clone(self),
            id,
            path: path.to_owned(),
        })
    }

    /// Answers a request for content; any other request is given back. Reads a file: not for threads that must not block.
    pub(crate) fn serve(&self, served: Served) -> Option<Served> {
        let mut shelves = self.lock();
        let Shelves { provider, files } = &mut *shelves;
        provide(provider, served, |chunk| {
            let path = files
                .get(&chunk.id)
                .and_then(|paths| paths.last())
                .ok_or(io::ErrorKind::NotFound)?;
            let mut file = File::open(path)?;
            file.seek(SeekFrom::Start(chunk.offset))?;
            let mut bytes = vec![0; chunk.length as usize];
            file.read_exact(&mut bytes)?;
            Ok(bytes)
        })
    }

    /// Fetches `id`, of at most `limit` bytes, from `source` to `path`: whole and checked, or not at all.
    ///
    /// # Cancel safety
    /// When the future is dropped, nothing is left at `path` that was not there.
    pub(crate) async fn fetch(
        &self,
        id: ContentId,
        source: PublicKey,
        path: &Path,
        limit: u64,
    ) -> Result<(), AgentError> {
        let io = |source| FolderError::Io {
            path: path.to_owned(),
            doing: "write",
            source,
        };
        let mut receiver = Receiver::new(ReceiverConfig::default(), id, [source])?;
        let mut file = files::temporary_beside(path).map_err(io)?;
        fetch(
            &self.network,
            self.clock.as_ref(),
            &mut receiver,
            |chunk, bytes| {
                if chunk.offset + bytes.len() as u64 > limit {
                    return Err(io::Error::other(format!("it has more than {limit} bytes")));
                }
                file.seek(SeekFrom::Start(chunk.offset))?;
                file.write_all(bytes)
            },
        )
        .await?;
        if receiver
            .manifest()
            .is_some_and(|manifest| manifest.bytes() > limit)
        {
            return Err(StreamError::Read {
                reason: format!("it has more than {limit} bytes"),
            }
            .into());
        }
        let path = path.to_owned();
        crate::agent::blocking("fetched content", move || {
            files::put(file, &path).map_err(|source| {
                FolderError::Io {
                    path,
                    doing: "write",
                    source,
                }
                .into()
            })
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use daa_base::SystemClock;
    use daa_coord::AgentKey;
    use daa_coord::discovery::DiscoveryConfig;
    use daa_coord::genesis::ChainId;
    use std::collections::BTreeSet;

    #[tokio::test]
    async fn what_lies_in_two_places_is_there_until_both_are_given_up() {
        let (key, clock) = (AgentKey::from_secret(&[1; 32]), Arc::new(SystemClock::new()));
        let nobody = Arc::new(BTreeSet::<PublicKey>::new());
        let network = Network::start(
            DiscoveryConfig::default(),
            &key,
            ChainId([7; 32]),
            nobody,
            clock.clone(),
        );
        let (network, _incoming) = network.expect("nobody to reach");
        let library = Arc::new(Library::new(network, clock).expect("empty"));
        let dir = tempfile::tempdir().expect("a folder");
        // As two trainings leave it that end in the same state.
        let publish = |name: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, b"the same").expect("written");
            library.publish(&path).expect("room")
        };
        let (first, second) = (publish("first"), publish("second"));
        let id = first.id();
        assert_eq!(id, second.id());
        drop(first);
        std::fs::remove_file(dir.path().join("first")).expect("there");
        assert!(library.lock().provider.manifest(id).is_ok());
        let left = library.lock().files[&id].clone();
        assert_eq!(left, [dir.path().join("second")]);
        drop(second);
        assert!(library.lock().provider.manifest(id).is_err());
        assert!(library.lock().files.is_empty());
    }
}
