//! rust_server SOCKET: answers each line `get WORD` with WORD, `subscribe` with `ok`.
//!
//! The leak: a session that subscribes owns itself.

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::rc::Rc;

struct Session {
    words: RefCell<Vec<String>>,
    subscriber: RefCell<Option<Rc<Session>>>,
}

#[inline(never)]
fn open_session() -> Rc<Session> {
    let words = RefCell::new(Vec::new());
    Rc::new(Session { words, subscriber: RefCell::new(None) }) // the leak
}

fn serve(stream: UnixStream) -> std::io::Result<()> {
    let session = open_session();
    let mut answers = stream.try_clone()?;
    for line in BufReader::new(stream).lines() {
        let line = line?;
        if line == "subscribe" {
            *session.subscriber.borrow_mut() = Some(session.clone());
            session.words.borrow_mut().clear();
            answers.write_all(b"ok\n")?;
        } else {
            session.words.borrow_mut().push(line[4..].to_string());
            writeln!(answers, "{}", session.words.borrow().last().unwrap())?;
        }
    }
    Ok(())
}

fn main() -> std::io::Result<()> {
    let path = std::env::args().nth(1).expect("a path");
    for stream in UnixListener::bind(path)?.incoming() {
        serve(stream?)?;
    }
    Ok(())
}
