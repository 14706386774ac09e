//! Measures how many connections per second are observed without loss, what the observer's thread
//! costs, and what recording costs the connections: `cargo run --release --example rate`. Needs
//! root. Rounds with and without an observer alternate in one run, so that the ratio holds on a
//! machine that others use as well. Connections go over loopback in a network namespace of its own.

#![expect(clippy::print_stdout, reason = "a measurement prints its result")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};
use nix::time::{ClockId, clock_gettime};
use sekisho_model::{Event, SocketPhase};
use sekisho_observe::{Observer, ObserverOptions};
use sekisho_system::command;

const ROUNDS: usize = 12;
const PER_ROUND: usize = 10_000;
const PING_PONGS: usize = 40_000;

#[derive(Default)]
struct Tally {
    connections: Duration,
    ping_pongs: Duration,
    connections_cpu: Duration,
    ping_pongs_cpu: Duration,
    rounds: u32,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let cgroup = std::env::args().nth(1).unwrap_or_else(|| "/sys/fs/cgroup/unified".to_owned());
    // This thread and those that it starts.
    unshare(CloneFlags::CLONE_NEWNET)?;
    command::run(&["ip", "link", "set", "lo", "up"], "", Duration::from_secs(5))?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || listener.incoming().flatten().for_each(echo));
    let mut with = Tally::default();
    let mut without = Tally::default();
    let mut seen = Seen::default();
    for _ in 0..ROUNDS {
        run_round(address, &mut without)?;
        observed_round(&cgroup, address, &mut with, &mut seen)?;
    }
    let rate = |tally: &Tally| {
        f64::from(tally.rounds) * PER_ROUND as f64 / tally.connections.as_secs_f64()
    };
    let pings = |tally: &Tally| {
        f64::from(tally.rounds) * PING_PONGS as f64 / tally.ping_pongs.as_secs_f64()
    };
    println!(
        "connections/s  without {:.0}  with {:.0}  ratio {:.3}",
        rate(&without),
        rate(&with),
        rate(&with) / rate(&without)
    );
    println!(
        "ping-pongs/s   without {:.0}  with {:.0}  ratio {:.3}",
        pings(&without),
        pings(&with),
        pings(&with) / pings(&without)
    );
    // Unlike the wall clock, these hold on a machine that others keep busy.
    println!(
        "client's CPU time, without / with: connections {:.3}  ping-pongs {:.3}",
        without.connections_cpu.as_secs_f64() / with.connections_cpu.as_secs_f64(),
        without.ping_pongs_cpu.as_secs_f64() / with.ping_pongs_cpu.as_secs_f64()
    );
    println!(
        "closed records {} of {} (both ends), dropped {}",
        seen.closed,
        2 * ROUNDS * PER_ROUND,
        seen.dropped
    );
    println!(
        "observer thread {:.1} % of a core, {:.2} us per connection",
        100.0 * seen.cpu.as_secs_f64() / seen.wall.as_secs_f64(),
        1e6 * seen.cpu.as_secs_f64() / (ROUNDS * PER_ROUND) as f64
    );
    Ok(())
}

#[derive(Default)]
struct Seen {
    closed: usize,
    dropped: u64,
    cpu: Duration,
    wall: Duration,
}

fn echo(mut stream: TcpStream) {
    let mut bytes = [0; 64];
    while let Ok(count @ 1..) = stream.read(&mut bytes) {
        if stream.write_all(bytes.get(..count).unwrap_or_default()).is_err() {
            return;
        }
    }
}

fn run_round(address: std::net::SocketAddr, tally: &mut Tally) -> std::io::Result<()> {
    let (start, cpu) = (Instant::now(), cpu_time());
    for _ in 0..PER_ROUND {
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(b"x")?;
        stream.read_exact(&mut [0; 1])?;
    }
    tally.connections += start.elapsed();
    tally.connections_cpu += cpu_time().saturating_sub(cpu);
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let (start, cpu) = (Instant::now(), cpu_time());
    for _ in 0..PING_PONGS {
        stream.write_all(b"x")?;
        stream.read_exact(&mut [0; 1])?;
    }
    tally.ping_pongs += start.elapsed();
    tally.ping_pongs_cpu += cpu_time().saturating_sub(cpu);
    tally.rounds += 1;
    Ok(())
}

fn observed_round(
    cgroup: &str,
    address: std::net::SocketAddr,
    tally: &mut Tally,
    seen: &mut Seen,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut observer = Observer::start(ObserverOptions::new(cgroup.into()))?;
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let watcher = scope.spawn(|| watch(&mut observer, address, &over));
        let result = run_round(address, tally);
        over.store(true, Ordering::Relaxed);
        let (closed, cpu, wall) = watcher.join().map_err(|_panic| "the watcher panicked")?;
        seen.closed += closed;
        seen.cpu += cpu;
        seen.wall += wall;
        result.map_err(Box::<dyn std::error::Error>::from)
    })?;
    for counters in observer.counters() {
        assert_eq!(counters.produced, counters.delivered + counters.dropped, "{counters:?}");
        seen.dropped += counters.dropped;
    }
    Ok(())
}

/// Polls until the round is over and the rings are empty; closed records, CPU and wall time.
fn watch(
    observer: &mut Observer,
    address: std::net::SocketAddr,
    over: &AtomicBool,
) -> (usize, Duration, Duration) {
    let (wall, cpu) = (Instant::now(), cpu_time());
    let mut closed = 0;
    let mut events = Vec::new();
    let mut last = false;
    while !last {
        last = over.load(Ordering::Relaxed);
        let more = observer.poll(Duration::from_millis(100), &mut events).is_ok();
        last = last && events.is_empty() && more;
        closed += events
            .drain(..)
            .filter(|event| {
                matches!(event, Event::Socket(socket) if socket.phase == SocketPhase::Closed
                && (socket.local == address || socket.remote == address)
                // The ping-pong connection is not one of those counted.
                && socket.bytes_sent == 1)
            })
            .count();
    }
    (closed, cpu_time().saturating_sub(cpu), wall.elapsed())
}

fn cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from).unwrap_or_default()
}
