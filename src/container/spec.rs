//! The runtime spec: a plan and the network it got, as the `config.json` that crun reads (OCI runtime-spec 1.0.2). Pure.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use oci_spec::OciSpecError;
use oci_spec::runtime::{
    BoxBuilder, LinuxBuilder, LinuxCapabilitiesBuilder, LinuxCpu, LinuxCpuBuilder, LinuxDeviceCgroup,
    LinuxDeviceCgroupBuilder, LinuxMemoryBuilder, LinuxNamespace, LinuxNamespaceBuilder, LinuxNamespaceType,
    LinuxPidsBuilder, LinuxResources, LinuxResourcesBuilder, Mount, MountBuilder, PosixRlimit, PosixRlimitBuilder,
    Process, ProcessBuilder, RootBuilder, Spec, SpecBuilder, UserBuilder, get_default_maskedpaths,
    get_default_readonly_paths,
};

use super::devices::Device;
use super::limits::Ulimit;
use super::plan::{Plan, Wishes};
use super::raw;
use super::userns::Ids;
use crate::network::Attachment;
use crate::refusal::Refusal;
use crate::tools::filters::ANNOTATION;

/// How many processes and threads a container may have where nothing is said; Podman's default.
const PIDS_LIMIT: u32 = 2048;
/// The period that CPU limits are counted in, in microseconds; the kernel's default.
const CPU_PERIOD: u64 = 100_000;
/// What is hidden beyond the runtime spec's own list, as Docker does.
const MASKED: &[&str] = &["/proc/acpi", "/proc/scsi", "/sys/devices/virtual/powercap"];

/// Where the host's init stands in a container: on its own `/dev`, so that nothing of it comes into what it writes.
const INIT: &str = "/dev/init";
/// Bytes of `/dev/shm` where nothing is said; Docker's.
const SHM_SIZE: u64 = 64 << 20;

/// The spec of `plan`, in the network of `attachment`, with its seccomp filter as crun has `compiled` it where that is
/// known, and with its `ids` where it has some of its own.
pub fn make(plan: &Plan, attachment: &Attachment, ids: Option<&Ids>, compiled: Option<&str>) -> Result<Spec, Refusal> {
    build(plan, attachment, ids, compiled).map_err(|e| Refusal::internal(format_args!("the runtime spec: {e}")))
}

fn build(
    plan: &Plan,
    attachment: &Attachment,
    ids: Option<&Ids>,
    compiled: Option<&str>,
) -> Result<Spec, OciSpecError> {
    let (storage, security) = (&plan.wishes.storage, &plan.wishes.security);
    let mut linux = LinuxBuilder::default()
        .namespaces(namespaces(attachment, ids)?)
        .resources(resources(plan)?)
        .cgroups_path(&plan.places.cgroup)
        .sysctl(security.sysctls.clone().into_iter().collect::<HashMap<_, _>>())
        .devices(match ids {
            // Nobody can make nodes in a user namespace: those that are made beforehand are mounted.
            Some(_) => Vec::new(),
            None => plan.devices.iter().map(Device::node).collect::<Result<_, _>>()?,
        });
    if !security.privileged {
        linux = linux.masked_paths(masked()).readonly_paths(get_default_readonly_paths());
    } else {
        linux = linux.masked_paths(Vec::new()).readonly_paths(Vec::new());
    }
    if plan.binds.iter().any(|bind| bind.propagation.is_slave()) {
        // crun (1.8.1) makes everything private otherwise, before it mounts: a slave's master would be lost.
        linux = linux.rootfs_propagation("rslave");
    }
    if let Some(filter) = &plan.seccomp {
        linux = linux.seccomp(filter.spec.clone());
    }
    let annotations = compiled.map(|program| (ANNOTATION.to_owned(), program.to_owned()));
    SpecBuilder::default()
        .annotations(annotations.into_iter().collect::<HashMap<_, _>>())
        .version("1.0.2")
        .root(RootBuilder::default().path(plan.places.rootfs()).readonly(storage.read_only).build()?)
        .hostname(attachment.shared.as_ref().map_or(&plan.hostname, |shared| &shared.identity.hostname))
        .process(process(plan, attachment)?)
        .mounts(mounts(plan, &etc_of(plan, attachment), ids)?)
        .linux(linux.build()?)
        .build()
}

