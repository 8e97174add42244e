//! Tables: a line for each row, in full for programs, cut to the width of a terminal for people.
//!
//! Invariants: no text of a row, which any client may have sent, controls the terminal or begins a
//! line. Widths are columns of a terminal, not characters.

use console::{Alignment, Term, measure_text_width, pad_str, truncate_str};

/// The blanks between columns.
const GAP: usize = 2;
/// The least width of a column that is cut.
const LEAST: usize = 8;

/// A column.
pub(super) struct Column {
    name: &'static str,
    right: bool,
    cut: bool,
}

/// A column of texts.
pub(super) const fn text(name: &'static str) -> Column {
    Column { name, right: false, cut: false }
}

/// A column of texts that are cut where the terminal is too narrow.
pub(super) const fn long(name: &'static str) -> Column {
    Column { name, right: false, cut: true }
}

/// A column of numbers, aligned at the right.
pub(super) const fn number(name: &'static str) -> Column {
    Column { name, right: true, cut: false }
}

/// Rows below the names of their columns.
pub(super) struct Table<const N: usize> {
    columns: [Column; N],
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    pub(super) fn new(columns: [Column; N], rows: impl Iterator<Item = [String; N]>) -> Self {
        let rows = rows.map(|row| row.map(|cell| plain(&cell))).collect();
        Self { columns, rows }
    }

    /// The table for stdout: cut to its width where it is a terminal.
    pub(super) fn to_stdout(&self) -> String {
        let terminal = Term::stdout();
        let width = terminal.is_term().then(|| terminal.size_checked()).flatten();
        let mut text = self.to_text(width.map(|(_, width)| usize::from(width)));
        if terminal.is_term() && console::colors_enabled() {
            let head = text.find('\n').unwrap_or(text.len());
            let bold = console::style(&text[..head]).bold().to_string();
            text.replace_range(..head, &bold);
        }
        text
    }

    fn to_text(&self, room: Option<usize>) -> String {
        let names = self.columns.each_ref().map(|column| column.name.to_owned());
        let lines = || std::iter::once(&names).chain(&self.rows);
        let widest = |at: usize| lines().map(|row| measure_text_width(&row[at])).max().unwrap_or(0);
        let mut widths: [usize; N] = std::array::from_fn(widest);
        if let Some(room) = room {
            self.shrink(&mut widths, room);
        }
        lines().map(|row| self.line(row, &widths)).collect()
    }

    /// Narrows the widest column that may be cut, until the table fits or no column can be
    /// narrowed.
    fn shrink(&self, widths: &mut [usize; N], room: usize) {
        let gaps = GAP * N.saturating_sub(1);
        while widths.iter().sum::<usize>() + gaps > room {
            let cut = (0..N).filter(|at| self.columns[*at].cut && widths[*at] > LEAST);
            let Some(widest) = cut.max_by_key(|at| widths[*at]) else { return };
            widths[widest] -= 1;
        }
    }

    fn line(&self, row: &[String; N], widths: &[usize; N]) -> String {
        let mut line = String::new();
        for (at, column) in self.columns.iter().enumerate() {
            let gap = if at == 0 { 0 } else { GAP };
            line.extend(std::iter::repeat_n(' ', gap));
            let side = if column.right { Alignment::Right } else { Alignment::Left };
            let cell = truncate_str(&row[at], widths[at], "…");
            line += &pad_str(&cell, widths[at], side, None);
        }
        line.truncate(line.trim_end().len());
        line + "\n"
    }
}

/// The text with its control characters, and the characters that change the direction of reading,
/// as Rust escapes.
pub(super) fn plain(text: &str) -> String {
    let turns = |c| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || turns(c) { plain.extend(c.escape_default()) } else { plain.push(c) }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table<3> {
        let rows = [
            ["1".to_owned(), "github.com/mmcloughlin/geohash".to_owned(), "12.3 MiB".to_owned()],
            ["4711".to_owned(), "-".to_owned(), "0 B".to_owned()],
        ];
        Table::new([text("ID"), long("MODULE"), number("MEMORY")], rows.into_iter())
    }

    #[test]
    fn columns_are_aligned_and_in_full_without_a_terminal() {
        let expected = "\
ID    MODULE                            MEMORY
1     github.com/mmcloughlin/geohash  12.3 MiB
4711  -                                    0 B
";
        assert_eq!(table().to_text(None), expected);
        assert_eq!(table().to_text(Some(46)), expected);
    }

    #[test]
    fn lines_fit_a_terminal_as_long_as_a_column_can_be_cut() {
        let text = table().to_text(Some(30));
        assert!(text.lines().all(|line| line.chars().count() <= 30), "{text}");
        assert!(text.contains("1     github.com/mm…  12.3 MiB"), "{text}");
        let narrow = table().to_text(Some(1));
        assert!(narrow.contains("1     github.…  12.3 MiB\n"), "{narrow}");
    }

    #[test]
    fn wide_characters_take_two_columns() {
        let rows = [["日本".to_owned(), "1".to_owned()], ["abc".to_owned(), "22".to_owned()]];
        let table = Table::new([long("A"), number("N")], rows.into_iter());
        assert_eq!(table.to_text(None), "A      N\n日本   1\nabc   22\n");
        let rows = [["日本日本日本日本".to_owned()]].into_iter();
        assert_eq!(Table::new([long("A")], rows).to_text(Some(9)), "A\n日本日本…\n");
    }

    #[test]
    fn control_characters_are_written_as_escapes() {
        assert_eq!(plain("a\u{1b}[2Jb\nc\u{202e}d"), "a\\u{1b}[2Jb\\nc\\u{202e}d");
        assert_eq!(plain("größer 日本"), "größer 日本");
        let rows = [["a\nb".to_owned()]].into_iter();
        assert_eq!(Table::new([text("A")], rows).to_text(None), "A\na\\nb\n");
    }
}
