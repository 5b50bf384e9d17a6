//! `check`: is this host fit?

use nix::errno::Errno;
use nix::mount::MsFlags;

use super::{Access, Action, Argv, Call, Form, Line, Refusal, Verb};
use crate::cgroup::Cgroups;
use crate::config::Config;
use crate::container::seccomp::default_profile;
use crate::network::{self, Finding};
use crate::tools::{Tool, Tools};

const ROW: [&str; 3] = ["check", "ok", "detail"];
const OK: [&str; 1] = ["failed"];

/// `check` → `ROW check= ok=yes|no detail=`…, `OK failed=N`
pub const VERB: Verb = Verb {
    form: Form { name: "check", required: &[], optional: &[], options: &[], argv: Argv::No },
    about: "tell whether this host is fit",
    access: Access::Private,
    reply_keys: &[&ROW, &OK],
    action: Action::Run(|_, call| Ok(Box::pin(run(call)))),
};

async fn run(call: Call) -> Result<Line, Refusal> {
    let findings = findings(&call.engine.config, &call.engine.ground.tools, &call.engine.ground.cgroups).await;
    for line in lines(&findings) {
        call.line(&line).await;
    }
    Ok(verdict(&findings))
}

/// Everything as the verb prints it.
pub fn report(findings: &[Finding]) -> String {
    let lines = lines(findings).chain([verdict(findings)]);
    lines.map(|line| String::from_utf8_lossy(line.as_bytes()).into_owned()).collect()
}

/// The findings as rows.
fn lines(findings: &[Finding]) -> impl Iterator<Item = Line> + '_ {
    findings.iter().map(|f| Line::row(&ROW, &[&f.check, &if f.ok { "yes" } else { "no" }, &f.detail]))
}

/// The final line.
fn verdict(findings: &[Finding]) -> Line {
    Line::ok(&OK, &[&findings.iter().filter(|f| !f.ok).count()])
}

/// Looks at everything.
pub async fn findings(config: &Config, tools: &Tools, cgroups: &Cgroups) -> Vec<Finding> {
    let mut findings = vec![root(), cgroup(cgroups), overlay(), seccomp(), tmpfs(config)];
    findings.extend(Tool::ALL.iter().map(|tool| program(tools, *tool)));
    findings.extend(network::check(config, tools).await);
    findings
}

fn root() -> Finding {
    let ok = nix::unistd::geteuid().is_root();
    let detail = if ok { "running as root" } else { "not root; start the daemon as root" };
    Finding { check: "root", ok, detail: detail.to_owned() }
}

fn cgroup(cgroups: &Cgroups) -> Finding {
    let failed = |detail| Finding { check: "cgroup", ok: false, detail };
    if let Some(left) = cgroups.hybrid_leftover() {
        let remedy = format!("mount {left} as v1, or boot with v2 alone");
        return failed(format!("v1 beside a v2 that holds {left}, which crun refuses; {remedy}"));
    }
    let version = if cgroups.is_v2() { "v2" } else { "v1" };
    let missing = cgroups.missing();
    if let Some(first) = missing.first() {
        let missing = missing.join(" ");
        return failed(format!("{version} without {missing}: no such limits; try to boot with cgroup_enable={first}"));
    }
    Finding { check: "cgroup", ok: true, detail: version.to_owned() }
}

/// Asked by a mount that cannot succeed, as it names no layers: the kernel loads the module for it where that is not
/// loaded yet, which `/proc/filesystems` knows nothing of.
fn overlay() -> Finding {
    let refused = nix::mount::mount(Some("overlay"), "/", Some("overlay"), MsFlags::empty(), None::<&str>);
    let (ok, detail) = match refused {
        Err(Errno::ENODEV) => (false, "not known to the kernel; try 'modprobe overlay'"),
        Err(Errno::EPERM) => (false, "may not be mounted; start the daemon as root"),
        _ => (true, "known to the kernel"),
    };
    Finding { check: "overlay", ok, detail: detail.to_owned() }
}

fn seccomp() -> Finding {
    let (ok, detail) = match default_profile() {
        Some(path) => (true, path.display().to_string()),
        None => (
            false,
            "no default profile, so that containers may make every system call; install the package golang-github-containers-common"
                .to_owned(),
        ),
    };
    Finding { check: "seccomp", ok, detail }
}

/// Not a failure: conmon's exit files are small, but a full disk under them loses an exit status.
fn tmpfs(config: &Config) -> Finding {
    // The daemon makes the directory; until then it is where it will be made that counts.
    let kind = config.run.ancestors().find_map(|dir| nix::sys::statfs::statfs(dir).ok()).map(|fs| fs.filesystem_type());
    let detail = match kind {
        Some(nix::sys::statfs::TMPFS_MAGIC) => "on a tmpfs".to_owned(),
        _ => format!("{} is not on a tmpfs; exit statuses may be lost when its disk is full", config.run.display()),
    };
    Finding { check: "run-directory", ok: true, detail }
}

fn program(tools: &Tools, tool: Tool) -> Finding {
    match tools.path(tool) {
        Ok(path) => Finding { check: tool.name(), ok: true, detail: path.display().to_string() },
        Err(refusal) => Finding { check: tool.name(), ok: false, detail: refusal.message().to_owned() },
    }
}
