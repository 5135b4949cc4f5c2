//! Frames on a stream: four bytes of length, little-endian, and as many bytes. What they mean is decoded later, after the
//! peer's budget was asked.

use super::wire::{MAX_REQUEST, MAX_RESPONSE};
use async_trait::async_trait;
use futures::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use libp2p::StreamProtocol;
use libp2p::request_response::Codec;
use std::io;

/// What is taken in memory before any byte of a frame came.
const FIRST: usize = 4096;

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Frames;

/// Reads a frame of at most `limit` bytes. Memory grows with what comes, not with what is promised.
async fn read(io: &mut (impl AsyncRead + Unpin + Send), limit: usize) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    io.read_exact(&mut length).await?;
    let length = u32::from_le_bytes(length) as usize;
    if length > limit {
        let text = format!("the frame has {length} bytes, allowed are 0 to {limit}");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    let mut bytes = Vec::with_capacity(length.min(FIRST));
    io.take(length as u64).read_to_end(&mut bytes).await?;
    if bytes.len() < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(bytes)
}

/// What a frame in `bytes` holds, as a request or as a response: for fuzzing and this crate's tests.
#[cfg(any(test, fuzzing))]
#[must_use]
pub fn read_both(bytes: &[u8]) -> [Option<Vec<u8>>; 2] {
    use futures::FutureExt as _;
    let read = |limit| read(&mut futures::io::Cursor::new(bytes), limit).now_or_never();
    [MAX_REQUEST, MAX_RESPONSE].map(|limit| read(limit).and_then(Result::ok))
}

async fn write(io: &mut (impl AsyncWrite + Unpin + Send), bytes: &[u8], limit: usize) -> io::Result<()> {
    if bytes.len() > limit {
        let text = format!(
            "the frame would have {} bytes, allowed are 0 to {limit}",
            bytes.len()
        );
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    // The limit fits into 32 bits.
    io.write_all(&(bytes.len() as u32).to_le_bytes()).await?;
    io.write_all(bytes).await?;
    io.close().await
}

#[async_trait]
impl Codec for Frames {
    type Protocol = StreamProtocol;
    type Request = Vec<u8>;
    type Response = Vec<u8>;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Vec<u8>>
    where
        T: AsyncRead + Unpin + Send,
    {
        read(io, MAX_REQUEST).await
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Vec<u8>>
    where
        T: AsyncRead + Unpin + Send,
    {
        read(io, MAX_RESPONSE).await
    }

    async fn write_request<T>(&mut self, _: &StreamProtocol, io: &mut T, request: Vec<u8>) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        write(io, &request, MAX_REQUEST).await
    }

    async fn write_response<T>(&mut self, _: &StreamProtocol, io: &mut T, response: Vec<u8>) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        write(io, &response, MAX_RESPONSE).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::executor::block_on;
    use futures::io::Cursor;
    use proptest::prelude::*;

    #[test]
    fn a_promise_is_not_believed() {
        let mut bytes = (MAX_REQUEST as u32 + 1).to_le_bytes().to_vec();
        bytes.extend([0; 100]);
        let error = block_on(read(&mut Cursor::new(bytes), MAX_REQUEST)).expect_err("too large");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        let cut = [5, 0, 0, 0, 1, 2];
        let error = block_on(read(&mut Cursor::new(cut), MAX_REQUEST)).expect_err("cut");
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert!(block_on(write(&mut Cursor::new(Vec::new()), &[0; 9], 8)).is_err());
    }

    proptest! {
        #[test]
        fn frames_survive_and_any_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut wire = Cursor::new(Vec::new());
            block_on(write(&mut wire, &bytes, 300)).expect("within the limit");
            let wire = wire.into_inner();
            prop_assert_eq!(block_on(read(&mut Cursor::new(wire), 300)).expect("whole"), bytes.clone());
            if let Ok(frame) = block_on(read(&mut Cursor::new(bytes.clone()), 300)) {
                prop_assert!(frame.len() + 4 <= bytes.len());
            }
        }
    }
}
