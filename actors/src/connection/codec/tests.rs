//! Sections 1–7, 9 and 10 of the Autobahn test suite at the level of frames, and what it leaves out.

use proptest::prelude::*;

use super::*;

const LIMIT: usize = 1 << 20;
const MASK: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

/// A client's frame: the first byte as given, the length in its shortest form.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..=125 => bytes.push(0x80 | u8::try_from(length).unwrap()),
        length @ 126..=0xFFFF => {
            bytes.push(0x80 | 0x7E);
            bytes.extend(u16::try_from(length).unwrap().to_be_bytes());
        }
        length => {
            bytes.push(0x80 | 0x7F);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend(MASK);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

fn close(code: u16, reason: &[u8]) -> Vec<u8> {
    frame(0x88, &[&code.to_be_bytes(), reason].concat())
}

/// Everything that comes out, and how it ends.
fn decode_chunks<'a>(chunks: impl IntoIterator<Item = &'a [u8]>, limit: usize) -> (Vec<Message>, Option<Violation>) {
    let mut decoder = Decoder::new(limit);
    let mut messages = Vec::new();
    for chunk in chunks {
        decoder.push(Bytes::copy_from_slice(chunk));
        loop {
            match decoder.next_message() {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(violation) => return (messages, Some(violation)),
            }
        }
    }
    (messages, None)
}

/// The same whole, in single bytes, and in every cut in two for what is short.
fn decode(bytes: &[u8]) -> (Vec<Message>, Option<Violation>) {
    let whole = decode_chunks([bytes], LIMIT);
    assert_eq!(decode_chunks(bytes.chunks(1), LIMIT), whole, "byte by byte");
    assert_eq!(decode_chunks(bytes.chunks(997), LIMIT), whole, "in chops");
    if bytes.len() < 200 {
        for cut in 0..bytes.len() {
            let (left, right) = bytes.split_at(cut);
            assert_eq!(decode_chunks([left, right], LIMIT), whole, "cut at {cut}");
        }
    }
    whole
}

fn accepted(frames: &[Vec<u8>]) -> Vec<Message> {
    let (messages, violation) = decode(&frames.concat());
    assert_eq!(violation, None);
    messages
}

fn refused(frames: &[Vec<u8>]) -> Violation {
    decode(&frames.concat()).1.expect("a violation")
}

fn text(text: &str) -> Message {
    Message::Text(text.to_owned())
}

#[test]
fn section_1_payloads_of_every_form_of_length() {
    for length in [0, 1, 125, 126, 127, 128, 65535, 65536, 65536 + 7] {
        let payload = vec![b'*'; length];
        let string = String::from_utf8(payload.clone()).unwrap();
        assert_eq!(accepted(&[frame(0x81, &payload)]), [Message::Text(string)]);
        assert_eq!(accepted(&[frame(0x82, &payload)]), [Message::Binary(payload)]);
    }
}

#[test]
fn lengths_need_not_be_minimal_but_below_2_to_the_63() {
    let long = [&[0x81, 0x80 | 0x7E, 0, 1][..], &MASK, &[b'a' ^ MASK[0]]].concat();
    let longest = [
        &[0x81, 0x80 | 0x7F, 0, 0, 0, 0, 0, 0, 0, 1][..],
        &MASK,
        &[b'b' ^ MASK[0]],
    ]
    .concat();
    assert_eq!(accepted(&[long, longest]), [text("a"), text("b")]);
    assert_eq!(refused(&[vec![0x82, 0xFF, 0x80, 0, 0]]), Violation::Protocol);
}

#[test]
fn section_2_pings_and_pongs() {
    let most = vec![0xFE; 125];
    let messages = accepted(&[
        frame(0x89, b""),
        frame(0x89, b"Hello, world!"),
        frame(0x89, &[0, 0xFF, 0xFE]),
        frame(0x89, &most),
        frame(0x8A, b"unsolicited"),
    ]);
    let expected = [
        Message::Ping(vec![]),
        Message::Ping(b"Hello, world!".to_vec()),
        Message::Ping(vec![0, 0xFF, 0xFE]),
        Message::Ping(most),
        Message::Pong(b"unsolicited".to_vec()),
    ];
    assert_eq!(messages, expected);
    for first in [0x88, 0x89, 0x8A] {
        assert_eq!(refused(&[frame(first, &[0xFE; 126])]), Violation::Protocol);
    }
}

