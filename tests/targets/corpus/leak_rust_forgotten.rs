//! Four threads make boxes that are handed to a library as plain pointers; one in 100 does not come back.
//! rate: 20000
//! leak: lend
//! lost: lend
//! keeps: gather

#[path = "corpus.rs"]
mod corpus;

use std::thread;
use std::time::Duration;

#[inline(never)]
fn lend(number: u64) -> *mut [u64; 12] {
    Box::into_raw(Box::new([number; 12]))
}

#[inline(never)]
fn gather(number: u64) -> Vec<u64> {
    (0..20 + number % 10).collect()
}

fn serve() {
    let mut chance = corpus::Chance::new();
    loop {
        for number in 0..25 {
            let (lent, gathered) = (lend(number), gather(number));
            corpus::work(5);
            if chance.below(100) > 0 {
                drop(unsafe { Box::from_raw(lent) });
            }
            std::hint::black_box(gathered);
        }
        corpus::done(25);
        thread::sleep(Duration::from_millis(10));
    }
}

fn main() {
    for _ in 0..4 {
        thread::spawn(serve);
    }
    corpus::run(|_| {});
}
