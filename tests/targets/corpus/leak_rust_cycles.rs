//! Trees whose children hold their parents: one in ten is dropped without being taken apart.
//! rate: 3000
//! leak: make_tree
//! lost: make_tree
//! keeps: read_request

#[path = "corpus.rs"]
mod corpus;

use std::cell::RefCell;
use std::rc::Rc;

struct Node {
    parent: RefCell<Option<Rc<Node>>>,
    children: RefCell<Vec<Rc<Node>>>,
}

fn make_node(parent: Option<Rc<Node>>) -> Rc<Node> {
    let children = RefCell::new(Vec::new());
    Rc::new(Node { parent: RefCell::new(parent), children })
}

#[inline(never)]
fn make_tree() -> Rc<Node> {
    let root = make_node(None);
    for _ in 0..3 {
        let child = make_node(Some(root.clone()));
        root.children.borrow_mut().push(child);
    }
    root
}

#[inline(never)]
fn read_request(number: i64) -> String {
    format!("request of the number {number}, {number}")
}

fn main() {
    let mut chance = corpus::Chance::new();
    corpus::run(|number| {
        for _ in 0..6 {
            let request = read_request(number);
            let tree = make_tree();
            corpus::work(20);
            if chance.below(10) > 0 {
                for child in tree.children.borrow_mut().drain(..) {
                    child.parent.take();
                }
            }
            drop(request);
        }
        corpus::done(6);
    });
}
