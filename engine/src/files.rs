//! Writing files so that a crash, a full disk or a kill never leaves half of one.

use std::fs::File;
use std::io::{BufWriter, Seek, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::{Error, Result};

/// What a file's content is written to. Some formats go back to complete their headers.
pub trait WriteSeek: Write + Seek {}

impl<T: Write + Seek> WriteSeek for T {}

/// A file that is written under a temporary name beside its own, and takes its name when it is complete.
/// Dropped before that, it leaves nothing behind, and the old file, if there was one, untouched.
pub struct AtomicFile {
    temporary: NamedTempFile,
    path: PathBuf,
}

impl AtomicFile {
    /// Makes the temporary file.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub fn create(path: &Path) -> Result<Self> {
        let folder = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let mut builder = tempfile::Builder::new();
        builder.prefix(".tributary-");
        // A temporary file is private; the finished one should be as readable as any other (less the umask).
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let temporary = builder.tempfile_in(folder).map_err(Error::io("write", path))?;
        Ok(Self { temporary, path: path.to_owned() })
    }

    /// The file's own name.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A handle to write its content with, to be flushed before [`Self::commit`].
    ///
    /// # Errors
    /// The system has no handle left.
    pub fn writer(&self) -> Result<BufWriter<File>> {
        self.temporary.as_file().try_clone().map(BufWriter::new).map_err(Error::io("write", &self.path))
    }

    /// Brings the content to the disk and gives the file its name.
    ///
    /// # Errors
    /// The disk is full or fails.
    pub fn commit(self) -> Result<()> {
        self.temporary.as_file().sync_all().map_err(Error::io("write", &self.path))?;
        self.temporary.persist(&self.path).map_err(|e| Error::io("write", &self.path)(e.error))?;
        Ok(())
    }
}

/// Writes a whole file as an [`AtomicFile`].
///
/// # Errors
/// The folder cannot be written to, the disk is full, or `write` fails; the error names `path`.
pub fn write_atomically(
    path: &Path,
    write: impl FnOnce(&mut dyn WriteSeek) -> std::io::Result<()>,
) -> Result<()> {
    let file = AtomicFile::create(path)?;
    let mut writer = file.writer()?;
    write(&mut writer).and_then(|()| writer.flush()).map_err(Error::io("write", path))?;
    drop(writer);
    file.commit()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_keeps_the_old_file_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        write_atomically(&path, |w| w.write_all(b"old")).unwrap();
        let full = |w: &mut dyn WriteSeek| {
            w.write_all(b"ne")?;
            Err(std::io::ErrorKind::StorageFull.into())
        };
        let error = write_atomically(&path, full).unwrap_err().to_string();
        assert!(error.contains("cannot write") && error.contains("file"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
