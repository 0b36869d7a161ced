//! Histories that once lost, repeated or wrongly declared bytes.

use super::churn::Action::{self, *};
use super::churn::play;
use super::store::Mode;

/// Copied and emptied; whether the collector looks between the two.
fn copy_truncate(look: bool) -> Action {
    CopyTruncate { stream: 0, look, late: false }
}

fn open() -> Action {
    Append(0, vec![false])
}

fn line() -> Action {
    Append(0, vec![true])
}

#[test]
fn killed_before_anything_was_acknowledged_of_a_file_with_a_known_copy() {
    play(&[Start, open(), copy_truncate(true), Kill(true)]);
}

#[test]
fn renamed_right_after_it_was_copied_and_emptied() {
    play(&[open(), Look, copy_truncate(false), Rotate(0)]);
}

#[test]
fn a_finished_file_is_copied_and_emptied() {
    play(&[open(), LongWait, copy_truncate(true)]);
}

#[test]
fn emptied_and_deleted_with_its_copy_left() {
    play(&[line(), Look, copy_truncate(false), Unlink(0, 0)]);
}

#[test]
fn regrown_to_the_same_size_before_anything_was_read() {
    play(&[open(), copy_truncate(true), open()]);
}

#[test]
fn copied_twice_between_two_looks() {
    play(&[open(), copy_truncate(true), line(), copy_truncate(false)]);
}

#[test]
fn every_copy_goes_over_the_one_before() {
    for settled in [false, true] {
        let begin = [line(), Look, copy_truncate(true), line(), Look, CopyOver(0), line(), Pump];
        let end = [CopyOver(0), line(), Kill(settled), CopyOver(0), Start, line(), CopyOver(0)];
        let end = if settled { &end[..] } else { &end[..2] };
        play(&[&begin[..], end].concat());
    }
}

#[test]
fn the_copy_of_a_file_that_was_never_seen_is_compressed() {
    play(&[open(), copy_truncate(false), Look, Gzip(0, 1), Forget]);
}

#[test]
fn acknowledged_late_and_compressed_before_the_end() {
    play(&[Acks(Mode::Hold), line(), Look, Rotate(0), Look, Gzip(0, 1), Kill(false), Start]);
}

#[test]
fn a_line_waits_for_a_file_of_which_it_is_not_known_whose_copy_it_is() {
    let more = [Rotate(0), Kill(true), Unlink(0, 2), open()];
    let begin = [open(), copy_truncate(true), line(), copy_truncate(true)];
    play(&[&begin[..], &more].concat());
}

#[test]
fn a_compressed_copy_of_what_was_never_read_is_not_lost() {
    let begin = [open(), Look, Truncate(0), Look, copy_truncate(true), Acks(Mode::Full)];
    let more = [Append(0, vec![false, false]), copy_truncate(true), Kill(true), Gzip(0, 1)];
    play(&[&begin[..], &more].concat());
}

#[test]
fn emptied_written_again_renamed_and_compressed_at_once() {
    play(&[open(), Look, Truncate(0), open(), Rotate(0), Gzip(0, 1)]);
}

#[test]
fn a_newer_file_waits_for_what_becomes_of_an_older_one() {
    let begin = [open(), Look, Truncate(0), open(), Rotate(0), line(), copy_truncate(true)];
    play(&[&begin[..], &[open(), open()]].concat());
}

#[test]
fn a_copy_that_was_closed_is_overwritten_with_less() {
    for more in [&[][..], &[Kill(true)]] {
        let begin = [line(), copy_truncate(true), open(), CopyOver(0)];
        play(&[&begin[..], more].concat());
    }
}

#[test]
fn a_copy_is_overwritten_before_it_is_known_as_one() {
    let begin = [open(), Look, copy_truncate(false), Step, CopyOver(0)];
    play(&begin);
}

#[test]
fn a_copy_that_was_closed_is_overwritten_and_its_original_emptied_twice() {
    let begin = [open(), copy_truncate(true), Append(0, vec![false, false]), Step, CopyOver(0)];
    play(&[&begin[..], &[open()]].concat());
}

