//! Which publications a subscriber wants, by their tags: section 11 of the client protocol.
//!
//! A filter is checked and bounded once, when a client asks for it, and cannot fail afterwards. It
//! knows tags only: neither channels nor who subscribes.

use std::cmp::Ordering;

use campanile_protocol::Tags;
use campanile_protocol::command::FilterNode;

use super::decimal::Decimal;
use crate::limits::{FILTER_BYTES_MAX, FILTER_DEPTH_MAX, FILTER_NODES_MAX, FILTER_VALUES_MAX};

/// A condition on the tags of a publication.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct TagsFilter(Node);

/// Why a condition that a client spelled is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FilterError {
    /// It is deeper, wider or longer than the bounds in [`crate::limits`].
    TooLarge,
    /// An operator or a comparison that the protocol does not have.
    UnknownOperator,
    /// A comparison without what it compares, or with more than that.
    WrongOperands,
    /// An operator that combines too few or too many conditions.
    WrongNodes,
}

impl std::fmt::Display for FilterError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::TooLarge => "filter is too large",
            Self::UnknownOperator => "unknown operator in filter",
            Self::WrongOperands => "wrong operands in filter",
            Self::WrongNodes => "wrong number of conditions in filter",
        })
    }
}

impl std::error::Error for FilterError {}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Node {
    All(Box<[Node]>),
    Any(Box<[Node]>),
    Not(Box<Node>),
    Tag { key: Box<str>, test: Test },
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Test {
    Exists,
    IsMissing,
    Is(Box<str>),
    IsNot(Box<str>),
    /// Sorted.
    IsIn(Box<[Box<str>]>),
    /// Sorted.
    IsNotIn(Box<[Box<str>]>),
    StartsWith(Box<str>),
    EndsWith(Box<str>),
    Contains(Box<str>),
    /// Compares as a number with this one, which may turn out to be none.
    Number(Bound, Box<str>),
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Bound {
    Below,
    AtMost,
    Above,
    AtLeast,
}

impl TagsFilter {
    /// Makes a filter of what a client spelled.
    ///
    /// # Errors
    /// It makes no sense, or is larger than the server keeps for one subscription.
    pub fn new(node: &FilterNode) -> Result<Self, FilterError> {
        Room::default().node(node, FILTER_DEPTH_MAX).map(Self)
    }

    /// Whether a publication with these tags is wanted.
    #[must_use]
    pub fn accepts(&self, tags: Option<&Tags>) -> bool {
        self.0.accepts(tags)
    }
}

/// What of the bounds one filter has left.
struct Room {
    nodes: usize,
    values: usize,
    bytes: usize,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            nodes: FILTER_NODES_MAX,
            values: FILTER_VALUES_MAX,
            bytes: FILTER_BYTES_MAX,
        }
    }
}

fn take(room: &mut usize, amount: usize) -> Result<(), FilterError> {
    *room = room.checked_sub(amount).ok_or(FilterError::TooLarge)?;
    Ok(())
}

impl Room {
    fn node(&mut self, node: &FilterNode, depth: usize) -> Result<Node, FilterError> {
        take(&mut self.nodes, 1)?;
        let depth = depth.checked_sub(1).ok_or(FilterError::TooLarge)?;
        let nodes = node.nodes.as_slice();
        Ok(match (node.op.as_str(), nodes) {
            ("", _) => self.tag(node)?,
            ("and" | "or", []) => return Err(FilterError::WrongNodes),
            ("and", _) => Node::All(self.nodes(nodes, depth)?),
            ("or", _) => Node::Any(self.nodes(nodes, depth)?),
            ("not", [only]) => Node::Not(Box::new(self.node(only, depth)?)),
            ("not", _) => return Err(FilterError::WrongNodes),
            _ => return Err(FilterError::UnknownOperator),
        })
    }

    fn nodes(&mut self, nodes: &[FilterNode], depth: usize) -> Result<Box<[Node]>, FilterError> {
        nodes.iter().map(|node| self.node(node, depth)).collect()
    }

