//! A form of several parts (RFC 7578), as uploads are sent.

use std::io::Write as _;

/// Of no meaning; stands in no part that the bench sends, of which none is made by anybody else.
const BOUNDARY: &str = "ovation-bench-f52a8c3d91e04b67";
/// What the form is sent as.
pub const CONTENT_TYPE: &str = "multipart/form-data; boundary=ovation-bench-f52a8c3d91e04b67";

/// Parts one behind the other. Names and file names are plain words of the bench's own: nothing in them is escaped.
#[derive(Debug, Default)]
pub struct Multipart {
    parts: Vec<u8>,
}

impl Multipart {
    /// A field.
    pub fn text(&mut self, name: &str, value: &str) {
        // Writing to a Vec can't fail, here and below.
        let _ = write!(
            self.parts,
            "--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
        );
    }

    /// A file.
    pub fn file(&mut self, name: &str, file: &str, kind: &str, bytes: &[u8]) {
        let _ = write!(
            self.parts,
            "--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"{name}\"; filename=\"{file}\"\r\ncontent-type: {kind}\r\n\r\n"
        );
        self.parts.extend_from_slice(bytes);
        self.parts.extend_from_slice(b"\r\n");
    }

    /// All of it, with its end.
    pub fn body(&self) -> Vec<u8> {
        let mut body = self.parts.clone();
        let _ = write!(body, "--{BOUNDARY}--\r\n");
        body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_stand_between_boundaries() {
        let mut form = Multipart::default();
        form.text("title", "sea");
        form.file("data", "a.mp4", "video/mp4", b"\x00\r\n\xff");
        let body = form.body();
        let text = body.escape_ascii().to_string();
        assert_eq!(text.matches(BOUNDARY).count(), 3);
        assert!(CONTENT_TYPE.ends_with(BOUNDARY));
        assert!(text.contains("name=\\\"title\\\"\\r\\n\\r\\nsea\\r\\n"), "{text}");
        assert!(text.contains("\\r\\n\\r\\n\\x00\\r\\n\\xff\\r\\n--"), "{text}");
        assert!(text.ends_with("--\\r\\n"));
    }
}
