//! gRPC's encodings: whatever comes, messages are cut where their prefixes say, nothing is invented, nothing panics.
#![no_main]
use arbitrary::Arbitrary;
use bytes::Bytes;
use couponry_wire::{Encoding, framing, metadata, protobuf, timeout};
use libfuzzer_sys::fuzz_target;

const MOST: usize = 1 << 16;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    pieces: Vec<&'a [u8]>,
    text: &'a str,
}

fuzz_target!(|input: Input<'_>| {
    let stream = input.pieces.concat();
    let mut deframer = framing::Deframer::default();
    let mut written = Vec::new();
    let mut refused = false;
    for piece in &input.pieces {
        deframer.push(Bytes::copy_from_slice(piece));
        while !refused {
            match deframer.next(MOST) {
                Ok(Some(raw)) => {
                    assert!(raw.payload.len() <= MOST);
                    if raw.compressed {
                        for encoding in [Encoding::Gzip, Encoding::Deflate] {
                            if let Ok(inflated) = encoding.inflate(&raw.payload, MOST) {
                                assert!(inflated.len() <= MOST, "inflated beyond the limit");
                            }
                        }
                    }
                    written.extend_from_slice(&framing::frame(raw.compressed, &raw.payload));
                }
                Ok(None) => break,
                Err(_) => refused = true,
            }
        }
    }
    assert!(stream.starts_with(&written), "messages are not what came");

    for piece in &input.pieces {
        let _ = timeout::parse(piece);
        for number in [1, 2] {
            let _ = protobuf::only_varint(piece, number);
            let _ = protobuf::only_bytes(piece, number);
            let _ = protobuf::only_varints(piece, number);
        }
    }
    let details = metadata::percent_encoded(input.text);
    assert!(details.as_bytes().iter().all(|byte| (0x20..0x7f).contains(byte)), "a grpc-message that no header may hold");
});
