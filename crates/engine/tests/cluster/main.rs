//! Several nodes that know each other, over a bus that fails as it is told.

mod asking;
mod knowing;
mod orders;
mod presence;
mod sole;

use std::time::Duration;

use campanile_engine::testkit::{Nodes, Setup};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

pub(crate) fn nodes(count: usize) -> Nodes {
    Nodes::new(count, &Setup::default())
}
