//! The cover of a video that nothing here can decode: a quiet gradient with a play sign, in the video's own shape.
//!
//! Owns the drawing. The colours come from the content hash, so that two videos look different and one always the same.

use super::error::MediaError;
use super::hash::ContentHash;
use super::picture;

type Rgb = [f32; 3];

/// Pairs of colours, top to bottom; all dark enough for the white sign.
const GRADIENTS: [(Rgb, Rgb); 6] = [
    ([94.0, 96.0, 206.0], [38.0, 25.0, 77.0]),
    ([32.0, 129.0, 141.0], [11.0, 46.0, 66.0]),
    ([201.0, 94.0, 81.0], [77.0, 24.0, 51.0]),
    ([72.0, 125.0, 89.0], [17.0, 46.0, 43.0]),
    ([180.0, 106.0, 58.0], [66.0, 31.0, 36.0]),
    ([158.0, 78.0, 150.0], [47.0, 23.0, 71.0]),
];
/// How far the sign covers the gradient.
const OPACITY: f32 = 0.85;

/// Draws the JPEG.
pub(super) fn draw(hash: &ContentHash, size: (u16, u16)) -> Result<Vec<u8>, MediaError> {
    let [pick, ..] = *hash.as_bytes();
    let (top, bottom) = GRADIENTS[usize::from(pick) % GRADIENTS.len()];
    let (width, height) = (f32::from(size.0), f32::from(size.1));
    let radius = width.min(height) * 0.16;
    let mut rgb = Vec::with_capacity(usize::from(size.0) * usize::from(size.1) * 3);
    for row in 0..size.1 {
        let y = f32::from(row) + 0.5;
        for column in 0..size.0 {
            let x = f32::from(column) + 0.5;
            let along = 0.8 * y / height + 0.2 * x / width;
            let sign = OPACITY * coverage(x - width / 2.0, y - height / 2.0, radius);
            for (from, to) in top.into_iter().zip(bottom) {
                let ground = from + (to - from) * along;
                rgb.push(byte(ground + (255.0 - ground) * sign));
            }
        }
    }
    picture::encode(&rgb, size)
}

/// How much of the pixel at `x`,`y` (from the centre) the play sign covers: a triangle pointing right whose corners lie
/// on a circle of `radius`, with an edge one pixel soft.
fn coverage(x: f32, y: f32, radius: f32) -> f32 {
    let half = 0.5;
    let sqrt3_half = 0.866_025_4;
    let inside = radius * half;
    let left = inside + x;
    let slope = inside - (x * half + y.abs() * sqrt3_half);
    (left.min(slope) + 0.5).clamp(0.0, 1.0)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to a byte's range just before"
)]
fn byte(value: f32) -> u8 {
    value.clamp(0.0, 255.0) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sign_is_a_triangle_around_the_centre() {
        let cases: [(f32, f32, bool); 6] = [
            (0.0, 0.0, true),
            (95.0, 0.0, true),
            (-45.0, 75.0, true),
            (-55.0, 0.0, false),
            (60.0, 60.0, false),
            (105.0, 0.0, false),
        ];
        for (x, y, inside) in cases {
            assert_eq!(coverage(x, y, 100.0) > 0.5, inside, "{x},{y}");
        }
    }

    #[test]
    fn every_shape_can_be_drawn() {
        let hash = ContentHash::new([200; 32]);
        for size in [(1, 1), (720, 1), (1, 720), (405, 720), (720, 405)] {
            let jpeg = draw(&hash, size).unwrap();
            assert_eq!(picture::jpeg_size(&jpeg), Some(size));
            assert_eq!(jpeg, draw(&hash, size).unwrap(), "the same video, the same picture");
        }
        assert_ne!(
            draw(&hash, (40, 40)).unwrap(),
            draw(&ContentHash::new([201; 32]), (40, 40)).unwrap()
        );
    }
}
