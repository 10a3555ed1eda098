//! A cursor over a message's body that cannot run past its end.

use crate::WireError;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Body<'a> {
    tag: u8,
    rest: &'a [u8],
}

impl<'a> Body<'a> {
    pub(crate) fn new(tag: u8, rest: &'a [u8]) -> Self {
        Self { tag, rest }
    }

    pub(crate) fn malformed(&self) -> WireError {
        WireError::Malformed(self.tag)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], WireError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(self.malformed())?;
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, WireError> {
        Ok(self.take(1)?[0])
    }

    pub(crate) fn i16(&mut self) -> Result<i16, WireError> {
        Ok(i16::from_be_bytes(self.take(2)?.try_into().expect("two bytes were taken")))
    }

    pub(crate) fn i32(&mut self) -> Result<i32, WireError> {
        Ok(i32::from_be_bytes(self.take(4)?.try_into().expect("four bytes were taken")))
    }

    /// A length and that many bytes.
    pub(crate) fn counted(&mut self) -> Result<&'a [u8], WireError> {
        let length = usize::try_from(self.i32()?).map_err(|_| self.malformed())?;
        self.take(length)
    }

    /// A string that ends in a zero byte.
    pub(crate) fn cstr(&mut self) -> Result<&'a [u8], WireError> {
        let end = self.rest.iter().position(|byte| *byte == 0).ok_or(self.malformed())?;
        let text = self.take(end)?;
        self.u8()?;
        Ok(text)
    }

    /// As [`Self::cstr`], with bytes that are not UTF-8 replaced: for people, not for relaying.
    pub(crate) fn text(&mut self) -> Result<String, WireError> {
        self.cstr().map(|text| String::from_utf8_lossy(text).into_owned())
    }
}
