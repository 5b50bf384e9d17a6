//! Options of how much a container may use.

use super::super::{Args, Refusal};
use crate::container::limits::check_swap;
use crate::wire::units;

/// Less than this, and not even crun's own first process fits; Docker's bound too.
const MEMORY_MIN: u64 = 6 << 20;

/// A limit of memory in bytes.
pub fn memory(text: &str) -> Result<u64, Refusal> {
    let bytes = units::size(text)?;
    if !(MEMORY_MIN..1 << 60).contains(&bytes) {
        return Err(Refusal::bad_value(format_args!("{text}: a memory limit is at least 6m")));
    }
    Ok(bytes)
}

/// The most processes that the kernel counts (`PID_MAX_LIMIT`).
const PIDS_MAX: u32 = 4 << 20;

/// How many processes and threads; 0 for no limit.
pub fn pids(text: &str) -> Result<u32, Refusal> {
    let count = crate::wire::units::number(text).filter(|n| *n <= PIDS_MAX);
    count.ok_or_else(|| Refusal::bad_value(format_args!("{text:?} is not a number from 0 to {PIDS_MAX}")))
}

/// CPUs with up to three decimals, in thousandths.
pub fn milli_cpus(text: &str) -> Result<u32, Refusal> {
    let wrong = || Refusal::bad_value(format_args!("{text:?} is not a number of CPUs from 0.01 to 1024"));
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    if decimals.is_empty() || decimals.len() > 3 {
        return Err(wrong());
    }
    let whole: u32 = units::number(whole).filter(|n| *n <= 1024).ok_or_else(wrong)?;
    let thousandths: u32 = units::number(&format!("{decimals:0<3}")).ok_or_else(wrong)?;
    Some(whole * 1000 + thousandths).filter(|n| (10..=1_024_000).contains(n)).ok_or_else(wrong)
}

/// Bytes of memory and swap together, -1 for as much swap as there is.
pub fn memory_and_swap(text: &str) -> Result<i64, Refusal> {
    if text == "-1" { Ok(-1) } else { units::size(text).map(|n| i64::try_from(n).unwrap_or(-1)) }
}

/// `memory-swap=`, beside `memory`.
pub fn memory_swap(args: &mut Args, memory: Option<u64>) -> Result<Option<i64>, Refusal> {
    let both = args.value("memory-swap", memory_and_swap)?;
    check_swap(memory, both)?;
    Ok(both)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpus_are_thousandths() {
        for (text, thousandths) in [("1", 1000), ("0.5", 500), ("1.25", 1250), ("0.01", 10), ("1024", 1_024_000)] {
            assert_eq!(milli_cpus(text).unwrap(), thousandths, "{text}");
        }
        for bad in ["", "0", "0.001", "-1", "1.", ".5", "1.0001", "1025", "x", "1e3"] {
            assert!(milli_cpus(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn less_than_a_process_needs_is_refused() {
        assert!(memory("5m").is_err() && memory("6m").is_ok());
    }
}