#[test]
fn sections_3_and_4_reserved_bits_and_opcodes() {
    for reserved in 1..8u8 {
        for opcode in [0x1, 0x2, 0x8, 0x9, 0xA] {
            let (messages, violation) =
                decode(&[frame(0x81, b"first"), frame(0x80 | reserved << 4 | opcode, b"")].concat());
            assert_eq!((messages, violation), (vec![text("first")], Some(Violation::Protocol)));
        }
    }
    for opcode in [3, 4, 5, 6, 7, 0xB, 0xC, 0xD, 0xE, 0xF] {
        for payload in [&b""[..], b"reserved"] {
            assert_eq!(refused(&[frame(0x80 | opcode, payload)]), Violation::Protocol);
        }
    }
}

#[test]
fn a_client_masks() {
    assert_eq!(refused(&[vec![0x81, 0x01, b'a']]), Violation::Protocol);
    assert_eq!(refused(&[vec![0x89, 0x00]]), Violation::Protocol);
}

#[test]
fn a_header_is_judged_as_soon_as_it_can_be() {
    let bytes: [&[u8]; 6] = [&[0x83], &[0x91], &[0x09], &[0x80], &[0x81, 0x05], &[0x88, 0xFE]];
    for bytes in bytes {
        assert_eq!(decode_chunks([bytes], LIMIT).1, Some(Violation::Protocol), "{bytes:x?}");
    }
}

#[test]
fn section_5_fragments() {
    // Control frames are never fragmented.
    for opcode in [0x8, 0x9, 0xA] {
        assert_eq!(
            refused(&[frame(opcode, b"frag"), frame(0x80, b"ment")]),
            Violation::Protocol
        );
    }
    assert_eq!(
        accepted(&[frame(0x01, b"frag"), frame(0x80, b"ment")]),
        [text("fragment")]
    );
    let between = accepted(&[
        frame(0x01, b"1"),
        frame(0x89, b"ping 1"),
        frame(0x00, b"2"),
        frame(0x00, b""),
        frame(0x8A, b""),
        frame(0x89, b"ping 2"),
        frame(0x80, b"3"),
        frame(0x82, b"4"),
    ]);
    let expected = [
        Message::Ping(b"ping 1".to_vec()),
        Message::Pong(vec![]),
        Message::Ping(b"ping 2".to_vec()),
        text("123"),
        Message::Binary(b"4".to_vec()),
    ];
    assert_eq!(between, expected);
    // A continuation of nothing, before and after a message; a new message within one.
    for first in [0x00, 0x80] {
        assert_eq!(refused(&[frame(first, b"x")]), Violation::Protocol);
        assert_eq!(
            refused(&[frame(0x01, b"a"), frame(0x80, b"b"), frame(first, b"x")]),
            Violation::Protocol
        );
    }
    for first in [0x01, 0x81, 0x02, 0x82] {
        assert_eq!(refused(&[frame(0x01, b"a"), frame(first, b"b")]), Violation::Protocol);
    }
}

#[test]
fn section_6_text_is_utf8() {
    let good: [&[u8]; 14] = [
        "κόσμε".as_bytes(),
        b"\x00",
        b"\x7f",
        b"\xc2\x80",
        b"\xdf\xbf",
        b"\xe0\xa0\x80",
        b"\xef\xbf\xbf",
        b"\xf0\x90\x80\x80",
        b"\xf4\x8f\xbf\xbf",
        b"\xed\x9f\xbf",
        b"\xee\x80\x80",
        b"\xef\xbf\xbd",
        b"\xef\xbf\xbe",
        b"\xf0\x9f\xbf\xbe",
    ];
    for bytes in good {
        let expected = text(std::str::from_utf8(bytes).unwrap());
        assert_eq!(accepted(&[frame(0x81, bytes)]), std::slice::from_ref(&expected));
        for cut in 0..bytes.len() {
            let (left, right) = bytes.split_at(cut);
            assert_eq!(
                accepted(&[frame(0x01, left), frame(0x80, right)]),
                std::slice::from_ref(&expected)
            );
        }
    }
    let bad: [&[u8]; 22] = [
        b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80\x65\x64",
        b"\xf8\x88\x80\x80\x80",
        b"\xfc\x84\x80\x80\x80\x80",
        b"\xf7\xbf\xbf\xbf",
        b"\xfb\xbf\xbf\xbf\xbf",
        b"\xf4\x90\x80\x80",
        b"\x80",
        b"\xbf",
        b"\x80\xbf\x80\xbf",
        b"\xc0\x20",
        b"\xf5\x20",
        b"\xfe",
        b"\xff",
        b"\xc0\xaf",
        b"\xe0\x80\xaf",
        b"\xf0\x80\x80\xaf",
        b"\xc1\xbf",
        b"\xe0\x9f\xbf",
        b"\xed\xa0\x80",
        b"\xed\xbf\xbf",
        b"\xce\xba\xe1\xbd",
        b"\xc2",
    ];
    for bytes in bad {
        assert_eq!(refused(&[frame(0x81, bytes)]), Violation::InvalidText, "{bytes:x?}");
        assert_eq!(
            refused(&[frame(0x01, b"a"), frame(0x80, bytes)]),
            Violation::InvalidText,
            "{bytes:x?}"
        );
        assert_eq!(accepted(&[frame(0x82, bytes)]), [Message::Binary(bytes.to_vec())]);
    }
}

