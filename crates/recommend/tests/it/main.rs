//! Tests of the crate's verb on a shop-like cluster.

#[cfg(test)]
mod golden;
#[cfg(test)]
mod page;
#[cfg(test)]
mod property;
#[cfg(test)]
mod shop;
#[cfg(test)]
mod templates;
