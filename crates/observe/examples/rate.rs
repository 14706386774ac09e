//! Placeholder while the crate is brought up.
fn main() {
    let o = sekisho_observe::Observer::start(sekisho_observe::ObserverOptions::new("/sys/fs/cgroup/unified".into())).unwrap();
    for t in o.tiers() { println!("{t:?}"); }
}
