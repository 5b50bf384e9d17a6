//! Docker's flags, and that each of them is known here: honoured, or refused with the reason.

use crate::flag::Means;
use crate::registry::ENTRIES;

/// Flags of both `docker run` and `docker create`.
const MAKE: &str = "add-host annotation attach blkio-weight blkio-weight-device cap-add cap-drop cgroup-parent cgroupns cidfile \
    cpu-period cpu-quota cpu-rt-period cpu-rt-runtime cpu-shares cpus cpuset-cpus cpuset-mems device device-cgroup-rule \
    device-read-bps device-read-iops device-write-bps device-write-iops disable-content-trust dns dns-option dns-search \
    domainname entrypoint env env-file expose gpus group-add health-cmd health-interval health-retries \
    health-start-interval health-start-period health-timeout hostname init interactive ip ip6 ipc isolation label \
    label-file link link-local-ip log-driver log-opt mac-address memory memory-reservation memory-swap memory-swappiness \
    mount name network network-alias no-healthcheck oom-kill-disable oom-score-adj pid pids-limit platform privileged \
    publish publish-all pull quiet read-only restart rm runtime security-opt shm-size stop-signal stop-timeout storage-opt \
    sysctl tmpfs tty ulimit user userns uts volume volume-driver volumes-from workdir";

/// Commands of docker 27 with their flags, but for those of Windows, of Swarm and of experiments.
const DOCKERS: &[(&str, &str)] = &[
    ("create", MAKE),
    ("run", MAKE),
    ("run", "detach detach-keys sig-proxy"),
    ("exec", "detach detach-keys env env-file interactive privileged tty user workdir"),
    ("attach", "detach-keys no-stdin sig-proxy"),
    ("start", "attach detach-keys interactive"),
    ("stop", "signal time"),
    ("restart", "signal time"),
    ("kill", "signal"),
    ("rm", "force link volumes"),
    (
        "update",
        "blkio-weight cpu-period cpu-quota cpu-rt-period cpu-rt-runtime cpu-shares cpus cpuset-cpus cpuset-mems",
    ),
    ("update", "memory memory-reservation memory-swap pids-limit restart"),
    ("ps", "all filter format last latest no-trunc quiet size"),
    ("logs", "details follow since tail timestamps until"),
    ("inspect", "format size type"),
    ("stats", "all format no-stream no-trunc"),
    ("cp", "archive follow-link quiet"),
    ("commit", "author change message pause"),
    ("pull", "all-tags disable-content-trust platform quiet"),
    ("images", "all digests filter format no-trunc quiet"),
    ("rmi", "force no-prune"),
    ("import", "change message platform"),
    ("load", "input platform quiet"),
    ("save", "output"),
    ("events", "filter format since until"),
    ("image ls", "all digests filter format no-trunc quiet"),
    ("image inspect", "format"),
    ("image prune", "all filter force"),
    ("network ls", "filter format no-trunc quiet"),
    ("network inspect", "format"),
    ("volume ls", "filter format quiet"),
    ("volume inspect", "format"),
    ("volume prune", "filter force"),
    (
        "compose up",
        "build detach force-recreate no-color no-deps no-log-prefix no-recreate no-start pull remove-orphans",
    ),
    ("compose up", "abort-on-container-exit abort-on-container-failure exit-code-from"),
    ("compose up", "renew-anon-volumes scale timeout wait wait-timeout"),
    ("compose kill", "remove-orphans signal"),
    ("compose pull", "ignore-buildable ignore-pull-failures include-deps policy quiet"),
    ("compose down", "remove-orphans rmi timeout volumes"),
    ("compose ps", "all format quiet services"),
    ("compose logs", "follow no-color no-log-prefix since tail timestamps"),
    ("compose exec", "detach env index no-TTY privileged user workdir"),
    ("compose restart", "timeout"),
    ("compose config", "format images networks quiet services volumes"),
];

/// How many of them are honoured: the number only grows.
const HONOURED_MIN: usize = 147;

#[test]
fn every_flag_of_dockers_is_known() {
    let (mut unknown, mut honoured) = (Vec::new(), 0);
    for (command, flags) in DOCKERS {
        let entry = ENTRIES.iter().find(|entry| entry.name == *command).unwrap();
        for name in flags.split_whitespace() {
            let found = entry.all_flags().find(|flag| flag.long == name || flag.also.contains(&name));
            match found.map(|flag| &flag.means) {
                None => unknown.push(format!("{command} --{name}")),
                Some(Means::Refused(why)) => assert!(!why.is_empty(), "{command} --{name}: {why}"),
                Some(Means::Wire(..) | Means::Here) => honoured += 1,
            }
        }
    }
    assert_eq!(unknown, Vec::<String>::new());
    assert!(honoured >= HONOURED_MIN, "{honoured} are honoured");
}

#[test]
fn letters_are_dockers() {
    for (command, letters) in [
        (
            "run",
            "a:attach c:cpu-shares d:detach e:env h:hostname i:interactive l:label m:memory p:publish P:publish-all q:quiet t:tty u:user v:volume w:workdir",
        ),
        ("exec", "d:detach e:env i:interactive t:tty u:user w:workdir"),
        ("ps", "a:all f:filter l:latest n:last q:quiet s:size"),
        ("logs", "f:follow n:tail t:timestamps"),
        ("stop", "s:signal t:timeout"),
        ("kill", "s:signal"),
        ("rm", "f:force l:link v:volumes"),
        ("images", "a:all f:filter q:quiet"),
        ("inspect", "f:format s:size"),
        ("compose up", "d:detach f:file p:project-name t:timeout V:renew-anon-volumes"),
        ("compose logs", "f:follow n:tail t:timestamps p:project-name"),
        ("compose exec", "e:env i:interactive t:tty T:no-tty u:user w:workdir"),
    ] {
        let entry = ENTRIES.iter().find(|entry| entry.name == command).unwrap();
        for pair in letters.split(' ') {
            let (letter, long) = pair.split_once(':').unwrap();
            let found = entry.all_flags().find(|flag| flag.short.is_some_and(|short| letter.starts_with(short)));
            assert_eq!(found.map(|flag| flag.long), Some(long), "{command} -{letter}");
        }
    }
}
