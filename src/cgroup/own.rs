//! The cgroup that this process is in itself: how much memory it and those around it may have.

use std::fs;
use std::path::Path;

use super::{Cgroups, memory_limit};

impl Cgroups {
    /// The least limit of memory, in bytes, of the cgroup that this process is in and of those around it.
    pub fn own_memory_limit(&self) -> Option<u64> {
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let around = Path::new(path(&own, self.is_v2())?).ancestors();
        let dirs = around.filter_map(|path| self.dir("memory", path.to_str()?));
        dirs.filter_map(|(dir, v1)| memory_limit(&dir, v1)).min()
    }
}

/// Of lines `NUMBER:CONTROLLERS:PATH` (cgroups(7)), the path of the one that counts memory.
fn path(lines: &str, is_v2: bool) -> Option<&str> {
    let is_of_memory = |controllers: &str| match is_v2 {
        true => controllers.is_empty(),
        false => controllers.split(',').any(|controller| controller == "memory"),
    };
    let mut parted = lines.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
    parted.find(|(controllers, _)| is_of_memory(controllers)).map(|(_, path)| path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_that_of_memory() {
        let hybrid = "12:pids:/a\n5:cpu,memory:/user.slice/x:y\n0::/b\n";
        assert_eq!(path(hybrid, false), Some("/user.slice/x:y"));
        assert_eq!(path(hybrid, true), Some("/b"));
        assert_eq!(path("12:pids:/a\n", false), None);
    }
}
