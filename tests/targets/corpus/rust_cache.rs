//! A cache of 8,000 texts, full since long ago, in front of 10,000 requests a second.
//! rate: 20000
//! keeps: insert
//! keeps: answer

#[path = "corpus.rs"]
mod corpus;

use std::collections::{HashMap, VecDeque};

struct Cache {
    texts: HashMap<u64, String>,
    order: VecDeque<u64>,
}

impl Cache {
    #[inline(never)]
    fn insert(&mut self, key: u64) {
        self.texts.insert(key, format!("the text that belongs to the key {key}"));
        self.order.push_back(key);
        if self.order.len() > 8_000 {
            if let Some(oldest) = self.order.pop_front() {
                self.texts.remove(&oldest);
            }
        }
    }
}

#[inline(never)]
fn answer(text: &str) -> String {
    format!("<html>{text}</html>")
}

fn main() {
    let mut cache = Cache { texts: HashMap::new(), order: VecDeque::new() };
    for key in 0..8_000 {
        cache.insert(key);
    }
    let mut chance = corpus::Chance::new();
    corpus::run(|_| {
        for _ in 0..100 {
            let key = chance.below(10_000);
            if !cache.texts.contains_key(&key) {
                cache.insert(key);
            }
            let page = answer(&cache.texts[&key]);
            corpus::work(10);
            drop(page);
        }
        corpus::done(100);
    });
}
