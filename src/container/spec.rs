//! The runtime spec: a plan and the network it got, as the `config.json` that crun reads (OCI runtime-spec 1.0.2). Pure.

use std::collections::HashSet;
use std::path::Path;

use oci_spec::OciSpecError;
use oci_spec::runtime::{
    Capability, LinuxBuilder, LinuxCapabilitiesBuilder, LinuxCpuBuilder, LinuxDeviceCgroupBuilder, LinuxMemoryBuilder,
    LinuxNamespace, LinuxNamespaceBuilder, LinuxNamespaceType, LinuxPidsBuilder, LinuxResources, LinuxResourcesBuilder,
    Mount, MountBuilder, ProcessBuilder, RootBuilder, Spec, SpecBuilder, UserBuilder, get_default_maskedpaths,
    get_default_readonly_paths,
};

use super::plan::{Places, Plan, Wishes};
use crate::refusal::Refusal;

/// How many processes and threads a container may have where nothing is said; Podman's default.
const PIDS_LIMIT: u32 = 2048;
/// The period that CPU limits are counted in, in microseconds; the kernel's default.
const CPU_PERIOD: u64 = 100_000;
/// What is hidden beyond the runtime spec's own list, as Docker does.
const MASKED: &[&str] = &["/proc/acpi", "/proc/scsi", "/sys/devices/virtual/powercap"];

/// Podman's default set: enough for what images do, and nothing that reaches the host.
const CAPABILITIES: [Capability; 11] = [
    Capability::Chown,
    Capability::DacOverride,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Kill,
    Capability::NetBindService,
    Capability::Setfcap,
    Capability::Setgid,
    Capability::Setpcap,
    Capability::Setuid,
    Capability::SysChroot,
];

/// The spec of `plan`, on the network of `netns` (a path that opens it).
pub fn make(plan: &Plan, netns: &Path) -> Result<Spec, Refusal> {
    build(plan, netns).map_err(|e| Refusal::internal(format_args!("the runtime spec: {e}")))
}

fn build(plan: &Plan, netns: &Path) -> Result<Spec, OciSpecError> {
    let user = UserBuilder::default()
        .uid(plan.user.uid)
        .gid(plan.user.gid)
        .additional_gids(plan.user.groups.clone())
        .build()?;
    let capabilities = HashSet::from(CAPABILITIES);
    // Not inheritable and not ambient: a process that is not root has none of them once it executes.
    let capabilities = LinuxCapabilitiesBuilder::default()
        .bounding(capabilities.clone())
        .effective(capabilities.clone())
        .permitted(capabilities)
        .inheritable(HashSet::new())
        .ambient(HashSet::new())
        .build()?;
    let process = ProcessBuilder::default()
        .terminal(false)
        .user(user)
        .args(plan.argv.clone())
        .env(plan.env.clone())
        .cwd(&plan.workdir)
        .capabilities(capabilities)
        .rlimits(Vec::new())
        .no_new_privileges(false)
        .build()?;
    let linux = LinuxBuilder::default()
        .namespaces(namespaces(netns)?)
        .resources(resources(&plan.wishes)?)
        .cgroups_path(&plan.places.cgroup)
        .masked_paths(
            get_default_maskedpaths().into_iter().chain(MASKED.iter().map(|p| (*p).to_owned())).collect::<Vec<_>>(),
        )
        .readonly_paths(get_default_readonly_paths())
        .build()?;
    SpecBuilder::default()
        .version("1.0.2")
        .root(RootBuilder::default().path(plan.places.rootfs()).readonly(false).build()?)
        .hostname(&plan.hostname)
        .process(process)
        .mounts(mounts(&plan.places)?)
        .linux(linux)
        .build()
}

fn namespaces(netns: &Path) -> Result<Vec<LinuxNamespace>, OciSpecError> {
    use LinuxNamespaceType::{Cgroup, Ipc, Mount, Network, Pid, Uts};
    let fresh = |kind| LinuxNamespaceBuilder::default().typ(kind).build();
    let network = LinuxNamespaceBuilder::default().typ(Network).path(netns).build()?;
    Ok(vec![fresh(Pid)?, fresh(Ipc)?, fresh(Uts)?, fresh(Mount)?, fresh(Cgroup)?, network])
}

fn resources(wishes: &Wishes) -> Result<LinuxResources, OciSpecError> {
    // crun adds the devices that every container has; everything else stays closed.
    let no_device = LinuxDeviceCgroupBuilder::default().allow(false).access("rwm").build()?;
    let mut resources = LinuxResourcesBuilder::default().devices(vec![no_device]);
    match wishes.pids.unwrap_or(PIDS_LIMIT) {
        0 => {}
        limit => resources = resources.pids(LinuxPidsBuilder::default().limit(i64::from(limit)).build()?),
    }
    if let Some(bytes) = wishes.memory.and_then(|bytes| i64::try_from(bytes).ok()) {
        resources = resources.memory(LinuxMemoryBuilder::default().limit(bytes).build()?);
    }
    if let Some(thousandths) = wishes.milli_cpus {
        let quota = i64::from(thousandths) * (CPU_PERIOD as i64 / 1000);
        resources = resources.cpu(LinuxCpuBuilder::default().quota(quota).period(CPU_PERIOD).build()?);
    }
    resources.build()
}

fn mounts(places: &Places) -> Result<Vec<Mount>, OciSpecError> {
    let mut mounts = vec![
        mount("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"])?,
        mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"])?,
        mount(
            "/dev/pts",
            "devpts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        )?,
        mount("/dev/shm", "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"])?,
        mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"])?,
        mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"])?,
        mount("/sys/fs/cgroup", "cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", "ro"])?,
    ];
    for file in ["hosts", "hostname", "resolv.conf"] {
        let source = places.data.join("etc").join(file);
        mounts.push(mount(&format!("/etc/{file}"), "bind", &source.to_string_lossy(), &["bind", "rprivate"])?);
    }
    Ok(mounts)
}

fn mount(destination: &str, kind: &str, source: &str, options: &[&str]) -> Result<Mount, OciSpecError> {
    let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
    MountBuilder::default().destination(destination).typ(kind).source(source).options(options).build()
}
