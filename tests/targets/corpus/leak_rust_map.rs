//! Counts are kept by a key that never comes again.
//! rate: 300
//! growing: count
//! keeps: answer

#[path = "corpus.rs"]
mod corpus;

use std::collections::HashMap;

#[inline(never)]
fn count(counts: &mut HashMap<String, Box<[u64; 8]>>, id: i64) {
    counts.entry(format!("client/{id}/somewhere")).or_default()[0] += 1;
}

#[inline(never)]
fn answer(id: i64) -> Vec<u8> {
    vec![b'a'; 300 + (id % 100) as usize]
}

fn main() {
    let mut counts = HashMap::new();
    let mut id = 0;
    corpus::run(|_| {
        for _ in 0..2 {
            let page = answer(id);
            corpus::work(20);
            drop(page);
        }
        id += 1;
        if id % 2 == 0 {
            count(&mut counts, id);
        }
        corpus::done(2);
    });
}
