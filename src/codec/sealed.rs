//! What is small, sealed whole: compressed, then encrypted. `age -d` and `zstd -d` open it as well.

use std::io::{self, Read, Write};

use super::Error;
use super::encryption::{Identities, Recipients};

/// What is sealed here has a few hundred KiB: its speed is no matter.
const LEVEL: i32 = 9;

/// Compresses and encrypts.
///
/// # Errors
/// If no key can be made for one of the recipients.
pub fn seal(recipients: &Recipients, plain: &[u8]) -> Result<Vec<u8>, Error> {
    let compressed = zstd::encode_all(plain, LEVEL);
    let compressed = compressed.map_err(|source| Error::Compress { source })?;
    let mut sealed = Vec::new();
    let sealing = recipients.encrypt(&mut sealed).and_then(|mut writer| {
        writer.write_all(&compressed)?;
        writer.finish().map(drop)
    });
    sealing.map_err(|source| Error::Encrypt { source })?;
    Ok(sealed)
}

/// Decrypts and decompresses what [`seal`] made.
///
/// # Errors
/// If none of the identities opens it, bytes were changed or are missing, or more than `most_bytes` would come out.
pub fn unseal(identities: &Identities, sealed: &[u8], most_bytes: u64) -> Result<Vec<u8>, Error> {
    let opened = identities.decrypt(sealed);
    let mut opened = opened.map_err(|error| identities.refused(error))?;
    let mut compressed = Vec::new();
    let read = opened.read_to_end(&mut compressed);
    read.map_err(|source| Error::Decrypt {
        source: Box::new(source),
    })?;
    let decompress = |source| Error::Decompress { source };
    let decoder = zstd::Decoder::new(compressed.as_slice()).map_err(decompress)?;
    let mut plain = Vec::new();
    let read = decoder.take(most_bytes + 1).read_to_end(&mut plain);
    if read.map_err(decompress)? as u64 > most_bytes {
        let problem = format!("more than {most_bytes} bytes come out of it");
        return Err(decompress(io::Error::other(problem)));
    }
    Ok(plain)
}

/// Seals a random text and opens it again.
///
/// # Errors
/// If none of the identities is one of the recipients.
pub fn round_trip(recipients: &Recipients, identities: &Identities) -> Result<(), Error> {
    let text: [u8; 32] = rand::random();
    let sealed = seal(recipients, &text)?;
    match unseal(identities, &sealed, text.len() as u64)? == text {
        true => Ok(()),
        false => Err(Error::Decrypt {
            source: "another text came out".into(),
        }),
    }
}
