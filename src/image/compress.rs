//! gzip or zstd over fixed blocks, in parallel, in order: the same bytes whatever the number of threads, the processor or the sizes
//! of writes. In: bytes of any amount. Out: one member per MiB, or one frame per 2 MiB. Never: holds more than a few blocks.
//!
//! RFC 1952 allows several members in one file and RFC 8878 several frames, and Go, containerd, skopeo, umoci, GNU gzip and zstd read
//! them as one. libdeflate writes each member's header with the time 0 and the system 255 (unknown). A frame of zstd says its size and
//! has no checksum, since the layer has a digest. zstd's levels from 5 on choose how they search by the instructions that the
//! processor has; level 3 does not.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::num::NonZero;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Mutex, PoisonError};

use libdeflater::{CompressionLvl, Compressor};

use crate::plan::image::Compression;

/// The levels: digests depend on them, so changing one is a change that users see.
const GZIP: i32 = 1;
const ZSTD: i32 = 3;
/// More threads would only wait for the reader.
const MOST_THREADS: usize = 4;

/// As many as the machine has, within reason.
pub(super) fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get).min(MOST_THREADS)
}

struct Job {
    block: Vec<u8>,
    reply: SyncSender<io::Result<Vec<u8>>>,
}

/// Bytes that go into one member or frame. A frame is as large as what level 3 looks back over.
const fn block(method: Compression) -> usize {
    match method {
        Compression::Gzip => 1 << 20,
        Compression::Zstd => 2 << 20,
    }
}

/// Compresses what `fill` writes, into `out`. Blocks are compressed on `threads` threads and written in order.
///
/// # Errors
/// What `fill` gives, which includes the errors of its own writes.
pub(super) fn pack<W: Write, T, E: From<io::Error>>(
    out: W,
    method: Compression,
    threads: usize,
    fill: impl FnOnce(&mut Blocks<W>) -> Result<T, E>,
) -> Result<(T, W), E> {
    let (jobs, queue) = channel::<Job>();
    let queue = Mutex::new(queue);
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| work(&queue, method));
        }
        // The sender lives in `blocks` alone, so the workers end when this closure does, on every way out.
        let size = block(method);
        let mut blocks = Blocks { block: Vec::with_capacity(size), size, jobs, open: VecDeque::new(), window: threads.max(1) * 2, out };
        let value = fill(&mut blocks)?;
        Ok((value, blocks.finish()?))
    })
}

enum Packer {
    Gzip(Compressor),
    Zstd(zstd::bulk::Compressor<'static>),
}

impl Packer {
    fn new(method: Compression) -> io::Result<Self> {
        Ok(match method {
            Compression::Gzip => {
                Self::Gzip(Compressor::new(CompressionLvl::new(GZIP).map_err(|_| io::Error::other("gzip has no such level"))?))
            }
            Compression::Zstd => Self::Zstd(zstd::bulk::Compressor::new(ZSTD)?),
        })
    }

    fn pack(&mut self, block: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Self::Gzip(compressor) => member(compressor, block),
            Self::Zstd(compressor) => compressor.compress(block),
        }
    }
}

fn work(queue: &Mutex<Receiver<Job>>, method: Compression) {
    let mut packer = Packer::new(method);
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { block, reply }) = job else { return };
        let result = match &mut packer {
            Ok(packer) => packer.pack(&block),
            Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
        };
        // Nobody waits for the reply any more when the writer failed.
        let _ = reply.send(result);
    }
}

fn member(compressor: &mut Compressor, block: &[u8]) -> io::Result<Vec<u8>> {
    let mut packed = vec![0; compressor.gzip_compress_bound(block.len())];
    let length = compressor.gzip_compress(block, &mut packed).map_err(io::Error::other)?;
    packed.truncate(length);
    Ok(packed)
}

/// Cuts a stream into blocks and collects what they became, in order.
pub(super) struct Blocks<W> {
    block: Vec<u8>,
    size: usize,
    jobs: Sender<Job>,
    open: VecDeque<Receiver<io::Result<Vec<u8>>>>,
    window: usize,
    out: W,
}

impl<W: Write> Blocks<W> {
    fn hand_on(&mut self) -> io::Result<()> {
        if self.open.len() >= self.window {
            self.collect()?;
        }
        let (reply, answer) = sync_channel(1);
        let block = std::mem::replace(&mut self.block, Vec::with_capacity(self.size));
        self.jobs.send(Job { block, reply }).map_err(io::Error::other)?;
        self.open.push_back(answer);
        Ok(())
    }

    fn collect(&mut self) -> io::Result<()> {
        let Some(answer) = self.open.pop_front() else { return Ok(()) };
        let packed = answer.recv().map_err(io::Error::other)??;
        self.out.write_all(&packed)
    }

    fn finish(mut self) -> io::Result<W> {
        if !self.block.is_empty() {
            self.hand_on()?;
        }
        while !self.open.is_empty() {
            self.collect()?;
        }
        Ok(self.out)
    }
}

impl<W: Write> Write for Blocks<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.block.len() == self.size {
            self.hand_on()?;
        }
        let count = bytes.len().min(self.size - self.block.len());
        self.block.extend_from_slice(&bytes[..count]);
        Ok(count)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
