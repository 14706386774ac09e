//! What a map promises, tested at its public verbs.

#[cfg(test)]
mod compare;
#[cfg(test)]
mod completeness;
#[cfg(test)]
mod graph;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod pictures;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod scene;
