//! The integration tests: etcdrx against real servers on loopback.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::large_futures,
    reason = "in a test a panic is an answer, and a stack is large enough"
)]

mod architecture;
mod bolt_writers;
mod certs_boot;
mod certs_check;
mod certs_check_authorities;
mod certs_check_flags;
mod certs_check_lists;
mod certs_check_machine;
mod certs_check_setup;
mod certs_explain;
mod certs_explain_live;
mod certs_forge;
mod certs_generate;
mod certs_handshakes;
mod certs_judge;
mod certs_names;
mod certs_odd_rows;
mod certs_ports;
mod certs_probe;
mod certs_revoked;
mod certs_rotation;
mod certs_rows;
mod certs_runs;
mod certs_setup;
mod certs_sign;
mod certs_sources;
mod certs_truth;
mod cli_check;
mod cli_clusters;
mod cli_configuration;
mod cli_notifications;
mod cli_reference;
mod cli_retention;
mod damage;
mod damage_campaign;
mod datadir_bytes;
mod datadir_damage;
mod datadir_inspect;
mod datadir_logs;
mod etcd_agreement;
mod etcd_certificates;
mod etcd_endpoints;
mod etcd_interruptions;
mod etcd_members;
mod etcd_passwords;
mod etcd_round_trip;
mod etcd_streams;
mod etcd_survivors;
mod fuzz_found;
mod fuzz_replay;
mod mutate;
mod restore_afterlife;
mod restore_matrix;
mod restore_mistakes;
mod restore_options;
mod restore_refusals;
mod restore_revisions;
mod restore_setup;
mod scratch;
mod scratch_servers;
mod setup;
mod snapshot_apply;
mod snapshot_history;
mod snapshot_reading;
mod snapshot_truth;
mod store_damage;
mod store_disk;
mod store_faults;
mod store_fetch;
mod store_forgery;
mod store_kills;
mod store_locks;
mod store_outages;
mod store_retention;
mod store_rights;
mod store_round_trip;
mod store_setup;
mod store_specimen;
mod tiny;
mod verify_deep;
