//! Only what is within one node of a map: how one goes from a namespace into its workloads, and on
//! into their pods and processes.

use std::fmt;
use std::str::FromStr;

use sekisho_model::{ClusterName, Party};

use crate::group::Grouping;
use crate::name::node_name;
use crate::options::MapOptions;

/// Longest id, bytes.
const ID_MAX: usize = 4_096;

/// A node of a map at some grouping, by its id: `shop[Namespace]`, `tier=web[Label]`,
/// `shop/cart[Deployment]`, `shop/cart-1[Pod]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Within {
    grouping: Grouping,
    id: String,
}

/// A text is no id of a node that others are within.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is no id of a node: such as shop[Namespace] or shop/cart[Deployment]", .0.escape_debug())]
pub struct WithinError(String);

impl FromStr for Within {
    type Err = WithinError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || WithinError(text.chars().take(80).collect());
        let (name, kind) = text
            .strip_suffix(']')
            .and_then(|text| text.rsplit_once('['))
            .filter(|_| text.len() <= ID_MAX)
            .ok_or_else(wrong)?;
        let grouping = match kind {
            "Cluster" => Grouping::Cluster,
            "Namespace" => Grouping::Namespace,
            "Application" => Grouping::Application,
            "Node" => Grouping::Node,
            "Pod" => Grouping::Pod,
            "Label" => {
                Grouping::Label(key(name).and_then(|key| key.parse().ok()).ok_or_else(wrong)?)
            }
            "Dimension" => {
                Grouping::Dimension(key(name).and_then(|key| key.parse().ok()).ok_or_else(wrong)?)
            }
            _ => Grouping::Workload,
        };
        Ok(Self { grouping, id: text.to_owned() })
    }
}

/// The key of `key=value`, or of `!key`.
fn key(name: &str) -> Option<&str> {
    name.strip_prefix('!').or_else(|| Some(name.split_once('=')?.0))
}

impl fmt::Display for Within {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.id)
    }
}

impl Within {
    /// What the node stands for.
    #[must_use]
    pub fn grouping(&self) -> &Grouping {
        &self.grouping
    }

    /// Whether `party` is within it.
    pub(crate) fn holds(&self, options: &MapOptions, cluster: &ClusterName, party: &Party) -> bool {
        node_name((options, &self.grouping), cluster, party, None).id == self.id
    }
}
