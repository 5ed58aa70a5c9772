//! The process that touches what strangers encoded: the hidden command `ovation cover-child`.
//!
//! Owns its own cage: before it reads a byte it limits its memory, processor time, files and core dumps, for good.
//! Takes the video as standard input (an open file, no path) and answers a JPEG on standard output. Without arguments
//! it decodes H.264 itself; with `ffmpeg <program> <width> <height>` it becomes that program, inside the same cage.
//! Never logs: its parent reads the exit code.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

use openh264::OpenH264API;
use openh264::decoder::{DecodedYUV, Decoder, DecoderConfig};
use openh264::formats::YUVSource;
use rustix::process::{Resource, Rlimit, setrlimit};

use super::boxes::{Reader, Source};
use super::error::MediaError;
use super::mp4;
use super::picture::{Colours, Picture, Plane, cover_size};
use super::sample::Samples;

/// The hidden command's name.
pub const COMMAND: &str = "cover-child";
/// Exit code: the file was understood and has no picture we can decode. Anything else that is not 0 is a failure.
pub const UNDECODABLE: i32 = 3;
/// Exit code: the cage could not be built, or ffmpeg could not be started. Nothing was read.
pub const NOT_STARTED: i32 = 4;

/// Address space of our own decoder, bytes: about 30 MiB for 720 by 1280, 300 MiB for the largest level.
const OWN_MEMORY: u64 = 1024 * 1024 * 1024;
/// Address space of ffmpeg, bytes: its libraries alone map 150 MiB.
const FFMPEG_MEMORY: u64 = 2 * 1024 * 1024 * 1024;
/// Seconds of processor time.
const PROCESSOR: u64 = 4;
/// Open files; ffmpeg's libraries need a few one after the other.
const FILES: u64 = 64;

/// Does the work and returns the exit code. `arguments` are those after the command's name.
pub fn run(mut arguments: impl Iterator<Item = OsString>) -> i32 {
    let ffmpeg = arguments.next().is_some_and(|first| first == "ffmpeg");
    if confine(if ffmpeg { FFMPEG_MEMORY } else { OWN_MEMORY }).is_err() {
        return NOT_STARTED;
    }
    if ffmpeg {
        let Some([program, width, height]) = take_three(&mut arguments) else {
            return NOT_STARTED;
        };
        become_ffmpeg(&program, &width, &height);
        return NOT_STARTED;
    }
    let Ok(video) = io::stdin().as_fd().try_clone_to_owned().map(File::from) else {
        return NOT_STARTED;
    };
    match cover(&video) {
        Ok(jpeg)
            if io::stdout()
                .write_all(&jpeg)
                .and_then(|()| io::stdout().flush())
                .is_ok() =>
        {
            0
        }
        _ => UNDECODABLE,
    }
}

fn take_three(arguments: &mut impl Iterator<Item = OsString>) -> Option<[OsString; 3]> {
    Some([arguments.next()?, arguments.next()?, arguments.next()?])
}

/// Hard limits, which a process without privileges can't raise again. No file may grow: the answer goes to a pipe.
fn confine(memory: u64) -> Result<(), rustix::io::Errno> {
    let limits = [
        (Resource::Core, 0),
        (Resource::Fsize, 0),
        (Resource::As, memory),
        (Resource::Cpu, PROCESSOR),
        (Resource::Nofile, FILES),
    ];
    for (resource, limit) in limits {
        let limit = Some(limit);
        setrlimit(
            resource,
            Rlimit {
                current: limit,
                maximum: limit,
            },
        )?;
    }
    Ok(())
}

/// ffmpeg's words up to the filter. The demuxer is fixed, so that a playlist or a script can't be recognised in the
/// file; it reads neither other protocols nor the external data references of a MOV. The file is opened again below
/// `/dev/fd` because a pipe can't seek and most phones write the index last.
const BEFORE: &str = "-nostdin -hide_banner -loglevel quiet -threads 1 -filter_threads 1 -protocol_whitelist file,pipe \
    -f mov -enable_drefs 0 -use_absolute_path 0 -i file:/dev/fd/0 -map 0:v:0 -frames:v 1";
/// ffmpeg's words after the filter.
const AFTER: &str = "-threads 1 -c:v mjpeg -pix_fmt yuvj420p -q:v 4 -f image2pipe pipe:1";

/// Replaces this process; returns only when that failed. The colours become JPEG's: BT.601, full range.
fn become_ffmpeg(program: &OsString, width: &OsString, height: &OsString) {
    let scale = format!(
        "scale={}:{}:flags=area:out_color_matrix=bt601:out_range=full,setsar=1",
        width.display(),
        height.display()
    );
    let filter = ["-vf", &scale];
    let arguments = BEFORE.split(' ').chain(filter).chain(AFTER.split(' '));
    let _failed: io::Error = Command::new(program).args(arguments).exec();
}

/// The cover of a video: the first picture that decodes.
fn cover(video: &File) -> Result<Vec<u8>, MediaError> {
    let mut reader = Reader::new(video)?;
    let movie = mp4::read(&mut reader)?;
    let samples = Samples::locate(&mut reader, &movie)?;
    let size = cover_size(&movie.info);
    decode(&mut reader, &samples, |picture| {
        picture.to_jpeg(size, movie.info.rotation)
    })
}

/// Feeds the decoder until it shows something. A sample it refuses does not end the search: streams that were cut begin
/// with pictures that lack their reference.
fn decode<S: Source>(
    reader: &mut Reader<S>,
    samples: &Samples,
    finish: impl Fn(&Picture<'_>) -> Result<Vec<u8>, MediaError>,
) -> Result<Vec<u8>, MediaError> {
    let none = MediaError::NotAVideo("it has no picture");
    let Ok(mut decoder) = Decoder::with_api_config(OpenH264API::from_source(), DecoderConfig::new()) else {
        return Err(none);
    };
    for index in 0..samples.count() {
        let sample = samples.read(reader, index)?;
        let bytes = if index == 0 {
            [samples.parameters.as_slice(), &sample].concat()
        } else {
            sample
        };
        if let Ok(Some(decoded)) = decoder.decode(&bytes) {
            return finish(&planes(&decoded, samples.colours).ok_or(none)?);
        }
    }
    match decoder.flush_remaining() {
        Ok(rest) => finish(
            &rest
                .first()
                .and_then(|picture| planes(picture, samples.colours))
                .ok_or(none)?,
        ),
        Err(_) => Err(none),
    }
}

fn planes<'a>(decoded: &'a DecodedYUV<'_>, colours: Colours) -> Option<Picture<'a>> {
    let (width, height) = decoded.dimensions();
    let (luma, blue, red) = decoded.strides();
    let plane = |bytes: &'a [u8], stride, width: usize, height: usize| {
        (width > 0 && height > 0).then_some(Plane {
            bytes,
            stride,
            width,
            height,
        })
    };
    let half = (width.div_ceil(2), height.div_ceil(2));
    Some(Picture {
        luma: plane(decoded.y(), luma, width, height)?,
        blue: plane(decoded.u(), blue, half.0, half.1)?,
        red: plane(decoded.v(), red, half.0, half.1)?,
        colours,
    })
}

#[cfg(test)]
#[path = "cover_child_tests.rs"]
mod tests;
