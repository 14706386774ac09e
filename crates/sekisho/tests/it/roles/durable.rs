//! What was acknowledged is there, once, whatever ends the server.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use sekisho_model::Batch;
use sekisho_system::wait;

use super::halves::{Pair, now};
use super::served::{Served, block_on, connections};

/// Longest wait for halves to become flows: the joiner's window and some.
const JOINED_WAIT: Duration = Duration::from_secs(20);

/// A generator whose sequence a failure can print and a person repeat (xorshift64, Marsaglia 2003).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

fn env(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Sends all batches that come, each again until it is acknowledged. Returns how often it failed.
fn deliver(socket: &std::path::Path, batches: mpsc::Receiver<Batch>, sent: &AtomicU64) -> u64 {
    let client = sekisho_api::Client::new(socket);
    block_on(async {
        let mut failures = 0;
        for batch in batches {
            loop {
                match client.send_batch(&batch).await {
                    Ok(ack) => break assert_eq!(ack.sequence, batch.sequence),
                    Err(error) => {
                        assert!(error.is_temporary(), "{error}");
                        failures += 1;
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                }
            }
            sent.fetch_add(1, Ordering::Relaxed);
        }
        failures
    })
}

/// The sum over the map equals what was sent, and stays so.
#[track_caller]
fn all_counted(served: &Served, expected: u64) {
    let counted = wait::until(JOINED_WAIT, || {
        let count = connections(&served.map("0s"));
        assert!(count <= expected, "{count} counted, {expected} sent: some twice");
        (count == expected).then_some(())
    });
    let map = served.map("0s");
    assert!(counted.is_some(), "{} of {expected}: {map:#}", connections(&map));
}

#[test]
fn kills_at_random_moments_lose_nothing_and_count_nothing_twice() {
    let (kills, seed) = (env("SEKISHO_SERVER_KILLS", 20), env("SEKISHO_SEED", now().nanos()));
    println!("SEKISHO_SEED={seed}");
    let mut dice = Dice(seed | 1);
    let mut served = Served::start("rotate_s = 1");
    let socket = served.socket.clone();
    let (stop, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    let (to_a, of_a) = mpsc::sync_channel(4);
    let (to_b, of_b) = mpsc::sync_channel(4);
    let mut pair = Pair::new();
    let failures = std::thread::scope(|scope| {
        let (socket, sent) = (&socket, &sent);
        let a = scope.spawn(move || deliver(socket, of_a, sent));
        let b = scope.spawn(move || deliver(socket, of_b, sent));
        let (pair, stop) = (&mut pair, &stop);
        scope.spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let [a, b] = pair.batches(5);
                to_a.send(a).unwrap();
                to_b.send(b).unwrap();
            }
        });
        for _ in 0..kills {
            // Some lives are shorter than a rotation's period, some see one or two.
            wait::pause_for(Duration::from_millis(dice.below(1_800)));
            served.kill();
            served.up();
        }
        stop.store(true, Ordering::Relaxed);
        a.join().unwrap() + b.join().unwrap()
    });
    let batches = sent.load(Ordering::Relaxed);
    println!(
        "{kills} kills, {batches} batches, {failures} failed tries, {} connections",
        pair.connections
    );
    assert!(failures > 0, "no kill ever met a batch: nothing was tested");
    all_counted(&served, pair.connections);
    let segments = std::fs::read_dir(served.data.join("segments")).unwrap().count();
    assert!(segments > 0, "no rotation ever happened");
    // Once more, with everything from disk.
    let until = now().to_string();
    let before = served.map(&until);
    served.kill();
    assert_eq!(served.map_of_folder(&until), before);
    served.up();
    assert_eq!(served.map(&until), before);
}

#[test]
fn an_orderly_stop_seals_history_and_the_next_start_tells_the_same() {
    let mut served = Served::start("");
    let mut pair = Pair::new();
    for batch in pair.batches(50) {
        served.send(&batch).unwrap();
    }
    all_counted(&served, 50);
    let until = now().to_string();
    let before = served.map(&until);
    assert_eq!(served.map_of_folder(&until), before, "beside a running server");
    assert!(served.stop().success());
    assert!(!served.socket.exists());
    let sealed = std::fs::read_dir(served.data.join("segments")).unwrap().count();
    assert!((3..=4).contains(&sealed), "edges, minutes and losses, hours if one ended: {sealed}");
    assert_eq!(served.map_of_folder(&until), before, "without a server");
    served.up();
    assert_eq!(served.map(&until), before, "after a start");
    assert_eq!(served.status().agents.len(), 2, "agents are known before they are heard again");
    // An agent that repeats itself to the new server counts once.
    let mut again = pair.batches(1);
    served.send(&again[0]).unwrap();
    served.send(&again[0]).unwrap();
    assert_eq!(served.status().ingest.repeated, 1);
    again[0].sequence -= 1;
    served.send(&again[0]).unwrap();
    assert_eq!(served.status().ingest.repeated, 2);
}

#[test]
fn the_last_halves_become_flows_although_no_batch_follows() {
    let served = Served::start("");
    let [source_only, _] = Pair::new().batches(3);
    served.send(&source_only).unwrap();
    all_counted(&served, 3);
}
