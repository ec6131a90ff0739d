//! Reads the files, and makes one archive of them.

use std::collections::BTreeSet;
use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::{Error, MOST_ARCHIVE_BYTES, MOST_BYTES};
use crate::manifest::Finding;
use crate::progress::told;

/// What was gathered.
#[derive(Debug, Default)]
pub struct Gathered {
    /// A tar archive: names without the leading slash, modes, owners, times and links as they are.
    pub archive: Vec<u8>,
    /// How many regular files are in it.
    pub files: u64,
    /// The size of their contents.
    pub size_bytes: u64,
    /// What could not be read, or will be missed.
    pub findings: Vec<Finding>,
}

/// Reads all that `paths` name, directories with everything in them.
///
/// A path that is a link itself is followed; a link further down stays a link, and one that leads to where nothing is attached is a finding.
/// What cannot be read is a finding, too, and the rest is gathered all the same.
///
/// # Errors
/// [`Error::TooLarge`]: nothing that is cut off somewhere is worth keeping.
pub fn gather(paths: &[PathBuf]) -> Result<Gathered, Error> {
    let mut gathering = Gathering {
        archive: tar::Builder::new(Vec::new()),
        gathered: Gathered::default(),
        seen: BTreeSet::new(),
        links: Vec::new(),
    };
    for path in paths {
        if let Some(metadata) = gathering.read(path, fs::metadata(path)) {
            gathering.add(path, &metadata)?;
        }
    }
    gathering.judge_links(paths);
    let archive = gathering.archive.into_inner();
    let archive = archive.expect("memory takes everything");
    match paths.last() {
        Some(path) if archive.len() as u64 > MOST_ARCHIVE_BYTES => Err(too_large(path)),
        _ => Ok(Gathered {
            archive,
            ..gathering.gathered
        }),
    }
}

struct Gathering {
    archive: tar::Builder<Vec<u8>>,
    gathered: Gathered,
    seen: BTreeSet<PathBuf>,
    links: Vec<PathBuf>,
}

impl Gathering {
    /// Adds what lies at `path`; of paths that overlap, everything once.
    fn add(&mut self, path: &Path, metadata: &Metadata) -> Result<(), Error> {
        // Directories and empty files have no size, and take room all the same.
        if self.archive.get_ref().len() as u64 > MOST_ARCHIVE_BYTES {
            return Err(too_large(path));
        }
        if !self.seen.insert(path.to_owned()) {
            return Ok(());
        }
        let kind = metadata.file_type();
        if kind.is_dir() {
            return self.add_directory(path, metadata);
        }
        let added = if kind.is_file() {
            self.add_file(path, metadata)
        } else if kind.is_symlink() {
            self.add_link(path, metadata)
        } else {
            let what = format!("{} is neither file, directory nor link", path.display());
            let message = format!("{what}, and is not attached");
            let finding = Finding::warning("attachment-unread", message);
            self.gathered.findings.push(finding);
            return Ok(());
        };
        match added {
            Err(error) if error.kind() == ErrorKind::FileTooLarge => Err(too_large(path)),
            added => {
                self.read(path, added);
                Ok(())
            }
        }
    }

    fn add_directory(&mut self, path: &Path, metadata: &Metadata) -> Result<(), Error> {
        let entries = fs::read_dir(path).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let Some(mut entries) = self.read(path, entries) else {
            return Ok(());
        };
        let added = self.append(header(metadata), path, &[]);
        self.read(path, added);
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = entry.path();
            if let Some(metadata) = self.read(&path, entry.metadata()) {
                self.add(&path, &metadata)?;
            }
        }
        Ok(())
    }

    /// Reads the file whole before anything of it is written: it may grow or shrink meanwhile.
    fn add_file(&mut self, path: &Path, metadata: &Metadata) -> io::Result<()> {
        let left = MOST_BYTES - self.gathered.size_bytes;
        let mut content = Vec::new();
        File::open(path)?.take(left + 1).read_to_end(&mut content)?;
        let size_bytes = content.len() as u64;
        if size_bytes > left {
            return Err(ErrorKind::FileTooLarge.into());
        }
        let mut header = header(metadata);
        header.set_size(size_bytes);
        self.append(header, path, &content)?;
        self.gathered.files += 1;
        self.gathered.size_bytes += size_bytes;
        Ok(())
    }

    fn add_link(&mut self, path: &Path, metadata: &Metadata) -> io::Result<()> {
        let target = fs::read_link(path)?;
        let mut header = header(metadata);
        self.archive.append_link(&mut header, name(path), target)?;
        self.links.push(path.to_owned());
        Ok(())
    }

    fn append(&mut self, mut header: tar::Header, path: &Path, content: &[u8]) -> io::Result<()> {
        self.archive.append_data(&mut header, name(path), content)
    }

    /// Gives what was read; that something could not be is a finding.
    fn read<T>(&mut self, path: &Path, read: io::Result<T>) -> Option<T> {
        let failed = |error: &io::Error| {
            let message = format!("cannot attach {}: {}", path.display(), told(error));
            let finding = Finding::error("attachment-unread", message);
            self.gathered.findings.push(finding);
        };
        read.inspect_err(failed).ok()
    }

    /// A link is worth as much as what it leads to.
    fn judge_links(&mut self, paths: &[PathBuf]) {
        let roots = paths.iter().filter_map(|path| path.canonicalize().ok());
        let roots: Vec<PathBuf> = roots.collect();
        for link in &self.links {
            let target = link.canonicalize();
            let is_attached = |target: &PathBuf| roots.iter().any(|root| target.starts_with(root));
            if target.as_ref().is_ok_and(is_attached) {
                continue;
            }
            let leads = match target {
                Ok(target) => format!("leads to {}, which is not attached", target.display()),
                Err(_) => "leads nowhere".to_owned(),
            };
            let message = format!("the link {} is attached and {leads}", link.display());
            let finding = Finding::warning("attachment-link", message);
            self.gathered.findings.push(finding);
        }
    }
}

fn too_large(path: &Path) -> Error {
    Error::TooLarge {
        path: path.to_owned(),
    }
}

fn header(metadata: &Metadata) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_metadata(metadata);
    header
}

/// The name in the archive: without the leading slash, as every tar has it.
fn name(path: &Path) -> &Path {
    path.strip_prefix("/").unwrap_or(path)
}
