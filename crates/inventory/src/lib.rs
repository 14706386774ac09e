//! Who is who: (address, time) to workload, from Kubernetes, hosts and the lab.
