//! Finds the first complete picture of an H.264 track and hands it out as the decoder wants it.
//!
//! Owns the way from sample tables or fragments to Annex B bytes. Runs only in the cover's child process: it decodes
//! whole tables (with `mp4-atom`), bounded in bytes but not fit for a shared process.

use mp4_atom::{Atom, Avcc, Co64, Colr, Stco, Stsc, Stss, Stsz, StszSamples, Tfhd, Trex, Trun};

use super::boxes::{Reader, Source, Span};
use super::error::MediaError;
use super::mp4::Movie;
use super::picture::Colours;
use super::track::VISUAL_ENTRY;

/// One table or fragment header: a day of video at 30 pictures a second needs 10 MiB.
const MAX_TABLE: u64 = 16 * 1024 * 1024;
/// One coded picture. The largest that level 5.2 allows is smaller.
const MAX_SAMPLE: u64 = 16 * 1024 * 1024;
/// Pictures tried after the first sync sample; some encoders begin with one that shows nothing.
const MAX_TRIES: u32 = 16;
const DAMAGED: MediaError = MediaError::NotAVideo("its index is damaged");

/// What precedes every NAL unit in Annex B.
const START_CODE: [u8; 4] = [0, 0, 0, 1];

/// The coded pictures to try, in decoding order.
pub(super) struct Samples {
    /// Parameter sets in Annex B, to be decoded first; may be empty when they are in the stream (`avc3`).
    pub parameters: Vec<u8>,
    /// What the sample entry says about colours.
    pub colours: Colours,
    length_size: usize,
    places: Vec<(u64, u64)>,
}

impl Samples {
    /// Locates the first sync sample and a few after it.
    pub fn locate<S: Source>(reader: &mut Reader<S>, movie: &Movie) -> Result<Self, MediaError> {
        let configuration = configuration(reader, &movie.track.entry)?;
        let places = match &movie.fragment {
            Some((moof, traf)) => in_fragment(reader, movie, moof, traf)?,
            None => in_tables(reader, &movie.track.table)?,
        };
        let sets = configuration
            .sequence_parameter_sets
            .iter()
            .chain(&configuration.picture_parameter_sets);
        let parameters = sets.fold(Vec::new(), |mut out, set| {
            out.extend(START_CODE);
            out.extend(set);
            out
        });
        Ok(Self {
            parameters,
            colours: colours(reader, &movie.track.entry).unwrap_or_default(),
            length_size: usize::from(configuration.length_size),
            places,
        })
    }

    /// How many pictures there are to try.
    pub fn count(&self) -> usize {
        self.places.len()
    }

    /// Reads one picture as Annex B.
    pub fn read<S: Source>(&self, reader: &mut Reader<S>, index: usize) -> Result<Vec<u8>, MediaError> {
        let (start, size) = *self.places.get(index).ok_or(DAMAGED)?;
        let end = start.checked_add(size).ok_or(DAMAGED)?;
        annex_b(&reader.slice(start, end, MAX_SAMPLE)?, self.length_size)
    }
}

/// Replaces the length before every NAL unit (ISO/IEC 14496-15, 5.3.3) by a start code.
fn annex_b(mut sample: &[u8], length_size: usize) -> Result<Vec<u8>, MediaError> {
    let mut out = Vec::with_capacity(sample.len() + 64);
    while !sample.is_empty() {
        let (length, rest) = sample.split_at_checked(length_size).ok_or(DAMAGED)?;
        let length = length.iter().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte));
        let (unit, rest) = rest.split_at_checked(length).ok_or(DAMAGED)?;
        out.extend(START_CODE);
        out.extend(unit);
        sample = rest;
    }
    Ok(out)
}

fn decode<S: Source, A: Atom>(reader: &mut Reader<S>, span: &Span) -> Result<A, MediaError> {
    let bytes = reader.slice(span.body, span.end, MAX_TABLE)?;
    A::decode_body(&mut bytes.as_slice()).map_err(|_| DAMAGED)
}

