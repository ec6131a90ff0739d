//! An authority replaced while the cluster runs, in steps, each of which says from the files alone how far things are.
//!
//! etcd reads the authorities that it trusts only when it starts, and leafs at every connection. So a new authority is first
//! trusted beside the old one everywhere, which takes a rolling restart; then it signs; and when nothing of the old one is
//! left, that is no longer trusted, which takes another. To exchange everything at once loses the quorum at the second restart.
//! There is no file that says how far a rotation is: the certificates do.

use std::fs;
use std::path::{Path, PathBuf};

use super::inventory::{Entry, leaves, members};
use super::place::NewFile;
use super::renew::renew_one;
use super::signing::Signing;
use super::work::{Generated, Setting, Work, to_pem};
use super::{Error, read_certificates, read_key};
use crate::certs::Certificate;
use crate::certs::authority::{Authority, Issued};
use crate::certs::key::PrivateKey;
use crate::certs::layout::Pair;
use crate::certs::profile::{Kind, Signer};

/// How far the rotation of one authority is, by the files of the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    /// Which authority.
    pub kind: Kind,
    /// The one whose key signs now.
    pub old: Certificate,
    /// The one that is to follow it, once a rotation has begun.
    pub next: Option<Certificate>,
    /// The certificates that the old one issued.
    pub by_old: Vec<PathBuf>,
    /// Those that the next one issued.
    pub by_next: Vec<PathBuf>,
}

/// What an abort came to.
#[derive(Debug)]
pub enum Aborted {
    /// Certificates of the old authority are in place again; once every member serves them, an abort can be ended.
    LeafsPutBack(Generated),
    /// Only the old authority is left.
    Ended(Generated),
}

/// An authority with everything that is known of its rotation.
struct Turn {
    rotation: Rotation,
    pair: Pair,
    next_key: Option<PrivateKey>,
    /// Other authorities in the same file, which are none of the rotation's business.
    others: Vec<Certificate>,
    leaves: Vec<Entry>,
}

impl Turn {
    /// The file's text with these authorities, and the others as they were.
    fn text(&self, authorities: &[&Certificate]) -> String {
        let others = self.others.iter();
        authorities
            .iter()
            .copied()
            .chain(others)
            .map(to_pem)
            .collect()
    }
}

/// Tells how far the rotation of each authority is.
///
/// # Errors
/// If there is no authority, or a file cannot be read.
pub fn rotations(setting: &Setting<'_>) -> Result<Vec<Rotation>, Error> {
    let turns = turns(setting)?;
    Ok(turns.into_iter().map(|turn| turn.rotation).collect())
}

/// Makes the next authorities and puts them beside the old ones, into every bundle. Begun twice, it changes nothing.
///
/// # Errors
/// If an authority or its key is not here.
pub fn begin(setting: &Setting<'_>) -> Result<Generated, Error> {
    let mut work = Work::begin(setting)?;
    for turn in turns(setting)? {
        begin_turn(&mut work, setting, turn)?;
    }
    work.finish()
}

/// Begins with the authority of the peer port alone. One that serves both ports is left to the clients: members get their own.
///
/// # Errors
/// If an authority is not here, or the layout knows one only.
pub fn begin_for_peers(setting: &Setting<'_>) -> Result<Generated, Error> {
    if setting.layout.has_one_authority() {
        return Err(Error::OneAuthority {
            root: setting.root.to_owned(),
        });
    }
    let mut work = Work::begin(setting)?;
    let last = turns(setting)?.pop();
    let turn = match last.filter(|turn| turn.rotation.kind == Kind::PeerCa) {
        Some(turn) => turn,
        None => part(&mut work, setting)?,
    };
    begin_turn(&mut work, setting, turn)?;
    work.finish()
}

/// The turn of the peer port where one authority serves both: from here on it has its key twice, under both names.
fn part(work: &mut Work<'_>, setting: &Setting<'_>) -> Result<Turn, Error> {
    let is_of_peers = |leaf: &mut Entry| authority_of(setting, leaf) == Kind::PeerCa;
    let own = leaves(setting)?.extract_if(.., is_of_peers).collect();
    let shared = setting.layout.authority(Kind::Ca).key;
    if let Some(key) = read_key(&setting.root.join(shared))? {
        let second = setting.layout.authority(Kind::PeerCa).key;
        work.plan(NewFile::key(&second, &key, true));
    }
    turn(setting, Kind::PeerCa, own)
}

fn begin_turn(work: &mut Work<'_>, setting: &Setting<'_>, mut turn: Turn) -> Result<(), Error> {
    if turn.rotation.next.is_some() {
        return Ok(());
    }
    let kind = turn.rotation.kind;
    let profile = (setting.profiles)(kind);
    let left_over = turn.next_key.take();
    let is_new = left_over.is_none();
    let Issued { certificate, key } = Authority::create(&profile, left_over, setting.now)
        .map_err(|source| Error::Issue { source })?;
    if is_new {
        work.plan(NewFile::key(&next_key_path(&turn.pair), &key, false));
    }
    let text = turn.text(&[&turn.rotation.old, &certificate]);
    work.note(kind, &turn.pair.certificate, true, &certificate);
    spread(work, setting, kind, &text)
}

