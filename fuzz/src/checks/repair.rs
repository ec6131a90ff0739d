//! Checksums set right, so that mutated bytes get past the front door.
//!
//! How much is set right is in the length of the bytes: seeds are files as they are, and libFuzzer changes lengths.

/// The bytes of a page header, and of a meta with it.
const HEADER: usize = 16;
const META_BYTES: usize = HEADER + 64;

/// A database with valid metas, or as it is if its length is odd; with its pages numbered if the length is 2 mod 4.
pub(crate) fn database(data: &[u8]) -> Vec<u8> {
    let mut bytes = data.to_vec();
    let size = page_size(data);
    if data.len() % 2 == 1 || data.len() < size + META_BYTES {
        return bytes;
    }
    for number in 0..2 {
        meta(&mut bytes, number, size);
    }
    if data.len() % 4 == 2 {
        for (number, page) in (0_u64..).zip(bytes.chunks_exact_mut(size)) {
            put(page, 0, &number.to_le_bytes());
        }
    }
    bytes
}

/// The page size that the first meta tells, if it can be.
fn page_size(data: &[u8]) -> usize {
    let told = data.get(HEADER + 8..HEADER + 12).map(|bytes| {
        bytes
            .iter()
            .rev()
            .fold(0, |number, byte| number << 8 | usize::from(*byte))
    });
    told.filter(|size| size.is_power_of_two() && (1024..=65536).contains(size))
        .unwrap_or(1024)
}

/// Makes page `number` a meta: its root, freelist and transaction stay, the end of the database moves to the file's.
fn meta(bytes: &mut [u8], number: usize, size: usize) {
    let pages = (bytes.len() / size) as u64;
    let page = &mut bytes[number * size..];
    put(page, 0, &(number as u64).to_le_bytes());
    put(page, 8, &4_u16.to_le_bytes());
    put(page, HEADER, &0xED0C_DAED_u32.to_le_bytes());
    put(page, HEADER + 4, &2_u32.to_le_bytes());
    put(
        page,
        HEADER + 8,
        &u32::try_from(size).unwrap_or_default().to_le_bytes(),
    );
    let told = u64::from_le_bytes(
        page[HEADER + 40..HEADER + 48]
            .try_into()
            .unwrap_or_default(),
    );
    put(page, HEADER + 40, &told.min(pages).to_le_bytes());
    let checksum = page[HEADER..HEADER + 56]
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
    put(page, HEADER + 56, &checksum.to_le_bytes());
}

fn put(page: &mut [u8], at: usize, bytes: &[u8]) {
    page[at..at + bytes.len()].copy_from_slice(bytes);
}

/// The files of a log: one as it is if the length is odd; else with every checksum right, cut in two if it is 2 mod 4.
pub(crate) fn log(data: &[u8]) -> Vec<Vec<u8>> {
    if data.len() % 2 == 1 {
        return vec![data.to_vec()];
    }
    let records = records(data);
    let half = match data.len() % 4 {
        2 => records.len() / 2,
        _ => records.len(),
    };
    let mut crc = 0;
    let files = [&records[..half], &records[half..]]
        .into_iter()
        .filter(|part| !part.is_empty());
    files.map(|part| file(part, &mut crc)).collect()
}

/// The kinds and data of the records that can be made out.
fn records(mut data: &[u8]) -> Vec<(u64, &[u8])> {
    let mut records = Vec::new();
    while let Some((word, rest)) = data.split_first_chunk::<8>() {
        let word = u64::from_le_bytes(*word);
        let length = usize::try_from(word & 0xffff).unwrap_or_default();
        let padding = if word >> 63 == 1 {
            (word >> 56 & 7) as usize
        } else {
            0
        };
        let Some((message, rest)) = rest.split_at_checked(length) else {
            break;
        };
        data = rest.get(padding..).unwrap_or_default();
        if word == 0 {
            break;
        }
        // A kind, a checksum of one to five bytes, and the data with their length.
        let mut record = (1, message);
        for field in etcdrx::protobuf::Fields::of(message).flatten() {
            match field {
                (1, value) => record.0 = value.number().unwrap_or(1),
                (3, value) => record.1 = value.bytes().unwrap_or_default(),
                _ => {}
            }
        }
        records.push(record);
    }
    records
}

fn file(records: &[(u64, &[u8])], crc: &mut u32) -> Vec<u8> {
    let mut bytes = frame(4, *crc, None);
    for (kind, data) in records.iter().filter(|(kind, _)| *kind != 4) {
        *crc = crc32c::crc32c_append(*crc, data);
        bytes.extend(frame(*kind, *crc, Some(data)));
    }
    bytes
}

fn frame(kind: u64, crc: u32, data: Option<&[u8]>) -> Vec<u8> {
    let mut record = vec![0x08];
    varint(&mut record, kind);
    record.push(0x10);
    varint(&mut record, u64::from(crc));
    if let Some(data) = data {
        record.push(0x1a);
        varint(&mut record, data.len() as u64);
        record.extend_from_slice(data);
    }
    let padding = record.len().wrapping_neg() % 8;
    let mut word = record.len() as u64;
    if padding > 0 {
        word |= (0x80 | padding as u64) << 56;
    }
    record.resize(record.len() + padding, 0);
    [word.to_le_bytes().as_slice(), &record].concat()
}

fn varint(into: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        into.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    into.push((value & 0x7f) as u8);
}
