//! A command in a container, as its client talks about it: which frames may come when, and what each asks for.

mod decoder;

use serde_json::Value;
use thiserror::Error;

pub use decoder::Decoder;

/// What the client wants of its session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// It sends input.
    pub interactive: bool,
    /// Its words are for a shell.
    pub shell: bool,
    /// It has a terminal.
    pub tty: bool,
}

/// What a frame asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Start this command.
    Run(Vec<String>),
    /// Give it input; none is the end of it.
    Input(Option<String>),
    /// Its terminal has so many columns and lines.
    Resize(u32, u32),
}

/// A frame that may not come, or not now. The session ends with it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct Violation(&'static str);

/// What has been said so far.
#[derive(Debug)]
pub struct Dialogue {
    wishes: Wishes,
    running: bool,
}

impl Dialogue {
    /// Nothing yet.
    #[must_use]
    pub fn new(wishes: Wishes) -> Self {
        Self { wishes, running: false }
    }

    /// Whether a command was given.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.running
    }

    /// Takes in a frame. Keys that it does not know mean nothing.
    pub fn take(&mut self, frame: &str) -> Result<Vec<Step>, Violation> {
        let parsed: Value = serde_json::from_str(frame).map_err(|_| Violation("a frame is no JSON"))?;
        let Value::Object(fields) = parsed else { return Err(Violation("a frame is no object")) };
        let mut steps = Vec::new();
        if let Some(command) = fields.get("cmd") {
            if self.running {
                return Err(Violation("cmd came twice"));
            }
            let command = words(command).ok_or(Violation("cmd is no list of words"))?;
            self.running = true;
            steps.push(Step::Run(if self.wishes.shell { in_shell(&command) } else { command }));
        }
        if let Some(size) = fields.get("tty_size") {
            self.require(self.wishes.tty, "tty_size without a tty")?;
            steps.push(size_of(size).ok_or(Violation("tty_size has no width and height"))?);
        }
        if let Some(input) = fields.get("stdin") {
            self.require(self.wishes.interactive, "stdin of what is not interactive")?;
            steps.push(match input {
                Value::Null => Step::Input(None),
                Value::String(text) => Step::Input(Some(text.clone())),
                _ => return Err(Violation("stdin is no text")),
            });
        }
        Ok(steps)
    }

    fn require(&self, allowed: bool, otherwise: &'static str) -> Result<(), Violation> {
        match (allowed, self.running) {
            (false, _) => Err(Violation(otherwise)),
            (true, false) => Err(Violation("no command is running")),
            (true, true) => Ok(()),
        }
    }
}

/// The words of a command: a list of texts, or one text.
#[must_use]
pub fn words(command: &Value) -> Option<Vec<String>> {
    let words: Vec<String> = match command {
        Value::String(word) => vec![word.clone()],
        Value::Array(words) => {
            words.iter().map(|word| Some(word.as_str()?.to_owned())).collect::<Option<_>>()?
        }
        _ => return None,
    };
    (!words.is_empty()).then_some(words)
}

fn in_shell(words: &[String]) -> Vec<String> {
    vec!["/bin/sh".to_owned(), "-c".to_owned(), words.join(" ")]
}

fn size_of(size: &Value) -> Option<Step> {
    let length = |key| u32::try_from(size.get(key)?.as_u64()?).ok();
    Some(Step::Resize(length("width")?, length("height")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dialogue(interactive: bool, shell: bool, tty: bool) -> Dialogue {
        Dialogue::new(Wishes { interactive, shell, tty })
    }

    #[test]
    fn a_command_its_input_and_its_terminal_are_understood() {
        let mut talk = dialogue(true, false, true);
        let run = |words: &[&str]| Step::Run(words.iter().map(|word| (*word).to_owned()).collect());
        assert_eq!(talk.take(r#"{"cmd":["ls"," -l "]}"#), Ok(vec![run(&["ls", " -l "])]));
        assert_eq!(talk.take(r#"{"tty_size":{"width":80,"height":24}}"#), Ok(vec![Step::Resize(80, 24)]));
        assert_eq!(talk.take(r#"{"stdin":"x\n"}"#), Ok(vec![Step::Input(Some("x\n".to_owned()))]));
        assert_eq!(talk.take(r#"{"stdin":null}"#), Ok(vec![Step::Input(None)]));
        assert_eq!(talk.take(r#"{"other":1}"#), Ok(Vec::new()));
        let mut shell = dialogue(false, true, false);
        assert_eq!(
            shell.take(r#"{"cmd":["echo","a;","ls"]}"#),
            Ok(vec![run(&["/bin/sh", "-c", "echo a; ls"])])
        );
        let mut at_once = dialogue(true, false, false);
        let both = at_once.take(r#"{"cmd":["cat"],"stdin":"x"}"#);
        assert_eq!(both, Ok(vec![run(&["cat"]), Step::Input(Some("x".to_owned()))]));
    }

    #[test]
    fn what_may_not_come_is_a_violation() {
        for (frame, running) in [
            ("{", false),
            ("[]", false),
            (r#"{"cmd":[]}"#, false),
            (r#"{"cmd":[1]}"#, false),
            (r#"{"cmd":null}"#, false),
            (r#"{"stdin":"early"}"#, false),
            (r#"{"tty_size":{"width":1,"height":1}}"#, false),
            (r#"{"cmd":["again"]}"#, true),
            (r#"{"stdin":5}"#, true),
            (r#"{"tty_size":{"width":-1,"height":1}}"#, true),
            (r#"{"tty_size":{"width":1}}"#, true),
        ] {
            let mut talk = dialogue(true, false, true);
            if running {
                assert!(talk.take(r#"{"cmd":["sh"]}"#).is_ok());
            }
            assert!(talk.take(frame).is_err(), "{frame}");
        }
        for frame in [r#"{"stdin":"x"}"#, r#"{"tty_size":{"width":1,"height":1}}"#] {
            let mut talk = dialogue(false, false, false);
            assert!(talk.take(r#"{"cmd":["sh"]}"#).is_ok());
            assert!(talk.take(frame).is_err(), "{frame}");
        }
    }
}
