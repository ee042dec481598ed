//! Lines of tmpfiles.d: what they make, and where.
//!
//! Source: tmpfiles.d(5); `parse_line` of systemd 252's src/tmpfiles/tmpfiles.c.

use super::unit_text::first_words;

/// Types of lines that make something; the others change or remove what is there.
const MAKING: &str = "dDvqQfLpcbC";
/// Specifiers that are the same on every system, for the system's own service manager.
const SPECIFIERS: [(char, &str); 8] = [
    ('t', "/run"),
    ('S', "/var/lib"),
    ('C', "/var/cache"),
    ('L', "/var/log"),
    ('T', "/tmp"),
    ('V', "/var/tmp"),
    ('h', "/root"),
    ('%', "%"),
];

/// The fields of a line before its argument, quotes and escapes taken away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TmpfilesLine {
    fields: Vec<String>,
}

impl TmpfilesLine {
    /// None of a comment, of an empty line, and of one whose quotes are left open.
    pub fn of(line: &str) -> Option<Self> {
        let line = line.trim();
        let fields = (!line.starts_with('#')).then(|| first_words(line, 6)).flatten()?;
        (!fields.is_empty()).then_some(Self { fields })
    }

    /// Its letter, with what stands behind it.
    pub fn kind(&self) -> &str {
        &self.fields[0]
    }

    pub fn makes(&self) -> bool {
        self.kind().starts_with(|c| MAKING.contains(c))
    }

    /// The path as it is written.
    pub fn written_path(&self) -> Option<&str> {
        self.fields.get(1).map(String::as_str)
    }

    /// The path that it means; none when that depends on the guest.
    pub fn path(&self) -> Option<String> {
        let mut plain = String::new();
        let mut chars = self.written_path()?.chars();
        while let Some(c) = chars.next() {
            if c == '%' {
                let wanted = chars.next()?;
                plain += SPECIFIERS.iter().find(|(letter, _)| *letter == wanted)?.1;
            } else {
                plain.push(c);
            }
        }
        Some(plain)
    }

    /// Mode, user, group or age, by its number from 2; none when it is left to systemd.
    pub fn field(&self, number: usize) -> Option<&str> {
        self.fields.get(number).map(String::as_str).filter(|text| !text.is_empty() && *text != "-")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Option<String> {
        TmpfilesLine::of(&format!("d {text} 0755 root root - it's")).expect("a line").path()
    }

    #[test]
    fn a_path_is_read_as_systemd_reads_it_or_depends_on_the_guest() {
        assert_eq!(path("/srv/app").as_deref(), Some("/srv/app"));
        assert_eq!(path("%S/app%%").as_deref(), Some("/var/lib/app%"));
        assert_eq!(path("\"/srv/a b\"").as_deref(), Some("/srv/a b"));
        assert_eq!(path("/srv/a\\x20b").as_deref(), Some("/srv/a b"));
        for unclear in ["%m/app", "/srv/app%"] {
            assert_eq!(path(unclear), None, "{unclear}");
        }
    }

    #[test]
    fn what_is_no_line_is_none() {
        for none in ["", "  ", "# d /srv", "d \"/srv 0755"] {
            assert_eq!(TmpfilesLine::of(none), None, "{none}");
        }
    }
}
