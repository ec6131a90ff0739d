//! Data for a benchmark, as it lies in real clusters.

use std::fmt::Write as _;

use etcd_client::{Txn, TxnOp};

use crate::scratch::Cluster;

/// What the values are like.
#[derive(Debug, Clone, Copy)]
#[allow(dead_code, reason = "not every benchmark takes every kind")]
pub(crate) enum Values {
    /// Pods of Kubernetes as JSON, about 3.5 KB each: much text that repeats, some that never does.
    Pods,
    /// Small records of 350 bytes.
    Small,
}

/// Fills the cluster with so many megabytes of keys and values.
pub(crate) async fn load(cluster: &Cluster, megabytes: usize, values: Values) {
    let mut client = cluster.client().await;
    let mut random = 42_u64;
    let mut written = 0;
    let mut number = 0;
    while written < megabytes * 1_000_000 {
        let mut operations = Vec::new();
        for _ in 0..100 {
            let mut value = object(number, &mut random);
            if let Values::Small = values {
                // From the middle, where the uid and the hash stand.
                value = value.split_off(100);
                value.truncate(350);
            }
            written += value.len();
            operations.push(TxnOp::put(
                format!("/registry/pods/ns-{}/pod-{number:08}", number % 50),
                value,
                None,
            ));
            number += 1;
        }
        client.txn(Txn::new().and_then(operations)).await.unwrap();
    }
}

fn object(number: usize, random: &mut u64) -> String {
    let mut hex = |digits: usize| {
        let mut text = String::new();
        while text.len() < digits {
            *random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            write!(text, "{:08x}", *random >> 32).unwrap();
        }
        text.truncate(digits);
        text
    };
    let mut text = format!(
        r#"{{"kind":"Pod","apiVersion":"v1","metadata":{{"name":"pod-{number:08}","namespace":"ns-{}","uid":"{}","labels":{{"app":"service-{}","pod-template-hash":"{}"}},"ownerReferences":[{{"apiVersion":"apps/v1","kind":"ReplicaSet","uid":"{}","controller":true}}]}},"spec":{{"volumes":[{{"name":"kube-api-access","projected":{{"sources":[{{"serviceAccountToken":{{"expirationSeconds":3607,"path":"token"}}}},{{"configMap":{{"name":"kube-root-ca.crt"}}}}]}}}}],"containers":["#,
        number % 50,
        hex(32),
        number % 400,
        hex(10),
        hex(32)
    );
    for container in 0..6 {
        write!(
            text,
            r#"{{"name":"container-{container}","image":"registry.internal/team/service@sha256:{}","ports":[{{"containerPort":8080,"protocol":"TCP"}}],"env":[{{"name":"POD_IP","valueFrom":{{"fieldRef":{{"apiVersion":"v1","fieldPath":"status.podIP"}}}}}},{{"name":"TOKEN","value":"{}"}}],"resources":{{"limits":{{"cpu":"500m","memory":"512Mi"}},"requests":{{"cpu":"100m","memory":"128Mi"}}}},"terminationMessagePath":"/dev/termination-log","imagePullPolicy":"IfNotPresent"}},"#,
            hex(64),
            hex(40)
        )
        .unwrap();
    }
    text.push_str(r#"{}],"restartPolicy":"Always","dnsPolicy":"ClusterFirst","schedulerName":"default-scheduler"}}"#);
    text
}
