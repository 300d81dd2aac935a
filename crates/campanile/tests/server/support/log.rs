//! What a program writes to standard error, line by line, with the time of each.

use std::io::{BufRead as _, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::PATIENCE;

/// Lines so far; shared with the thread that reads them.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<(Mutex<Lines>, Condvar)>);

#[derive(Default)]
struct Lines {
    lines: Vec<(Instant, String)>,
    ended: Option<Instant>,
}

impl Log {
    /// Reads `stream` to its end, in a thread of its own.
    pub(crate) fn of(stream: impl Read + Send + 'static) -> Self {
        let log = Self::default();
        let filled = log.clone();
        thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                filled.change(|lines| lines.lines.push((Instant::now(), line)));
            }
            filled.change(|lines| lines.ended = Some(Instant::now()));
        });
        log
    }

    fn change(&self, change: impl FnOnce(&mut Lines)) {
        change(&mut self.0.0.lock().expect("no reader panics"));
        self.0.1.notify_all();
    }

    /// Everything so far.
    pub(crate) fn text(&self) -> String {
        let lines = self.0.0.lock().expect("no reader panics");
        let texts: Vec<_> = lines.lines.iter().map(|(_, text)| text.as_str()).collect();
        texts.join("\n")
    }

    /// The first line with `part` in it and when it came, as soon as there is one.
    pub(crate) fn wait_for(&self, part: &str) -> (Instant, String) {
        self.wait(|lines| {
            let mut lines = lines.lines.iter();
            lines.find(|(_, text)| text.contains(part)).cloned()
        })
        .unwrap_or_else(|| panic!("no line with {part:?} in\n{}", self.text()))
    }

    /// When the stream ended: when the program did.
    pub(crate) fn wait_for_end(&self) -> Option<Instant> {
        self.wait(|lines| lines.ended)
    }

    /// Waits until there are this many lines with `part` in them.
    pub(crate) fn wait_for_count(&self, part: &str, wanted: usize) {
        let come = self.wait(|lines| {
            let with_part = lines.lines.iter().filter(|(_, text)| text.contains(part));
            (with_part.count() >= wanted).then_some(())
        });
        assert!(
            come.is_some(),
            "not {wanted} lines with {part:?} in\n{}",
            self.text()
        );
    }

    /// Lines with `part` in them.
    pub(crate) fn count(&self, part: &str) -> usize {
        let lines = self.0.0.lock().expect("no reader panics");
        let with_part = lines.lines.iter().filter(|(_, text)| text.contains(part));
        with_part.count()
    }

    fn wait<T>(&self, find: impl Fn(&Lines) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + PATIENCE;
        let mut lines = self.0.0.lock().expect("no reader panics");
        loop {
            if let Some(found) = find(&lines) {
                return Some(found);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left == Duration::ZERO {
                return None;
            }
            (lines, _) = self
                .0
                .1
                .wait_timeout(lines, left)
                .expect("no reader panics");
        }
    }
}