/// Issues by the next authority what is still of the old one.
///
/// # Errors
/// If no rotation has begun, or something cannot be issued.
pub fn reissue(setting: &Setting<'_>) -> Result<Generated, Error> {
    let mut work = Work::begin(setting)?;
    for turn in turns_under_way(setting)? {
        let (Some(next), Some(key)) = (turn.rotation.next.clone(), turn.next_key) else {
            continue;
        };
        let pair = Pair {
            key: next_key_path(&turn.pair),
            ..turn.pair
        };
        let signing = Signing::of(next, key, pair, setting.now)?;
        let old = turn
            .leaves
            .iter()
            .filter(|leaf| is_by(leaf, &turn.rotation.old));
        for leaf in old {
            renew_one(&mut work, leaf, &signing, false)?;
        }
    }
    work.finish()
}

/// Leaves the next authority alone in every bundle, and its key in the place of the old one, which is kept aside.
///
/// # Errors
/// If no rotation has begun, or a certificate is still of the old authority.
pub fn finish(setting: &Setting<'_>) -> Result<Generated, Error> {
    let mut work = Work::begin(setting)?;
    let mut used_up = Vec::new();
    for turn in turns_under_way(setting)? {
        let rotation = &turn.rotation;
        let (Some(next), Some(key)) = (&rotation.next, &turn.next_key) else {
            continue;
        };
        if let Some(path) = rotation.by_old.first() {
            return Err(Error::StillOfOld {
                path: setting.root.join(path),
                count: rotation.by_old.len(),
            });
        }
        work.plan(NewFile::key(&turn.pair.key, key, true));
        work.note(rotation.kind, &turn.pair.certificate, true, next);
        spread(&mut work, setting, rotation.kind, &turn.text(&[next]))?;
        used_up.push(next_key_path(&turn.pair));
    }
    let generated = work.finish()?;
    remove(setting.root, &used_up)?;
    Ok(generated)
}

/// Goes back to the old authority: first its certificates, and when they are in place, its bundle alone.
///
/// # Errors
/// If no rotation has begun, or something cannot be issued.
pub fn abort(setting: &Setting<'_>) -> Result<Aborted, Error> {
    let turns = turns_under_way(setting)?;
    let mut work = Work::begin(setting)?;
    if turns.iter().any(|turn| !turn.rotation.by_next.is_empty()) {
        let authorities = work.present_authorities()?;
        work.forget_notes();
        for turn in &turns {
            let signing = match turn.rotation.kind {
                Kind::PeerCa => authorities.of_peers()?,
                _ => &authorities.ca,
            };
            let Some(next) = &turn.rotation.next else {
                continue;
            };
            for leaf in turn.leaves.iter().filter(|leaf| is_by(leaf, next)) {
                renew_one(&mut work, leaf, signing, false)?;
            }
        }
        return Ok(Aborted::LeafsPutBack(work.finish()?));
    }
    for turn in &turns {
        let text = turn.text(&[&turn.rotation.old]);
        spread(&mut work, setting, turn.rotation.kind, &text)?;
    }
    let generated = work.finish()?;
    let unused: Vec<PathBuf> = turns.iter().map(|turn| next_key_path(&turn.pair)).collect();
    remove(setting.root, &unused)?;
    Ok(Aborted::Ended(generated))
}

/// Makes the certificates of the authorities anew with the keys that they have: what they signed stays valid, and members may
/// be restarted at any time before the old ones end. Where those have ended, all members must be restarted.
///
/// # Errors
/// If an authority's key is not here, or a rotation has begun.
pub fn extend(setting: &Setting<'_>) -> Result<Generated, Error> {
    let mut work = Work::begin(setting)?;
    for turn in turns(setting)? {
        if turn.rotation.next.is_some() {
            return Err(Error::HasBegun {
                root: setting.root.to_owned(),
            });
        }
        let key = read_key(&setting.root.join(&turn.pair.key))?;
        let key = key.ok_or_else(|| Error::NoAuthorityKey {
            certificate: setting.root.join(&turn.pair.certificate),
            key: setting.root.join(&turn.pair.key),
        })?;
        let kind = turn.rotation.kind;
        let issue = |source| Error::Issue { source };
        let old = turn.rotation.old.clone();
        // One that has ended is what this is for as well: it is judged by its last moment.
        let last = old.not_after.min(setting.now);
        let authority = Authority::open(old, key, last).map_err(issue)?;
        let profile = (setting.profiles)(kind);
        let certificate = authority.extend(&profile, setting.now).map_err(issue)?;
        work.note(kind, &turn.pair.certificate, true, &certificate);
        spread(&mut work, setting, kind, &turn.text(&[&certificate]))?;
    }
    work.finish()
}

