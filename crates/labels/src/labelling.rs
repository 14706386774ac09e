//! What each asset is called: the layers in their order.

use sekisho_model::{ClusterName, Labels, WorkloadRef};

use crate::{Asset, Assigned, Dimension, DimensionName, Layer, Rules, Said, Settled};

/// Tells the value of anything in each dimension: what was assigned to it, and its labels.
#[derive(Clone, Debug)]
pub struct Labelling {
    dimensions: Vec<Dimension>,
    layers: Vec<Layer>,
    assigned: Assigned,
}

/// The usual dimensions, and nothing said but by Kubernetes.
impl Default for Labelling {
    fn default() -> Self {
        Self::new(Rules::usual(DimensionName::ENVIRONMENT), Assigned::new())
    }
}

/// A value with who says it, borrowed from where it stands.
#[derive(Clone, Copy)]
struct Word<'a> {
    layer: Layer,
    value: &'a str,
    source: &'a str,
}

impl Labelling {
    /// What `rules` order, with what [`crate::assign`] gave.
    #[must_use]
    pub fn new(rules: Rules, assigned: Assigned) -> Self {
        Self { dimensions: rules.dimensions, layers: rules.layers, assigned }
    }

    /// Names of the dimensions, in order.
    pub fn dimensions(&self) -> impl Iterator<Item = &DimensionName> {
        self.dimensions.iter().map(|dimension| &dimension.name)
    }

    /// The value of `workload` in `dimension`, with its own labels and a label of its namespace by
    /// key; None if nobody says one, or there is no such dimension.
    pub fn value<'a>(
        &'a self,
        (cluster, workload): (&ClusterName, &WorkloadRef),
        dimension: &str,
        own: &'a Labels,
        of_namespace: impl Fn(&'a str) -> Option<&'a str>,
    ) -> Option<&'a str> {
        self.words((cluster, workload), dimension, own, of_namespace).next().map(|word| word.value)
    }

    /// All that is said of `asset` in `dimension`; None if nothing is.
    #[must_use]
    pub fn settled(&self, asset: &Asset, dimension: &DimensionName) -> Option<Settled> {
        let of_namespace = |key: &str| asset.namespace_labels.get(key).map(String::as_str);
        let place = (&asset.cluster, &asset.workload);
        let words = self.words(place, dimension.as_str(), &asset.labels, of_namespace);
        let said = words.map(|word| Said {
            layer: word.layer,
            value: word.value.to_owned(),
            source: word.source.to_owned(),
        });
        Settled::of(said.collect())
    }

    /// What is said, the first layer first.
    fn words<'a>(
        &'a self,
        (cluster, workload): (&ClusterName, &WorkloadRef),
        dimension: &str,
        own: &'a Labels,
        of_namespace: impl Fn(&'a str) -> Option<&'a str>,
    ) -> impl Iterator<Item = Word<'a>> {
        let dimension = self.dimensions.iter().find(|known| known.name.as_str() == dimension);
        let of_cluster = self.assigned.get(cluster);
        let assigned = dimension
            .and_then(|dimension| of_cluster?.get(workload)?.get(&dimension.name))
            .map_or(&[] as &[Said], Vec::as_slice);
        let keys = dimension.map_or(&[] as &[String], |dimension| dimension.keys.as_slice());
        self.layers.iter().flat_map(move |layer| {
            let label = |value: Option<&'a str>, source: &'a String| {
                let value = value.filter(|value| !value.is_empty())?;
                Some(Word { layer: *layer, value, source })
            };
            let from_labels = match layer {
                Layer::Workload => {
                    keys.iter().find_map(|key| label(own.get(key).map(String::as_str), key))
                }
                Layer::Namespace => keys.iter().find_map(|key| label(of_namespace(key), key)),
                Layer::Manual | Layer::Import | Layer::Rule | Layer::Node => None,
            };
            let told = assigned.iter().filter(move |said| said.layer == *layer);
            let told =
                told.map(|Said { layer, value, source }| Word { layer: *layer, value, source });
            told.chain(from_labels)
        })
    }
}

#[cfg(test)]
#[path = "labelling_tests.rs"]
mod tests;
