//! How a table names assets, and which these are.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

use crate::Asset;

/// Longest text that names an asset, bytes: a namespace, a DNS name and a kind.
const KEY_BYTES_MAX: usize = 512;

/// How somebody who is not the cluster names an asset.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AssetKey {
    /// `shop/cart[Deployment]`: one asset, or none.
    Id(String),
    /// `shop/cart`: all of this name in the namespace, whatever their kind.
    Named(String, String),
    /// `203.0.113.0/24`, or an address: all that have an address in it.
    Network(IpNet),
    /// `web-01`, `payments.example`: the only one of this name, in lower case; none if there are
    /// several.
    Name(String),
}

/// A text names no asset.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// There is none.
    #[error("names no asset: it is empty")]
    Empty,
    /// It is too long.
    #[error("names no asset: more than {KEY_BYTES_MAX} bytes")]
    Long,
    /// It has characters that no name has.
    #[error("names no asset: it has a control character")]
    Control,
}

impl FromStr for AssetKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        match () {
            () if text.is_empty() => return Err(KeyError::Empty),
            () if text.len() > KEY_BYTES_MAX => return Err(KeyError::Long),
            () if text.chars().any(char::is_control) => return Err(KeyError::Control),
            () => {}
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Network(IpNet::from(address.to_canonical())));
        }
        if let Ok(network) = text.parse::<IpNet>() {
            return Ok(Self::Network(network.trunc()));
        }
        if text.ends_with(']') && text.contains('[') {
            return Ok(Self::Id(text.to_owned()));
        }
        Ok(match text.split_once('/') {
            Some((namespace, name)) => Self::Named(namespace.to_owned(), name.to_owned()),
            None => Self::Name(text.to_ascii_lowercase()),
        })
    }
}

impl fmt::Display for AssetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(text) | Self::Name(text) => f.pad(text),
            Self::Named(namespace, name) => write!(f, "{namespace}/{name}"),
            Self::Network(network) if network.prefix_len() == network.max_prefix_len() => {
                write!(f, "{}", network.addr())
            }
            Self::Network(network) => write!(f, "{network}"),
        }
    }
}

/// The assets of one cluster by all that may name them.
#[derive(Debug, Default)]
pub(crate) struct Index {
    ids: BTreeMap<String, usize>,
    named: BTreeMap<(String, String), Vec<usize>>,
    names: BTreeMap<String, Vec<usize>>,
    addresses: BTreeMap<IpAddr, Vec<usize>>,
}

/// Which assets a key names.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// These, by their places; none if nothing is named so.
    These(Vec<usize>),
    /// So many, of which only one can be meant.
    Ambiguous(usize),
}

impl Index {
    /// Learns an asset, and its place in a list.
    pub(crate) fn add(&mut self, place: usize, asset: &Asset) {
        let workload = &asset.workload;
        self.ids.insert(asset.id(), place);
        let named = (workload.namespace.clone(), workload.name.clone());
        self.named.entry(named).or_default().push(place);
        self.names.entry(workload.name.to_ascii_lowercase()).or_default().push(place);
        for address in &asset.addresses {
            self.addresses.entry(*address).or_default().push(place);
        }
    }

    pub(crate) fn find(&self, key: &AssetKey) -> Found {
        let these = |found: Option<&Vec<usize>>| found.cloned().unwrap_or_default();
        Found::These(match key {
            AssetKey::Id(id) => self.ids.get(id).copied().into_iter().collect(),
            AssetKey::Named(namespace, name) => {
                these(self.named.get(&(namespace.clone(), name.clone())))
            }
            AssetKey::Name(name) => match these(self.names.get(name)) {
                several if several.len() > 1 => return Found::Ambiguous(several.len()),
                found => found,
            },
            AssetKey::Network(network) => {
                let held = self.addresses.range(network.network()..=network.broadcast());
                let mut found: Vec<usize> = held.flat_map(|(_, places)| places).copied().collect();
                found.sort_unstable();
                found.dedup();
                found
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use sekisho_model::{ClusterName, PartyKind, WorkloadRef};

    use super::*;

    fn asset(namespace: &str, name: &str, kind: &str, address: &str) -> Asset {
        let (namespace, name, kind) = (namespace.to_owned(), name.to_owned(), kind.to_owned());
        let workload = WorkloadRef { namespace, name, kind };
        let mut asset = Asset::new(ClusterName::default(), workload, PartyKind::Pod);
        asset.add_address(address.parse().unwrap());
        asset
    }

    #[test]
    fn each_form_of_a_key_finds_what_it_names_and_an_ambiguous_name_nobody() {
        let assets = [
            asset("shop", "cart", "Deployment", "10.0.0.1"),
            asset("blog", "cart", "Deployment", "10.0.0.2"),
            asset("shop", "cart", "CronJob", "10.0.1.1"),
            asset("", "Pay.example", "External", "2001:db8::1"),
        ];
        let mut index = Index::default();
        assets.iter().enumerate().for_each(|(place, asset)| index.add(place, asset));
        for (key, found) in [
            ("shop/cart[CronJob]", Found::These(vec![2])),
            ("shop/cart", Found::These(vec![0, 2])),
            ("shop/none", Found::These(vec![])),
            ("cart", Found::Ambiguous(3)),
            ("PAY.example", Found::These(vec![3])),
            ("10.0.0.0/24", Found::These(vec![0, 1])),
            ("::ffff:10.0.0.2", Found::These(vec![1])),
            ("2001:db8::/32", Found::These(vec![3])),
            ("0.0.0.0/0", Found::These(vec![0, 1, 2])),
        ] {
            assert_eq!(index.find(&key.parse().unwrap()), found, "{key}");
        }
        assert_eq!("10.1.2.3/8".parse::<AssetKey>().unwrap().to_string(), "10.0.0.0/8");
        assert_eq!(" ".parse::<AssetKey>(), Err(KeyError::Empty));
        assert_eq!("a\u{7}".parse::<AssetKey>(), Err(KeyError::Control));
    }
}