fn child<S: Source, A: Atom>(reader: &mut Reader<S>, parent: &Span) -> Result<Option<A>, MediaError> {
    let kind: [u8; 4] = A::KIND.into();
    match reader.find(parent, parent.body, kind)? {
        Some(span) => decode(reader, &span).map(Some),
        None => Ok(None),
    }
}

fn configuration<S: Source>(reader: &mut Reader<S>, entry: &Span) -> Result<Avcc, MediaError> {
    let found = reader.find(entry, entry.body + VISUAL_ENTRY, *b"avcC")?;
    decode(
        reader,
        &found.ok_or(MediaError::NotAVideo("its video format is unusable"))?,
    )
}

/// The `colr` box, which phones write; the stream's own words are in a part of the parameter sets that nothing here
/// reads.
fn colours<S: Source>(reader: &mut Reader<S>, entry: &Span) -> Result<Colours, MediaError> {
    let Some(span) = reader.find(entry, entry.body + VISUAL_ENTRY, *b"colr")? else {
        return Ok(Colours::default());
    };
    let (matrix, full_range) = match decode(reader, &span)? {
        Colr::Nclx {
            matrix_coefficients,
            full_range_flag,
            ..
        } => (matrix_coefficients, full_range_flag),
        Colr::Nclc {
            matrix_coefficients, ..
        } => (matrix_coefficients, false),
        _ => return Ok(Colours::default()),
    };
    // ISO/IEC 23091-2, 8.3: 1 is BT.709, 5 and 6 are BT.601, 2 is "unspecified".
    let bt709 = match matrix {
        1 => Some(true),
        5 | 6 => Some(false),
        _ => None,
    };
    Ok(Colours { bt709, full_range })
}

fn in_tables<S: Source>(reader: &mut Reader<S>, table: &Span) -> Result<Vec<(u64, u64)>, MediaError> {
    let sizes: Stsz = child(reader, table)?.ok_or(DAMAGED)?;
    let runs: Stsc = child(reader, table)?.ok_or(DAMAGED)?;
    let chunks = match child::<S, Stco>(reader, table)? {
        Some(short) => short.entries.into_iter().map(u64::from).collect(),
        None => child::<S, Co64>(reader, table)?.ok_or(DAMAGED)?.entries,
    };
    let sync = child::<S, Stss>(reader, table)?
        .and_then(|sync| sync.entries.first().copied())
        .unwrap_or(1);
    let size_of = |sample: u32| match &sizes.samples {
        StszSamples::Identical { count, size } => (sample < *count).then_some(*size),
        StszSamples::Different { sizes } => sizes.get(sample as usize).copied(),
    };
    let first = sync.checked_sub(1).ok_or(DAMAGED)?;
    Ok(layout(&runs, &chunks, size_of, first))
}

/// Walks chunk by chunk to sample `first` (counted from 0) and lists it and some that follow.
fn layout(runs: &Stsc, chunks: &[u64], size_of: impl Fn(u32) -> Option<u32>, first: u32) -> Vec<(u64, u64)> {
    let mut found = Vec::new();
    let (mut sample, mut run) = (0_u32, 0);
    for (number, chunk) in (1_u32..).zip(chunks) {
        while runs.entries.get(run + 1).is_some_and(|next| next.first_chunk <= number) {
            run += 1;
        }
        let Some(in_chunk) = runs.entries.get(run).map(|entry| entry.samples_per_chunk) else {
            return found;
        };
        let mut offset = *chunk;
        for _ in 0..in_chunk {
            let Some(size) = size_of(sample) else {
                return found;
            };
            if sample >= first {
                found.push((offset, u64::from(size)));
            }
            if found.len() >= MAX_TRIES as usize {
                return found;
            }
            offset = offset.saturating_add(u64::from(size));
            sample = sample.saturating_add(1);
        }
    }
    found
}

