//! Reads the transcripts of a book: the fenced blocks marked `transcript`, line by line.

use serde_json::Value;

use super::pattern;

/// One block, which is played in a world of its own.
#[derive(Debug)]
pub struct Transcript {
    /// Each with the number of its line in the book, from 1.
    pub steps: Vec<(usize, Step)>,
}

/// One line.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// `R> POST /path?a=b as <token:ann>`: a request over HTTP.
    Call {
        /// GET or POST.
        method: String,
        /// Path and query, placeholders included.
        target: String,
        /// The name of the token's placeholder.
        token: Option<String>,
    },
    /// `R> POST /path as <token:ann> with clip`: an upload of the tests' clip, called "clip".
    Upload {
        /// The path.
        target: String,
        /// The name of the token's placeholder.
        token: String,
    },
    /// `R< {…}`: its answer.
    Answer(Value),
    /// `A+`: the connection is made.
    Open(char),
    /// `A-`: it is cut without a word.
    Cut(char),
    /// `A> {…}`: the client sends.
    Send(char, Value),
    /// `A< {…}`: the client receives.
    Receive(char, Value),
    /// `A! 3500 {…}`: the server closes, with a code and a reason.
    Closed(char, u16, Value),
}

/// Every transcript of a book in Markdown; the error names its line.
pub fn read(book: &str) -> Result<Vec<Transcript>, String> {
    let mut transcripts = Vec::new();
    let mut open: Option<Transcript> = None;
    for (number, line) in (1..).zip(book.lines()) {
        match (&mut open, line) {
            (None, "```transcript") => open = Some(Transcript { steps: Vec::new() }),
            (Some(_), "```") => transcripts.extend(open.take()),
            (Some(transcript), line) if !line.is_empty() && !line.starts_with('#') => {
                let step = step(line).map_err(|why| format!("line {number}: {why}"))?;
                transcript.steps.push((number, step));
            }
            _ => {}
        }
    }
    match open {
        Some(_) => Err("a transcript that does not end".to_owned()),
        None => Ok(transcripts),
    }
}

fn step(line: &str) -> Result<Step, String> {
    let mut letters = line.chars();
    let (Some(name @ 'A'..='Z'), Some(kind)) = (letters.next(), letters.next()) else {
        return Err(format!("no step: {line}"));
    };
    let rest = letters.as_str().trim();
    match (name, kind) {
        ('R', '>') => call(rest),
        ('R', '<') => Ok(Step::Answer(pattern::read(rest)?)),
        ('R', _) => Err("R is HTTP and has only > and <".to_owned()),
        (_, '+') if rest.is_empty() => Ok(Step::Open(name)),
        (_, '-') if rest.is_empty() => Ok(Step::Cut(name)),
        (_, '>') => Ok(Step::Send(name, pattern::read(rest)?)),
        (_, '<') => Ok(Step::Receive(name, pattern::read(rest)?)),
        (_, '!') => {
            let (code, reason) = rest.split_once(' ').ok_or("a close has a code and a reason")?;
            let code = code.parse().map_err(|_| format!("no code: {code}"))?;
            Ok(Step::Closed(name, code, pattern::read(reason)?))
        }
        _ => Err(format!("no step: {line}")),
    }
}

fn call(rest: &str) -> Result<Step, String> {
    let (method, rest) = rest.split_once(' ').ok_or("a request has a method and a path")?;
    let (rest, clip) = rest
        .strip_suffix(" with clip")
        .map_or((rest, false), |rest| (rest, true));
    let (target, token) = match rest.split_once(" as ") {
        None => (rest, None),
        Some((target, token)) => {
            let name = token.strip_prefix("<token:").and_then(|name| name.strip_suffix('>'));
            (target, Some(name.ok_or("`as` wants a <token:…>")?.to_owned()))
        }
    };
    if !matches!(method, "GET" | "POST") || !target.starts_with('/') || target.contains(' ') {
        return Err(format!("no request: {rest}"));
    }
    let (method, target) = (method.to_owned(), target.to_owned());
    match (clip, token) {
        (false, token) => Ok(Step::Call { method, target, token }),
        (true, Some(token)) if method == "POST" => Ok(Step::Upload { target, token }),
        (true, _) => Err("an upload is a POST with a token".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_kind_of_line_is_read() {
        let book = "text\n```transcript\n# a comment\n\nR> GET /events?since=1 as <token:ann>\nR< {}\nA+\n\
                    A> {\"t\":\"ping\"}\nA< {\"seq\":<seq:one>}\nA! 3001 {\"reason\":\"restart\"}\nB-\n```\n";
        let mut transcripts = read(book).unwrap();
        let transcript = transcripts.pop().unwrap();
        let lines: Vec<usize> = transcript.steps.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [5, 6, 7, 8, 9, 10, 11]);
        let steps: Vec<Step> = transcript.steps.into_iter().map(|(_, step)| step).collect();
        let call = Step::Call {
            method: "GET".into(),
            target: "/events?since=1".into(),
            token: Some("ann".into()),
        };
        assert_eq!(steps[0], call);
        assert_eq!(steps[2], Step::Open('A'));
        assert_eq!(steps[4], Step::Receive('A', json!({"seq": "<seq:one>"})));
        assert_eq!(steps[5], Step::Closed('A', 3001, json!({"reason": "restart"})));
        assert_eq!(steps[6], Step::Cut('B'));
    }

    #[test]
    fn what_is_no_step_is_an_error_with_its_line() {
        for line in [
            "a< {}",
            "A? {}",
            "A< {",
            "A< {\"a\":<nonsense>}",
            "A+ now",
            "R> DELETE /x",
            "R> GET /x as ann",
            "R> GET /x as <token:ann> with clip",
            "R> POST /x with clip",
            "R! 1 {}",
            "A! {}",
        ] {
            let error = read(&format!("```transcript\n{line}\n```\n")).unwrap_err();
            assert!(error.starts_with("line 2: "), "{line}: {error}");
        }
        read("```transcript\nA+\n").unwrap_err();
    }
}
