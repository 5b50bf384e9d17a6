//! What came of a play, and how it is told.

use std::fmt;
use std::time::Duration;

use super::Usage;

/// What came of a play.
pub struct Outcome {
    /// How long the groups took.
    pub took: Duration,
    /// For each verb, how long its replies took, in order.
    pub replies: Vec<(String, Vec<Duration>)>,
    /// How many data lines came.
    pub lines: u64,
    /// How many lines each listener was told: all of them as many.
    pub heard: u64,
    /// The daemon before, and after what is measured.
    pub usage: (Usage, Usage),
}

impl Outcome {
    /// That of `times`, which are in order, within which so many percent are.
    pub fn at(times: &[Duration], percent: usize) -> Duration {
        times.get(times.len().saturating_sub(1) * percent / 100).copied().unwrap_or_default()
    }

    /// The daemon's processor time for a reply, on average.
    pub fn cpu_each(&self) -> Duration {
        let replies: usize = self.replies.iter().map(|(_, times)| times.len()).sum();
        (self.usage.1.cpu - self.usage.0.cpu) / replies.max(1) as u32
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.took.as_secs_f64();
        writeln!(
            f,
            "  {:<12}{:>9}{:>10}{:>9}{:>9}{:>9}{:>9}  ms",
            "", "replies", "a second", "p50", "p90", "p99", "most"
        )?;
        for (verb, times) in &self.replies {
            let ms = |percent| Self::at(times, percent).as_secs_f64() * 1000.0;
            let rate = times.len() as f64 / seconds;
            let (n, p50, p90, p99, most) = (times.len(), ms(50), ms(90), ms(99), ms(100));
            writeln!(f, "  {verb:<12}{n:>9}{rate:>10.0}{p50:>9.2}{p90:>9.2}{p99:>9.2}{most:>9.2}")?;
        }
        let (before, after) = self.usage;
        let (lines, rate, heard) = (self.lines, self.lines as f64 / seconds, self.heard);
        writeln!(f, "  {seconds:.1} s; {lines} data lines, {rate:.0} a second; each listener heard {heard}")?;
        let (pss, fds) = ((before.pss / 1024, after.pss / 1024), (before.fds, after.fds));
        write!(f, "  the daemon: {} -> {} KiB PSS, {} -> {} descriptors, ", pss.0, pss.1, fds.0, fds.1)?;
        let (cpu, each) = (after.cpu - before.cpu, self.cpu_each());
        writeln!(f, "{:.2} s of processor time, {:.1} us a reply", cpu.as_secs_f64(), each.as_secs_f64() * 1e6)
    }
}