/// The samples of the fragment's first run (ISO/IEC 14496-12, 8.8.7 and 8.8.8). Fragments begin with a sync sample in
/// everything that is made to be played from its start.
fn in_fragment<S: Source>(
    reader: &mut Reader<S>,
    movie: &Movie,
    moof: &Span,
    traf: &Span,
) -> Result<Vec<(u64, u64)>, MediaError> {
    let header: Tfhd = child(reader, traf)?.ok_or(DAMAGED)?;
    let run: Trun = child(reader, traf)?.ok_or(DAMAGED)?;
    let default = match header.default_sample_size {
        Some(size) => Some(size),
        None => movie_default(reader, movie)?,
    };
    let base = header.base_data_offset.unwrap_or(moof.start);
    let mut offset = base
        .checked_add_signed(i64::from(run.data_offset.unwrap_or(0)))
        .ok_or(DAMAGED)?;
    let mut found = Vec::new();
    for entry in run.samples.iter().take(MAX_TRIES as usize) {
        let size = u64::from(entry.size.or(default).ok_or(DAMAGED)?);
        found.push((offset, size));
        offset = offset.checked_add(size).ok_or(DAMAGED)?;
    }
    Ok(found)
}

fn movie_default<S: Source>(reader: &mut Reader<S>, movie: &Movie) -> Result<Option<u32>, MediaError> {
    let Some(parent) = movie.extends else {
        return Ok(None);
    };
    let mut cursor = parent.body;
    while let Some(span) = reader.next(&parent, &mut cursor)? {
        if &span.kind == b"trex" {
            let defaults: Trex = decode(reader, &span)?;
            if defaults.track_id == movie.track.id {
                return Ok(Some(defaults.default_sample_size));
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use mp4_atom::StscEntry;

    use super::*;

    fn runs(entries: &[(u32, u32)]) -> Stsc {
        let entries = entries.iter().map(|&(first_chunk, samples_per_chunk)| StscEntry {
            first_chunk,
            samples_per_chunk,
            sample_description_index: 1,
        });
        Stsc {
            entries: entries.collect(),
        }
    }

    #[test]
    fn samples_are_counted_through_chunks_and_runs() {
        let size_of = |sample: u32| (sample < 7).then_some(10 + sample);
        let places = layout(&runs(&[(1, 2), (3, 3)]), &[100, 200, 300], size_of, 3);
        assert_eq!(places, [(212, 13), (300, 14), (314, 15), (329, 16)]);
        assert!(layout(&runs(&[]), &[100], size_of, 0).is_empty());
        assert!(layout(&runs(&[(1, u32::MAX)]), &[u64::MAX; 3], |_| None, 0).is_empty());
        assert_eq!(
            layout(&runs(&[(1, u32::MAX)]), &[u64::MAX; 3], |_| Some(9), 0).len(),
            16
        );
    }

    #[test]
    fn lengths_become_start_codes() {
        assert_eq!(
            annex_b(&[0, 2, 7, 8, 0, 1, 9], 2).unwrap(),
            [0, 0, 0, 1, 7, 8, 0, 0, 0, 1, 9]
        );
        assert!(annex_b(&[0, 3, 7, 8], 2).is_err());
        assert!(annex_b(&[0], 4).is_err());
    }

    #[test]
    fn colours_are_those_of_the_box() {
        let read = |colr: &[u8]| {
            let bytes = [&[0; 78], colr].concat();
            let mut reader = Reader::new(bytes.as_slice()).unwrap();
            let entry = reader.whole();
            colours(&mut reader, &entry).unwrap_or_default()
        };
        let known = |bt709, full_range| Colours { bt709, full_range };
        assert_eq!(
            read(b"\0\0\0\x13colrnclx\0\x01\0\x01\0\x01\x80"),
            known(Some(true), true)
        );
        assert_eq!(
            read(b"\0\0\0\x13colrnclx\0\x06\0\x06\0\x06\0"),
            known(Some(false), false)
        );
        assert_eq!(read(b"\0\0\0\x12colrnclc\0\x02\0\x02\0\x02"), known(None, false));
        assert_eq!(read(b"\0\0\0\x0ccolrprof"), Colours::default());
        assert_eq!(read(b"\0\0\0\x0ccolrnclx"), Colours::default());
        assert_eq!(read(b""), Colours::default());
    }
}