#[test]
fn bad_text_is_found_at_its_first_bad_byte() {
    // Section 6.4: a valid beginning, a byte that can't be, and a rest that never comes.
    let payload = b"\xce\xba\xe1\xbd\xb9\xf4\x90\x80\x80 and more";
    let bytes = frame(0x81, payload);
    let header = bytes.len() - payload.len();
    assert_eq!(decode_chunks(bytes[..header + 6].chunks(1), LIMIT), (vec![], None));
    assert_eq!(
        decode_chunks(bytes[..header + 7].chunks(1), LIMIT).1,
        Some(Violation::InvalidText)
    );
    // Across fragments, where no fragment is the last.
    let fragments = [frame(0x01, &payload[..6]), frame(0x00, &payload[6..7])].concat();
    assert_eq!(decode_chunks([&fragments[..]], LIMIT).1, Some(Violation::InvalidText));
}

#[test]
fn section_7_closing() {
    assert_eq!(accepted(&[frame(0x88, b"")]), [Message::Close(None)]);
    let longest = [b'*'; 123];
    for reason in [&b""[..], b"Hello World!", &longest] {
        assert_eq!(accepted(&[close(1000, reason)]), [Message::Close(Some(1000))]);
    }
    // What follows is not looked at, be it broken.
    let after = accepted(&[
        frame(0x81, b"a"),
        close(1000, b""),
        frame(0x89, b"ping"),
        frame(0xFF, b""),
    ]);
    assert_eq!(after, [text("a"), Message::Close(Some(1000))]);
    // Within a message, which is lost.
    assert_eq!(accepted(&[frame(0x01, b"a"), frame(0x88, b"")]), [Message::Close(None)]);
    assert_eq!(refused(&[frame(0x88, b"x")]), Violation::Protocol);
    assert_eq!(refused(&[close(1000, &[b'*'; 124])]), Violation::Protocol);
    assert_eq!(
        refused(&[close(1000, b"\xce\xba\xe1\xbd\xb9\xed\xa0\x80")]),
        Violation::InvalidText
    );
    for code in 0..=u16::MAX {
        let valid = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
        let bytes = close(code, b"");
        let (messages, violation) = decode_chunks([&bytes[..]], LIMIT);
        if valid {
            assert_eq!((messages, violation), (vec![Message::Close(Some(code))], None));
        } else {
            assert_eq!((messages, violation), (vec![], Some(Violation::Protocol)), "{code}");
        }
    }
}

#[test]
fn sections_9_and_10_large_messages_in_small_frames() {
    let payload: Vec<u8> = (0..300_000u32).map(|n| b"0123456789"[n as usize % 10]).collect();
    for size in [64, 1300, 65_536] {
        let mut frames: Vec<_> = payload.chunks(size).map(|part| frame(0x00, part)).collect();
        frames[0][0] |= 0x1;
        frames.last_mut().unwrap()[0] |= 0x80;
        let expected = String::from_utf8(payload.clone()).unwrap();
        assert_eq!(accepted(&frames), [Message::Text(expected)]);
    }
}

