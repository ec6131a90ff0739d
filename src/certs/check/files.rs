//! Files: whether etcd can read them, and whether others can who should not.

use std::path::Path;

use super::{File, Member, Pair, error, warning};
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

/// Checks whether etcd's user can read what it is given.
pub(super) fn check_access(member: &Member, findings: &mut Vec<Finding>) {
    let user = match &member.user {
        Some(Ok(user)) => user,
        Some(Err(problem)) => {
            let words = format!(
                "{}: {problem}, as whom etcd is started; whether it can read its files is not known",
                member.name
            );
            findings.push(Finding::warning("f01-unknown-user", words));
            return;
        }
        None => return,
    };
    let pairs = member.pairs();
    let pairs = pairs.flat_map(|pair| std::iter::once(&pair.cert).chain(&pair.key));
    let files = pairs.chain(member.trust_files().into_iter().map(|(file, _)| file));
    let paths = files.map(|file| file.path.as_path());
    let lists = ["client-crl-file", "peer-crl-file"].map(|flag| member.flags.get(flag));
    for path in paths.chain(lists.into_iter().flatten().map(Path::new)) {
        if let Some(problem) = user.refused(path) {
            let words = format!("etcd runs as `{}`, which {problem}", user.name);
            findings.push(error("f01-unreadable-for-etcd", path, words));
        }
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
