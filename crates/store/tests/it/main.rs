//! What the store promises, tested at its public verbs.

#[cfg(test)]
mod bounds;
#[cfg(test)]
mod clickhouse;
#[cfg(test)]
mod clickhouse_wire;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod duckdb;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod merging;
#[cfg(test)]
mod restart;
#[cfg(test)]
mod round_trip;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod wanted;
