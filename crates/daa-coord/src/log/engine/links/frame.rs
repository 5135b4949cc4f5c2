//! What goes over a connection: frames of a kind and bounded bytes.

use crate::log::engine::codec::{MAX_PART, MAX_RESPONSE, MAX_SMALL};
use bytes::Bytes;
use futures::{AsyncRead, AsyncReadExt as _};
use std::io;

/// Length of the body and kind.
const HEADER: usize = 4 + 1;

/// The number of a request, before the bytes of its frame and of the response's.
const NUMBER: usize = 8;

/// The largest vote, proposal or certificate: certificates have one signature per validator.
const MAX_SIGNED: usize = 64 << 10;

/// What is taken in memory for a body before any byte of it came.
const FIRST: usize = 64 << 10;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Asks for a [`Kind::Pong`].
    Ping,
    Pong,
    /// A vote or proposal.
    Consensus,
    /// A vote or certificate, sent again.
    Liveness,
    /// A piece of a block, commands, or a height.
    Part,
    /// How far value sync can serve.
    Status,
    /// A request for decided blocks.
    Request,
    Response,
}

impl Kind {
    const ALL: [Self; 8] = [
        Self::Ping,
        Self::Pong,
        Self::Consensus,
        Self::Liveness,
        Self::Part,
        Self::Status,
        Self::Request,
        Self::Response,
    ];

    /// The most bytes that a body of this kind has.
    const fn limit(self) -> usize {
        match self {
            Self::Ping | Self::Pong => 0,
            Self::Consensus | Self::Liveness => MAX_SIGNED,
            Self::Part => MAX_PART,
            Self::Status => MAX_SMALL,
            Self::Request => MAX_SMALL + NUMBER,
            Self::Response => MAX_RESPONSE + NUMBER,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: Kind,
    pub(super) body: Bytes,
}

impl Frame {
    pub(super) const fn new(kind: Kind, body: Bytes) -> Self {
        Self { kind, body }
    }

    /// A request or response, with its number.
    pub(super) fn numbered(kind: Kind, number: u64, body: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(NUMBER + body.len());
        bytes.extend_from_slice(&number.to_le_bytes());
        bytes.extend_from_slice(body);
        Self::new(kind, bytes.into())
    }

    /// The number of a request or response, and its bytes.
    pub(super) fn number(&self) -> Option<(u64, Bytes)> {
        let number = self.body.first_chunk::<NUMBER>()?;
        Some((u64::from_le_bytes(*number), self.body.slice(NUMBER..)))
    }

    /// Bytes on the wire.
    pub(super) fn size(&self) -> usize {
        HEADER + self.body.len()
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&(self.body.len() as u32).to_le_bytes());
        out.push(self.kind as u8);
        out.extend_from_slice(&self.body);
    }

    /// The next frame. Memory grows with what comes, not with what is promised.
    ///
    /// # Errors
    /// When the connection ends, or what comes is no frame.
    pub(super) async fn read(input: &mut (impl AsyncRead + Unpin)) -> io::Result<Self> {
        let mut header = [0; HEADER];
        input.read_exact(&mut header).await?;
        let [a, b, c, d, kind] = header;
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        let kind = Kind::ALL.get(usize::from(kind)).copied();
        let Some(kind) = kind.filter(|kind| length <= kind.limit()) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let mut body = vec![0; length.min(FIRST)];
        input.read_exact(&mut body).await?;
        while body.len() < length {
            let came = body.len();
            body.resize(length.min(2 * came), 0);
            input.read_exact(&mut body[came..]).await?;
        }
        Ok(Self::new(kind, body.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;
    use proptest::prelude::*;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    fn read(bytes: &[u8]) -> io::Result<Frame> {
        let mut input = futures::io::Cursor::new(bytes);
        Frame::read(&mut input)
            .now_or_never()
            .expect("all bytes are here")
    }

    #[test]
    fn kinds_are_their_own_numbers_and_bounded() {
        for (number, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, number);
            let mut bytes = (kind.limit() as u32 + 1).to_le_bytes().to_vec();
            bytes.push(kind as u8);
            bytes.resize(HEADER + kind.limit() + 1, 0);
            assert!(read(&bytes).is_err(), "{kind:?}");
        }
        assert!(read(&[0, 0, 0, 0, 8]).is_err(), "no such kind");
    }

    /// Notes the largest room that it was offered.
    struct Wary<'a>(futures::io::Cursor<&'a [u8]>, usize);

    impl AsyncRead for Wary<'_> {
        fn poll_read(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
            room: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            self.1 = self.1.max(room.len());
            Pin::new(&mut self.0).poll_read(context, room)
        }
    }

    #[test]
    fn a_promise_is_not_believed() {
        for (came, largest) in [
            (0, FIRST),
            (FIRST, FIRST),
            (FIRST + 1, FIRST),
            (5 * FIRST, 4 * FIRST),
        ] {
            let mut bytes = (Kind::Response.limit() as u32).to_le_bytes().to_vec();
            bytes.push(Kind::Response as u8);
            bytes.resize(HEADER + came, 7);
            let mut input = Wary(futures::io::Cursor::new(&bytes), 0);
            let read = Frame::read(&mut input).now_or_never().expect("all is here");
            assert!(read.is_err_and(|error| error.kind() == io::ErrorKind::UnexpectedEof));
            assert_eq!(input.1, largest, "after {came} bytes");
        }
    }

    #[test]
    fn large_frames_come_whole() {
        for length in [FIRST - 1, FIRST, FIRST + 1, 2 * FIRST, 3 * FIRST + 5] {
            let body: Vec<u8> = (0..length).map(|at| at as u8).collect();
            let frame = Frame::new(Kind::Response, body.into());
            let mut bytes = Vec::new();
            frame.put(&mut bytes);
            assert_eq!(read(&bytes).ok(), Some(frame));
        }
    }

    #[test]
    fn numbers_come_back() {
        let frame = Frame::numbered(Kind::Request, 7, b"range");
        assert_eq!(frame.number(), Some((7, Bytes::from_static(b"range"))));
        assert_eq!(
            Frame::new(Kind::Request, Bytes::from_static(b"short")).number(),
            None
        );
    }

    proptest! {
        #[test]
        fn frames_survive_and_cut_ones_do_not(body in prop::collection::vec(any::<u8>(), 0..200), cut in any::<prop::sample::Index>()) {
            let frame = Frame::new(Kind::Part, body.into());
            let mut bytes = Vec::new();
            frame.put(&mut bytes);
            prop_assert_eq!(bytes.len(), frame.size());
            prop_assert_eq!(read(&bytes).ok(), Some(frame));
            prop_assert!(read(&bytes[..cut.index(bytes.len())]).is_err());
        }

        #[test]
        fn nothing_that_comes_does_harm(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _any = read(&bytes);
        }
    }
}
