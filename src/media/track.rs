//! One video track of an MP4 file: its size on the screen, its codec, and where its tables lie.
//!
//! Owns what makes a track believable: a known handler, dimensions within bounds, tables that fit in their boxes and
//! chunks inside the file. Reads fixed fields only; never walks a table.

use super::boxes::{Reader, Source, Span};
use super::error::MediaError;
use super::mp4::VideoInfo;

/// The longest side we take, in pixels: 8K.
const MAX_SIDE: u32 = 8192;
/// The fixed part of a visual sample entry's payload (ISO/IEC 14496-12, 12.1.3); boxes follow it.
pub(super) const VISUAL_ENTRY: u64 = 78;

/// A video track that passed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Track {
    pub id: u32,
    pub info: VideoInfo,
    /// The first sample entry, which holds the decoder's configuration.
    pub entry: Span,
    /// Samples listed in `moov`; 0 when all are in fragments.
    pub samples: u32,
    /// `stbl`, the parent of the sample tables.
    pub table: Span,
}

/// Reads a `trak`; `None` when it is not video.
pub(super) fn read<S: Source>(reader: &mut Reader<S>, trak: &Span) -> Result<Option<Track>, MediaError> {
    let media = require(reader, trak, *b"mdia")?;
    let handler = require(reader, &media, *b"hdlr")?;
    if &reader.field::<4>(&handler, 8)? != b"vide" {
        return Ok(None);
    }
    let header = require(reader, trak, *b"tkhd")?;
    let times_box = require(reader, &media, *b"mdhd")?;
    let information = require(reader, &media, *b"minf")?;
    let table = require(reader, &information, *b"stbl")?;
    let description = require(reader, &table, *b"stsd")?;
    let entry = sample_entry(reader, &description)?;
    let stored = (half(reader, &entry, 24)?, half(reader, &entry, 26)?);
    if !sane(stored) {
        return Err(MediaError::NotAVideo("its picture size is unusable"));
    }
    let (id, rotation, shown) = presentation(reader, &header)?;
    let upright = if sane(shown) { shown } else { stored };
    let (width, height) = if rotation % 180 == 0 {
        upright
    } else {
        (upright.1, upright.0)
    };
    let (scale, units) = times(reader, &times_box)?;
    Ok(Some(Track {
        id,
        info: VideoInfo {
            width,
            height,
            rotation,
            duration_ms: milliseconds(units, scale),
            codec: entry.kind,
        },
        entry,
        samples: sample_count(reader, &table)?,
        table,
    }))
}

fn require<S: Source>(reader: &mut Reader<S>, parent: &Span, kind: [u8; 4]) -> Result<Span, MediaError> {
    reader
        .find(parent, parent.body, kind)?
        .ok_or(MediaError::NotAVideo("a part of its index is missing"))
}

fn half<S: Source>(reader: &mut Reader<S>, span: &Span, skip: u64) -> Result<u32, MediaError> {
    Ok(u32::from(u16::from_be_bytes(reader.field(span, skip)?)))
}

fn sane((width, height): (u32, u32)) -> bool {
    (1..=MAX_SIDE).contains(&width) && (1..=MAX_SIDE).contains(&height)
}

fn sample_entry<S: Source>(reader: &mut Reader<S>, description: &Span) -> Result<Span, MediaError> {
    let mut cursor = description.body + 8;
    if reader.u32(description, 4)? == 0 {
        return Err(MediaError::NotAVideo("its video track has no format"));
    }
    let entry = reader
        .next(description, &mut cursor)?
        .ok_or(MediaError::NotAVideo("its video track has no format"))?;
    if entry.length() < VISUAL_ENTRY || !entry.kind.iter().all(|byte| (b' '..=b'~').contains(byte)) {
        return Err(MediaError::NotAVideo("its video format is unusable"));
    }
    if &entry.kind == b"encv" {
        return Err(MediaError::NotAVideo("it is encrypted"));
    }
    Ok(entry)
}

/// Track id, rotation and size from `tkhd`. The size already has the pixels' shape in it; it may be 0 or nonsense.
fn presentation<S: Source>(reader: &mut Reader<S>, header: &Span) -> Result<(u32, u16, (u32, u32)), MediaError> {
    let (id, matrix, size) = match reader.field::<1>(header, 0)? {
        [0] => (12, 40, 76),
        _ => (20, 52, 88),
    };
    let mut cell = |index: u64| reader.u32(header, matrix + index * 4).map(u32::cast_signed);
    let rotation = rotation(cell(0)?, cell(1)?, cell(3)?, cell(4)?);
    let pixels = |fixed: u32| (fixed >> 16) + (fixed >> 15 & 1);
    let shown = (pixels(reader.u32(header, size)?), pixels(reader.u32(header, size + 4)?));
    Ok((reader.u32(header, id)?, rotation, shown))
}

/// The nearest quarter turn of the matrix (a b / c d). A mirrored picture counts as its turn alone: players differ on
/// mirrors, and a cover the other way round is still the video.
fn rotation(a: i32, b: i32, c: i32, d: i32) -> u16 {
    let size = |first: i32, second: i32| u64::from(first.unsigned_abs()) + u64::from(second.unsigned_abs());
    match (size(a, d) >= size(b, c), a < 0 && d < 0, b < 0) {
        (true, false, _) => 0,
        (true, true, _) => 180,
        (false, _, false) => 90,
        (false, _, true) => 270,
    }
}

