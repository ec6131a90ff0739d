//! The rooms of etcdrx that read bytes of others, alone: so a fuzzer is built in a minute, and not in a quarter of an hour
//! with the clients of etcd and of object stores.

extern crate self as etcdrx;

#[path = "../../src/backend/mod.rs"]
pub mod backend;
#[path = "../../src/bolt/mod.rs"]
pub mod bolt;
pub mod checks;
#[path = "../../src/datadir/mod.rs"]
pub mod datadir;
#[path = "../../src/id.rs"]
pub mod id;
#[path = "../../src/manifest.rs"]
pub mod manifest;
#[path = "../../src/protobuf.rs"]
pub mod protobuf;
