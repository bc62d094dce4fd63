//! Tables and colours for people.
//!
//! A cell is one line of escaped text, whatever it was made of. On a terminal a table fits its
//! width: the columns that may be shortened are, with `…` at the end. Anywhere else nothing is
//! shortened and nothing is coloured, so that what is read by a program is always the same.

use std::io::{self, IsTerminal as _, Write};

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr};

use super::escape;

/// The width that is assumed of a terminal that does not tell.
const USUAL_WIDTH: usize = 80;

/// What stands between two columns.
const GAP: &str = "  ";

/// Where a text is going.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paper {
    /// How many columns fit; `None` if any number does.
    pub width: Option<usize>,
    /// Whether it takes colours.
    pub ink: Ink,
}

/// Whether to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ink {
    /// Yes.
    Coloured,
    /// No.
    Plain,
}

/// What a piece of text is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tint {
    /// Nothing in particular.
    Plain,
    /// Titles.
    Title,
    /// What is in the background.
    Faint,
    /// Somebody has it.
    Taken,
    /// It is over, and still there.
    Over,
    /// All is well.
    Good,
    /// Something that may be right, or not.
    Doubtful,
    /// Something to look at.
    Bad,
}

impl Paper {
    /// Standard output, as it is; on a terminal in this `ink`.
    #[must_use]
    pub fn of_stdout(ink: Ink) -> Self {
        if !io::stdout().is_terminal() {
            return Self::plain();
        }
        let size = terminal_size::terminal_size();
        Self {
            width: Some(size.map_or(USUAL_WIDTH, |(width, _)| usize::from(width.0))),
            ink,
        }
    }

    /// A file or a pipe.
    #[must_use]
    pub fn plain() -> Self {
        Self {
            width: None,
            ink: Ink::Plain,
        }
    }

    /// `text`, which must be escaped already, in the colour of `tint`.
    #[must_use]
    pub fn tinted(self, text: &str, tint: Tint) -> String {
        let code = match (self.ink, tint) {
            (Ink::Plain, _) | (_, Tint::Plain) => return text.to_owned(),
            (_, Tint::Title) => "1",
            (_, Tint::Faint) => "2",
            (_, Tint::Taken | Tint::Doubtful) => "33",
            (_, Tint::Over) => "36",
            (_, Tint::Good) => "32",
            (_, Tint::Bad) => "1;31",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// `text` on one line that is no longer than fits behind `used` columns.
    #[must_use]
    pub fn line(self, text: &str, used: usize) -> String {
        let text = escape(text);
        match self.width {
            Some(width) => cut(&text, width.saturating_sub(used).max(1)),
            None => text,
        }
    }
}

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// What stands above it.
    pub title: &'static str,
    /// What happens to it where there is little room.
    pub fit: Fit,
    /// On which side its cells stand.
    pub side: Side,
}

impl Column {
    /// A column.
    #[must_use]
    pub const fn new(title: &'static str, fit: Fit, side: Side) -> Self {
        Self { title, fit, side }
    }
}

/// What happens to a column where there is little room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// Nothing.
    Whole,
    /// It is shortened, to this width at least.
    Shorten(usize),
    /// It is left out.
    LeaveOut,
}

/// On which side of a column text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// On the left, as words do.
    Left,
    /// On the right, as numbers do.
    Right,
}

/// One field of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    text: String,
    tint: Tint,
}

impl Cell {
    /// A cell with `text`, which others may have written.
    #[must_use]
    pub fn new(text: &str, tint: Tint) -> Self {
        Self {
            text: escape(text),
            tint,
        }
    }

    /// A cell in no particular colour.
    #[must_use]
    pub fn plain(text: &str) -> Self {
        Self::new(text, Tint::Plain)
    }
}

/// Writes a table with `indent` blanks before each line. The rows are asked for twice, so that a
/// table of any length needs no memory.
///
/// # Errors
///
/// If `out` cannot be written to.
pub fn write<R>(
    out: &mut impl Write,
    paper: Paper,
    indent: usize,
    columns: &[Column],
    rows: impl Fn() -> R,
) -> io::Result<()>
where
    R: Iterator<Item = Vec<Cell>>,
{
    let mut widths = vec![0; columns.len()];
    for row in rows() {
        for (width, cell) in widths.iter_mut().zip(&row) {
            *width = cell.text.width().max(*width);
        }
    }
    let all = paper.width.map(|width| width.saturating_sub(indent));
    let with_title = |(column, width): (&Column, &usize)| column.title.width().max(*width);
    let whole: Vec<usize> = columns.iter().zip(&widths).map(with_title).collect();
    let has_room = all.is_none_or(|all| used(&whole) <= all);
    for (width, whole) in widths.iter_mut().zip(whole) {
        // Where there is little room, a column with nothing in it is left out first.
        if has_room || *width > 0 {
            *width = whole;
        }
    }
    if let Some(all) = all {
        fit(&mut widths, columns, all);
    }
    let layout = Layout {
        paper,
        indent,
        columns,
        widths,
    };
    let titles = columns
        .iter()
        .map(|column| Cell::new(column.title, Tint::Title));
    layout.write_row(out, &titles.collect::<Vec<_>>())?;
    for row in rows() {
        layout.write_row(out, &row)?;
    }
    Ok(())
}

/// How many columns of the terminal those of a table take that are this wide; 0 is left out.
fn used(widths: &[usize]) -> usize {
    let shown = || widths.iter().filter(|&&width| width > 0);
    shown().sum::<usize>() + GAP.len() * shown().count().saturating_sub(1)
}

