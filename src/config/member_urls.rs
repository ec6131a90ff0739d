//! Who the members of a cluster are and where they are reached, as one member's own configuration file tells.

use serde::Deserialize;

use super::Error;

/// The URLs of a member.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MemberUrls {
    /// Its name.
    pub name: String,
    /// Where clients reach it.
    pub client_urls: Vec<String>,
    /// Where members reach it.
    pub peer_urls: Vec<String>,
}

/// The keys of etcd's configuration file that matter here (`server/embed/config.go`).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct EtcdConfig {
    name: String,
    initial_cluster: String,
    listen_client_urls: String,
    advertise_client_urls: String,
    listen_peer_urls: String,
    initial_advertise_peer_urls: String,
}

impl Default for EtcdConfig {
    fn default() -> Self {
        Self {
            name: "default".to_owned(),
            initial_cluster: String::new(),
            listen_client_urls: String::new(),
            advertise_client_urls: String::new(),
            listen_peer_urls: String::new(),
            initial_advertise_peer_urls: String::new(),
        }
    }
}

impl MemberUrls {
    /// Reads etcd's configuration file: the member's own URLs, and the peer URLs of all in `initial-cluster`.
    ///
    /// # Errors
    /// If it is not YAML, or names no member at all.
    pub fn from_etcd_config(text: &str, origin: &str) -> Result<Vec<Self>, Error> {
        let not_etcd = |problem: String| Error::NotEtcd {
            origin: origin.to_owned(),
            problem,
        };
        let config: EtcdConfig =
            serde_saphyr::from_str(text).map_err(|error| not_etcd(error.to_string()))?;
        let mut own = Self {
            name: config.name,
            client_urls: urls(&[&config.advertise_client_urls, &config.listen_client_urls]),
            peer_urls: urls(&[
                &config.initial_advertise_peer_urls,
                &config.listen_peer_urls,
            ]),
        };
        let mut members: Vec<Self> = Vec::new();
        for (name, url) in entries(&config.initial_cluster) {
            match members.iter_mut().find(|member| member.name == name) {
                Some(member) => member.peer_urls.push(url.to_owned()),
                None => members.push(Self {
                    name: name.to_owned(),
                    client_urls: Vec::new(),
                    peer_urls: vec![url.to_owned()],
                }),
            }
        }
        match members.iter_mut().find(|member| member.name == own.name) {
            Some(member) => {
                member.client_urls.append(&mut own.client_urls);
                member.peer_urls.append(&mut own.peer_urls);
            }
            None if own.client_urls.is_empty() && own.peer_urls.is_empty() => {}
            None => members.push(own),
        }
        match members.is_empty() {
            true => Err(not_etcd("it names no member (initial-cluster)".to_owned())),
            false => Ok(members),
        }
    }
}

fn entries(initial_cluster: &str) -> impl Iterator<Item = (&str, &str)> {
    let entries = initial_cluster
        .split(',')
        .filter_map(|entry| entry.split_once('='));
    entries.map(|(name, url)| (name.trim(), url.trim()))
}

/// Every URL in lists of them; an address that stands for all of a machine's is no host.
fn urls(lists: &[&str]) -> Vec<String> {
    let all = lists.iter().flat_map(|list| list.split(','));
    let trimmed = all.map(str::trim).filter(|url| !url.is_empty());
    trimmed
        .filter(|url| !url.contains("//0.0.0.0") && !url.contains("//[::]"))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_members_configuration_names_all_members() {
        let text = "\
name: m1
listen-client-urls: https://0.0.0.0:2379,https://127.0.0.1:2379
advertise-client-urls: https://m1.example.com:2379
listen-peer-urls: https://10.0.0.1:2380
initial-cluster: m1=https://10.0.0.1:2380,m2=https://10.0.0.2:2380
";
        let members = MemberUrls::from_etcd_config(text, "etcd.conf.yml").unwrap();
        assert_eq!(members.len(), 2);
        assert_eq!(
            members[0].client_urls,
            ["https://m1.example.com:2379", "https://127.0.0.1:2379"]
        );
        assert_eq!(members[1].peer_urls, ["https://10.0.0.2:2380"]);
        assert!(MemberUrls::from_etcd_config("data-dir: x", "x").is_err());
        assert!(MemberUrls::from_etcd_config("[", "x").is_err());
    }
}
