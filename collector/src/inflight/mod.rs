//! Batches on their way to the transport: sent in order, sent again after a failure, and reported
//! done only contiguously. One that lies in the spool is done too: it will survive us.
//!
//! One that the transport refuses as too large is divided, and done when all its parts are. A single line
//! that is too large is sent again until the limit is raised, and everything behind it waits: files and
//! spool keep it, and people are told.

mod company;
#[cfg(test)]
mod refusal_tests;
mod sending;
mod sent;
mod sizes;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use bytes::Bytes;
use sawlog_transport::{Ack, AckSender, CollectorId, Producer};
use xxhash_rust::xxh3::xxh3_64;

use crate::batcher::Encoded;
use crate::checkpoint::Progress;
use crate::config::Config;
pub(crate) use company::Company;
use sent::{InSpool, Sent};

/// The batches that are not acknowledged.
pub(crate) struct InFlight {
    producer: Arc<dyn Producer>,
    /// What chooses the partition, once it is known how many there are.
    id_hash: u64,
    acks: AckSender,
    arrived: mpsc::Receiver<Ack>,
    /// By number: those not done, not reported, or that the transport has not stored.
    batches: BTreeMap<u64, Sent>,
    /// Their numbers, until they are reported done, in the order in which they came.
    unreported: VecDeque<u64>,
    /// Batches of the spool that the transport has stored since they were asked for last.
    stored: Vec<u64>,
    /// The numbers of the batches of which the transport has something, by the tags of its messages.
    under_way: HashMap<u64, u64>,
    under_way_bytes: usize,
    next_tag: u64,
    /// All that send to the transport, and which of them this is.
    company: Company,
    sender: u64,
    refused: Option<Refused>,
    text_bytes: usize,
    memory_bytes: usize,
    spilling_bytes: usize,
    resend_after: Duration,
    resend_after_max: Duration,
}

/// What the transport refuses as too large and cannot be divided, mostly a single line: what is behind it
/// waits.
#[derive(Debug)]
pub(crate) struct Refused {
    tag: u64,
    /// Bytes of the message.
    pub bytes: usize,
    /// Why it cannot be divided, who refuses it, and the way out.
    pub reason: String,
}

/// A batch that survives this process, whatever becomes of its files.
#[derive(Debug)]
pub(crate) struct Done {
    #[cfg(test)]
    pub number: u64,
    /// Bytes of files that it accounts for.
    pub source_bytes: u64,
    pub progress: Vec<Progress>,
}

/// A batch on its way into the spool.
pub(crate) struct ToSpool {
    pub number: u64,
    pub message: Bytes,
    pub source_bytes: u64,
    /// The spool alone is to bring it to the transport.
    pub is_spilled: bool,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.company.answered(self.under_way.len(), self.under_way_bytes);
    }
}

impl InFlight {
    /// What sends to the transport in this company.
    pub(crate) fn new(
        producer: Arc<dyn Producer>,
        collector: CollectorId,
        config: &Config,
        company: Company,
    ) -> Self {
        let (acks, arrived) = mpsc::channel();
        Self {
            producer,
            id_hash: xxh3_64(&collector.0.to_le_bytes()),
            acks,
            arrived,
            batches: BTreeMap::new(),
            unreported: VecDeque::new(),
            stored: Vec::new(),
            under_way: HashMap::new(),
            under_way_bytes: 0,
            next_tag: 0,
            sender: company.join(),
            company,
            refused: None,
            text_bytes: 0,
            memory_bytes: 0,
            spilling_bytes: 0,
            resend_after: config.resend_after,
            resend_after_max: config.resend_after_max,
        }
    }

    /// Text of the batches for the transport that are not done or that it has not stored, in bytes.
    pub(crate) fn text_bytes(&self) -> usize {
        self.text_bytes
    }

    /// What these batches take in memory, in bytes: of many quiet files, most of it is not text.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    /// What the batches take that are for the spool alone and not in it yet, in bytes.
    pub(crate) fn spilling_bytes(&self) -> usize {
        self.spilling_bytes
    }

    /// Whether a batch waits to be taken by the transport: more of them would only be smaller.
    pub(crate) fn is_held_up(&self) -> bool {
        self.batches.values().any(Sent::is_waiting)
    }

    /// The line that holds up everything, if there is one.
    pub(crate) fn refused(&self) -> Option<&Refused> {
        self.refused.as_ref()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Whether every batch is stored or lies in the spool.
    pub(crate) fn is_all_done(&self) -> bool {
        self.unreported.is_empty()
    }

    /// Takes the next batch; [`Self::send`] sends it.
    pub(crate) fn push(&mut self, batch: Encoded) {
        self.text_bytes += batch.text_bytes;
        self.memory_bytes += batch.memory_bytes();
        self.insert(batch, false);
    }

    /// Takes the next batch, which only the spool is to have.
    pub(crate) fn push_spilled(&mut self, batch: Encoded) {
        self.spilling_bytes += batch.memory_bytes();
        self.insert(batch, true);
    }

    fn insert(&mut self, batch: Encoded, is_spilled: bool) {
        self.unreported.push_back(batch.number);
        self.batches.insert(batch.number, Sent::new(batch, self.next_tag, is_spilled));
        self.next_tag += 1;
    }

    /// The batches that are neither stored nor on their way into the spool, oldest first; from here
    /// on they are.
    pub(crate) fn take_for_spool(&mut self) -> Vec<ToSpool> {
        let fresh = self
            .batches
            .iter_mut()
            .filter(|(_, sent)| sent.spool == InSpool::No && !sent.is_stored());
        let asked = fresh.map(|(number, sent)| {
            sent.spool = InSpool::Asked;
            ToSpool {
                number: *number,
                message: std::mem::take(&mut sent.whole),
                source_bytes: sent.source_bytes,
                is_spilled: sent.is_spilled,
            }
        });
        asked.collect()
    }

    /// A batch lies in the spool.
    pub(crate) fn in_spool(&mut self, number: u64) {
        let Some(sent) = self.batches.get_mut(&number) else { return };
        sent.spool = InSpool::Yes;
        if sent.is_spilled {
            // Nothing of it is sent from here.
            sent.messages.iter_mut().for_each(|message| message.bytes = Bytes::new());
            self.spilling_bytes -= std::mem::take(&mut sent.memory_bytes);
        }
    }

    /// The batches of the spool that the transport has stored, since the last call.
    pub(crate) fn take_stored(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.stored)
    }

    fn report(&mut self) -> Vec<Done> {
        let mut done = Vec::new();
        while let Some(number) = self.unreported.front().copied() {
            let Some(sent) = self.batches.get_mut(&number).filter(|sent| sent.is_done()) else {
                break;
            };
            self.unreported.pop_front();
            done.push(Done {
                #[cfg(test)]
                number,
                source_bytes: sent.source_bytes,
                progress: std::mem::take(&mut sent.progress),
            });
            if sent.is_over() {
                self.remove(number);
            }
        }
        done
    }

    fn remove(&mut self, number: u64) {
        let Some(sent) = self.batches.remove(&number) else { return };
        if !sent.is_spilled {
            self.text_bytes -= sent.text_bytes;
            self.memory_bytes -= sent.memory_bytes;
        }
    }
}
