//! How fast records of another tool become flows: `import_rate FILE [FORMAT [digest]]`. No inventory, no
//! store. Prints `flows_per_s` and a digest of what was counted, with a third word also of each flow, so
//! that two versions can be compared.

use std::fs::File;
use std::hash::Hasher as _;
use std::io::{Read as _, Write as _, stdout};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use foldhash::fast::FixedState;
use sekisho_exchange::{Format, Import};
use sekisho_flow::{Directory, ServiceTarget};
use sekisho_model::{Party, Protocol, Timestamp};

struct Nobody;

impl Directory for Nobody {
    fn party_of_cgroup(&self, _: &str, _: &str, _: Timestamp) -> Option<Arc<Party>> {
        None
    }

    fn party_of_address(&self, address: IpAddr, name: Option<&str>, _: Timestamp) -> Arc<Party> {
        Arc::new(Party::external(address, name.map(str::to_owned)))
    }

    fn service_at(&self, _: SocketAddr, _: Protocol, _: Timestamp) -> Option<ServiceTarget> {
        None
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("import_rate FILE [FORMAT]")?;
    let format = arguments.next().unwrap_or_else(|| "hubble".to_owned());
    let with_digest = arguments.next().is_some();
    let mut import =
        Import::new(format.parse::<Format>()?, "2100-01-01T00:00:00Z".parse::<Timestamp>()?);
    let mut file = File::open(path)?;
    let (mut piece, mut flows) = (vec![0; 256 << 10], Vec::new());
    let mut digest = std::hash::BuildHasher::build_hasher(&FixedState::with_seed(1));
    let began = Instant::now();
    loop {
        let length = file.read(&mut piece)?;
        match piece.get(..length) {
            Some(read) if length > 0 => import.feed(read, &Nobody, &mut flows),
            Some(_) | None => break,
        }
        if with_digest {
            flows.iter().for_each(|flow| digest.write(format!("{flow:?}").as_bytes()));
        }
        flows.clear();
    }
    import.end(&Nobody, &mut flows);
    let (took, tally) = (began.elapsed(), import.tally());
    digest.write(format!("{tally:?}").as_bytes());
    let rate = tally.records as f64 / took.as_secs_f64();
    let (records, digest) = (tally.records, digest.finish());
    write!(stdout(), "records {records}\nflows_per_s {rate:.0}\ndigest {digest:016x}\n")?;
    Ok(())
}
