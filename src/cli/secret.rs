//! Passwords on their way in.
//!
//! Owns the type that no `Debug` shows and the reading of a new password: two prompts without echo on a terminal, one
//! line from a pipe otherwise. Never takes one from an argument or a variable: other users can see those. Whether the
//! password is good enough is for `auth` to say.

use std::fmt;
use std::io::{self, IsTerminal, Read, Write};

use anyhow::{Context, bail, ensure};
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};

/// No password is longer; a file piped in by mistake ends here.
const PASSWORD_MAX_BYTES: usize = 1024;
/// What Ctrl-C sends once the terminal hands it on instead of raising a signal.
const INTERRUPT: u8 = 3;

/// A text that must not be shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Asks for a new password twice, or takes one line from standard input where nobody can be asked.
pub fn read_new_password() -> anyhow::Result<Secret> {
    let mut stdin = io::stdin().lock();
    if !stdin.is_terminal() {
        return read_line(&mut stdin).context("no password could be read from standard input");
    }
    let echo = EchoOff::new()?;
    let first = prompt("New password: ", &mut stdin)?;
    let second = prompt("The same again: ", &mut stdin)?;
    drop(echo);
    ensure!(first == second, "the two passwords are not the same");
    Ok(first)
}

fn prompt(text: &str, from: &mut impl Read) -> anyhow::Result<Secret> {
    let mut stderr = io::stderr();
    let _ = write!(stderr, "{text}").and_then(|()| stderr.flush());
    let line = read_line(from);
    let _ = writeln!(stderr);
    line
}

/// Byte by byte, since whatever follows the line is not ours.
fn read_line(from: &mut impl Read) -> anyhow::Result<Secret> {
    let mut line = Vec::new();
    let mut byte = [0];
    while from.read(&mut byte)? == 1 && byte[0] != b'\n' {
        if byte[0] == INTERRUPT {
            bail!("interrupted");
        }
        line.push(byte[0]);
        ensure!(
            line.len() <= PASSWORD_MAX_BYTES,
            "a password has at most {PASSWORD_MAX_BYTES} bytes"
        );
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    ensure!(!line.is_empty(), "the password is empty");
    // The error's own words would show where it broke, and the bytes are the password.
    String::from_utf8(line)
        .map(Secret)
        .map_err(|_| anyhow::anyhow!("the password is not UTF-8"))
}

/// Echo is off while this lives. Ctrl-C is taken as a character that ends the line instead of as a signal, which would
/// end the process with the terminal left mute.
struct EchoOff(Termios);

impl EchoOff {
    fn new() -> anyhow::Result<Self> {
        let before = tcgetattr(io::stdin()).context("the terminal can't be asked for its modes")?;
        let mut mute = before.clone();
        mute.local_modes.remove(LocalModes::ECHO | LocalModes::ISIG);
        mute.special_codes[SpecialCodeIndex::VEOL] = INTERRUPT;
        tcsetattr(io::stdin(), OptionalActions::Flush, &mute).context("the terminal's echo can't be turned off")?;
        Ok(Self(before))
    }
}

impl Drop for EchoOff {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_is_taken_and_no_more() {
        for (input, password) in [
            ("hunter2\nrest", "hunter2"),
            ("hunter2\r\n", "hunter2"),
            ("密码 ", "密码 "),
        ] {
            let mut input = input.as_bytes();
            assert_eq!(read_line(&mut input).unwrap().expose(), password);
        }
        let mut input = "a\nb\n".as_bytes();
        assert_eq!(read_line(&mut input).unwrap().expose(), "a");
        assert_eq!(read_line(&mut input).unwrap().expose(), "b");
    }

    #[test]
    fn what_is_no_password_is_refused_without_repeating_it() {
        let long = [b'x'; PASSWORD_MAX_BYTES + 1];
        for input in [&b""[..], b"\n", b"\r\n", b"hunter\xff\n", b"hunter\x03", &long] {
            let error = format!("{:?}", read_line(&mut &*input).unwrap_err());
            assert!(!error.contains("hunter") && !error.contains("xxx"), "{error}");
        }
        assert!(read_line(&mut &long[1..]).is_ok());
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Secret::from("hunter2".to_owned())), "***");
    }
}
