//! New epochs for a log that was brought back from a backup.
//!
//! Subscribers may have seen what came after the backup was made. Without a new epoch the offsets of
//! those publications would be given to others, and nobody would notice.

use std::sync::Arc;

use super::writing::open;
use super::{Circumstances, UpkeepError};
use crate::store::Directory;

/// What became new.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Renewed {
    /// Channels in the log, all of which have a new epoch.
    pub channels: usize,
}

/// Gives every stream of the log in `directory` a new epoch; offsets and publications stay. Its end is
/// judged as after a power cut, which is what a copy of a running machine's disk looks like.
///
/// # Errors
/// The log cannot be opened or written.
pub fn renew(
    directory: Arc<dyn Directory>,
    circumstances: &Circumstances,
) -> Result<Renewed, UpkeepError> {
    let elsewhere = Circumstances {
        boot_id: None,
        ..circumstances.clone()
    };
    let mut opened = open(directory, &elsewhere)?;
    if !opened.is_reborn {
        opened.renew()?;
    }
    let channels = opened.streams.len();
    opened.writing.close()?;
    Ok(Renewed { channels })
}
