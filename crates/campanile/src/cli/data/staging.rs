//! A directory that gets its name when it is complete.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use campanile_engine::store::{Directory, OsDirectory};

use super::Failure;

/// Gone when it is dropped, unless it has got its name.
pub(super) struct Staging {
    path: PathBuf,
    is_named: bool,
}

impl Staging {
    /// Makes the directory beside `destination`, which is for it to become.
    pub(super) fn begin(destination: &Path) -> Result<(Self, Arc<dyn Directory>), Failure> {
        let failed = |error: io::Error, path: &Path| {
            Failure::Other(format!("cannot write {}: {error}", path.display()))
        };
        let Some(name) = destination.file_name() else {
            return Err(failed(ErrorKind::InvalidInput.into(), destination));
        };
        let mut unfinished = OsString::from(name);
        unfinished.push(".unfinished");
        let path = destination.with_file_name(unfinished);
        if path.exists() {
            return Err(Failure::Other(format!(
                "{} is left of a run that was interrupted; remove it",
                path.display()
            )));
        }
        let directory =
            OsDirectory::lock(&path).map_err(|error| Failure::of_lock(&error, &path))?;
        let staging = Self {
            path,
            is_named: false,
        };
        Ok((staging, Arc::new(directory)))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives it its name, durably. There is nothing of this name, or an empty directory.
    pub(super) fn name(mut self, destination: &Path) -> Result<(), Failure> {
        let parent = match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let named = fs::rename(&self.path, destination);
        self.is_named = named.is_ok();
        named
            .and_then(|()| File::open(parent)?.sync_all())
            .map_err(|error| {
                Failure::Other(format!("cannot write {}: {error}", destination.display()))
            })
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.is_named {
            // If it stays, the next run says so.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Whether there is nothing at `path` that would be lost if a directory took its place.
pub(super) fn is_free(path: &Path) -> io::Result<bool> {
    match fs::read_dir(path) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}
