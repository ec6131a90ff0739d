//! A unit of systemd, changed by a drop-in: its own file belongs to a package, and undone it is by removing one file.
//!
//! The values go into the command line, and their variables are not passed on, from whatever file they come: etcd does not start where
//! a flag and its variable are both set (`conflicting environment variable`).

use std::fmt::Write as _;
use std::fs;

use super::lines::variable;
use super::{
    Answer, Error, EtcdFlags, FORCE, Wanted, beside, done, exists, keep, replace, systemd,
};
use crate::node::flags::place_in;
use crate::node::writing;

/// The name of the drop-in: after most others, since the last one counts.
const DROP_IN: &str = "zz-etcdrx.conf";

/// Writes the drop-in of a unit whose whole text is `text`.
pub(super) async fn edit(
    unit: &str,
    text: &str,
    before: &EtcdFlags,
    wanted: &Wanted<'_>,
    run: &str,
) -> Result<Answer, Error> {
    let expected = wanted.applied_to(before);
    if before.values == expected {
        let evidence = format!("{unit} says so already");
        return Ok(done(false, vec![evidence]));
    }
    let path = systemd::drop_in(unit, DROP_IN).await;
    let cannot = || Error::CannotEdit {
        path: path.clone(),
        wanted: super::by_hand(wanted, before, unit, text),
    };
    let command = command_of(text).ok_or_else(cannot)?;
    let content = drop_in(&command, wanted);
    let read = |text: &str| EtcdFlags::from_unit_alone(text, &|path| fs::read_to_string(path).ok());
    let joined = format!("{text}\n{content}");
    if read(&joined).values != expected {
        return Err(cannot());
    }
    let folder = path.parent().unwrap_or(&path);
    fs::create_dir_all(folder).map_err(writing(folder))?;
    let copy = beside(&path, &format!("etcdrx-{run}"));
    let mut evidence = Vec::new();
    match exists(&path) {
        true if !exists(&copy) => {
            keep(&path, &copy)?;
            evidence.push(format!("{} is what it was before", copy.display()));
        }
        true => {}
        // An empty one changes nothing, and gives the next step an owner and a mode.
        false => fs::write(&path, "").map_err(writing(&path))?,
    }
    replace(&path, &content)?;
    systemd::reload().await?;
    if read(&systemd::text(unit).await?).values != expected {
        return Err(Error::NotReadBack { path });
    }
    evidence.insert(0, format!("{} was written", path.display()));
    if before.is_on(FORCE) {
        let place = place_in(unit, text);
        evidence.push(format!("force-new-cluster is off now: {place}"));
    }
    Ok(done(true, evidence))
}

/// The last command that the unit starts.
fn command_of(text: &str) -> Option<String> {
    let joined = text.replace("\\\n", " ");
    let mut commands = joined
        .lines()
        .filter_map(|line| line.trim().strip_prefix("ExecStart="));
    let last = commands.next_back()?.trim();
    // With a shell in between nobody knows what its words are.
    let is_plain = !last.is_empty() && !last.contains([';', '|', '`']) && !last.contains("$(");
    is_plain.then(|| last.to_owned())
}

/// The same command with the flags as they are to be.
fn drop_in(command: &str, wanted: &Wanted<'_>) -> String {
    let values = wanted.values();
    let ours = |word: &str| {
        let word = word.trim_start_matches(['"', '\'']);
        let flag = word.strip_prefix("--").or_else(|| word.strip_prefix('-'))?;
        let (name, value) = match flag.split_once('=') {
            Some((name, _)) => (name, true),
            None => (flag.trim_end_matches(['"', '\'']), false),
        };
        let is_ours = name == FORCE || values.iter().any(|(flag, _)| *flag == name);
        is_ours.then_some(value)
    };
    let mut kept: Vec<&str> = Vec::new();
    let mut words = command.split_whitespace().peekable();
    while let Some(word) = words.next() {
        match ours(word) {
            None => kept.push(word),
            Some(true) => {}
            // Its value is the next word, unless that is a flag again.
            Some(false) => drop(words.next_if(|next| !next.starts_with('-'))),
        }
    }
    let mut text = String::from(
        "# Written by `etcdrx node configure`: the members of the cluster, and nothing else.\n\
         [Service]\nExecStart=\nExecStart=",
    );
    text.push_str(&kept.join(" "));
    for (flag, value) in &values {
        let _ = write!(text, " \\\n  --{flag}={value}");
    }
    let unset: Vec<String> = values
        .iter()
        .map(|(flag, _)| variable(flag))
        .chain([variable(FORCE)])
        .collect();
    let _ = write!(text, "\nUnsetEnvironment={}", unset.join(" "));
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_stays_but_for_the_members() {
        let text = "\
[Service]
Environment=ETCD_FORCE_NEW_CLUSTER=true
ExecStart=/usr/bin/etcd --name m1 \\
  --initial-cluster old=http://o:1 --initial-cluster-state=new \\
  '--initial-cluster-token=x' --data-dir=/d
";
        let wanted = Wanted {
            initial_cluster: "m1=http://a:2380",
            state: "existing",
            token: None,
        };
        let content = drop_in(&command_of(text).unwrap(), &wanted);
        let line = content.replace("\\\n", "").replace("   ", " ");
        assert!(
            line.ends_with(
                "ExecStart=/usr/bin/etcd --name m1 '--initial-cluster-token=x' --data-dir=/d \
                 --initial-cluster=m1=http://a:2380 --initial-cluster-state=existing\n\
                 UnsetEnvironment=ETCD_INITIAL_CLUSTER ETCD_INITIAL_CLUSTER_STATE ETCD_FORCE_NEW_CLUSTER\n"
            ),
            "{line}"
        );
        let flags = EtcdFlags::from_unit_alone(&format!("{text}{content}"), &|_| None);
        assert_eq!(flags.get("initial-cluster-token"), Some("x"));
        assert!(!flags.is_on(FORCE));
        assert_eq!(command_of("ExecStart=/bin/sh -c \"etcd; true\"\n"), None);
    }
}
