//! The decoder in this process, without the cage: what the clips show must be on their covers. `tests/covers.rs` runs
//! the real process.

use proptest::prelude::*;

use super::*;
use crate::media::picture::jpeg_size;

const BASELINE: &[u8] = include_bytes!("../../tests/media/baseline.mp4");
const HIGH: &[u8] = include_bytes!("../../tests/media/high.mp4");
const FRAGMENTED: &[u8] = include_bytes!("../../tests/media/fragmented.mp4");
const ROTATED: &[u8] = include_bytes!("../../tests/media/rotated.mp4");
const HEVC: &[u8] = include_bytes!("../../tests/media/hevc.mp4");

/// Width, height and RGB of the cover before it becomes a JPEG.
fn shown(bytes: &[u8]) -> Result<((u16, u16), Vec<u8>), MediaError> {
    let mut reader = Reader::new(bytes)?;
    let movie = mp4::read(&mut reader)?;
    let samples = Samples::locate(&mut reader, &movie)?;
    let size = cover_size(&movie.info);
    Ok((
        size,
        decode(&mut reader, &samples, |picture| {
            Ok(picture.to_rgb(size, movie.info.rotation))
        })?,
    ))
}

fn at(((width, height), rgb): &((u16, u16), Vec<u8>), x: f32, y: f32) -> &'static str {
    let cell = |part: f32, side: u16| {
        (0..side)
            .find(|cell| f32::from(*cell) >= part * f32::from(side))
            .unwrap()
    };
    let index = (usize::from(cell(y, *height)) * usize::from(*width) + usize::from(cell(x, *width))) * 3;
    match rgb[index..index + 3] {
        [230..=255, 230..=255, 230..=255] => "white",
        [180..=255, 0..=70, 0..=70] => "red",
        [0..=70, 0..=70, 180..=255] => "blue",
        _ => "other",
    }
}

#[test]
fn covers_show_what_the_clips_begin_with() {
    for clip in [BASELINE, HIGH, FRAGMENTED] {
        let cover = shown(clip).unwrap();
        assert_eq!(cover.0, (320, 180));
        let seen = [(0.05, 0.1), (0.3, 0.3), (0.75, 0.3), (0.75, 0.95)].map(|(x, y)| at(&cover, x, y));
        assert_eq!(seen, ["white", "red", "blue", "blue"]);
    }
}

#[test]
fn a_turned_clip_has_an_upright_cover() {
    let cover = shown(ROTATED).unwrap();
    assert_eq!(cover.0, (180, 320));
    let turned = mp4::read(&mut Reader::new(ROTATED).unwrap()).unwrap().info.rotation;
    // Clockwise by 90 the stored top left comes to the top right; by 270 to the bottom left.
    let (white, red, blue) = if turned == 90 {
        ((0.9, 0.05), 0.3, 0.75)
    } else {
        ((0.1, 0.95), 0.75, 0.3)
    };
    assert_eq!(at(&cover, white.0, white.1), "white");
    assert_eq!([at(&cover, 0.5, red), at(&cover, 0.5, blue)], ["red", "blue"]);
}

#[test]
fn the_jpeg_has_the_covers_size() {
    let file = tempfile::tempfile().unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, ROTATED, 0).unwrap();
    assert_eq!(jpeg_size(&cover(&file).unwrap()), Some((180, 320)));
}

#[test]
fn another_codec_is_a_clean_refusal() {
    assert!(matches!(shown(HEVC), Err(MediaError::NotAVideo(_))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// The demuxer alone, without the decoder: broken tables end in an answer, whatever they say.
    #[test]
    fn broken_tables_never_panic(
        fragmented in any::<bool>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u32>()), 1..6),
    ) {
        let mut bytes = if fragmented { FRAGMENTED.to_vec() } else { HIGH.to_vec() };
        for (at, value) in &changes {
            let at = at.index(bytes.len() - 4);
            bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
        }
        let bytes = bytes.as_slice();
        let mut reader = Reader::new(bytes).unwrap();
        if let Ok(movie) = mp4::read(&mut reader)
            && let Ok(samples) = Samples::locate(&mut reader, &movie)
        {
            for index in 0..samples.count() {
                drop(samples.read(&mut reader, index));
            }
        }
    }
}
