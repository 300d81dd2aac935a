//! Questions to all others that wait for their answers.

use std::collections::{BTreeMap, HashMap};

use tokio::sync::oneshot;

use super::{NodeId, Reply};
use crate::limits::{SURVEY_BYTES_MAX, SURVEYS_MAX};
use crate::time::Moment;

/// What came of a question.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Survey {
    /// Who answered, and what.
    pub answers: Vec<(NodeId, Vec<u8>)>,
    /// Who did not, or could not: what they would say is not known.
    pub silent: Vec<NodeId>,
}

/// The questions under way. Bounded in number, and all answers together in bytes.
#[derive(Debug, Default)]
pub(super) struct Surveys {
    next: u64,
    open: HashMap<u64, Open>,
    /// Bytes of answers that are kept.
    kept: usize,
}

#[derive(Debug)]
struct Open {
    deadline: Moment,
    waiting: BTreeMap<NodeId, Partial>,
    survey: Survey,
    done: oneshot::Sender<Survey>,
}

/// What has come of one answer.
#[derive(Debug, Default)]
struct Partial {
    parts: u64,
    bytes: Vec<u8>,
}

/// A part of an answer.
pub(super) struct Part<'a> {
    pub(super) number: u64,
    pub(super) is_last: bool,
    pub(super) reply: Reply,
    pub(super) bytes: &'a [u8],
}

impl Surveys {
    /// Begins to wait for `peers`; `None` when too many wait already.
    pub(super) fn open(
        &mut self,
        peers: impl Iterator<Item = NodeId>,
        deadline: Moment,
    ) -> Option<(u64, oneshot::Receiver<Survey>)> {
        if self.open.len() >= SURVEYS_MAX {
            return None;
        }
        let (done, outcome) = oneshot::channel();
        let id = self.next;
        self.next += 1;
        let open = Open {
            deadline,
            waiting: peers.map(|peer| (peer, Partial::default())).collect(),
            survey: Survey::default(),
            done,
        };
        self.open.insert(id, open);
        self.finish(id);
        Some((id, outcome))
    }

    /// The question was not asked.
    pub(super) fn abandon(&mut self, id: u64) {
        self.open.remove(&id);
        self.count();
    }

    /// A part of an answer has come.
    pub(super) fn answer(&mut self, id: u64, from: NodeId, part: &Part<'_>) {
        let Some(open) = self.open.get_mut(&id) else {
            return;
        };
        let Some(partial) = open.waiting.get_mut(&from) else {
            return;
        };
        if part.number < partial.parts {
            return;
        }
        let is_whole = part.number == partial.parts && part.reply == Reply::Done;
        if !is_whole || self.kept + part.bytes.len() > SURVEY_BYTES_MAX {
            open.waiting.remove(&from);
            open.survey.silent.push(from);
        } else {
            self.kept += part.bytes.len();
            partial.parts += 1;
            partial.bytes.extend_from_slice(part.bytes);
            if part.is_last {
                let answer = std::mem::take(&mut partial.bytes);
                open.waiting.remove(&from);
                open.survey.answers.push((from, answer));
            }
        }
        self.finish(id);
    }

    /// A node is gone with all its sessions: there is nothing that it could say.
    pub(super) fn part(&mut self, node: NodeId) {
        self.leave(node, false);
    }

    /// A node is gone without having said so.
    pub(super) fn lapse(&mut self, node: NodeId) {
        self.leave(node, true);
    }

    fn leave(&mut self, node: NodeId, is_silent: bool) {
        let mut ids = Vec::new();
        for (id, open) in &mut self.open {
            if open.waiting.remove(&node).is_some() {
                if is_silent {
                    open.survey.silent.push(node);
                }
                ids.push(*id);
            }
        }
        for id in ids {
            self.finish(id);
        }
    }

    /// Ends what has waited long enough, and what nobody waits for any more.
    pub(super) fn sweep(&mut self, now: Moment) {
        let is_over = |open: &Open| open.deadline <= now || open.done.is_closed();
        let over = self.open.extract_if(|_, open| is_over(open));
        for (_, open) in over {
            open.end();
        }
        self.count();
    }

    /// Ends everything: nobody is left who would do it in time.
    pub(super) fn end(&mut self) {
        self.open.drain().for_each(|(_, open)| open.end());
        self.count();
    }

    fn finish(&mut self, id: u64) {
        let open = self.open.get(&id);
        if open.is_some_and(|open| open.waiting.is_empty())
            && let Some(open) = self.open.remove(&id)
        {
            open.end();
            self.count();
        }
    }

    /// Counts again what is kept: surveys are few, and what is never counted twice cannot drift.
    fn count(&mut self) {
        self.kept = self.open.values().map(Open::bytes).sum();
    }
}

impl Open {
    fn bytes(&self) -> usize {
        let whole = self.survey.answers.iter().map(|(_, answer)| answer.len());
        let partial = self.waiting.values().map(|partial| partial.bytes.len());
        whole.chain(partial).sum()
    }

    fn end(self) {
        let mut survey = self.survey;
        survey.silent.extend(self.waiting.into_keys());
        // Whoever asked may wait no longer.
        let _ = self.done.send(survey);
    }
}