fn process(plan: &Plan, attachment: &Attachment) -> Result<Process, OciSpecError> {
    let user = UserBuilder::default()
        .uid(plan.user.uid)
        .gid(plan.user.gid)
        .additional_gids(plan.user.groups.clone())
        .build()?;
    let capabilities = plan.capabilities.to_spec();
    // Not inheritable and not ambient: a process that is not root has none of them once it executes.
    let capabilities = LinuxCapabilitiesBuilder::default()
        .bounding(capabilities.clone())
        .effective(capabilities.clone())
        .permitted(capabilities)
        .inheritable(HashSet::new())
        .ambient(HashSet::new())
        .build()?;
    let argv = if plan.raw.is_some() { vec![raw::PROGRAM.to_owned()] } else { plan.argv.clone() };
    let init = plan.init.iter().flat_map(|_| [INIT.to_owned(), "--".to_owned()]);
    let mut process = ProcessBuilder::default();
    if let Some(size) = plan.wishes.size {
        process = process.console_size(BoxBuilder::default().height(size.rows).width(size.cols).build()?);
    }
    if let Some(score) = plan.oom_score_adj {
        process = process.oom_score_adj(score);
    }
    process
        .terminal(plan.wishes.tty)
        .user(user)
        .args(init.chain(argv).collect::<Vec<_>>())
        .env(environment(plan, attachment))
        .cwd(&plan.workdir)
        .capabilities(capabilities)
        .rlimits(plan.wishes.ulimits.iter().map(rlimit).collect::<Result<Vec<_>, _>>()?)
        .no_new_privileges(plan.wishes.security.no_new_privileges)
        .build()
}

/// `HOSTNAME` is that of whose network it shares, as its hostname is.
fn environment(plan: &Plan, attachment: &Attachment) -> Vec<String> {
    let (mut env, own) = (plan.env.clone(), format!("HOSTNAME={}", plan.hostname));
    if let (Some(shared), Some(variable)) = (&attachment.shared, env.iter_mut().find(|variable| **variable == own)) {
        *variable = format!("HOSTNAME={}", shared.identity.hostname);
    }
    env
}

fn rlimit(limit: &Ulimit) -> Result<PosixRlimit, OciSpecError> {
    PosixRlimitBuilder::default().typ(limit.kind).soft(limit.soft).hard(limit.hard).build()
}

fn masked() -> Vec<String> {
    get_default_maskedpaths().into_iter().chain(MASKED.iter().map(|path| (*path).to_owned())).collect()
}

fn namespaces(attachment: &Attachment, ids: Option<&Ids>) -> Result<Vec<LinuxNamespace>, OciSpecError> {
    use LinuxNamespaceType::{Cgroup, Ipc, Mount, Network, Pid, User, Uts};
    let fresh = |kind| LinuxNamespaceBuilder::default().typ(kind).build();
    let at = |kind, path: &Path| LinuxNamespaceBuilder::default().typ(kind).path(path).build();
    let network = attachment.netns.as_ref().map(|netns| at(Network, netns)).transpose()?;
    let user = ids.map(|ids| at(User, &ids.path())).transpose()?;
    let fresh = [fresh(Pid)?, fresh(Ipc)?, fresh(Uts)?, fresh(Mount)?, fresh(Cgroup)?];
    Ok(fresh.into_iter().chain(network).chain(user).collect())
}

fn resources(plan: &Plan) -> Result<LinuxResources, OciSpecError> {
    let wishes = &plan.wishes;
    let mut resources = LinuxResourcesBuilder::default().devices(device_rules(plan)?);
    match wishes.pids.unwrap_or(PIDS_LIMIT) {
        0 => {}
        limit => resources = resources.pids(LinuxPidsBuilder::default().limit(i64::from(limit)).build()?),
    }
    if let Some(bytes) = wishes.memory.and_then(|bytes| i64::try_from(bytes).ok()) {
        let memory = LinuxMemoryBuilder::default().limit(bytes);
        let memory = if let Some(swap) = wishes.memory_swap { memory.swap(swap) } else { memory };
        resources = resources.memory(memory.build()?);
    }
    if wishes.milli_cpus.is_some() || wishes.cpuset.is_some() {
        resources = resources.cpu(cpu(wishes)?);
    }
    resources.build()
}

/// crun adds the devices that every container has; everything else stays closed but for what was wished for.
fn device_rules(plan: &Plan) -> Result<Vec<LinuxDeviceCgroup>, OciSpecError> {
    let all = LinuxDeviceCgroupBuilder::default().allow(plan.wishes.security.privileged).access("rwm").build()?;
    std::iter::once(Ok(all)).chain(plan.devices.iter().map(Device::rule)).collect()
}

fn cpu(wishes: &Wishes) -> Result<LinuxCpu, OciSpecError> {
    let mut cpu = LinuxCpuBuilder::default();
    if let Some(thousandths) = wishes.milli_cpus {
        cpu = cpu.quota(i64::from(thousandths) * (CPU_PERIOD as i64 / 1000)).period(CPU_PERIOD);
    }
    if let Some(cpus) = &wishes.cpuset {
        cpu = cpu.cpus(cpus.clone());
    }
    cpu.build()
}

