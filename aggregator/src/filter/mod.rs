//! The filter for what is no word: tokens with digits, bytes above 0x7f, short tokens. It says of a
//! block that it may hold some keys, or that it does not.

mod ask;
mod demand;
mod file;
mod grams;
mod group;
mod rows;
mod sketch;

#[cfg(test)]
mod tests;

pub(crate) use file::Filters;
pub(crate) use grams::{GramPass, demanded};
pub(crate) use sketch::{BlockFilter, Sketch};
