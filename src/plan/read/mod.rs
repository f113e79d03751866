//! Nodes → typed values: one reader per kind of node, all on the tables of [`super::spec`].
//! In: nodes whose form was checked once, and the names that hold for one cell and platform. Out: parts of the plan.
//! Never: a fault about the form of a node; those were found by [`shape`] before anything is resolved.

pub(super) mod arg;
pub(super) mod container;
pub(super) mod defaults;
pub(super) mod dockerfile;
pub(super) mod env_file;
mod evidence;
mod forms;
pub(super) mod image;
pub(super) mod isolation;
pub(super) mod params;
pub(super) mod policy;
pub(super) mod profile;
pub(super) mod project;
pub(super) mod release;
mod running;
mod sandbox;
mod save;
pub(super) mod secret;
pub(super) mod service;
pub(super) mod settings;
pub(super) mod shape;
mod synonyms;
mod tag;
pub(super) mod task;
pub(super) mod tool;
pub(super) mod view;
pub(super) mod when;
