//! Imports and exports as a user makes them: text in, flows out; history in, records out.

#[cfg(test)]
mod capture;
#[cfg(test)]
mod envoy;
#[cfg(test)]
mod export;
#[cfg(test)]
mod export_hostile;
#[cfg(test)]
mod export_readers;
#[cfg(test)]
mod findings;
#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod hubble;
#[cfg(test)]
mod json;
#[cfg(test)]
mod netflow;
#[cfg(test)]
mod observer;
#[cfg(test)]
mod otlp_metrics;
#[cfg(test)]
mod pcap;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod support;
#[cfg(test)]
mod vpc;
