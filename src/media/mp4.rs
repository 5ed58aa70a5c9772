//! Decides by content whether a file is an MP4 video, and what it says about itself.
//!
//! Owns the rules: a file type we know, one `moov` with a video track whose tables fit, media data, and every part
//! inside the file (ISO/IEC 14496-12; section 5.5 of the contract). Reads structure only, with the bounds of `boxes`; a
//! hostile file is refused in a few milliseconds. Never decodes a picture.

use std::fs::File;

use super::boxes::{Reader, Source, Span};
use super::error::MediaError;
use super::track::{self, Track};

/// Tracks in one file. Phones write two to five.
const MAX_TRACKS: usize = 64;
/// Brands looked at in `ftyp`.
const MAX_BRANDS: u64 = 32;
/// What the brands of playable files begin with: MP4, its fragments, MOV, 3GPP and the camera makers' own.
const BRANDS: [&[u8]; 14] = [
    b"iso", b"mp4", b"M4V", b"avc", b"qt  ", b"3gp", b"3g2", b"3gs", b"dash", b"msdh", b"MSNV", b"cmf", b"mmp4",
    b"XAVC",
];

/// What a checked video says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VideoInfo {
    /// Pixels across as shown: after rotation and with square pixels. 1 to 8192.
    pub width: u32,
    /// Pixels down as shown. 1 to 8192.
    pub height: u32,
    /// How far the stored picture is turned clockwise for display: 0, 90, 180 or 270 degrees.
    pub rotation: u16,
    /// Milliseconds; 0 when the file does not say, as live fragments may.
    pub duration_ms: u64,
    /// The sample entry's type, such as `avc1` or `hvc1`.
    pub codec: [u8; 4],
}

/// A file that passed the check, with the places the cover's demuxer needs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Movie {
    pub info: VideoInfo,
    pub track: Track,
    /// `trex`'s parent, when the movie continues in fragments.
    pub extends: Option<Span>,
    /// The first fragment with samples of the track: `moof` and its `traf`. Only looked for when `moov` has no samples.
    pub fragment: Option<(Span, Span)>,
}

/// Checks a whole file. `NotAVideo` with the reason, or `Unavailable` when it can't be read. Blocking: a few reads, at
/// most 8 MiB, never a loop over what the file claims.
pub fn check(file: &File) -> Result<VideoInfo, MediaError> {
    Ok(read(&mut Reader::new(file)?)?.info)
}

/// The top-level boxes that matter.
struct Layout {
    movie: Span,
    first_fragment: Option<u64>,
}

pub(super) fn read<S: Source>(reader: &mut Reader<S>) -> Result<Movie, MediaError> {
    let layout = top_level(reader)?;
    let mut cursor = layout.movie.body;
    let (mut found, mut extends, mut header, mut tracks) = (None, None, None, 0);
    while let Some(child) = reader.next(&layout.movie, &mut cursor)? {
        match &child.kind {
            b"mvhd" => header = Some(child),
            b"mvex" => extends = Some(child),
            b"trak" => {
                tracks += 1;
                if tracks > MAX_TRACKS {
                    return Err(MediaError::NotAVideo("it has too many tracks"));
                }
                if found.is_none() {
                    found = track::read(reader, &child)?;
                }
            }
            _ => {}
        }
    }
    let track = found.ok_or(MediaError::NotAVideo("it has no video track"))?;
    let fragment = match (track.samples, extends, layout.first_fragment) {
        (0, Some(_), Some(from)) => Some(first_fragment(reader, from, track.id)?),
        (0, ..) => return Err(MediaError::NotAVideo("its video track is empty")),
        _ => None,
    };
    let mut info = track.info;
    if info.duration_ms == 0 {
        info.duration_ms = movie_duration(reader, header, extends)?;
    }
    Ok(Movie {
        info,
        track,
        extends,
        fragment,
    })
}

fn top_level<S: Source>(reader: &mut Reader<S>) -> Result<Layout, MediaError> {
    let whole = reader.whole();
    let mut cursor = 0;
    match reader.next(&whole, &mut cursor) {
        Ok(Some(first)) if &first.kind == b"ftyp" => file_type(reader, &first)?,
        Err(failure @ MediaError::Unavailable(_)) => return Err(failure),
        _ => return Err(MediaError::NotAVideo("it does not begin like one")),
    }
    let (mut movie, mut data, mut first_fragment) = (None, false, None);
    while let Some(span) = reader.next(&whole, &mut cursor)? {
        match &span.kind {
            b"moov" if movie.is_some() => return Err(MediaError::NotAVideo("it has two indexes")),
            b"moov" => movie = Some(span),
            b"moof" => first_fragment = first_fragment.or(Some(span.start)),
            b"mdat" => data |= span.length() > 0,
            _ => {}
        }
    }
    let movie = movie.ok_or(MediaError::NotAVideo("its index is missing"))?;
    if !data {
        return Err(MediaError::NotAVideo("its media data is missing"));
    }
    Ok(Layout { movie, first_fragment })
}

/// One known brand, major or compatible, is enough.
fn file_type<S: Source>(reader: &mut Reader<S>, span: &Span) -> Result<(), MediaError> {
    for index in (0..(span.length() / 4).min(MAX_BRANDS)).filter(|index| *index != 1) {
        let brand: [u8; 4] = reader.field(span, index * 4)?;
        if BRANDS.iter().any(|known| brand.starts_with(known)) {
            return Ok(());
        }
    }
    Err(MediaError::NotAVideo("its file type is unknown"))
}

fn first_fragment<S: Source>(reader: &mut Reader<S>, from: u64, track: u32) -> Result<(Span, Span), MediaError> {
    let whole = reader.whole();
    let mut cursor = from;
    while let Some(moof) = reader.next(&whole, &mut cursor)? {
        if &moof.kind != b"moof" {
            continue;
        }
        let mut inner = moof.body;
        while let Some(traf) = reader.next(&moof, &mut inner)? {
            if &traf.kind == b"traf" && has_samples(reader, &traf, track)? {
                return Ok((moof, traf));
            }
        }
    }
    Err(MediaError::NotAVideo("its video track is empty"))
}

fn has_samples<S: Source>(reader: &mut Reader<S>, traf: &Span, track: u32) -> Result<bool, MediaError> {
    let Some(header) = reader.find(traf, traf.body, *b"tfhd")? else {
        return Ok(false);
    };
    if reader.u32(&header, 4)? != track {
        return Ok(false);
    }
    match reader.find(traf, traf.body, *b"trun")? {
        Some(run) => Ok(reader.u32(&run, 4)? > 0),
        None => Ok(false),
    }
}

/// What `mehd` says of all fragments, or else `mvhd` of the movie; both count in `mvhd`'s time scale.
fn movie_duration<S: Source>(
    reader: &mut Reader<S>,
    header: Option<Span>,
    extends: Option<Span>,
) -> Result<u64, MediaError> {
    let Some(header) = header else {
        return Ok(0);
    };
    let (scale, own) = track::times(reader, &header)?;
    let mut units = own;
    if let Some(extends) = extends
        && let Some(span) = reader.find(&extends, extends.body, *b"mehd")?
    {
        units = match reader.field::<1>(&span, 0)? {
            [0] => u64::from(reader.u32(&span, 4)?),
            _ => u64::from_be_bytes(reader.field(&span, 4)?),
        };
    }
    Ok(track::milliseconds(units, scale))
}

#[cfg(test)]
#[path = "mp4_tests.rs"]
mod tests;