/// Time scale and duration of `mdhd` or `mvhd`, which share their layout.
pub(super) fn times<S: Source>(reader: &mut Reader<S>, span: &Span) -> Result<(u32, u64), MediaError> {
    match reader.field::<1>(span, 0)? {
        [0] => match (reader.u32(span, 12)?, reader.u32(span, 16)?) {
            (scale, u32::MAX) => Ok((scale, 0)),
            (scale, units) => Ok((scale, u64::from(units))),
        },
        _ => match (reader.u32(span, 20)?, u64::from_be_bytes(reader.field(span, 24)?)) {
            (scale, u64::MAX) => Ok((scale, 0)),
            known => Ok(known),
        },
    }
}

/// 0 when the scale is 0; saturates where the file claims ages.
pub(super) fn milliseconds(units: u64, scale: u32) -> u64 {
    (u128::from(units) * 1000)
        .checked_div(u128::from(scale))
        .map_or(0, |ms| u64::try_from(ms).unwrap_or(u64::MAX))
}

/// Counts the samples and holds every table against its box and its chunks against the file.
fn sample_count<S: Source>(reader: &mut Reader<S>, table: &Span) -> Result<u32, MediaError> {
    let mut cursor = table.body;
    let (mut samples, mut chunks, mut times, mut runs) = (None, None, 0, 0);
    while let Some(span) = reader.next(table, &mut cursor)? {
        match &span.kind {
            b"stsz" => samples = Some(sizes(reader, &span)?),
            b"stz2" => samples = Some(compact_sizes(reader, &span)?),
            b"stco" => chunks = Some((span, entries(reader, &span, 4)?, 4)),
            b"co64" => chunks = Some((span, entries(reader, &span, 8)?, 8)),
            b"stts" => times = entries(reader, &span, 8)?,
            b"stsc" => runs = entries(reader, &span, 12)?,
            b"stss" => drop(entries(reader, &span, 4)?),
            _ => {}
        }
    }
    let samples = samples.ok_or(MediaError::NotAVideo("a part of its index is missing"))?;
    if samples == 0 {
        return Ok(0);
    }
    match chunks {
        Some((span, count, width)) if count > 0 && times > 0 && runs > 0 => {
            for index in [0, count - 1] {
                chunk_inside(reader, &span, index, width)?;
            }
            Ok(samples)
        }
        _ => Err(MediaError::NotAVideo("a part of its index is empty")),
    }
}

fn fits(span: &Span, head: u64, count: u32, bits: u64) -> Result<u32, MediaError> {
    if head + (u64::from(count) * bits).div_ceil(8) > span.length() {
        return Err(MediaError::NotAVideo("its index is damaged"));
    }
    Ok(count)
}

fn entries<S: Source>(reader: &mut Reader<S>, span: &Span, width: u64) -> Result<u32, MediaError> {
    let count = reader.u32(span, 4)?;
    fits(span, 8, count, width * 8)
}

fn sizes<S: Source>(reader: &mut Reader<S>, span: &Span) -> Result<u32, MediaError> {
    let (same, count) = (reader.u32(span, 4)?, reader.u32(span, 8)?);
    fits(span, 12, count, if same == 0 { 32 } else { 0 })
}

fn compact_sizes<S: Source>(reader: &mut Reader<S>, span: &Span) -> Result<u32, MediaError> {
    let (bits, count) = (reader.u32(span, 4)? & 0xff, reader.u32(span, 8)?);
    if !matches!(bits, 4 | 8 | 16) {
        return Err(MediaError::NotAVideo("its index is damaged"));
    }
    fits(span, 12, count, u64::from(bits))
}

fn chunk_inside<S: Source>(reader: &mut Reader<S>, span: &Span, index: u32, width: u64) -> Result<(), MediaError> {
    let skip = 8 + u64::from(index) * width;
    let offset = match width {
        4 => u64::from(reader.u32(span, skip)?),
        _ => u64::from_be_bytes(reader.field(span, skip)?),
    };
    if offset >= reader.size() {
        return Err(MediaError::NotAVideo("it is cut off or damaged"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quarter_turns_are_clockwise() {
        const ONE: i32 = 0x10000;
        assert_eq!(rotation(ONE, 0, 0, ONE), 0);
        assert_eq!(rotation(0, ONE, -ONE, 0), 90);
        assert_eq!(rotation(-ONE, 0, 0, -ONE), 180);
        assert_eq!(rotation(0, -ONE, ONE, 0), 270);
        assert_eq!(rotation(-ONE, 0, 0, ONE), 0, "a mirror is no turn");
        assert_eq!(rotation(0, 0, 0, 0), 0);
        assert_eq!(rotation(i32::MIN, i32::MIN, i32::MIN, i32::MIN), 180);
    }

    #[test]
    fn durations_never_overflow() {
        assert_eq!(milliseconds(1_001, 1_000), 1_001);
        assert_eq!(milliseconds(5, 0), 0);
        assert_eq!(milliseconds(u64::MAX, 1), u64::MAX);
    }
}
