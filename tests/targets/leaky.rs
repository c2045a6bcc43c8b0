// One round for each line on stdin: each function named `by_...` leaks what the library allocates.

use std::collections::HashMap;
use std::hint::black_box;
use std::io::{self, BufRead, Write};

fn keep<T>(owner: T) {
    std::mem::forget(black_box(owner)); // the compiler may leave out what nobody looks at
}

trait Packs {
    fn by_trait(&self) -> usize;
}

struct Parcel<T>(Vec<T>);

impl<T: Clone> Packs for Parcel<T> {
    #[inline(never)]
    fn by_trait(&self) -> usize {
        keep(self.0.clone());
        self.0.len()
    }
}

#[inline(never)]
fn by_vec(size: usize) {
    keep(vec![0u8; size]);
}

#[inline(never)]
fn by_box(size: usize) {
    keep(Box::new([size; 20]));
}

#[inline(never)]
fn by_format(size: usize) {
    keep(format!("of {} bytes", size));
}

#[inline(never)]
fn by_map(size: usize) {
    keep(HashMap::from([(size, size)]));
}

fn say(word: &str) {
    println!("{}", word);
    io::stdout().flush().unwrap();
}

fn main() {
    let parcel = Parcel(vec![1u64, 2, 3]);
    say("ready");
    for line in io::stdin().lock().lines() {
        let size = line.unwrap().len() + 1000;
        by_vec(size);
        by_box(size);
        by_format(size);
        by_map(size);
        assert!(parcel.by_trait() == 3);
        say("done");
    }
}
