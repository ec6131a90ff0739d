//! A file of trusted authorities, and what etcd makes of it: with some of them it does not start, with others it trusts nobody.

use thiserror::Error;

use crate::certs::Certificate;
use crate::certs::pem::{Block, Pem};

/// A file of trusted authorities, as `--trusted-ca-file` names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustFile {
    /// The certificates that Go finds, in their order, those included that it refuses.
    pub certificates: Vec<Certificate>,
    /// What is wrong with the file.
    pub problems: Vec<TrustProblem>,
}

/// What etcd does with a file of trusted authorities (3.5.33, 3.6.14 and 3.7.1 alike).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrustOutcome {
    /// It starts and trusts what the file holds.
    Trusts,
    /// It starts, and trusts only a part of what seems to stand there.
    TrustsPart,
    /// It starts without a word, and then refuses everybody.
    TrustsNobody,
    /// It does not start.
    DoesNotStart,
}

/// What is wrong with a file of trusted authorities.
#[expect(missing_docs, reason = "the messages name the fields")]
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TrustProblem {
    /// There is nothing.
    #[error("it is empty")]
    Empty,

    /// It is a certificate, but not in PEM.
    #[error("it holds a certificate in DER, and etcd reads only PEM")]
    Der,

    /// There is something, and no PEM.
    #[error("it holds no certificate in PEM")]
    NoPem,

    /// An editor of another system put a mark before the first certificate.
    #[error("it begins with a byte order mark, and etcd does not see the certificate behind it")]
    ByteOrderMark,

    /// Certificates without a newline between them, or damaged ones.
    #[error(
        "{begun} certificates begin in it, and etcd finds {found}: the others are damaged, or glued together without a newline"
    )]
    Dropped { begun: usize, found: usize },

    /// A key, or a revocation list, among the certificates.
    #[error("line {line}: `{label}` is not a certificate")]
    NotACertificate { line: usize, label: String },

    /// The label says that it is a certificate, and it is none.
    #[error("line {line}: {problem}")]
    Damaged { line: usize, problem: String },

    /// Go's parser refuses it.
    #[error("line {line}: etcd cannot read the certificate `{subject}`: {problem}")]
    Unreadable {
        line: usize,
        subject: String,
        problem: String,
    },
}

impl TrustProblem {
    /// Whether etcd does not start because of it.
    #[must_use]
    pub fn stops_etcd(&self) -> bool {
        matches!(
            self,
            Self::NotACertificate { .. } | Self::Damaged { .. } | Self::Unreadable { .. }
        )
    }
}

impl TrustFile {
    /// What etcd does with it.
    #[must_use]
    pub fn outcome(&self) -> TrustOutcome {
        if self.problems.iter().any(TrustProblem::stops_etcd) {
            return TrustOutcome::DoesNotStart;
        }
        match (self.certificates.is_empty(), self.problems.is_empty()) {
            (true, _) => TrustOutcome::TrustsNobody,
            (false, true) => TrustOutcome::Trusts,
            (false, false) => TrustOutcome::TrustsPart,
        }
    }
}

/// Reads a file of trusted authorities as etcd does: every PEM block must be a certificate, whatever its label says.
#[must_use]
pub fn read_trust(bytes: &[u8]) -> TrustFile {
    let pem = Pem::read(bytes);
    let mut file = TrustFile {
        certificates: Vec::new(),
        problems: Vec::new(),
    };
    for block in &pem.blocks {
        file.take(block);
    }
    let found = pem.blocks.len();
    if pem.has_byte_order_mark && pem.beginnings > found {
        file.problems.push(TrustProblem::ByteOrderMark);
    } else if pem.beginnings > found {
        let begun = pem.beginnings;
        file.problems.push(TrustProblem::Dropped { begun, found });
    } else if found == 0 {
        file.problems.push(without_pem(bytes));
    }
    file
}

impl TrustFile {
    fn take(&mut self, block: &Block) {
        let line = block.line;
        match Certificate::from_der(&block.bytes) {
            Ok(certificate) => {
                if !certificate.unreadable_for_go.is_empty() {
                    self.problems.push(TrustProblem::Unreadable {
                        line,
                        subject: certificate.subject.text.clone(),
                        problem: certificate.unreadable_for_go.join("; "),
                    });
                }
                self.certificates.push(certificate);
            }
            Err(error) if block.label.ends_with("CERTIFICATE") => {
                let problem = error.to_string();
                self.problems.push(TrustProblem::Damaged { line, problem });
            }
            Err(_) => {
                let label = block.label.clone();
                self.problems
                    .push(TrustProblem::NotACertificate { line, label });
            }
        }
    }
}

fn without_pem(bytes: &[u8]) -> TrustProblem {
    match bytes.trim_ascii() {
        [] => TrustProblem::Empty,
        _ if Certificate::from_der(bytes).is_ok() => TrustProblem::Der,
        _ => TrustProblem::NoPem,
    }
}
