//! Reads an image back, layer by layer, without unpacking it.
//! In: a manifest whose layers are in the store. Out: every entry with the number of its layer. Never: merges layers;
//! whiteouts are handed on as they are.

use std::io::{self, Read};

use crate::oci::manifest::Manifest;
use crate::store::layer_reader::{EntryHeader, LayerError, Limits, for_each_entry};
use crate::store::local::Store;

/// Hands every entry of every layer to `visit`, from the lowest layer up. Each layer is held to [`Limits::of`] its own.
///
/// # Errors
/// [`LayerError`]; what the visitor saw until then does not count.
pub fn walk(
    store: &Store,
    image: &Manifest,
    visit: &mut dyn FnMut(usize, &EntryHeader, &mut dyn Read) -> io::Result<()>,
) -> Result<(), LayerError> {
    for (number, layer) in image.layers.iter().enumerate() {
        for_each_entry(store, layer, Limits::of(layer), &mut |header, data| visit(number, header, data))?;
    }
    Ok(())
}
