//! Backups of etcd that prove themselves.
//!
//! The library never prints, never exits and reads no environment: the binary does.

pub mod apply;
pub mod attachments;
pub mod backend;
pub mod backup;
pub mod bolt;
pub mod catalog;
pub mod certs;
pub mod check;
pub mod codec;
pub mod config;
pub mod copy;
pub mod datadir;
pub mod drill;
pub mod etcd;
pub mod fetch;
pub mod handshakes;
pub mod host;
pub mod id;
pub mod keys;
pub mod manifest;
pub mod node;
pub mod notify;
pub mod partial;
pub mod pin;
pub mod pki;
pub mod progress;
pub mod protobuf;
pub mod prune;
pub mod recovery;
pub mod repository;
pub mod restore;
pub mod retention;
pub mod sandbox;
pub mod schedule;
pub mod source;
pub mod upgrade;
pub mod verify;
