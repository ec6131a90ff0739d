//! age (age-encryption.org/v1): for whom bytes are encrypted, and what opens them.
//!
//! The command `age` of anybody else opens what is written here, and writes what is opened here.

use std::error::Error as StdError;
use std::fmt;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use age::stream::StreamWriter;
use age::{DecryptError, Decryptor, Encryptor, ssh, x25519};
use thiserror::Error;

/// The word in a manifest for what this room does.
pub const AGE: &str = "age";

/// An identity file is small; one beyond this is something else.
const MOST_BYTES: u64 = 1 << 20;
/// What the private keys of OpenSSH, and the older ones of OpenSSL, begin with.
const PEM: &str = "-----BEGIN ";

/// Why a key cannot be used.
#[expect(missing_docs, reason = "the messages name the fields")]
#[derive(Debug, Error)]
pub enum Error {
    /// Nobody would be able to open what is encrypted.
    #[error("no recipient is named")]
    NoRecipient,

    /// A text that is no public key.
    #[error("`{text}` is no recipient: {problem}")]
    BadRecipient { text: String, problem: &'static str },

    /// A private key where a public one belongs; it is not repeated.
    #[error(
        "the recipient {place} is a private key: anybody who reads this configuration opens the backups with it"
    )]
    PrivateKey { place: usize },

    /// The file could not be read.
    #[error("cannot read the identity file {}", .path.display())]
    Read { path: PathBuf, source: io::Error },

    /// The file holds something else than identities.
    #[error("{} is no identity file: {problem}", .path.display())]
    BadIdentity { path: PathBuf, problem: String },
}

/// Those who can open what is encrypted.
pub struct Recipients {
    all: Vec<Box<dyn age::Recipient + Send + Sync>>,
    words: Vec<String>,
}

impl fmt::Debug for Recipients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.words).finish()
    }
}

impl Recipients {
    /// Reads recipients as `age -r` takes them: `age1…`, `ssh-ed25519 …`, `ssh-rsa …`.
    ///
    /// # Errors
    /// If there is none, or one of them is no public key: then nothing can be encrypted for the others either.
    pub fn parse(texts: &[String]) -> Result<Self, Error> {
        let mut recipients = Self {
            all: Vec::new(),
            words: Vec::new(),
        };
        for (index, text) in texts.iter().enumerate() {
            let text = text.trim();
            if text.to_uppercase().starts_with("AGE-SECRET-KEY-") || text.starts_with(PEM) {
                return Err(Error::PrivateKey { place: index + 1 });
            }
            let recipient = recipient(text).map_err(|problem| Error::BadRecipient {
                text: text.to_owned(),
                problem,
            })?;
            recipients.all.push(recipient);
            // What follows the key itself is a comment.
            let words: Vec<&str> = text.split_whitespace().take(2).collect();
            recipients.words.push(words.join(" "));
        }
        match recipients.all.is_empty() {
            true => Err(Error::NoRecipient),
            false => Ok(recipients),
        }
    }

    /// The public keys, without comments.
    #[must_use]
    pub fn words(&self) -> &[String] {
        &self.words
    }

    /// Begins to encrypt what is written: [`StreamWriter::finish`] ends it.
    ///
    /// # Errors
    /// If `output` fails, or no key can be made for one of the recipients.
    pub(super) fn encrypt<W: Write>(&self, output: W) -> io::Result<StreamWriter<W>> {
        let all = self
            .all
            .iter()
            .map(|recipient| &**recipient as &dyn age::Recipient);
        let encryptor = Encryptor::with_recipients(all).map_err(io::Error::other)?;
        encryptor.wrap_output(output)
    }
}

fn recipient(text: &str) -> Result<Box<dyn age::Recipient + Send + Sync>, &'static str> {
    use ssh::ParseRecipientKeyError as Ssh;
    if text.starts_with("age1") {
        let recipient: x25519::Recipient = text.parse().map_err(
            |_| "an age recipient has 62 characters, and one of these is wrong or missing",
        )?;
        return Ok(Box::new(recipient));
    }
    match text.parse::<ssh::Recipient>() {
        Ok(recipient) => Ok(Box::new(recipient)),
        Err(Ssh::RsaModulusTooSmall) => Err("RSA keys have 2048 bits at the least"),
        Err(Ssh::RsaModulusTooLarge) => Err("RSA keys have 4096 bits at the most"),
        Err(Ssh::Unsupported(_) | Ssh::Ignore) => {
            Err("of the keys of ssh, only ssh-ed25519 and ssh-rsa can be encrypted for")
        }
        Err(_) => Err("expected age1…, ssh-ed25519 … or ssh-rsa …"),
    }
}

