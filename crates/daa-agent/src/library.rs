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

#[derive(Debug)]
struct Shelves {
    provider: Provider,
    files: BTreeMap<ContentId, PathBuf>,
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

    /// Provides the file at `path` from now on. Reads it: not for threads that must not block.
    pub(crate) fn publish(&self, path: &Path) -> Result<ContentId, AgentError> {
        let file = File::open(path).map_err(|source| FolderError::Io {
            path: path.to_owned(),
            doing: "open",
            source,
        })?;
        let manifest = Arc::new(Manifest::of(file, MAX_CHUNK)?);
        let mut shelves = self.lock();
        let id = shelves.provider.publish(manifest)?;
        shelves.files.insert(id, path.to_owned());
        Ok(id)
    }

    /// No longer provides it.
    pub(crate) fn withdraw(&self, id: &ContentId) {
        let mut shelves = self.lock();
        shelves.provider.withdraw(id);
        shelves.files.remove(id);
    }

    /// Answers a request for content; any other request is given back. Reads a file: not for threads that must not block.
    pub(crate) fn serve(&self, served: Served) -> Option<Served> {
        let mut shelves = self.lock();
        let Shelves { provider, files } = &mut *shelves;
        provide(provider, served, |chunk| {
            let path = files.get(&chunk.id).ok_or(io::ErrorKind::NotFound)?;
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
