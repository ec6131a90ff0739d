//! What a running etcd has in memory, held against the files that it was started with.

use super::Seen;
use crate::certs::Certificate;
use crate::certs::certificate::Name;

/// How the authorities in memory differ from those in the file.
///
/// etcd reads its CA files when it starts and never again (3.4 to 3.7), so a difference goes away with a restart. Only
/// names are compared: a new certificate of an authority with the old name is not seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Drift {
    /// The process trusts them, and the file does not hold them.
    pub only_in_memory: Vec<Name>,
    /// The file holds them, and the process does not trust them yet.
    pub only_in_file: Vec<Name>,
}

impl Drift {
    /// Whether there is no difference.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.only_in_memory.is_empty() && self.only_in_file.is_empty()
    }
}

/// Compares the authorities that a server names with those of its CA file; byte by byte, as Go does.
///
/// A server that asks for no certificate names none, and so has nothing to compare.
#[must_use]
pub fn compare(seen: &Seen, ca_file: &[Certificate]) -> Drift {
    let Some(trusted) = &seen.trusted else {
        return Drift::default();
    };
    let in_file: Vec<&Name> = ca_file.iter().map(|ca| &ca.subject).collect();
    let in_memory: Vec<&Name> = trusted.iter().collect();
    Drift {
        only_in_memory: without(&in_memory, &in_file),
        only_in_file: without(&in_file, &in_memory),
    }
}

/// The names of `all` that are not among `others`, each once.
fn without(all: &[&Name], others: &[&Name]) -> Vec<Name> {
    let mut left: Vec<Name> = Vec::new();
    for name in all {
        let is_same = |other: &Name| other.der == name.der;
        if !others.iter().any(|other| is_same(other)) && !left.iter().any(is_same) {
            left.push((*name).clone());
        }
    }
    left
}
