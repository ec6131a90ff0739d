//! Who the members of a cluster are and where they are reached, as one member's own configuration file tells.

use super::{Error, EtcdFlags};

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

impl MemberUrls {
    /// Reads etcd's configuration file: the member's own URLs, and the peer URLs of all in `initial-cluster`.
    ///
    /// # Errors
    /// If it is not YAML, or names no member at all.
    pub fn from_etcd_config(text: &str, origin: &str) -> Result<Vec<Self>, Error> {
        let flags = EtcdFlags::from_config(text, origin)?;
        let mut own = Self {
            name: flags.get("name").unwrap_or("default").to_owned(),
            client_urls: urls(&flags, ["advertise-client-urls", "listen-client-urls"]),
            peer_urls: urls(&flags, ["initial-advertise-peer-urls", "listen-peer-urls"]),
        };
        let mut members: Vec<Self> = Vec::new();
        let listed = flags.list("initial-cluster");
        for (name, url) in listed.filter_map(|entry| entry.split_once('=')) {
            let (name, url) = (name.trim(), url.trim());
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
            true => Err(Error::NotEtcd {
                origin: origin.to_owned(),
                problem: "it names no member (initial-cluster)".to_owned(),
            }),
            false => Ok(members),
        }
    }
}

/// The URLs of these flags; an address that stands for all of a machine's is no host.
fn urls(flags: &EtcdFlags, names: [&str; 2]) -> Vec<String> {
    let all = names.iter().flat_map(|name| flags.list(name));
    all.filter(|url| !url.contains("//0.0.0.0") && !url.contains("//[::]"))
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
