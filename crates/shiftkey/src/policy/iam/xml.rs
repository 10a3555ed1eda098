//! The XML of the query protocol: elements with text or elements in them. Attributes say nothing there.

use xmlparser::{ElementEnd, Token, Tokenizer};

/// An element.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Element {
    pub(super) name: String,
    text: String,
    children: Vec<Element>,
}

impl Element {
    /// Reads a document. `None` when it is not one.
    pub(super) fn parse(text: &str) -> Option<Self> {
        // What is open, the outermost first. The first stands for the document.
        let mut open = vec![Self::default()];
        for token in Tokenizer::from(text) {
            match token.ok()? {
                Token::ElementStart { local, .. } => open.push(Self { name: local.as_str().to_owned(), ..Self::default() }),
                Token::ElementEnd { end: ElementEnd::Close(_, local), .. } if open.last()?.name != local.as_str() => return None,
                Token::ElementEnd { end: ElementEnd::Close(..) | ElementEnd::Empty, .. } => {
                    let closed = open.pop()?;
                    open.last_mut()?.children.push(closed);
                }
                Token::Text { text } => open.last_mut()?.text.push_str(&unescaped(text.as_str())?),
                Token::Cdata { text, .. } => open.last_mut()?.text.push_str(text.as_str()),
                _ => {}
            }
        }
        let document = open.pop().filter(|_| open.is_empty())?;
        document.children.into_iter().next()
    }

    /// The element at the end of a path; an empty one when there is none.
    pub(super) fn at(&self, path: &[&str]) -> Self {
        path.iter().try_fold(self, |at, name| at.children.iter().find(|child| child.name == **name)).cloned().unwrap_or_default()
    }

    /// The text at the end of a path; empty when there is none.
    pub(super) fn text(&self, path: &[&str]) -> String {
        self.at(path).text
    }

    /// The members of the list of this name.
    pub(super) fn list(&self, name: &str) -> Vec<Self> {
        self.at(&[name]).children.into_iter().filter(|child| child.name == "member").collect()
    }

    /// The first element in the root whose name ends so: `CreatePolicyResult` of `CreatePolicyResponse`.
    pub(super) fn child_ending(&self, end: &str) -> Self {
        self.children.iter().find(|child| child.name.ends_with(end)).cloned().unwrap_or_default()
    }
}

/// A text with its references resolved. There is no document type, so these are all that there are.
fn unescaped(text: &str) -> Option<String> {
    let mut pieces = text.split('&');
    let mut plain = pieces.next()?.to_owned();
    for piece in pieces {
        let (name, rest) = piece.split_once(';')?;
        let number = name.strip_prefix("#x").map(|hex| u32::from_str_radix(hex, 16)).or_else(|| name.strip_prefix('#').map(str::parse));
        plain.push(match (name, number) {
            (_, Some(number)) => char::from_u32(number.ok()?)?,
            ("amp", _) => '&',
            ("lt", _) => '<',
            ("gt", _) => '>',
            ("quot", _) => '"',
            ("apos", _) => '\'',
            _ => return None,
        });
        plain.push_str(rest);
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_answer_is_read() {
        let text = "<?xml version=\"1.0\"?>\n<ListResponse xmlns=\"x\">\n <ListResult><Names><member>a &amp; b</member>\
                    <member><Name>c&#x21;&#33;</Name></member></Names><More/></ListResult></ListResponse>";
        let result = Element::parse(text).unwrap().child_ending("Result");
        assert_eq!(result.list("Names").iter().map(|it| it.text.clone() + &it.text(&["Name"])).collect::<Vec<_>>(), ["a & b", "c!!"]);
        assert_eq!((result.text(&["More"]), result.list("None").len()), (String::new(), 0));
        for broken in ["", "text", "<a>", "<a></b>", "<a>&nope;</a>", "<a>&#xD800;</a>", "<a></a></a>", "<a>&</a>"] {
            assert_eq!(Element::parse(broken), None, "{broken}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[<>/&;a #x0-9\"=!\\[\\]CDAT-]{0,60}") {
            let _ = Element::parse(&text);
        }
    }
}
