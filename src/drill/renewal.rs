//! Certificates that ended: no disaster, and no case for a recovery. They are renewed, and their members restarted.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::script::Script;
use super::site::{Error, Site};
use crate::certs::profile::{Kind, Profile};
use crate::pki::{self, Renewal, Which};

/// So long were they valid that ended.
const LIFE: Duration = Duration::from_secs(1);

/// Gives members certificates that ended when the cluster was a moment old.
pub(super) fn end(site: &Site, members: &BTreeSet<usize>) -> Result<(), Error> {
    let short = |kind| Profile {
        validity: LIFE,
        ..Profile::embedded(kind)
    };
    issue(site, members, &short, site.began())
}

/// Renews members' certificates as `etcdrx certs renew` does, and restarts them.
pub(super) async fn renew(
    site: &Site,
    members: &BTreeSet<usize>,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    issue(site, members, &Profile::embedded, now)?;
    for member in members {
        site.run(*member, Script::Stop)?;
        site.until_it_is_gone(*member).await;
        site.run(*member, Script::Start)?;
    }
    Ok(())
}

fn issue(
    site: &Site,
    members: &BTreeSet<usize>,
    profiles: &dyn Fn(Kind) -> Profile,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let root = site.directory().join("pki");
    let setting = pki::Setting {
        profiles,
        ..pki::Setting::of(&root, now)
    };
    let names = members
        .iter()
        .map(|member| site.members[*member].name.clone());
    let renewal = Renewal {
        which: Which::Of(names.collect()),
        keeps_key: false,
        dry_run: false,
    };
    let renewed = pki::renew(&setting, &renewal);
    renewed
        .map(drop)
        .map_err(|source| Error::Certificates { source })
}