/// Every path that something is mounted on.
pub fn mount_points(plan: &Plan) -> Result<Vec<PathBuf>, Refusal> {
    let mounts = mounts(plan, &plan.places.etc(), None);
    let mounts = mounts.map_err(|e| Refusal::internal(format_args!("the runtime spec: {e}")))?;
    Ok(mounts.iter().map(|mount| mount.destination().clone()).collect())
}

/// The files that are made for it, or for whose network it shares.
fn etc_of(plan: &Plan, attachment: &Attachment) -> PathBuf {
    attachment.shared.as_ref().map_or_else(|| plan.places.etc(), |shared| shared.identity.etc.clone())
}

fn mounts(plan: &Plan, etc: &Path, ids: Option<&Ids>) -> Result<Vec<Mount>, OciSpecError> {
    let shm_size = format!("size={}", plan.wishes.storage.shm_size.unwrap_or(SHM_SIZE));
    let system = if plan.wishes.security.privileged { "rw" } else { "ro" };
    let mut mounts = vec![
        mount("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"])?,
        mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"])?,
        mount(
            "/dev/pts",
            "devpts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        )?,
        mount("/dev/shm", "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777", &shm_size])?,
        mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"])?,
        mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", system])?,
        mount("/sys/fs/cgroup", "cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", system])?,
    ];
    if let Some(init) = &plan.init {
        mounts.push(mount(INIT, "bind", &init.to_string_lossy(), &["bind", "rprivate", "ro"])?);
    }
    if plan.raw.is_some() {
        let source = raw::program(&plan.places);
        mounts.push(mount(raw::PROGRAM, "bind", &source.to_string_lossy(), &["bind", "rprivate", "ro"])?);
    }
    let map = ids.map(Ids::mount_option);
    if let Some(map) = &map {
        let node = |device: &Device| {
            let (path, source) = (device.path.to_string_lossy(), device.source_in(&plan.places.devices()));
            mount(&path, "bind", &source.to_string_lossy(), &["bind", "rprivate", "rw", "dev", map])
        };
        mounts.extend(plan.devices.iter().map(node).collect::<Result<Vec<_>, _>>()?);
    }
    let asked_for = asked_for(plan, map.as_deref())?;
    let mut etc = etc_files(plan, etc, map.as_deref())?;
    etc.retain(|own| asked_for.iter().all(|m| m.destination() != own.destination()));
    // Before the files of /etc, so that these are seen in a volume there too.
    mounts.extend(asked_for.iter().cloned().chain(etc));
    if plan.places.cgroup_v1 && !plan.wishes.security.privileged {
        // crun (1.8.1) makes the hierarchies read-only, and not the tmpfs that they are mounted in.
        let options = ["remount", "bind", "nosuid", "noexec", "nodev", "ro"];
        mounts.push(mount("/sys/fs/cgroup", "bind", "/sys/fs/cgroup", &options)?);
    }
    Ok(mounts)
}

/// The files of `etc`, where they belong.
fn etc_files(plan: &Plan, etc: &Path, map: Option<&str>) -> Result<Vec<Mount>, OciSpecError> {
    // Docker's rule: what it cannot write elsewhere, it cannot write there.
    let access = if plan.wishes.storage.read_only { "ro" } else { "rw" };
    let bound = |file: &&str| {
        let source = etc.join(file);
        let options: Vec<&str> = ["bind", "rprivate", access].into_iter().chain(map).collect();
        mount(&format!("/etc/{file}"), "bind", &source.to_string_lossy(), &options)
    };
    ["hosts", "hostname", "resolv.conf"].iter().map(bound).collect()
}

/// Volumes and tmpfs, outer ones first.
fn asked_for(plan: &Plan, map: Option<&str>) -> Result<Vec<Mount>, OciSpecError> {
    let tmpfs = plan.wishes.storage.tmpfs.iter().map(|tmpfs| {
        let options: Vec<&str> = tmpfs.options.iter().map(String::as_str).collect();
        mount(&tmpfs.destination.to_string_lossy(), "tmpfs", "tmpfs", &options)
    });
    let binds = plan.binds.iter().map(|bind| {
        let access = if bind.read_only { "ro" } else { "rw" };
        let options: Vec<&str> = ["rbind", bind.propagation.word(), access].into_iter().chain(map).collect();
        mount(&bind.destination.to_string_lossy(), "bind", &bind.source.to_string_lossy(), &options)
    });
    let mut mounts = binds.chain(tmpfs).collect::<Result<Vec<_>, _>>()?;
    mounts.sort_by_key(|mount| mount.destination().components().count());
    Ok(mounts)
}

fn mount(destination: &str, kind: &str, source: &str, options: &[&str]) -> Result<Mount, OciSpecError> {
    let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
    MountBuilder::default().destination(destination).typ(kind).source(source).options(options).build()
}
