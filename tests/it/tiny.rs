//! Databases of a few KiB, in pages of 1 KiB.

use etcdrx::bolt::Loader;

/// A database of these records (revision, key, length of the value or below 0 for a tombstone), and so many roles.
pub(crate) fn database(records: &[(u64, u64, u8, i32)], roles: usize) -> Vec<u8> {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut loader = Loader::create(file.reopen().unwrap(), 1024).unwrap();
    bucket(&mut loader, b"alarm", &[(&[0x08, 0x01, 0x10, 0x01], b"")]);
    bucket(&mut loader, b"auth", &[(b"authEnabled", &[1])]);
    bucket(&mut loader, b"authRoles", &[]);
    for role in 0..roles {
        // Eight letters, a line, eight letters: as long as the key of a record, and with the line where it has its own.
        let name = format!("operator_{role:08}");
        loader
            .push(
                name.as_bytes(),
                &[b"\x0a\x11".as_slice(), name.as_bytes(), &[b'p'; 90]].concat(),
            )
            .unwrap();
    }
    loader.begin_bucket(b"key").unwrap();
    for (main, sub, name, length) in records {
        let name = [*name, u8::try_from(main % 16).unwrap() + b'a'];
        match usize::try_from(*length) {
            Ok(length) => loader
                .push(&key(*main, *sub, false), &pair(&name, *main, length))
                .unwrap(),
            Err(_) => loader
                .push(
                    &key(*main, *sub, true),
                    &[b"\x0a\x02".as_slice(), &name].concat(),
                )
                .unwrap(),
        }
    }
    bucket(
        &mut loader,
        b"lease",
        &[(&[0, 0, 0, 0, 0, 0, 0, 7], &[0x08, 0x07, 0x10, 0x3c])],
    );
    bucket(
        &mut loader,
        b"members",
        &[(b"1", br#"{"id":1,"peerURLs":["http://a:1"],"name":"a"}"#)],
    );
    bucket(
        &mut loader,
        b"meta",
        &[
            (b"confState", br#"{"voters":[1],"auto_leave":false}"#),
            (b"consistent_index", &[0, 0, 0, 0, 0, 0, 0, 9]),
            (b"finishedCompactRev", &key(2, 0, false)),
            (b"scheduledCompactRev", &key(2, 0, false)),
            (b"storageVersion", b"3.6.0"),
            (b"term", &[0, 0, 0, 0, 0, 0, 0, 2]),
        ],
    );
    loader.finish().unwrap();
    std::fs::read(file.path()).unwrap()
}

fn bucket(loader: &mut Loader, name: &[u8], pairs: &[(&[u8], &[u8])]) {
    loader.begin_bucket(name).unwrap();
    for (key, value) in pairs {
        loader.push(key, value).unwrap();
    }
}

/// The key of a record.
pub(crate) fn key(main: u64, sub: u64, tombstone: bool) -> Vec<u8> {
    let tail: &[u8] = if tombstone { b"t" } else { b"" };
    [
        &main.to_be_bytes(),
        b"_".as_slice(),
        &sub.to_be_bytes(),
        tail,
    ]
    .concat()
}

/// A key and a value of that length, as etcd encodes them.
pub(crate) fn pair(name: &[u8], main: u64, length: usize) -> Vec<u8> {
    let main = u8::try_from(main % 128).unwrap();
    let head = [
        b"\x0a".as_slice(),
        &[u8::try_from(name.len()).unwrap()],
        name,
    ]
    .concat();
    let numbers = [0x10, main, 0x18, main, 0x20, 1, 0x2a];
    let length_bytes = [
        0x80 | u8::try_from(length % 128).unwrap(),
        u8::try_from(length / 128).unwrap(),
    ];
    [
        head,
        numbers.to_vec(),
        length_bytes.to_vec(),
        vec![b'v'; length],
        vec![0x30, 7],
    ]
    .concat()
}