    fn tag(&mut self, node: &FilterNode) -> Result<Node, FilterError> {
        let test = match node.cmp.as_str() {
            "ex" => Test::Exists,
            "nex" => Test::IsMissing,
            "eq" => Test::Is(self.text(&node.val)?),
            "neq" => Test::IsNot(self.text(&node.val)?),
            "in" => Test::IsIn(self.texts(&node.vals)?),
            "nin" => Test::IsNotIn(self.texts(&node.vals)?),
            "sw" => Test::StartsWith(self.text(&node.val)?),
            "ew" => Test::EndsWith(self.text(&node.val)?),
            "ct" => Test::Contains(self.text(&node.val)?),
            "lt" => Test::Number(Bound::Below, self.text(&node.val)?),
            "lte" => Test::Number(Bound::AtMost, self.text(&node.val)?),
            "gt" => Test::Number(Bound::Above, self.text(&node.val)?),
            "gte" => Test::Number(Bound::AtLeast, self.text(&node.val)?),
            _ => return Err(FilterError::UnknownOperator),
        };
        let (needs_key, needs_val, needs_vals) = match &test {
            Test::Exists | Test::IsMissing => (false, false, false),
            Test::IsIn(_) | Test::IsNotIn(_) => (true, false, true),
            _ => (true, true, false),
        };
        if (needs_key && node.key.is_empty())
            || needs_val == node.val.is_empty()
            || needs_vals == node.vals.is_empty()
        {
            return Err(FilterError::WrongOperands);
        }
        let key = self.text(&node.key)?;
        Ok(Node::Tag { key, test })
    }

    fn text(&mut self, text: &str) -> Result<Box<str>, FilterError> {
        take(&mut self.bytes, text.len())?;
        Ok(text.into())
    }

    fn texts(&mut self, texts: &[String]) -> Result<Box<[Box<str>]>, FilterError> {
        take(&mut self.values, texts.len())?;
        let kept: Result<Vec<_>, _> = texts.iter().map(|text| self.text(text)).collect();
        let mut kept = kept?;
        kept.sort_unstable();
        kept.dedup();
        Ok(kept.into())
    }
}

impl Node {
    fn accepts(&self, tags: Option<&Tags>) -> bool {
        match self {
            Self::All(nodes) => nodes.iter().all(|node| node.accepts(tags)),
            Self::Any(nodes) => nodes.iter().any(|node| node.accepts(tags)),
            Self::Not(node) => !node.accepts(tags),
            Self::Tag { key, test } => {
                let tag = tags.and_then(|tags| tags.get(&**key));
                test.accepts(tag.map(String::as_str))
            }
        }
    }
}

impl Test {
    fn accepts(&self, tag: Option<&str>) -> bool {
        let is_in = |values: &[Box<str>]| {
            let tag = tag.unwrap_or_default();
            values.binary_search_by(|value| (**value).cmp(tag)).is_ok()
        };
        match self {
            Self::Exists => tag.is_some(),
            Self::IsMissing => tag.is_none(),
            Self::Is(value) => tag == Some(value),
            Self::IsNot(value) => tag != Some(value),
            Self::IsIn(values) => is_in(values),
            Self::IsNotIn(values) => !is_in(values),
            Self::StartsWith(value) => tag.is_some_and(|tag| tag.starts_with(&**value)),
            Self::EndsWith(value) => tag.is_some_and(|tag| tag.ends_with(&**value)),
            Self::Contains(value) => tag.is_some_and(|tag| tag.contains(&**value)),
            Self::Number(bound, value) => {
                let numbers = tag.and_then(Decimal::parse).zip(Decimal::parse(value));
                numbers.is_some_and(|(tag, value)| bound.holds(tag.compare(&value)))
            }
        }
    }
}

impl Bound {
    fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Below => ordering.is_lt(),
            Self::AtMost => ordering.is_le(),
            Self::Above => ordering.is_gt(),
            Self::AtLeast => ordering.is_ge(),
        }
    }
}
