//! What the programs of the corpus in Rust share: corpus.h says what it does.

#![allow(dead_code)] // no program uses all of it

use std::io::{self, BufRead, Write};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

pub const HZ: i64 = 100;
const TICK: Duration = Duration::from_micros(1_000_000 / HZ as u64);
static OPERATIONS: AtomicI64 = AtomicI64::new(0);

/// So many operations were done.
pub fn done(operations: i64) {
    OPERATIONS.fetch_add(operations, Relaxed);
}

static PACE: AtomicU64 = AtomicU64::new(0);

#[inline(never)]
fn spin(steps: u64) {
    for step in 0..steps {
        std::hint::black_box(step);
    }
}

/// Compute for so many microseconds, as this processor does when it has nothing else to do.
pub fn work(microseconds: u64) {
    if PACE.load(Relaxed) == 0 {
        PACE.store((0..50).map(|_| measure()).max().unwrap_or(1), Relaxed);
    }
    spin(microseconds * PACE.load(Relaxed) >> 10);
}

/// Steps in 1,024 microseconds.
fn measure() -> u64 {
    let began = Instant::now();
    spin(20_000);
    20_000 * 1_000 * 1_024 / began.elapsed().as_nanos().max(1) as u64
}

/// Numbers that look like chance, always the same ones.
pub struct Chance(u64);

impl Chance {
    pub fn new() -> Self {
        Chance(88172645463325252)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

extern "C" {
    fn clock_gettime(clock: i32, time: *mut [i64; 2]) -> i32;
}

/// Microseconds that processors have worked for this process.
fn worked() -> i64 {
    const PROCESS: i32 = 2;
    let mut time = [0, 0];
    unsafe { clock_gettime(PROCESS, &mut time) };
    time[0] * 1_000_000 + time[1] / 1_000
}

/// Say "ready", then call `tick` 100 times a second, until stdin ends.
pub fn run(mut tick: impl FnMut(i64)) {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        for line in io::stdin().lock().lines() {
            tell.send(line.unwrap_or_default()).ok();
        }
    });
    println!("ready");
    io::stdout().flush().ok();
    let (mut began, mut read) = (Instant::now(), Instant::now());
    let (mut late, mut number, mut worked_before) = (Vec::with_capacity(1 << 16), 0, worked());
    loop {
        let due = began + TICK * number as u32;
        match told.recv_timeout(due.saturating_duration_since(Instant::now())) {
            Ok(line) if line == "m" => {
                late.sort();
                let worst = late.last().copied().unwrap_or(0);
                let p99 = late.get(late.len() * 99 / 100).copied().unwrap_or(0);
                println!(
                    "meter {} {} {} {} {}",
                    OPERATIONS.swap(0, Relaxed),
                    read.elapsed().as_micros(),
                    p99,
                    worst,
                    worked() - worked_before
                );
                io::stdout().flush().ok();
                late.clear();
                worked_before = worked();
                read = Instant::now();
            }
            Ok(_) => {}
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {
                tick(number);
                late.push(due.elapsed().as_micros() as u64);
                began += due.elapsed().saturating_sub(Duration::from_secs(1));
                number += 1;
            }
        }
    }
}
