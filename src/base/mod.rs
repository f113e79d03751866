//! Floor 0: the words everyone uses, as types parsed once at the border.
//! In: text and bytes. Out: values that cannot be malformed. Never: touches the machine.

pub mod canon;
pub mod diagnostic;
pub mod digest;
pub mod forms;
pub mod id;
pub mod path;
pub mod pattern;
pub mod places;
pub mod platform;
mod segment;
pub mod size;
pub mod table;
pub mod time;
pub mod words;
