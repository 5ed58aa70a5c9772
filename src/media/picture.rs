//! From a decoded picture to a small, upright JPEG.
//!
//! Owns the cover's size, its scaling, colours and rotation. Pure computation: knows neither files nor decoders.

use jpeg_encoder::{ColorType, Encoder};

use super::error::MediaError;
use super::mp4::VideoInfo;

/// The longer side of a cover in pixels: sharp on a phone's feed, and about 60 KiB.
const LONG_SIDE: u32 = 720;
/// The longer side of a drawing that stands in while the machine is busy: a ninth of the work.
const INTERIM_SIDE: u32 = 240;
/// JPEG quality of 100; above 80 the file grows faster than what one sees.
const QUALITY: u8 = 80;

/// Width and height of a video's cover: never larger than the video, the aspect ratio exact to the rounded pixel.
pub(super) fn cover_size(info: &VideoInfo) -> (u16, u16) {
    fit(info, LONG_SIDE)
}

/// The same for a drawing that stands in under load.
pub(super) fn interim_size(info: &VideoInfo) -> (u16, u16) {
    fit(info, INTERIM_SIDE)
}

fn fit(info: &VideoInfo, bound: u32) -> (u16, u16) {
    let long = info.width.max(info.height).max(1);
    let scale = |side: u32| {
        let scaled = if long > bound {
            (side * bound + long / 2) / long
        } else {
            side
        };
        u16::try_from(scaled.clamp(1, bound)).unwrap_or(1)
    };
    (scale(info.width), scale(info.height))
}

/// How a stream's numbers mean colours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Colours {
    /// Whether ITU-R BT.709 applies (else BT.601); `None` when the file does not say.
    pub bt709: Option<bool>,
    /// Luma from 0 to 255 instead of 16 to 235.
    pub full_range: bool,
}

/// One plane of a decoded picture.
#[derive(Clone, Copy)]
pub(super) struct Plane<'a> {
    pub bytes: &'a [u8],
    pub stride: usize,
    pub width: usize,
    pub height: usize,
}

impl Plane<'_> {
    /// The mean of the pixels that fall on cell `x`,`y` of a grid of `columns` by `rows` laid over the plane: a box
    /// filter, which neither flickers nor blurs when scaling down.
    fn mean(&self, (x, columns): Cell, (y, rows): Cell) -> u8 {
        let span = |cell: usize, cells: usize, length: usize| {
            let from = (cell * length / cells).min(length.saturating_sub(1));
            from..((cell + 1) * length / cells).clamp(from + 1, length.max(from + 1))
        };
        let (columns, rows) = (span(x, columns, self.width), span(y, rows, self.height));
        let (mut sum, mut count) = (0_u64, 0_u64);
        for row in rows {
            let start = row * self.stride;
            let line = self
                .bytes
                .get(start + columns.start..start + columns.end)
                .unwrap_or_default();
            sum += line.iter().map(|byte| u64::from(*byte)).sum::<u64>();
            count += line.len() as u64;
        }
        sum.checked_div(count)
            .map_or(0, |mean| u8::try_from(mean).unwrap_or(u8::MAX))
    }
}

/// A picture as H.264 stores it: luma and two chroma planes of half the size.
pub(super) struct Picture<'a> {
    pub luma: Plane<'a>,
    pub blue: Plane<'a>,
    pub red: Plane<'a>,
    pub colours: Colours,
}

impl Picture<'_> {
    /// Scales to `size` (as shown, after the rotation), turns it clockwise and encodes it.
    pub fn to_jpeg(&self, size: (u16, u16), rotation: u16) -> Result<Vec<u8>, MediaError> {
        encode(&self.to_rgb(size, rotation), size)
    }

    /// The same before encoding: rows of 8-bit RGB.
    pub fn to_rgb(&self, size: (u16, u16), rotation: u16) -> Vec<u8> {
        let (width, height) = (usize::from(size.0), usize::from(size.1));
        // What players assume when a file does not say: BT.709 from 720 lines up, BT.601 below.
        let large = self.luma.width.min(self.luma.height) >= 720;
        let matrix = if self.colours.bt709.unwrap_or(large) {
            BT709
        } else {
            BT601
        };
        let full = self.colours.full_range;
        let mut rgb = Vec::with_capacity(width * height * 3);
        for y in 0..height {
            for x in 0..width {
                let (across, down) = stored_cell((x, width), (y, height), rotation);
                let mean = |plane: &Plane<'_>| i32::from(plane.mean(across, down));
                rgb.extend(matrix.to_rgb(full, mean(&self.luma), mean(&self.blue), mean(&self.red)));
            }
        }
        rgb
    }
}

/// A position on an axis and the length of that axis.
type Cell = (usize, usize);

/// Where in the stored picture a cell of the shown one lies.
fn stored_cell((x, width): Cell, (y, height): Cell, rotation: u16) -> (Cell, Cell) {
    match rotation {
        90 => ((y, height), (width - 1 - x, width)),
        180 => ((width - 1 - x, width), (height - 1 - y, height)),
        270 => ((height - 1 - y, height), (x, width)),
        _ => ((x, width), (y, height)),
    }
}

/// Coefficients of limited-range luma and chroma to red, green and blue, in 1/65536.
struct Matrix {
    red: i32,
    green_blue: i32,
    green_red: i32,
    blue: i32,
}

