//! How the manifest of a pod starts etcd: its containers, their variables, and where their files lie on the machine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::etcd_flags::parse;
use super::{Error, EtcdFlags};

impl EtcdFlags {
    /// Reads the manifest of a pod: the command, the arguments and the variables of its containers.
    ///
    /// Paths are told as they are on the machine, as far as volumes of the kind `hostPath` lead there.
    ///
    /// # Errors
    /// If it is no such manifest.
    pub fn from_manifest(text: &str, origin: &str) -> Result<Self, Error> {
        let Manifest { spec: pod } = parse(text, origin)?;
        let mut all = Self::default();
        for container in &pod.containers {
            let words = container.command.iter().chain(&container.args);
            let mut flags = Self::from_words(words.map(String::as_str));
            let variables = container.env.iter().map(|one| {
                let value = one.value.clone().unwrap_or_default();
                (one.name.clone(), value)
            });
            flags.take_variables(&variables.collect::<BTreeMap<_, _>>());
            for value in flags.values.values_mut() {
                if let Some(path) = pod.on_machine(container, value) {
                    *value = path.display().to_string();
                }
            }
            all.values.extend(flags.values);
            all.variables.extend(flags.variables);
            let id = |id: fn(&SecurityContext) -> Option<u32>| {
                id(&container.security_context).or_else(|| id(&pod.security_context))
            };
            let user = id(|context| context.run_as_user);
            all.user = user.map(|id| id.to_string()).or(all.user);
            let groups = [
                id(|context| context.run_as_group),
                pod.security_context.fs_group,
            ];
            let groups = groups
                .into_iter()
                .flatten()
                .chain(pod.security_context.supplemental_groups.clone());
            all.groups.extend(groups.map(|id| id.to_string()));
        }
        Ok(all)
    }
}

/// A pod's manifest, as far as it says how etcd is started.
#[derive(Debug, Deserialize)]
struct Manifest {
    spec: Pod,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Pod {
    containers: Vec<Container>,
    #[serde(default)]
    volumes: Vec<Volume>,
    #[serde(default)]
    security_context: SecurityContext,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Container {
    #[serde(default)]
    command: Vec<String>,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    env: Vec<Variable>,
    #[serde(default)]
    volume_mounts: Vec<Mount>,
    #[serde(default)]
    security_context: SecurityContext,
}

#[derive(Debug, Deserialize)]
struct Variable {
    name: String,
    value: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Mount {
    name: String,
    #[serde(rename = "mountPath")]
    at: PathBuf,
    #[serde(default)]
    sub_path: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Volume {
    name: String,
    host_path: Option<HostPath>,
}

#[derive(Debug, Deserialize)]
struct HostPath {
    path: PathBuf,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SecurityContext {
    run_as_user: Option<u32>,
    run_as_group: Option<u32>,
    fs_group: Option<u32>,
    supplemental_groups: Vec<u32>,
}

impl Pod {
    /// Where a path of a container lies on the machine; nothing for what is no path, or lies in no volume of it.
    fn on_machine(&self, container: &Container, path: &str) -> Option<PathBuf> {
        let path = Path::new(path);
        let mounts = container.volume_mounts.iter();
        let mounts = mounts.filter(|mount| path.starts_with(&mount.at));
        // Of two mounts, one within the other, the inner one holds.
        let mount = mounts.max_by_key(|mount| mount.at.components().count())?;
        let volume = self.volumes.iter().find(|one| one.name == mount.name)?;
        let inside = path.strip_prefix(&mount.at).ok()?;
        let folder = volume.host_path.as_ref()?.path.join(&mount.sub_path);
        // Taken apart and put together again, it has no slash at its end.
        Some(folder.join(inside).components().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_tells_its_command_and_arguments() {
        let text =
            "spec:\n  containers:\n  - command: [etcd, --cert-file=/a]\n    args: [--auto-tls]\n";
        let flags = EtcdFlags::from_manifest(text, "etcd.yaml").unwrap();
        assert_eq!(flags.get("cert-file"), Some("/a"));
        assert!(flags.is_on("auto-tls"));
        assert!(EtcdFlags::from_manifest("kind: Pod\n", "etcd.yaml").is_err());
    }

    #[test]
    fn paths_in_a_container_are_told_as_they_are_on_the_machine() {
        let text = "\
spec:
  securityContext: {runAsUser: 1000, supplementalGroups: [7]}
  containers:
  - command: [etcd, --cert-file=/pki/tls/a.crt, --key-file=/pki/a.key, --data-dir=/data, --name=m1]
    env:
    - {name: ETCD_TRUSTED_CA_FILE, value: /pki/ca.crt}
    - {name: POD_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
    volumeMounts:
    - {name: certs, mountPath: /pki}
    - {name: tls, mountPath: /pki/tls, subPath: etcd}
    - {name: data, mountPath: /data}
    - {name: secret, mountPath: /secret}
  volumes:
  - {name: certs, hostPath: {path: /etc/kubernetes/pki/etcd, type: DirectoryOrCreate}}
  - {name: tls, hostPath: {path: /etc/tls}}
  - {name: data, hostPath: {path: /var/lib/etcd}}
  - {name: secret, secret: {secretName: x}}
";
        let flags = EtcdFlags::from_manifest(text, "etcd.yaml").unwrap();

        assert_eq!(flags.get("cert-file"), Some("/etc/tls/etcd/a.crt"));
        assert_eq!(
            flags.get("key-file"),
            Some("/etc/kubernetes/pki/etcd/a.key")
        );
        assert_eq!(
            flags.get("trusted-ca-file"),
            Some("/etc/kubernetes/pki/etcd/ca.crt")
        );
        assert_eq!(flags.get("data-dir"), Some("/var/lib/etcd"));
        assert_eq!(flags.get("name"), Some("m1"));
        assert_eq!(flags.user.as_deref(), Some("1000"));
        assert_eq!(flags.groups, ["7"]);
    }
}
