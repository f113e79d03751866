//! Places in texts, written down and read back: a place is three numbers, the first of which counts the texts that both
//! sides know.
//! In: the texts. Out: spans in those very texts. Never: a place in a text that is not among them.

use std::cell::RefCell;
use std::sync::Arc;

use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::diagnostic::{Source, Span};

thread_local! {
    /// The texts of the plan that this thread writes or reads.
    static TEXTS: RefCell<Vec<Arc<Source>>> = const { RefCell::new(Vec::new()) };
}

/// Does `work`, in which spans are written and read as places in `texts`.
pub fn among<T>(texts: &[Arc<Source>], work: impl FnOnce() -> T) -> T {
    let before = TEXTS.replace(texts.to_vec());
    let made = work();
    TEXTS.set(before);
    made
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let known = TEXTS.with_borrow(|texts| texts.iter().position(|text| Arc::ptr_eq(text, &self.source)));
        let number = known.ok_or_else(|| S::Error::custom("a place in a text that is not known here"))?;
        (number, self.start, self.len).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (number, start, len) = <(usize, usize, usize)>::deserialize(deserializer)?;
        TEXTS.with_borrow(|texts| {
            let source = texts.get(number).ok_or_else(|| D::Error::custom("no such text"))?;
            let fits = start.checked_add(len).is_some_and(|end| end <= source.text.len());
            if fits { Ok(Self::new(source, start, len)) } else { Err(D::Error::custom("outside of its text")) }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_comes_back_in_its_own_text_and_never_in_another() {
        let text = |text: &str| Arc::new(Source { name: "same name".into(), text: text.into() });
        let (first, second, foreign) = (text("12345"), text("12345"), text("12345"));
        let texts = [Arc::clone(&first), Arc::clone(&second)];
        let write = |span: &Span| among(&texts, || postcard::to_stdvec(span));
        for span in [Span::new(&first, 0, 5), Span::new(&second, 5, 0)] {
            let bytes = write(&span).unwrap();
            assert_eq!(among(&texts, || postcard::from_bytes::<Span>(&bytes)), Ok(span));
            assert!(among(&texts[..0], || postcard::from_bytes::<Span>(&bytes)).is_err());
        }
        assert!(write(&Span::new(&foreign, 0, 1)).is_err());
        for wrong in [(2_usize, 0_usize, 0_usize), (0, 3, 3), (0, usize::MAX, 1)] {
            let bytes = postcard::to_stdvec(&wrong).unwrap();
            assert!(among(&texts, || postcard::from_bytes::<Span>(&bytes)).is_err(), "{wrong:?}");
        }
    }
}