/// The authorities whose rotation has begun: all, or that of the peer port alone.
fn turns_under_way(setting: &Setting<'_>) -> Result<Vec<Turn>, Error> {
    let mut turns = turns(setting)?;
    turns.retain(|turn| turn.rotation.next.is_some());
    match turns.is_empty() {
        true => Err(Error::NotBegun {
            root: setting.root.to_owned(),
        }),
        false => Ok(turns),
    }
}

/// Every authority of the directory.
fn turns(setting: &Setting<'_>) -> Result<Vec<Turn>, Error> {
    let file = |kind| {
        let pair = setting.layout.authority(kind);
        super::read(&setting.root.join(pair.certificate))
    };
    let (ca, peer_ca) = (file(Kind::Ca)?, file(Kind::PeerCa)?);
    let has_one = setting.layout.has_one_authority() || ca == peer_ca;
    let kinds: &[Kind] = match has_one || peer_ca.is_none() {
        true => &[Kind::Ca],
        false => &[Kind::Ca, Kind::PeerCa],
    };
    let mut leaves = leaves(setting)?;
    let turns = kinds.iter().map(|kind| {
        let is_below = |leaf: &mut Entry| has_one || authority_of(setting, leaf) == *kind;
        let own = leaves.extract_if(.., is_below).collect();
        turn(setting, *kind, own)
    });
    turns.collect()
}

fn turn(setting: &Setting<'_>, kind: Kind, leaves: Vec<Entry>) -> Result<Turn, Error> {
    let pair = setting.layout.authority(kind);
    let certificate = setting.root.join(&pair.certificate);
    let certificates = read_certificates(&certificate)?;
    let certificates = certificates.ok_or(Error::NoAuthority { certificate })?;
    let next_key = read_key(&setting.root.join(next_key_path(&pair)))?;
    let is_next =
        |certificate: &&Certificate| next_key.as_ref().is_some_and(|key| key.fits(certificate));
    let key = read_key(&setting.root.join(&pair.key))?;
    let signs = |certificate: &&&Certificate| key.as_ref().is_some_and(|key| key.fits(certificate));
    let not_next: Vec<&Certificate> = certificates
        .iter()
        .filter(|certificate| !is_next(certificate))
        .collect();
    let old = not_next.iter().find(signs).or(not_next.first()).copied();
    // A finished rotation that was killed at its very end leaves the next key beside the same one.
    let next = old.and_then(|_| certificates.iter().find(is_next));
    let old = old.unwrap_or(&certificates[0]);
    let by = |authority: &Certificate| {
        let issued = leaves.iter().filter(|leaf| is_by(leaf, authority));
        issued.map(|leaf| leaf.pair.certificate.clone()).collect()
    };
    let rotation = Rotation {
        kind,
        by_old: by(old),
        by_next: next.map(by).unwrap_or_default(),
        old: old.clone(),
        next: next.cloned(),
    };
    let is_other = |certificate: &&Certificate| {
        **certificate != rotation.old && Some(*certificate) != rotation.next.as_ref()
    };
    let others = certificates.iter().filter(is_other).cloned().collect();
    Ok(Turn {
        rotation,
        pair,
        next_key,
        others,
        leaves,
    })
}

/// The authority that issues what a leaf is for.
fn authority_of(setting: &Setting<'_>, leaf: &Entry) -> Kind {
    match (setting.profiles)(leaf.kind).signed_by {
        Signer::PeerCa => Kind::PeerCa,
        Signer::Ca | Signer::Itself => Kind::Ca,
    }
}

fn is_by(leaf: &Entry, authority: &Certificate) -> bool {
    leaf.certificate.issuer.der == authority.subject.der
}

/// Where the next authority's key waits.
fn next_key_path(pair: &Pair) -> PathBuf {
    let name = pair
        .key
        .file_stem()
        .unwrap_or_default()
        .display()
        .to_string();
    let extension = pair
        .key
        .extension()
        .unwrap_or_default()
        .display()
        .to_string();
    pair.key.with_file_name(format!("{name}-next.{extension}"))
}

/// Plans to write an authority's certificates to its file and to every member's bundle.
fn spread(work: &mut Work<'_>, setting: &Setting<'_>, kind: Kind, text: &str) -> Result<(), Error> {
    let layout = setting.layout;
    let own = layout.authority(kind).certificate;
    let mut places = vec![own.clone()];
    for member in members(setting)? {
        places.push(layout.bundled(kind, &member));
        places.push(layout.bundled(Kind::PeerCa, &member));
    }
    places.push(layout.authority(Kind::PeerCa).certificate);
    let before = super::read(&setting.root.join(own))?;
    for path in places {
        // The copies of this authority; with one authority, the peer port's files are such copies, too.
        let there = super::read(&setting.root.join(&path))?;
        if there.is_some() && there == before {
            work.plan(NewFile::public(&path, text, true));
        }
    }
    Ok(())
}

fn remove(root: &Path, paths: &[PathBuf]) -> Result<(), Error> {
    for path in paths {
        let path = root.join(path);
        if path.exists() {
            fs::remove_file(&path).map_err(|source| Error::Write { path, source })?;
        }
    }
    Ok(())
}
