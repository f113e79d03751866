//! gzip over fixed blocks, in parallel, in order: the same bytes whatever the number of threads or the sizes of writes.
//! In: bytes of any amount. Out: a gzip stream with one member per MiB. Never: holds more than a few blocks.
//!
//! RFC 1952 allows several members in one file, and Go, containerd, skopeo, umoci and GNU gzip read them as one.
//! libdeflate writes each member's header with the time 0 and the system 255 (unknown).

use std::collections::VecDeque;
use std::io::{self, Write};
use std::num::NonZero;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Mutex, PoisonError};

use libdeflater::{CompressionLvl, Compressor};

/// Bytes that go into one member.
const BLOCK: usize = 1 << 20;
/// The level: digests depend on it, so changing it is a change that users see.
const LEVEL: i32 = 6;
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

/// Compresses what `fill` writes, into `out`. Blocks are compressed on `threads` threads and written in order.
///
/// # Errors
/// What `fill` gives, which includes the errors of its own writes.
pub(super) fn gzip<W: Write, T, E: From<io::Error>>(
    out: W,
    threads: usize,
    fill: impl FnOnce(&mut Blocks<W>) -> Result<T, E>,
) -> Result<(T, W), E> {
    let (jobs, queue) = channel::<Job>();
    let queue = Mutex::new(queue);
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| work(&queue));
        }
        // The sender lives in `blocks` alone, so the workers end when this closure does, on every way out.
        let mut blocks = Blocks { block: Vec::with_capacity(BLOCK), jobs, open: VecDeque::new(), window: threads.max(1) * 2, out };
        let value = fill(&mut blocks)?;
        Ok((value, blocks.finish()?))
    })
}

fn work(queue: &Mutex<Receiver<Job>>) {
    let mut compressor = CompressionLvl::new(LEVEL).ok().map(Compressor::new);
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { block, reply }) = job else { return };
        let result = compressor.as_mut().ok_or_else(|| io::Error::other("gzip has no such level")).and_then(|c| member(c, &block));
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

/// Cuts a stream into blocks and collects their members in order.
pub(super) struct Blocks<W> {
    block: Vec<u8>,
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
        let block = std::mem::replace(&mut self.block, Vec::with_capacity(BLOCK));
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
        if self.block.len() == BLOCK {
            self.hand_on()?;
        }
        let count = bytes.len().min(BLOCK - self.block.len());
        self.block.extend_from_slice(&bytes[..count]);
        Ok(count)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