/// What opens what is encrypted for one of its recipients.
pub struct Identities {
    all: Vec<Box<dyn age::Identity + Send + Sync>>,
    path: PathBuf,
}

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.all.len(), self.path.display())
    }
}

impl Identities {
    /// Reads a file of identities as `age-keygen` writes them, or of one private key of OpenSSH.
    ///
    /// # Errors
    /// If it cannot be read, holds anything else, or asks for a passphrase: nobody is there to type one.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let read = |source| Error::Read {
            path: path.to_owned(),
            source,
        };
        let bad = |problem: &str| Error::BadIdentity {
            path: path.to_owned(),
            problem: problem.to_owned(),
        };
        let mut text = String::new();
        let file = fs::File::open(path).map_err(read)?;
        match file.take(MOST_BYTES).read_to_string(&mut text) {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Err(bad("it is no text"));
            }
            length => length.map_err(read)?,
        };
        let all = match text.trim_start().starts_with(PEM) {
            true => vec![of_ssh(text.trim_start()).map_err(bad)?],
            false => native(&text).map_err(|problem| bad(&problem))?,
        };
        Ok(Self {
            all,
            path: path.to_owned(),
        })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Tries whether one of them opens the object that begins like this.
    ///
    /// # Errors
    /// If none does, or the beginning is not that of anything encrypted.
    pub fn open_header(&self, beginning: &[u8]) -> Result<(), super::Error> {
        let opened = self.decrypt(beginning).map(drop);
        opened.map_err(|error| self.refused(error))
    }

    /// What it means that nothing was opened.
    pub(super) fn refused(&self, error: DecryptError) -> super::Error {
        match error {
            DecryptError::NoMatchingKeys => super::Error::NoneOpens {
                path: self.path.clone(),
            },
            error => super::Error::Decrypt {
                source: Box::new(error),
            },
        }
    }

    /// Opens what `input` gives; reads the header at once.
    pub(super) fn decrypt<R: Read>(&self, input: R) -> Result<impl Read + use<R>, DecryptError> {
        let all = self
            .all
            .iter()
            .map(|identity| &**identity as &dyn age::Identity);
        let reader = Decryptor::new(input)?.decrypt(all)?;
        Ok(Marked { reader })
    }
}

fn of_ssh(text: &str) -> Result<Box<dyn age::Identity + Send + Sync>, &'static str> {
    if text.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(LOCKED);
    }
    match ssh::Identity::from_buffer(text.as_bytes(), None) {
        Ok(ssh::Identity::Encrypted(_)) => Err(LOCKED),
        Ok(ssh::Identity::Unsupported(_)) => {
            Err("of the keys of ssh, only ssh-ed25519 and ssh-rsa open anything")
        }
        Ok(identity) => Ok(Box::new(identity)),
        Err(_) => Err("it begins like a private key, and is none of OpenSSH"),
    }
}

const LOCKED: &str = "the key in it is locked with a passphrase, and nobody is there to type it: `ssh-keygen -p -f COPY` takes the passphrase from a copy";

fn native(text: &str) -> Result<Vec<Box<dyn age::Identity + Send + Sync>>, String> {
    let is_encrypted =
        text.starts_with("age-encryption.org/") || text.starts_with("-----BEGIN AGE");
    if is_encrypted {
        return Err("it is encrypted itself: `age -d` opens it".to_owned());
    }
    let lines = text.lines().enumerate();
    let lines = lines.filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    let mut all: Vec<Box<dyn age::Identity + Send + Sync>> = Vec::new();
    for (index, line) in lines {
        let line_number = index + 1;
        // The line itself is never told: it may be a secret with a typing error.
        let identity: x25519::Identity = line.trim().parse().map_err(|_| {
            match line.starts_with("age1") || line.starts_with("ssh-") {
                true => format!("line {line_number} is a recipient: an identity is the private part, AGE-SECRET-KEY-1…"),
                false => format!("line {line_number} is no AGE-SECRET-KEY-1… that is whole"),
            }
        })?;
        all.push(Box::new(identity));
    }
    match all.is_empty() {
        true => Err("it holds no identity".to_owned()),
        false => Ok(all),
    }
}

