//! Processor time of processes, as Linux's /proc tells it.
use std::fs;

use crate::Error;

/// Nanoseconds of one clock tick of /proc: 100 Hz on every Linux.
const TICK: u64 = 10_000_000;

/// Nanoseconds that a process has had of all processors, or None where /proc does not say.
pub fn of_process(pid: &str) -> Option<u64> {
    // The second field is the program's name, which may have spaces and parentheses.
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    Some(ticks * TICK)
}

/// Nanoseconds of several processes together.
pub fn of_servers(pids: &[u32]) -> Result<Option<u64>, Error> {
    let mut total = None;
    for pid in pids {
        let used = of_process(&pid.to_string())
            .ok_or_else(|| Error::Option(format!("--server-pid {pid}: no such process here")))?;
        total = Some(total.unwrap_or(0) + used);
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_used_time_and_a_missing_one_is_an_error() {
        assert!(of_process("self").is_some());
        assert!(of_servers(&[u32::MAX]).is_err());
        assert_eq!(of_servers(&[]).unwrap(), None);
    }
}
