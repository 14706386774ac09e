//! Programs, forked workers, and folders that vanish.

use sekisho_model::{Event, ProcessExec};
use sekisho_observe::Observer;

use crate::scene::{Scene, account, sockets, watch_out};

fn execs(events: &[Event]) -> Vec<&ProcessExec> {
    events
        .iter()
        .filter_map(|event| match event {
            Event::Exec(exec) => Some(exec),
            _ => None,
        })
        .collect()
}

#[test]
fn a_program_that_ends_at_once_is_named_by_its_real_path() {
    let scene = Scene::new();
    let mut observer = Observer::start(scene.options()).unwrap();
    let (events, _) = watch_out(&mut observer, scene.run("/bin/true"));
    let real = std::fs::canonicalize("/bin/true").unwrap();
    let execs = execs(&events);
    let found = execs
        .iter()
        .find(|exec| exec.process.comm == "true" && exec.process.exe == real.to_string_lossy());
    let found = found.unwrap_or_else(|| panic!("{execs:#?}"));
    assert_eq!(found.cgroup, scene.path());
    let ended = events.iter().any(|e| matches!(e, Event::Exit { pid, .. } if *pid == found.pid));
    assert!(ended);
    assert_eq!(account(&observer, "process").dropped, 0);
}

#[test]
fn a_forked_shell_that_executes_nothing_is_named_like_its_parent() {
    let scene = Scene::new();
    let mut observer = Observer::start(scene.options()).unwrap();
    let (events, stdout) = watch_out(
        &mut observer,
        scene.run("( read -r pid rest < /proc/self/stat; echo worker $pid ) ; true"),
    );
    let pid: u32 = stdout.split_once("worker ").unwrap().1.trim().parse().unwrap();
    let shell = std::fs::canonicalize("/bin/sh").unwrap();
    let execs = execs(&events);
    let worker = execs.iter().find(|exec| exec.pid == pid);
    let worker = worker.unwrap_or_else(|| panic!("{pid} {execs:#?}"));
    assert_eq!(worker.process.exe, shell.to_string_lossy());
}

#[test]
fn a_cgroup_that_lives_for_an_instant_keeps_its_name() {
    let scene = Scene::new();
    let mut observer = Observer::start(scene.options()).unwrap();
    let inner = scene.cgroup.join("cron-1");
    std::fs::create_dir(&inner).unwrap();
    scene.run_in(&inner, "act refused 127.0.0.1:7201").end();
    // Removed before the observer looks for the first time.
    let gone = sekisho_system::wait::until(std::time::Duration::from_secs(5), || {
        std::fs::remove_dir(&inner).ok()
    });
    assert!(gone.is_some());
    let (events, _) = watch_out(&mut observer, scene.run("true"));
    let expected = format!("{}/cron-1", scene.path());
    let seen = sockets(&events);
    assert!(!seen.is_empty() && seen.iter().all(|event| event.cgroup == expected), "{seen:#?}");
    let named = execs(&events).iter().any(|exec| {
        exec.cgroup == expected && exec.pid == seen[0].pid && !exec.process.exe.is_empty()
    });
    assert!(named);
}

#[test]
fn a_process_older_than_the_observer_is_found() {
    let scene = Scene::new();
    let running = scene.run("touch started; ready go");
    scene.await_file("started");
    let mut observer = Observer::start(scene.options()).unwrap();
    scene.touch("go");
    let (events, _) = watch_out(&mut observer, running);
    let shell = std::fs::canonicalize("/bin/sh").unwrap();
    let found = execs(&events).iter().any(|exec| {
        exec.process.exe == shell.to_string_lossy()
            && exec.process.uid == 0
            && exec.cgroup == scene.path()
    });
    assert!(found, "{events:#?}");
}
