//! Files: whether etcd can read them, and whether others can who should not.

use super::{File, Pair, error, warning};
use crate::certs::judge::TrustOutcome;
use crate::certs::key::{self, PrivateKey};
use crate::manifest::Finding;

/// Checks a file of trusted authorities.
pub(super) fn check_trust(file: &File, findings: &mut Vec<Finding>) {
    let trust = match &file.content {
        Ok(_) => file.trust().expect("what was read can be parsed"),
        Err(problem) => {
            findings.push(error("f01-unreadable", &file.path, problem));
            return;
        }
    };
    let consequence = match trust.outcome() {
        TrustOutcome::Trusts => return,
        TrustOutcome::TrustsPart => "etcd trusts only the authorities that it finds",
        TrustOutcome::TrustsNobody => "etcd starts with it, and refuses everybody",
        TrustOutcome::DoesNotStart => "etcd does not start with it",
    };
    let code = match trust.outcome() {
        TrustOutcome::TrustsNobody => "f01-trusts-nobody",
        _ => "f02-trust-file",
    };
    for problem in &trust.problems {
        findings.push(error(code, &file.path, format!("{problem}; {consequence}")));
    }
}

/// Checks a certificate file and its key as files; says whether there is a certificate to look at.
pub(super) fn check_pair(pair: &Pair, findings: &mut Vec<Finding>) -> bool {
    let path = &pair.cert.path;
    if let Err(problem) = &pair.cert.content {
        findings.push(error("f01-unreadable", path, problem));
        return false;
    }
    let chain = pair.cert.chain();
    let Some(leaf) = chain.first() else {
        let words = "it holds no certificate in PEM; etcd does not start with it";
        findings.push(error("f01-no-certificate", path, words));
        return false;
    };
    if let Some(problem) = leaf.unreadable_for_go.first() {
        let words =
            format!("etcd cannot read the certificate: {problem}; it does not start with it");
        findings.push(error("f02-certificate", path, words));
    }
    if let Some(key) = &pair.key {
        check_key(pair, key, findings);
    }
    true
}

fn check_key(pair: &Pair, file: &File, findings: &mut Vec<Finding>) {
    match file.mode & 0o777 {
        mode if mode & 0o007 != 0 => {
            let words = format!("everybody on the machine may read the key (mode {mode:04o})");
            findings.push(warning("f04-key-mode", &file.path, words));
        }
        mode if mode & 0o030 != 0 => {
            let words = format!("the group may change the key (mode {mode:04o})");
            findings.push(warning("f04-key-mode", &file.path, words));
        }
        _ => {}
    }
    let content = match &file.content {
        Ok(content) => content,
        Err(problem) => {
            findings.push(error("f01-unreadable", &file.path, problem));
            return;
        }
    };
    let key = match PrivateKey::from_pem(content) {
        Ok(key) => key,
        // What rcgen cannot load may still be a key that Go loads: the judge speaks of the certificate's key.
        Err(key::Error::Unusable { .. }) => {
            let words = "the key is damaged, or of a kind that is not known here";
            findings.push(warning("f03-key", &file.path, words));
            return;
        }
        Err(problem) => {
            let words = format!("{problem}; etcd does not start with it");
            findings.push(error("f03-key", &file.path, words));
            return;
        }
    };
    let chain = pair.cert.chain();
    match chain.iter().position(|one| key.fits(one)) {
        Some(0) => {}
        Some(_) => {
            let words =
                "the certificate of the key does not stand first; etcd does not start with it";
            findings.push(error("f03-order", &pair.cert.path, words));
        }
        None => {
            let words = format!(
                "it is not the key of {}; etcd does not start with the two",
                pair.cert.path.display()
            );
            findings.push(error("f03-key-of-another", &file.path, words));
        }
    }
}
