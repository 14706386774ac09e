//! What a server is sent, and must not die of.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use sekisho_api::CallError;
use sekisho_model::{Batch, Timestamp};

use super::halves::{Pair, now};
use super::served::Served;

/// Sends a request as it stands; gives the status line.
fn raw(served: &Served, head: &str, body: &[u8]) -> String {
    let mut stream = UnixStream::connect(&served.socket).unwrap();
    let length = body.len();
    let head = format!("{head} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n");
    write!(stream, "{head}content-length: {length}\r\n\r\n").unwrap();
    // It may answer, and close, before it read a body that is too long.
    stream.write_all(body).ok();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok();
    String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned()
}

#[test]
fn wrong_bodies_are_4xx_and_the_server_lives_on() {
    let served = Served::start("");
    let path = "POST /v1/agents/node-a/batches";
    let [batch, foreign] = Pair::new().batches(3);
    let foreign = postcard::to_stdvec(&foreign).unwrap();
    let good = postcard::to_stdvec(&batch).unwrap();
    assert!(raw(&served, path, b"no batch at all").contains("400"));
    assert!(raw(&served, path, &foreign).contains("400"), "another node's name");
    assert!(raw(&served, path, &good[..good.len() / 2]).contains("400"), "cut");
    assert!(raw(&served, path, &vec![0; (32 << 20) + 1]).contains("413"), "too long");
    assert!(raw(&served, "POST /v1/agents/a%20b/batches", &good).contains("400"));
    assert!(raw(&served, "GARBAGE", b"").contains("40"));
    assert_eq!(served.status().ingest.taken, 0);
    assert!(raw(&served, path, &good).contains("200"));
    assert_eq!(served.status().ingest.taken, 1);
}

#[test]
fn every_cut_and_every_flipped_byte_of_a_batch_is_answered() {
    let served = Served::start("");
    let [batch, _] = Pair::new().batches(1);
    let good = postcard::to_stdvec(&batch).unwrap();
    for at in 0..good.len() {
        let mut flipped = good.clone();
        flipped[at] ^= 0x80;
        for body in [&good[..at], &flipped] {
            let answer = raw(&served, "POST /v1/agents/node-a/batches", body);
            assert!(answer.contains("200") || answer.contains("400"), "{at}: {answer}");
        }
    }
    served.map("0s");
}

#[test]
fn names_that_no_node_can_have_are_refused() {
    let served = Served::start("");
    let [batch, _] = Pair::new().batches(1);
    let named = Batch { node: "a\"b".to_owned(), ..batch };
    let body = postcard::to_stdvec(&named).unwrap();
    assert!(raw(&served, "POST /v1/agents/a%22b/batches", &body).contains("400"));
    assert!(served.status().agents.is_empty());
}

#[test]
fn an_agent_that_was_replaced_is_told_so_instead_of_being_thanked() {
    let served = Served::start("");
    let [batch, _] = Pair::new().batches(1);
    served.send(&batch).unwrap();
    let newer = Batch { epoch: batch.epoch.plus_seconds(5), ..batch.clone() };
    served.send(&newer).unwrap();
    let older = Batch { sequence: 2, ..batch };
    let refused = served.send(&older).unwrap_err();
    assert!(matches!(refused, CallError::Refused { status: 400, .. }), "{refused}");
    assert!(refused.to_string().contains("node-a"), "{refused}");
}

#[test]
fn an_agent_whose_clock_is_far_ahead_spoils_nothing() {
    let served = Served::start("");
    let [batch, other] = Pair::new().batches(1);
    served.send(&Batch { time: Timestamp::MAX, ..batch }).unwrap();
    served.send(&other).unwrap();
    let status = served.status();
    assert!(status.agents.iter().all(|agent| agent.last_heard <= now()), "{status:#?}");
    assert!(status.problems.is_empty(), "{:#?}", status.problems);
}
