//! Our program on the other side: brought there once, known by its digest.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::{Error, LONG_LIMIT, SHORT_LIMIT, Ssh, last_words};
use crate::host::quoted;
use crate::node::digest;

/// What stands before what we ask the other side for: a login may print anything.
const MARK: &str = "etcdrx-host:";

impl Ssh {
    /// Puts our program on the other side, where it is not there already.
    pub(super) async fn install(&self) -> Result<Vec<String>, Error> {
        let other = self.look().await?;
        let ours = std::env::consts::ARCH;
        if other.system != "Linux" || other.machine() != ours {
            return Err(Error::OtherMachine {
                node: self.place.name.clone(),
                theirs: format!("{} {}", other.system, other.machine),
                ours: format!("Linux {ours}"),
            });
        }
        if !other.is_root && !other.has_sudo {
            return Err(Error::Sudo {
                node: self.place.name.clone(),
                user: other.user,
            });
        }
        let program = match &self.program {
            Some(program) => program.clone(),
            None => std::env::current_exe().map_err(|source| Error::File {
                path: PathBuf::from("/proc/self/exe"),
                source,
            })?,
        };
        let sha256 = digest(&program).map_err(|source| Error::Local {
            node: self.place.name.clone(),
            source: Box::new(source),
        })?;
        let sha256 = sha256.to_string();
        let path = format!("{}/.cache/etcdrx/etcdrx-{}", other.home, &sha256[..16]);
        self.bring(&program, &path, &sha256).await?;
        let sudo = ["sudo", "-n", "--"].map(str::to_owned);
        let sudo = sudo.into_iter().filter(|_| !other.is_root);
        Ok(sudo.chain([path]).collect())
    }

    /// Asks the other side what it is.
    async fn look(&self) -> Result<Other, Error> {
        let script = format!(
            "echo {MARK}$(uname -s):$(uname -m):$(id -u):$(id -un):$(sudo -n true >/dev/null 2>&1 && echo sudo):$HOME"
        );
        let line = format!("sh -c {}", quoted(&script));
        let ended = self.run(&line, None, Stdio::null(), SHORT_LIMIT).await?;
        let other = ended.stdout.lines().find_map(Other::read);
        other.ok_or_else(|| self.garbled(&ended))
    }

    async fn bring(&self, program: &Path, path: &str, sha256: &str) -> Result<(), Error> {
        let file = quoted(path);
        let is_there =
            format!("echo '{sha256}  '{file} | sha256sum -c >/dev/null 2>&1 && test -x {file}");
        let line = format!("sh -c {}", quoted(&is_there));
        let ended = self.run(&line, None, Stdio::null(), SHORT_LIMIT).await?;
        if ended.status.success() {
            return Ok(());
        }
        // Under another name until it is whole; a name of its own, since several may bring it at once.
        let script = format!(
            "set -e; umask 077; mkdir -p \"$(dirname {file})\"; part={file}.$$; trap 'rm -f \"$part\"' EXIT; \
             cat >\"$part\"; echo \"{sha256}  $part\" | sha256sum -c >/dev/null; chmod 700 \"$part\"; mv \"$part\" {file}"
        );
        let line = format!("sh -c {}", quoted(&script));
        let input = File::open(program).map_err(|source| Error::File {
            path: program.to_owned(),
            source,
        })?;
        let ended = self
            .run(&line, None, Stdio::from(input), LONG_LIMIT)
            .await?;
        match ended.status.success() {
            true => Ok(()),
            false => Err(Error::Install {
                node: self.place.name.clone(),
                said: last_words(&ended.stderr),
            }),
        }
    }
}

/// What the other side is.
struct Other {
    system: String,
    machine: String,
    user: String,
    is_root: bool,
    has_sudo: bool,
    home: String,
}

impl Other {
    fn read(line: &str) -> Option<Self> {
        let mut fields = line.split_once(MARK)?.1.splitn(6, ':').map(str::to_owned);
        Some(Self {
            system: fields.next()?,
            machine: fields.next()?,
            is_root: fields.next()? == "0",
            user: fields.next()?,
            has_sudo: fields.next()? == "sudo",
            home: fields.next()?,
        })
    }

    /// The machine as Rust names it.
    fn machine(&self) -> &str {
        match self.machine.as_str() {
            "arm64" => "aarch64",
            other => other,
        }
    }
}
