//! Reduces the graph to what must be counted with sets, after everything that plain sums can count.

use super::order::Order;

/// The reduced problem.
///
/// A feature with a single dependency is reached exactly by everything that reaches that
/// dependency, and by the dependency itself. So each is in a tree below a feature with no or
/// several dependencies. What a feature unblocks within its own tree is a plain sum, and a tree is
/// entered from outside only through its top. Such a top, if it has several dependencies, is a
/// *column*, and its tree's size is the column's weight. A *row* is the set of columns that a
/// feature reaches, itself included. A feature shares its dependents' row if all of them have the
/// same and it is no column itself. The rows that remain are numbered from the end of the order:
/// the parts of a row have lower numbers.
pub(super) struct Columns {
    /// Number of features that each reaches in its own tree, by place.
    pub(super) in_tree: Vec<u32>,
    /// The row of each feature, by place; [`Columns::NONE`] if it reaches no column.
    pub(super) row_of: Vec<u32>,
    /// The columns, ascending by row.
    pub(super) columns: Vec<Column>,
    /// Where each row's parts end in `parts`.
    ends: Vec<u32>,
    /// The rows that are part of a row, by row.
    parts: Vec<u32>,
}

/// A feature that is reached through several others.
pub(super) struct Column {
    /// Its own row.
    pub(super) row: u32,
    /// Number of features that it stands for, itself included.
    pub(super) weight: u32,
    /// Its position in the column order.
    pub(super) place: u32,
}

impl Columns {
    /// Marks a node without a row.
    pub(super) const NONE: u32 = u32::MAX;

    pub(super) fn of(order: &Order) -> Self {
        let mut found = Self {
            in_tree: in_tree(order),
            row_of: vec![Self::NONE; order.len()],
            columns: Vec::new(),
            ends: Vec::new(),
            parts: Vec::new(),
        };
        for place in (0..order.len()).rev() {
            found.add(order, place);
        }
        found
    }

    /// Sets the row of the feature at `place`; its dependents have theirs.
    fn add(&mut self, order: &Order, place: usize) {
        let begin = self.parts.len();
        let column = order.dependencies[place] > 1;
        let dependents = order.dependents(place).iter();
        let rows = dependents.map(|&dependent| self.row_of[dependent as usize]);
        self.parts.extend(rows.filter(|&row| row != Self::NONE));
        let parts = &self.parts[begin..];
        let first = parts.first().copied().unwrap_or(Self::NONE);
        if !column && parts.iter().all(|&row| row == first) {
            self.row_of[place] = first;
            self.parts.truncate(begin);
            return;
        }
        let row = self.ends.len() as u32;
        self.row_of[place] = row;
        self.ends.push(self.parts.len() as u32);
        if column {
            let weight = self.in_tree[place] + 1;
            let place = place as u32;
            self.columns.push(Column { row, weight, place });
        }
    }

    /// How many rows there are.
    pub(super) fn rows(&self) -> usize {
        self.ends.len()
    }

    /// The rows that are part of `row`.
    pub(super) fn parts(&self, row: usize) -> &[u32] {
        let begin = row.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.parts[begin as usize..self.ends[row] as usize]
    }
}

/// Sums over the trees of features with one dependency each.
fn in_tree(order: &Order) -> Vec<u32> {
    let mut below = vec![0u32; order.len()];
    for place in (0..order.len()).rev() {
        let single = order
            .dependents(place)
            .iter()
            .filter(|&&dependent| order.dependencies[dependent as usize] == 1);
        below[place] = single.map(|&dependent| below[dependent as usize] + 1).sum();
    }
    below
}