/// ITU-R BT.601.
const BT601: Matrix = Matrix {
    red: 104_597,
    green_blue: 25_675,
    green_red: 53_279,
    blue: 132_201,
};
/// ITU-R BT.709.
const BT709: Matrix = Matrix {
    red: 117_489,
    green_blue: 13_975,
    green_red: 34_925,
    blue: 138_438,
};

impl Matrix {
    fn to_rgb(&self, full_range: bool, luma: i32, blue: i32, red: i32) -> [u8; 3] {
        // Limited range has 219 steps of luma and 224 of chroma where full range has 255.
        let (luma, chroma) = if full_range {
            (luma << 16, 224)
        } else {
            ((luma - 16) * 76_309, 255)
        };
        let luma = luma + (1 << 15);
        let (blue, red) = ((blue - 128) * chroma / 255, (red - 128) * chroma / 255);
        [
            luma + self.red * red,
            luma - self.green_blue * blue - self.green_red * red,
            luma + self.blue * blue,
        ]
        .map(|value| u8::try_from((value >> 16).clamp(0, 255)).unwrap_or(0))
    }
}

/// Encodes 8-bit RGB rows.
pub(super) fn encode(rgb: &[u8], (width, height): (u16, u16)) -> Result<Vec<u8>, MediaError> {
    let mut out = Vec::new();
    let encoder = Encoder::new(&mut out, QUALITY);
    encoder
        .encode(rgb, width, height, ColorType::Rgb)
        .map_err(|_| MediaError::NotAVideo("it has no picture"))?;
    Ok(out)
}

/// Width and height of a baseline or progressive JPEG that begins and ends as one must; `None` for anything else.
/// Enough to trust that a helper process answered with a picture of the size asked for.
pub(super) fn jpeg_size(jpeg: &[u8]) -> Option<(u16, u16)> {
    let mut rest = jpeg.strip_prefix(&[0xff, 0xd8])?.strip_suffix(&[0xff, 0xd9])?;
    loop {
        let (&[mark, kind, high, low], _) = rest.split_first_chunk::<4>()?;
        if mark != 0xff {
            return None;
        }
        let segment = rest.get(2..2 + usize::from(u16::from_be_bytes([high, low])))?;
        if matches!(kind, 0xc0..=0xc2) {
            let (&[_, _, _, y0, y1, x0, x1], _) = segment.split_first_chunk::<7>()?;
            return Some((u16::from_be_bytes([x0, x1]), u16::from_be_bytes([y0, y1])));
        }
        rest = &rest[2 + segment.len()..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(width: u32, height: u32) -> VideoInfo {
        VideoInfo {
            width,
            height,
            rotation: 0,
            duration_ms: 0,
            codec: *b"avc1",
        }
    }

    #[test]
    fn covers_keep_the_aspect_ratio_and_never_grow() {
        let cases = [
            ((720, 1280), (405, 720)),
            ((1920, 1080), (720, 405)),
            ((320, 180), (320, 180)),
            ((1, 1), (1, 1)),
            ((8192, 1), (720, 1)),
            ((8192, 8192), (720, 720)),
        ];
        for ((width, height), expected) in cases {
            assert_eq!(cover_size(&info(width, height)), expected);
        }
    }

    #[test]
    fn turning_moves_the_corner_clockwise() {
        // One bright pixel at the top left of 2 by 2.
        let luma = [235, 16, 16, 16];
        let plane = |bytes, side| Plane {
            bytes,
            stride: side,
            width: side,
            height: side,
        };
        let grey = [128];
        let picture = Picture {
            luma: plane(&luma, 2),
            blue: plane(&grey, 1),
            red: plane(&grey, 1),
            colours: Colours::default(),
        };
        let bright = |rotation| {
            let corners = [(0, 0), (1, 0), (0, 1), (1, 1)];
            corners.into_iter().find(|&(x, y)| {
                let (across, down) = stored_cell((x, 2), (y, 2), rotation);
                picture.luma.mean(across, down) == 235
            })
        };
        assert_eq!(
            [0, 90, 180, 270].map(bright),
            [Some((0, 0)), Some((1, 0)), Some((1, 1)), Some((0, 1))]
        );
        for rotation in [0, 90, 180, 270] {
            let jpeg = picture.to_jpeg((2, 2), rotation).unwrap();
            assert_eq!(jpeg_size(&jpeg), Some((2, 2)));
        }
    }

    #[test]
    fn limited_range_becomes_full_range() {
        for matrix in [BT601, BT709] {
            assert_eq!(matrix.to_rgb(false, 16, 128, 128), [0, 0, 0]);
            assert_eq!(matrix.to_rgb(false, 235, 128, 128), [255, 255, 255]);
            assert_eq!(matrix.to_rgb(false, 235, 0, 128)[2], 0);
        }
        for grey in [0, 100, 255] {
            assert_eq!(BT709.to_rgb(true, grey, 128, 128).map(i32::from), [grey; 3]);
        }
        let red = BT601.to_rgb(false, 81, 90, 240);
        assert!(red[0] >= 253 && red[1] <= 2 && red[2] <= 2, "{red:?}");
    }

    #[test]
    fn only_jpegs_have_a_size() {
        let jpeg = encode(&[100; 3 * 6], (3, 2)).unwrap();
        assert_eq!(jpeg_size(&jpeg), Some((3, 2)));
        for cut in 0..jpeg.len() {
            assert_eq!(jpeg_size(&jpeg[..cut]), None);
        }
        assert_eq!(jpeg_size(b"\xff\xd8\xff\xd9"), None);
        assert_eq!(jpeg_size(b"\xff\xd8\xff\xe0\0\0\xff\xd9"), None);
    }
}