/// Leaves out and shortens columns, the widest first, until all fit or nothing is to be gained. The
/// width of a column that is left out is 0.
fn fit(widths: &mut [usize], columns: &[Column], all: usize) {
    // Names and notes shall keep some more than their least before anything is left out.
    for (column, index) in columns.iter().zip(0..) {
        let comfortable = |(column, width): (&Column, &usize)| match column.fit {
            Fit::Shorten(least) => (*width).min(2 * least),
            _ => *width,
        };
        let least: Vec<usize> = columns.iter().zip(&*widths).map(comfortable).collect();
        if used(&least) > all && column.fit == Fit::LeaveOut {
            widths[index] = 0;
        }
    }
    while used(widths) > all {
        let shortable = (0..widths.len()).filter(|&index| {
            let least = match columns[index].fit {
                Fit::Shorten(least) => least.max(columns[index].title.width()),
                _ => return false,
            };
            widths[index] > least
        });
        let Some(widest) = shortable.max_by_key(|&index| widths[index]) else {
            return;
        };
        widths[widest] -= 1;
    }
}

/// How a table is laid out.
struct Layout<'a> {
    paper: Paper,
    indent: usize,
    columns: &'a [Column],
    widths: Vec<usize>,
}

impl Layout<'_> {
    fn write_row(&self, out: &mut impl Write, row: &[Cell]) -> io::Result<()> {
        let shown = |index: &usize| self.widths[*index] > 0;
        // Blanks at the end of a line are noise.
        let last = (0..row.len())
            .filter(shown)
            .rfind(|&index| !row[index].text.is_empty());
        let mut line = " ".repeat(self.indent);
        for index in (0..last.map_or(0, |last| last + 1)).filter(shown) {
            let text = cut(&row[index].text, self.widths[index]);
            let room = " ".repeat(self.widths[index].saturating_sub(text.width()));
            let text = self.paper.tinted(&text, row[index].tint);
            match self.columns[index].side {
                Side::Left if last == Some(index) => line.push_str(&text),
                Side::Left => line.extend([&text, &room[..], GAP]),
                Side::Right if last == Some(index) => line.extend([&room[..], &text]),
                Side::Right => line.extend([&room[..], &text, GAP]),
            }
        }
        line.push('\n');
        out.write_all(line.as_bytes())
    }
}

/// `text` with `…` at its end if it is wider than `width`.
fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut used = 1;
    for character in text.chars() {
        used += character.width().unwrap_or(0);
        if used > width {
            break;
        }
        kept.push(character);
    }
    kept.push('…');
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 3] = [
        Column::new("NAME", Fit::Shorten(6), Side::Left),
        Column::new("TTL", Fit::Whole, Side::Right),
        Column::new("NOTE", Fit::Shorten(4), Side::Left),
    ];

    fn written(width: Option<usize>, rows: &[[&str; 3]]) -> String {
        let paper = Paper {
            width,
            ..Paper::plain()
        };
        let cells = || {
            rows.iter()
                .map(|row| row.iter().map(|text| Cell::plain(text)).collect())
        };
        let mut out = Vec::new();
        write(&mut out, paper, 0, &COLUMNS, cells).expect("a vector takes everything");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn columns_are_as_wide_as_their_cells_and_nothing_trails() {
        let rows = [["a", "12s", ""], ["daily-report", "9s", "x"]];
        let expected = "NAME          TTL  NOTE\na             12s\ndaily-report   9s  x\n";
        assert_eq!(written(None, &rows), expected);
    }

    #[test]
    fn a_table_fits_the_terminal_as_far_as_it_can() {
        let rows = [["daily-report-of-all-shops", "12s", "deploying version 42"]];
        for width in 21..60 {
            let text = written(Some(width), &rows);
            assert!(
                text.lines().all(|line| line.width() <= width),
                "{width}:\n{text}"
            );
            assert_eq!(text.contains('…'), width < 52, "{width}:\n{text}");
        }
        assert_eq!(
            written(Some(10), &rows).lines().next().map(str::len),
            Some(17)
        );
    }

    #[test]
    fn what_matters_least_is_left_out_before_names_get_short() {
        let pid = Column::new("PID", Fit::LeaveOut, Side::Right);
        let columns = [COLUMNS[0], pid];
        let rows = || [["daily-report", "4123"].map(Cell::plain).to_vec()].into_iter();
        let text = |width| {
            let paper = Paper {
                width: Some(width),
                ..Paper::plain()
            };
            let mut out = Vec::new();
            write(&mut out, paper, 0, &columns, rows).expect("a vector takes everything");
            String::from_utf8(out).expect("text")
        };
        assert_eq!(text(18), "NAME           PID\ndaily-report  4123\n");
        assert_eq!(text(17), "NAME\ndaily-report\n");
        assert_eq!(text(8), "NAME\ndaily-r…\n");
    }

    #[test]
    fn a_column_with_nothing_in_it_is_left_out_first() {
        let rows = [["daily-report", "12s", ""]];
        let without = "NAME          TTL\ndaily-report  12s\n";
        assert_eq!(written(Some(22), &rows), without);
        assert!(written(Some(23), &rows).contains("NOTE"));
    }

    #[test]
    fn wide_characters_count_twice() {
        let rows = [["日本語日本語", "1s", "x"], ["abc", "1s", "y"]];
        let text = written(None, &rows);
        let columns: Vec<_> = text
            .lines()
            .skip(1)
            .map(|line| line.split("1s").next().map(UnicodeWidthStr::width))
            .collect();
        assert_eq!(columns[0], columns[1]);
        assert_eq!(cut("日本語", 4), "日…");
    }

    #[test]
    fn a_cell_stays_on_its_line_and_in_its_colour() {
        let rows = [["a\nb\x1b[31m", "1s", "\u{202e}x"]];
        let text = written(None, &rows);
        assert_eq!(text.lines().count(), 2);
        assert!(!text.contains('\x1b') && !text.contains('\u{202e}'));
    }
}
