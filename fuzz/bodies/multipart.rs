//! What must hold for any bytes given as a multipart body: no panic, ranges within the input, the same parts however the
//! bytes are cut; and what a form frames comes back as it was.

#[path = "../../roles/http/tests/common/mod.rs"]
mod common;

use common::{Told, feed};
use http::multipart::{Form, Parser};

/// Small, so that short inputs reach it.
const HEAD_LIMIT: usize = 100;

/// A byte that says where to cut, a Content-Type on a line of its own, a body.
pub(crate) fn multipart(data: &[u8]) {
    let Some((&cut, input)) = data.split_first() else { return };
    let end = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    let (kind, body) = (&input[..end], input.get(end + 1..).unwrap_or_default());
    framed(kind, body);
    let parser = || Parser::of_content_type(kind, HEAD_LIMIT).ok().flatten();
    let Some(first) = parser() else { return };
    let whole = feed(first, &[body]);
    let again = |pieces: &[&[u8]]| assert_eq!(feed(parser().unwrap(), pieces), whole);
    let (front, back) = body.split_at(usize::from(cut).min(body.len()));
    again(&[front, back]);
    again(&body.chunks(1).collect::<Vec<_>>());
    let mut open = false;
    for told in &whole {
        match told {
            Told::Part(_) => assert!(!std::mem::replace(&mut open, true)),
            Told::Content(content) => assert!(open && !content.is_empty()),
            Told::PartEnd => assert!(std::mem::take(&mut open)),
            Told::Error(_) => {}
        }
    }
    assert!(!open || matches!(whole.last(), Some(Told::Error(_))));
}

/// Any name, any content that has not the boundary in it.
fn framed(name: &[u8], content: &[u8]) {
    let form = Form::new([1, 2], name, Some(name), Some(name));
    if content.windows(form.boundary().len()).any(|at| at == form.boundary()) || !name.is_ascii() {
        return;
    }
    let kind = [b"multipart/form-data; boundary=", form.boundary()].concat();
    let parser = Parser::of_content_type(&kind, usize::MAX).unwrap().unwrap();
    let told = feed(parser, &[form.front(), content, form.back()]);
    // What no field can hold is told as an error; the content is never another.
    if let [Told::Part(_), Told::Content(back), Told::PartEnd] = &told[..] {
        assert_eq!(back, content);
    } else {
        assert!(content.is_empty() || matches!(told[..], [Told::Error(_)]), "{told:?}");
    }
}
