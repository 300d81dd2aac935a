//! Figures of several rounds, printed as a Markdown table of their medians.

use std::fmt::Write as _;
use std::io::{self, Write as _};

/// Rows of figures, in the order in which they were first recorded.
#[derive(Default)]
pub(crate) struct Table {
    columns: Vec<String>,
    rows: Vec<Row>,
}

struct Row {
    name: String,
    /// By column: the figure of each round.
    cells: Vec<Vec<f64>>,
}

impl Table {
    pub(crate) fn new<T: ToString>(columns: &[T]) -> Self {
        Self {
            columns: columns.iter().map(T::to_string).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds one round's figure; a column that the table does not have is passed over.
    pub(crate) fn record(&mut self, row: &str, column: &str, figure: f64) {
        let Some(column) = self.columns.iter().position(|known| known == column) else {
            return;
        };
        let known = self.rows.iter().position(|known| known.name == row);
        let index = known.unwrap_or_else(|| {
            self.rows.push(Row {
                name: row.to_owned(),
                cells: vec![Vec::new(); self.columns.len()],
            });
            self.rows.len() - 1
        });
        self.rows[index].cells[column].push(figure);
    }

    /// Prints the medians.
    pub(crate) fn print(&self, title: &str) -> io::Result<()> {
        let mut text = format!("| {title} | {} |\n|---|", self.columns.join(" | "));
        text.push_str(&"---:|".repeat(self.columns.len()));
        for row in &self.rows {
            let _ = write!(text, "\n| {} |", row.name);
            for rounds in &row.cells {
                let cell = median(rounds).map_or_else(|| "–".to_owned(), three_digits);
                let _ = write!(text, " {cell} |");
            }
        }
        text.push_str("\n\n");
        io::stdout().lock().write_all(text.as_bytes())
    }
}

fn median(rounds: &[f64]) -> Option<f64> {
    let mut sorted = rounds.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (lower, upper) = (sorted.len().checked_sub(1)? / 2, sorted.len() / 2);
    Some(f64::midpoint(sorted[lower], sorted[upper]))
}

fn three_digits(figure: f64) -> String {
    match figure.abs() {
        100.0.. => format!("{figure:.0}"),
        10.0.. => format!("{figure:.1}"),
        _ => format!("{figure:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_ignores_one_bad_round() {
        assert_eq!(median(&[5.0, 900.0, 6.0]), Some(6.0));
        assert_eq!(median(&[5.0, 6.0]), Some(5.5));
        assert_eq!(median(&[]), None);
    }
}