/// How the recipients of an encrypted object are known, from its header: `X25519`, `ssh-ed25519 …`.
///
/// X25519 tells no more than that, on purpose; the others tell the beginning of a digest of the key.
#[must_use]
pub fn kinds(beginning: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(beginning);
    let lines = text.lines().take_while(|line| !line.starts_with("---"));
    let stanzas = lines.filter_map(|line| line.strip_prefix("-> "));
    // Some writers add one that means nothing, so that readers stay used to what they do not know.
    let stanzas = stanzas.filter(|stanza| !stanza.contains("-grease"));
    stanzas
        .map(|stanza| match stanza.split_once(' ') {
            Some(("X25519", _)) | None => "X25519".to_owned(),
            Some((kind, rest)) => {
                let tag = rest.split(' ').next().unwrap_or_default();
                format!("{kind} ({tag})")
            }
        })
        .collect()
}

/// Tells its own failures from those of whatever reads from it.
struct Marked<R> {
    reader: R,
}

impl<R: Read> Read for Marked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader
            .read(buffer)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, NotAuthentic(error)))
    }
}

/// Bytes that are not what was encrypted, or are cut short.
#[derive(Debug)]
pub(super) struct NotAuthentic(io::Error);

impl NotAuthentic {
    /// Whether that is what stopped a reader further on.
    pub(super) fn is_cause_of(error: &io::Error) -> bool {
        let inner = error.get_ref();
        inner.is_some_and(|inner| (inner as &(dyn StdError + 'static)).is::<Self>())
    }
}

impl fmt::Display for NotAuthentic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bytes were changed or are missing: {}", self.0)
    }
}

impl StdError for NotAuthentic {}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `age-keygen` of age 1.2 wrote it.
    const IDENTITY: &str = "# public key: age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj\nAGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX\n";

    fn read(text: &str) -> Result<Identities, Error> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        Identities::read(file.path())
    }

    fn words(error: impl fmt::Display) -> String {
        error.to_string()
    }

    #[test]
    fn what_is_no_recipient_is_refused_with_the_reason() {
        let parse = |text: &str| words(Recipients::parse(&[text.to_owned()]).unwrap_err());

        assert!(parse("").contains("expected age1"));
        assert!(parse("age1qqqq").contains("62 characters"));
        assert!(parse("ssh-dss AAAA").contains("expected age1"));
        assert!(words(Recipients::parse(&[]).unwrap_err()).contains("no recipient"));
    }

    #[test]
    fn a_private_key_among_the_recipients_is_refused_and_not_repeated() {
        let secret = IDENTITY.lines().last().unwrap().to_owned();

        let error = words(Recipients::parse(std::slice::from_ref(&secret)).unwrap_err());

        assert!(error.contains("private key"), "{error}");
        assert!(!error.contains(&secret), "{error}");
    }

    #[test]
    fn what_is_no_identity_file_is_refused_and_not_repeated() {
        assert!(words(read("").unwrap_err()).contains("no identity"));
        assert!(words(read("age1abc\n").unwrap_err()).contains("line 1 is a recipient"));
        let damaged = read("# a comment\nAGE-SECRET-KEY-1GFPYY\n").unwrap_err();
        assert!(words(&damaged).contains("line 2"), "{damaged}");
        assert!(!words(&damaged).contains("GFPYY"), "{damaged}");
        assert!(words(read("-----BEGIN CERTIFICATE-----\n").unwrap_err()).contains("OpenSSH"));
    }

    #[test]
    fn an_identity_opens_what_was_encrypted_for_its_recipient_and_no_other() {
        let ours = x25519::Identity::generate();
        let recipients = Recipients::parse(&[ours.to_public().to_string()]).unwrap();
        let mut sealed = Vec::new();
        let mut writer = recipients.encrypt(&mut sealed).unwrap();
        writer.write_all(b"a secret").unwrap();
        writer.finish().unwrap();

        let theirs = read(IDENTITY).unwrap();

        assert!(matches!(
            theirs.decrypt(sealed.as_slice()).err().unwrap(),
            DecryptError::NoMatchingKeys
        ));
        assert_eq!(kinds(&sealed), ["X25519"]);
    }
}
