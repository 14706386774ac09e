//! Flows to a dependency graph by namespace, workload, pod, process.