#[test]
fn the_bound_is_kept_from_the_header_on() {
    let bound = |bytes: &[u8]| decode_chunks([bytes], 1000);
    assert_eq!(bound(&frame(0x81, &[b'x'; 1000])).1, None);
    // No byte of the payload is awaited.
    let header = &frame(0x82, &[b'x'; 1001])[..8];
    assert_eq!(bound(header).1, Some(Violation::TooBig));
    assert_eq!(
        bound(&[&[0x82, 0xFF, 0x7F][..], &[0xFF; 7], &MASK].concat()).1,
        Some(Violation::TooBig)
    );
    let first = frame(0x01, &[b'x'; 600]);
    assert_eq!(bound(&[&first[..], &frame(0x80, &[b'x'; 400])].concat()).1, None);
    assert_eq!(
        bound(&[&first[..], &frame(0x80, &[b'x'; 401])[..8]].concat()).1,
        Some(Violation::TooBig)
    );
    // Control frames do not count.
    assert_eq!(
        bound(&[&first[..], &frame(0x89, &[0; 125]), &frame(0x80, &[b'x'; 400])].concat()).1,
        None
    );
}

#[test]
fn nothing_is_held_between_messages_nor_for_promises() {
    let mut decoder = Decoder::new(LIMIT);
    decoder.push(frame(0x81, b"hello").into());
    assert!(decoder.next_message().unwrap().is_some() && decoder.next_message().unwrap().is_none());
    assert!(!decoder.is_partial());
    assert_eq!(decoder.input.as_ptr(), Bytes::new().as_ptr());
    assert_eq!(decoder.control.capacity(), 0);
    // A header that promises a megabyte has nothing set aside for it.
    decoder.push(Bytes::copy_from_slice(&frame(0x82, &vec![0; 1 << 20])[..20]));
    assert!(decoder.next_message().unwrap().is_none() && decoder.is_partial());
    assert!(decoder.message.as_mut().unwrap().buffer().capacity() < 64);
    assert!(size_of::<Decoder>() <= 176, "{}", size_of::<Decoder>());
}

#[test]
fn what_was_not_asked_for_is_not_lost() {
    let mut decoder = Decoder::new(LIMIT);
    for part in [frame(0x81, b"a"), frame(0x81, b"b")] {
        decoder.push(part.into());
    }
    let texts = [(); 3].map(|()| decoder.next_message().unwrap());
    assert_eq!(texts, [Some(text("a")), Some(text("b")), None]);
}

/// A valid conversation: messages in fragments, with control frames between them.
fn conversation() -> impl Strategy<Value = (Vec<u8>, Vec<Message>)> {
    let message = (
        any::<bool>(),
        ".{0,60}",
        prop::collection::vec((0usize..300, any::<bool>()), 0..4),
    );
    prop::collection::vec(message, 0..5).prop_map(|messages| {
        let (mut bytes, mut expected) = (Vec::new(), Vec::new());
        for (is_text, string, cuts) in messages {
            let payload = string.as_bytes();
            let mut ends: Vec<usize> = cuts.iter().map(|(cut, _)| cut % (payload.len() + 1)).collect();
            ends.sort_unstable();
            ends.push(payload.len());
            let mut start = 0;
            for (index, end) in ends.iter().enumerate() {
                let opcode = if index > 0 {
                    0
                } else if is_text {
                    1
                } else {
                    2
                };
                let last = if index + 1 == ends.len() { 0x80 } else { 0 };
                bytes.extend(frame(last | opcode, &payload[start..*end]));
                start = *end;
                if last == 0 && cuts[index].1 {
                    bytes.extend(frame(0x89, b"between"));
                    expected.push(Message::Ping(b"between".to_vec()));
                }
            }
            expected.push(if is_text {
                text(&string)
            } else {
                Message::Binary(payload.to_vec())
            });
        }
        (bytes, expected)
    })
}

proptest! {
    #[test]
    fn any_split_gives_the_same_messages((bytes, expected) in conversation(), mut cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12)) {
        let mut ends: Vec<usize> = cuts.drain(..).map(|cut| cut.index(bytes.len() + 1)).collect();
        ends.sort_unstable();
        ends.push(bytes.len());
        let mut start = 0;
        let chunks: Vec<&[u8]> = ends.into_iter().map(|end| { let chunk = &bytes[start..end]; start = end; chunk }).collect();
        prop_assert_eq!(decode_chunks(chunks, LIMIT), (expected, None));
    }

    #[test]
    fn no_bytes_make_it_panic_and_splits_do_not_matter(bytes in prop::collection::vec(any::<u8>(), 0..80), cut in any::<prop::sample::Index>()) {
        let (left, right) = bytes.split_at(cut.index(bytes.len() + 1));
        let whole = decode_chunks([&bytes[..]], LIMIT);
        prop_assert_eq!(decode_chunks([left, right], LIMIT), whole.clone());
        prop_assert_eq!(decode_chunks(bytes.chunks(1), LIMIT), whole);
    }
}
