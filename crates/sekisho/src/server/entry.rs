//! What a frame of the ingest log holds: when the server received it, and the batch as it came
//! over the wire. Without a batch it only tells the time. What a live source told stands in frames of
//! another form, already as flows. The receive time stands beside the batch,
//! so that a replay tells the joiner the same times in the same order as the first run did.

use anyhow::{Context, bail};
use sekisho_model::{Batch, Flow, LossMinute, Timestamp};
use serde::{Deserialize, Serialize};

use super::sources::Position;

/// First byte of a frame; another one is of another version of sekisho.
const FORM: u8 = 1;
/// First byte of a frame of a live source.
const TOLD_FORM: u8 = 2;
const HEADER_BYTES: usize = 9;

/// A decoded frame.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Server's clock when the frame was made.
    pub(crate) received: Timestamp,
    /// None: only time passed.
    pub(crate) batch: Option<Batch>,
    /// What a live source told; then there is no batch.
    pub(crate) told: Option<Told>,
}

/// What a live source told, and how far it came with it.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Told {
    /// Name of the source.
    pub(crate) source: String,
    pub(crate) position: Option<Position>,
    pub(crate) flows: Vec<Flow>,
    pub(crate) losses: Vec<LossMinute>,
}

/// Encodes a frame; an empty `batch` only tells the time.
pub(crate) fn encode(received: Timestamp, batch: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(HEADER_BYTES + batch.len());
    frame.push(FORM);
    frame.extend_from_slice(&received.nanos().to_le_bytes());
    frame.extend_from_slice(batch);
    frame
}

/// Encodes a frame of what a live source told.
pub(crate) fn encode_told(received: Timestamp, told: &Told) -> anyhow::Result<Vec<u8>> {
    let mut frame = encode(received, &postcard::to_stdvec(told).context("encode flows")?);
    if let Some(form) = frame.first_mut() {
        *form = TOLD_FORM;
    }
    Ok(frame)
}

/// Decodes a frame.
pub(crate) fn decode(frame: &[u8]) -> anyhow::Result<Entry> {
    let Some((&form @ (FORM | TOLD_FORM), rest)) = frame.split_first() else {
        bail!("a logged batch is of another version of sekisho");
    };
    let (time, batch) = rest.split_first_chunk().context("a logged batch is cut short")?;
    let received = Timestamp::from_nanos(u64::from_le_bytes(*time));
    let another = "a logged batch is of another version of sekisho";
    if form == TOLD_FORM {
        let told = postcard::from_bytes(batch).context(another)?;
        return Ok(Entry { received, batch: None, told: Some(told) });
    }
    if batch.is_empty() {
        return Ok(Entry { received, batch: None, told: None });
    }
    let batch = postcard::from_bytes(batch).context(another)?;
    Ok(Entry { received, batch: Some(batch), told: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch() -> Batch {
        Batch {
            node: "node-1".to_owned(),
            epoch: Timestamp::from_seconds(1),
            sequence: 7,
            time: Timestamp::from_seconds(2),
            halves: Vec::new(),
            counters: Vec::new(),
            shed: 3,
        }
    }

    #[test]
    fn a_frame_gives_back_time_and_batch() {
        let frame = encode(Timestamp::from_seconds(9), &postcard::to_stdvec(&batch()).unwrap());
        let entry = decode(&frame).unwrap();
        assert_eq!((entry.received, entry.batch), (Timestamp::from_seconds(9), Some(batch())));
    }

    #[test]
    fn a_frame_without_a_batch_tells_the_time() {
        let entry = decode(&encode(Timestamp::from_seconds(9), &[])).unwrap();
        assert_eq!((entry.received, entry.batch), (Timestamp::from_seconds(9), None));
    }

    #[test]
    fn every_cut_or_foreign_frame_is_an_error() {
        let frame = encode(Timestamp::from_seconds(9), &postcard::to_stdvec(&batch()).unwrap());
        for length in (0..frame.len()).filter(|length| *length != HEADER_BYTES) {
            assert!(decode(&frame[..length]).is_err(), "{length}");
        }
        let foreign: Vec<u8> = std::iter::once(FORM + 1).chain(frame[1..].to_vec()).collect();
        assert!(decode(&foreign).unwrap_err().to_string().contains("another version"));
    }
}
