//! A line that a person types unseen, or that a program hands over.

use super::output;
use crate::model::SecretValue;
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};
use std::io::{self, IsTerminal, Stdin};

/// Nobody types more, and a file that was handed over by mistake is not read to its end.
const BYTES_MAX: u64 = 4096;

/// What Ctrl-C is when it is no signal.
const CTRL_C: u8 = 3;

/// Reads one line of standard input. At a terminal it asks, and the answer is not shown.
pub fn secret_line(question: &str) -> io::Result<SecretValue> {
    let stdin = io::stdin();
    let silent = if stdin.is_terminal() {
        output::tell(question);
        Some(Silent::begin(&stdin)?)
    } else {
        None
    };
    let line = read(&mut Limited { from: &stdin, left: BYTES_MAX });
    if silent.is_some() {
        output::tell("\n");
    }
    line.map(SecretValue::new)
}

/// Byte by byte: what follows the line belongs to whoever reads next.
fn read(from: &mut impl io::Read) -> io::Result<String> {
    let mut line = Vec::new();
    for byte in io::Read::bytes(from) {
        match byte? {
            b'\n' => break,
            CTRL_C => return Err(io::ErrorKind::Interrupted.into()),
            byte => line.push(byte),
        }
    }
    let line = String::from_utf8(line).map_err(io::Error::other)?;
    if line.is_empty() {
        return Err(io::Error::other("the first line of standard input is empty"));
    }
    Ok(line)
}

struct Limited<'a> {
    from: &'a Stdin,
    left: u64,
}

impl io::Read for Limited<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.left -= 1;
        io::Read::read(&mut self.from.lock(), buffer)
    }
}

/// A terminal that does not show what is typed, until this is dropped.
struct Silent<'a> {
    stdin: &'a Stdin,
    before: Termios,
}

impl<'a> Silent<'a> {
    fn begin(stdin: &'a Stdin) -> io::Result<Self> {
        let before = tcgetattr(stdin)?;
        let mut silent = before.clone();
        // Ctrl-C would end the program, and nobody be there to show again what is typed: it ends the line instead.
        silent.local_modes.remove(LocalModes::ECHO | LocalModes::ISIG);
        silent.special_codes[SpecialCodeIndex::VEOL] = CTRL_C;
        tcsetattr(stdin, OptionalActions::Flush, &silent)?;
        Ok(Self { stdin, before })
    }
}

impl Drop for Silent<'_> {
    fn drop(&mut self) {
        // A terminal that is gone shows nothing either.
        let _gone = tcsetattr(self.stdin, OptionalActions::Flush, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_ends_where_it_ends_and_an_empty_one_is_none() {
        let mut input: &[u8] = b"pass word\nmore";
        assert_eq!(read(&mut input).expect("there is one"), "pass word");
        assert_eq!(input, b"more");
        assert!(read(&mut &b"\nx"[..]).is_err());
        assert!(read(&mut &b""[..]).is_err());
    }

    #[test]
    fn ctrl_c_is_no_part_of_a_password() {
        let error = read(&mut &b"pass\x03"[..]).expect_err("it was given up");
        assert_eq!(error.kind(), io::ErrorKind::Interrupted);
    }
}