#[test]
fn emptied_regrown_and_deleted_between_two_looks() {
    let begin = [open(), Look, Truncate(0), line()];
    play(&[&begin[..], &[Unlink(0, 0)]].concat());
    play(&[&begin[..], &[Recreate(0, vec![false])]].concat());
}

#[test]
fn emptied_with_a_known_copy_regrown_and_deleted_between_two_looks() {
    play(&[open(), copy_truncate(true), open(), open(), Unlink(0, 0)]);
}

#[test]
fn a_compressed_copy_of_a_copy_is_known_without_checkpoints() {
    let begin = [open(), Look, copy_truncate(false), line(), Pump, Truncate(0), Rotate(0)];
    play(&[&begin[..], &[Gzip(0, 2), Forget, open()]].concat());
}

#[test]
fn copied_twice_emptied_and_deleted_between_two_looks() {
    let begin = [open(), copy_truncate(false), Look, open(), copy_truncate(false), open()];
    play(&[&begin[..], &[Recreate(0, vec![false])]].concat());
}

#[test]
fn emptied_again_before_its_loss_was_acknowledged() {
    let begin = [Append(0, vec![true, false]), Pump, Acks(Mode::Full), Truncate(0)];
    play(&[&begin[..], &[LongWait, Truncate(0)]].concat());
}

#[test]
fn a_copy_of_new_bytes_is_known_as_soon_as_the_old_ones_are_lost() {
    let begin = [open(), Look, Truncate(0), open(), copy_truncate(true), CopyOver(0)];
    play(&begin);
}

#[test]
fn killed_after_the_loss_of_what_an_overwritten_copy_gave() {
    let begin = [Append(0, vec![true, false, false]), Wait, Forget, copy_truncate(false), Look];
    play(&[&begin[..], &[CopyOver(0), Kill(false)]].concat());
}

#[test]
fn copied_compressed_emptied_and_deleted_between_two_looks() {
    play(&[line(), open(), copy_truncate(true), Gzip(0, 1), Unlink(0, 0)]);
}

#[test]
fn a_newer_file_was_read_and_closed_before_an_older_one_was_judged() {
    let begin = [line(), Look, copy_truncate(false), open(), Start, Gzip(0, 1), CopyOver(0)];
    play(&[&begin[..], &[line(), Rotate(0), Step, Step, Append(1, vec![false]), open()]].concat());
}

#[test]
fn killed_when_nothing_of_a_truncated_generation_was_acknowledged() {
    let begin = [open(), Look, Truncate(0), Pump, open(), Acks(Mode::Hold), CopyOver(0), line()];
    play(&[&begin[..], &[copy_truncate(true), CopyOver(0), Kill(true)]].concat());
}

#[test]
fn a_copy_is_overwritten_twice_around_one_turn() {
    let begin = [open(), CopyOver(0), open(), Look, CopyOver(0), Step, CopyOver(0)];
    play(&begin);
}

#[test]
fn a_compressed_copy_was_read_and_closed_before_an_older_file_was_judged() {
    let begin = [line(), CopyOver(0), open(), Pump, Truncate(0), open(), Recreate(0, vec![true])];
    play(&[&begin[..], &[copy_truncate(false), Gzip(0, 1), open()]].concat());
}

#[test]
fn killed_while_the_end_of_a_line_without_a_checkpoint_was_awaited() {
    for end in [copy_truncate(false), Truncate(0)] {
        play(&[open(), Wait, Forget, Kill(true), end, open()]);
    }
}

#[test]
fn what_follows_an_open_end_was_read_and_emptied_before_it_was_judged() {
    let second = |look| CopyTruncate { stream: 1, look, late: false };
    let begin = [Append(1, vec![true]), Look, second(false), Append(1, vec![false]), Gzip(1, 1)];
    let end = [second(false), Append(1, vec![true]), second(true), Append(1, vec![false])];
    play(&[&begin[..], &end[..]].concat());
}

#[test]
fn a_copy_that_ends_inside_a_line_is_not_continued_by_what_comes_after_a_kill() {
    let begin = [Append(0, vec![true, false]), Look, CopyOver(0), line()];
    play(&[&begin[..], &[Kill(true), Truncate(0), open()]].concat());
}
