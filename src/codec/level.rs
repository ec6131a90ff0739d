//! How hard to compress: as much as keeps up with the stream, and as the machine has to spare.

use std::fs;
use std::time::{Duration, Instant};

/// The greatest level that is taken by itself: beyond, memory grows faster than anything shrinks.
const MOST: i32 = 6;
/// A level more must not take a core from etcd, which often runs on this very machine.
const SPARE_CORES: f64 = 0.8;

/// Follows the stream, from level 1 to 6.
pub(super) struct Follower {
    level: i32,
    began: Instant,
    /// How long the encoder waited for input since then.
    starved: Duration,
    idle_before: Option<f64>,
}

impl Follower {
    /// Starts at the level that costs least.
    pub(super) fn new() -> Self {
        Self {
            level: 1,
            began: Instant::now(),
            starved: Duration::ZERO,
            idle_before: idle_core_seconds(),
        }
    }

    /// Notes that the encoder waited for input.
    pub(super) fn starved(&mut self, time: Duration) {
        self.starved += time;
    }

    /// The level for what comes next, after what was seen since the last call.
    pub(super) fn next(&mut self) -> i32 {
        let seconds = self.began.elapsed().as_secs_f64().max(1e-9);
        let waiting = self.starved.as_secs_f64() / seconds;
        let idle = idle_core_seconds();
        let spare = match (self.idle_before, idle) {
            (Some(before), Some(after)) => (after - before) / seconds,
            // Where nobody knows, nothing is taken.
            _ => 0.0,
        };
        self.level = next_level(self.level, waiting, spare);
        self.began = Instant::now();
        self.starved = Duration::ZERO;
        self.idle_before = idle;
        self.level
    }
}

/// One more where most of the time was spent waiting while cores were idle, one less where hardly any was.
fn next_level(level: i32, waiting: f64, spare_cores: f64) -> i32 {
    let step = match (waiting, spare_cores) {
        (waiting, spare) if waiting > 0.7 && spare > SPARE_CORES => 1,
        (waiting, _) if waiting < 0.3 => -1,
        _ => 0,
    };
    (level + step).clamp(1, MOST)
}

/// The seconds that all cores together were idle since the boot (proc(5), `/proc/stat`: in hundredths).
fn idle_core_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let all = stat.lines().next()?.strip_prefix("cpu ")?;
    let idle: f64 = all.split_whitespace().nth(3)?.parse().ok()?;
    Some(idle / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_follows_the_stream_and_the_idle_cores() {
        assert_eq!(next_level(1, 0.9, 2.0), 2);
        assert_eq!(next_level(1, 0.9, 0.1), 1, "etcd needs the core");
        assert_eq!(next_level(MOST, 0.9, 2.0), MOST);
        assert_eq!(next_level(3, 0.5, 2.0), 3);
        assert_eq!(next_level(3, 0.1, 2.0), 2);
        assert_eq!(next_level(1, 0.0, 0.0), 1);
    }

    #[test]
    fn idle_time_only_grows() {
        let before = idle_core_seconds().unwrap();
        assert!(idle_core_seconds().unwrap() >= before);
    }
}
