//! Line-by-line differences of two texts.

/// Returns the lines that are only in `before`, marked `-`, and those only in `after`, marked `+`, in
/// order.
pub(crate) fn changes(before: &[&str], after: &[&str]) -> Vec<String> {
    let common = common_lengths(before, after);
    let (mut row, mut column) = (0, 0);
    let mut changes = Vec::new();
    while row < before.len() || column < after.len() {
        match (before.get(row), after.get(column)) {
            (Some(removed), Some(added)) if removed == added => (row, column) = (row + 1, column + 1),
            (Some(removed), added)
                if added.is_none() || common[row + 1][column] >= common[row][column + 1] =>
            {
                changes.push(format!("- {removed}"));
                row += 1;
            }
            (_, Some(added)) => {
                changes.push(format!("+ {added}"));
                column += 1;
            }
            (_, None) => unreachable!("a line that is left is removed or added"),
        }
    }
    changes
}

/// Returns the lengths of the longest common subsequences of `before[row..]` and `after[column..]`.
fn common_lengths(before: &[&str], after: &[&str]) -> Vec<Vec<usize>> {
    let mut lengths = vec![vec![0; after.len() + 1]; before.len() + 1];
    for row in (0..before.len()).rev() {
        for column in (0..after.len()).rev() {
            lengths[row][column] = match before[row] == after[column] {
                true => lengths[row + 1][column + 1] + 1,
                false => lengths[row + 1][column].max(lengths[row][column + 1]),
            };
        }
    }
    lengths
}

#[test]
fn changes_are_the_removed_and_added_lines_in_order() {
    assert!(changes(&["a", "b"], &["a", "b"]).is_empty());
    assert_eq!(changes(&["a", "b", "c"], &["a", "x", "c", "d"]), ["- b", "+ x", "+ d"]);
    assert_eq!(changes(&[], &["a"]), ["+ a"]);
    assert_eq!(changes(&["a", "b"], &[]), ["- a", "- b"]);
}
