//! Clips to publish, and the multipart bodies that carry them.

use rand::Rng;

/// A real H.264 clip of one second, 64×128, upper half red, lower half blue.
pub const CLIP: &[u8] = include_bytes!("../media/clip.mp4");

/// The clip with a `free` box of random bytes behind it: the same film under another hash.
pub fn distinct() -> Vec<u8> {
    let mut noise = [0_u8; 16];
    rand::rng().fill_bytes(&mut noise);
    with_free_box(&noise)
}

/// The clip made `bytes` long by a `free` box (at least 8 bytes more than the clip).
pub fn of_length(bytes: usize) -> Vec<u8> {
    with_free_box(&vec![0x5a; bytes - CLIP.len() - 8])
}

fn with_free_box(content: &[u8]) -> Vec<u8> {
    let mut clip = CLIP.to_vec();
    clip.extend_from_slice(&u32::try_from(content.len() + 8).unwrap().to_be_bytes());
    clip.extend_from_slice(b"free");
    clip.extend_from_slice(content);
    clip
}

/// A multipart/form-data body whose parts keep the order they were added in.
#[derive(Default)]
pub struct Multipart(Vec<u8>);

const BOUNDARY: &str = "----stories7MA4YWxkTrZu0gW";

impl Multipart {
    /// The Content-Type of a request with such a body.
    pub fn content_type() -> String {
        format!("multipart/form-data; boundary={BOUNDARY}")
    }

    /// Adds a plain field.
    #[must_use]
    pub fn field(self, name: &str, value: &str) -> Self {
        self.part(&format!("form-data; name=\"{name}\""), None, value.as_bytes())
    }

    /// Adds the file the contract calls `data`, as a phone sends it.
    #[must_use]
    pub fn file(self, content: &[u8]) -> Self {
        self.part(
            "form-data; name=\"data\"; filename=\"bear.mp4\"",
            Some("video/mp4"),
            content,
        )
    }

    /// Adds a part with any disposition and type.
    #[must_use]
    pub fn part(mut self, disposition: &str, content_type: Option<&str>, content: &[u8]) -> Self {
        let kind = content_type.map_or_else(String::new, |kind| format!("Content-Type: {kind}\r\n"));
        let head = format!("--{BOUNDARY}\r\nContent-Disposition: {disposition}\r\n{kind}\r\n");
        self.0.extend_from_slice(head.as_bytes());
        self.0.extend_from_slice(content);
        self.0.extend_from_slice(b"\r\n");
        self
    }

    /// The body with its closing boundary.
    pub fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
        self.0
    }
}
