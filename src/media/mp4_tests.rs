//! The check against real clips, against everything that is no video, and against files made to hurt.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

const BASELINE: &[u8] = include_bytes!("../../tests/media/baseline.mp4");
const HIGH: &[u8] = include_bytes!("../../tests/media/high.mp4");
const FRAGMENTED: &[u8] = include_bytes!("../../tests/media/fragmented.mp4");
const ROTATED: &[u8] = include_bytes!("../../tests/media/rotated.mp4");
const HEVC: &[u8] = include_bytes!("../../tests/media/hevc.mp4");
const AUDIO: &[u8] = include_bytes!("../../tests/media/audio.mp4");
const CLIPS: [&[u8]; 5] = [BASELINE, HIGH, FRAGMENTED, ROTATED, HEVC];

fn inspect(bytes: &[u8]) -> Result<VideoInfo, MediaError> {
    Ok(read(&mut Reader::new(bytes)?)?.info)
}

fn reason(bytes: &[u8]) -> &'static str {
    match inspect(bytes) {
        Err(MediaError::NotAVideo(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

/// A box; `size` may lie.
fn boxed(kind: &[u8], body: &[u8]) -> Vec<u8> {
    let size = u32::try_from(body.len() + 8).unwrap();
    [&size.to_be_bytes(), kind, body].concat()
}

fn ftyp() -> Vec<u8> {
    boxed(b"ftyp", b"isom\0\0\x02\0isomiso2mp41")
}

/// Replaces the first occurrence of a box type's payload bytes from `skip` on.
fn patched(clip: &[u8], kind: &[u8], skip: usize, bytes: &[u8]) -> Vec<u8> {
    let at = clip.windows(4).position(|window| window == kind).unwrap() + 4 + skip;
    let mut out = clip.to_vec();
    out[at..at + bytes.len()].copy_from_slice(bytes);
    out
}

#[test]
fn real_clips_are_understood() {
    let upright = VideoInfo {
        width: 320,
        height: 180,
        rotation: 0,
        duration_ms: 1000,
        codec: *b"avc1",
    };
    assert_eq!(inspect(BASELINE).unwrap(), upright);
    assert_eq!(inspect(HIGH).unwrap(), upright);
    let fragmented = inspect(FRAGMENTED).unwrap();
    assert_eq!(
        (fragmented.width, fragmented.height, fragmented.codec),
        (320, 180, *b"avc1")
    );
    let hevc = VideoInfo {
        codec: *b"hvc1",
        ..upright
    };
    assert_eq!(inspect(HEVC).unwrap(), hevc);
    let rotated = inspect(ROTATED).unwrap();
    assert_eq!((rotated.width, rotated.height), (180, 320));
    assert_eq!(rotated.rotation % 180, 90);
}

#[test]
fn what_is_no_video_is_refused() {
    assert_eq!(reason(AUDIO), "it has no video track");
    let zeros = vec![0; 100_000];
    let png: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x02\0\0\0";
    let cases: [&[u8]; 7] = [
        b"",
        b"x",
        b"hello, this is a text and no film",
        png,
        b"PK\x03\x04zip zip",
        &zeros,
        b"\0\0\0\x14",
    ];
    for case in cases {
        assert_eq!(reason(case), "it does not begin like one");
    }
    assert_eq!(
        reason(&boxed(b"ftyp", b"heic\0\0\0\0heicmif1")),
        "its file type is unknown"
    );
    assert_eq!(reason(&ftyp()), "its index is missing");
    assert_eq!(reason(&BASELINE[ftyp().len()..]), "it does not begin like one");
}

#[test]
fn every_truncation_of_every_clip_is_refused() {
    for clip in CLIPS.into_iter().filter(|clip| *clip != FRAGMENTED) {
        for length in 0..clip.len() {
            assert!(inspect(&clip[..length]).is_err(), "{length} of {}", clip.len());
        }
    }
    // A fragmented file cut between two boxes is a shorter, complete file; cut anywhere else it is refused.
    let whole = (0..FRAGMENTED.len())
        .filter(|length| inspect(&FRAGMENTED[..*length]).is_ok())
        .count();
    assert!(whole <= 5, "{whole} truncations passed");
}

#[test]
fn lies_in_the_index_are_refused() {
    let cases = [
        patched(BASELINE, b"stsd", 40, &[0, 0]),
        patched(BASELINE, b"stsd", 42, &[0x20, 1]),
        patched(BASELINE, b"stsd", 12, b"encv"),
        patched(BASELINE, b"stsz", 8, &u32::MAX.to_be_bytes()),
        patched(BASELINE, b"stts", 4, &u32::MAX.to_be_bytes()),
        patched(BASELINE, b"stsc", 4, &0x1000_0000_u32.to_be_bytes()),
        patched(BASELINE, b"stco", 4, &0_u32.to_be_bytes()),
        patched(BASELINE, b"stco", 8, &u32::MAX.to_be_bytes()),
        patched(BASELINE, b"stsd", 4, &0_u32.to_be_bytes()),
        patched(FRAGMENTED, b"tkhd", 12, &99_u32.to_be_bytes()),
        [BASELINE, &boxed(b"moov", b"")].concat(),
    ];
    for (index, case) in cases.iter().enumerate() {
        assert!(matches!(inspect(case), Err(MediaError::NotAVideo(_))), "case {index}");
    }
}

#[test]
fn a_nonsensical_display_size_falls_back_to_the_stored_one() {
    let info = inspect(&patched(BASELINE, b"tkhd", 76, &[0; 8])).unwrap();
    assert_eq!((info.width, info.height), (320, 180));
    let info = inspect(&patched(BASELINE, b"tkhd", 76, &[0xff; 8])).unwrap();
    assert_eq!((info.width, info.height), (320, 180));
    let wide = inspect(&patched(BASELINE, b"tkhd", 76, &[1, 0xab, 0x80, 0])).unwrap();
    assert_eq!((wide.width, wide.height), (428, 180), "pixels that are not square");
}

fn nested(depth: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for level in (1..=depth).rev() {
        bytes.extend(u32::try_from(level * 8).unwrap().to_be_bytes());
        bytes.extend(b"moov");
    }
    bytes
}

fn hostile() -> Vec<(&'static str, Vec<u8>)> {
    let data = boxed(b"mdat", b"x");
    let track = {
        let at = BASELINE.windows(4).position(|window| window == b"trak").unwrap() - 4;
        let size = u32::from_be_bytes(BASELINE[at..at + 4].try_into().unwrap()) as usize;
        BASELINE[at..at + size].to_vec()
    };
    let audio_like = patched(&track, b"hdlr", 8, b"soun");
    let far: Vec<u8> = (0..9_000).flat_map(|_| boxed(b"free", &[0; 2000])).collect();
    vec![
        ("empty boxes", [ftyp(), boxed(b"free", b"").repeat(1_000_000)].concat()),
        ("far boxes", [ftyp(), far].concat()),
        (
            "empty boxes in moov",
            [
                ftyp(),
                data.clone(),
                boxed(b"moov", &boxed(b"free", b"").repeat(1_000_000)),
            ]
            .concat(),
        ),
        ("deep nesting", [ftyp(), data.clone(), nested(500_000)].concat()),
        (
            "tracks",
            [ftyp(), data.clone(), boxed(b"moov", &audio_like.repeat(10_000))].concat(),
        ),
        (
            "empty tracks",
            [
                ftyp(),
                data.clone(),
                boxed(b"moov", &boxed(b"trak", b"").repeat(100_000)),
            ]
            .concat(),
        ),
        (
            "fragments",
            [ftyp(), data, boxed(b"moof", &boxed(b"traf", b"")).repeat(500_000)].concat(),
        ),
        (
            "brands",
            [boxed(b"ftyp", &b"evil".repeat(1_000_000)), b"\0\0\0\0moov".to_vec()].concat(),
        ),
        (
            "negative size",
            [ftyp(), b"\0\0\0\x01moov\x80\0\0\0\0\0\0\0".to_vec()].concat(),
        ),
        (
            "huge size",
            [ftyp(), b"\0\0\0\x01moov\x7f\xff\xff\xff\xff\xff\xff\xff".to_vec()].concat(),
        ),
    ]
}

#[test]
fn hostile_files_are_refused_at_once() {
    for (name, bytes) in hostile() {
        let file = tempfile::tempfile().unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &bytes, 0).unwrap();
        // The best of three: a busy machine is not the file's fault.
        let times = [(); 3].map(|()| {
            let start = Instant::now();
            assert!(matches!(check(&file), Err(MediaError::NotAVideo(_))), "{name}");
            start.elapsed()
        });
        let best = times.into_iter().min().unwrap();
        println!("{name}: {best:?}");
        assert!(best < Duration::from_millis(50), "{name} took {best:?}");
    }
}

proptest! {
    /// Whatever is broken in a real clip, the check ends, does not panic, and what it lets through is within bounds.
    #[test]
    fn mutated_clips_never_panic(
        clip in 0..CLIPS.len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = CLIPS[clip].to_vec();
        for (at, value) in &changes {
            let at = at.index(bytes.len());
            bytes[at] = *value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(info) = inspect(&bytes) {
            prop_assert!((1..=8192).contains(&info.width) && (1..=8192).contains(&info.height));
            prop_assert!(info.rotation % 90 == 0 && info.rotation < 360);
        }
    }

    /// Big-endian words at random places hit size and count fields far more often than single bytes do.
    #[test]
    fn mutated_words_never_panic(
        clip in 0..CLIPS.len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), prop_oneof![
            Just(0_u32), Just(1), Just(7), Just(8), Just(u32::MAX), Just(0x8000_0000), any::<u32>(),
        ]), 1..6),
    ) {
        let mut bytes = CLIPS[clip].to_vec();
        for (at, value) in &changes {
            let at = at.index(bytes.len() - 4);
            bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
        }
        drop(inspect(&bytes));
    }
}
