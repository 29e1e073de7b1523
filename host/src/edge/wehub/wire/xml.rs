//! The little that is read out of WeChat's XML: an attribute or the text of the
//! first element of a name. No parser, on purpose: the XML comes from strangers,
//! is often cut off, and nothing but these few values is wanted of it. No
//! entities but XML's own five and character numbers.

/// The longest entity between `&` and `;` that is looked at: `#x10FFFF`.
const ENTITY_MAX_BYTES: usize = 8;

/// The value of an attribute of the first such element, if both are there.
pub(super) fn attribute(xml: &str, element: &str, name: &str) -> Option<String> {
    let mut rest = open_tag(xml, element)?;
    loop {
        rest = rest.trim_start();
        let (key, after_key) = rest.split_once('=')?;
        // The tag ended before the next equals sign.
        if key.contains(['>', '<', '/']) {
            return None;
        }
        let value = after_key.trim_start();
        let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        let (value, after_value) = value.get(1..)?.split_once(quote)?;
        if key.trim_end() == name {
            return Some(unescape(value));
        }
        rest = after_value;
    }
}

/// The text of the first such element that holds text alone.
pub(super) fn text(xml: &str, element: &str) -> Option<String> {
    let (_, content) = open_tag(xml, element)?.split_once('>')?;
    if let Some(verbatim) = content.trim_start().strip_prefix("<![CDATA[") {
        return verbatim.split_once("]]>").map(|(text, _)| text.to_owned());
    }
    let (text, after) = content.split_once('<')?;
    after.starts_with('/').then(|| unescape(text))
}

/// What follows `<element`.
fn open_tag<'a>(xml: &'a str, element: &str) -> Option<&'a str> {
    xml.match_indices('<').find_map(|(at, _)| {
        let rest = xml.get(at + 1..)?.strip_prefix(element)?;
        rest.starts_with(|c: char| c.is_whitespace() || c == '>')
            .then_some(rest)
    })
}

/// What is no entity stays as it is.
fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        plain.push_str(before);
        let entity = entity(after);
        rest = match entity {
            Some((character, after)) => {
                plain.push(character);
                after
            }
            None => {
                plain.push('&');
                after
            }
        };
    }
    plain.push_str(rest);
    plain
}

/// The character and what follows, if the text begins with an entity's name.
fn entity(text: &str) -> Option<(char, &str)> {
    // A bounded look ahead: text full of `&` must not be searched over and over.
    let mut ahead = text.char_indices().take(ENTITY_MAX_BYTES + 1);
    let (end, _) = ahead.find(|(_, c)| *c == ';')?;
    Some((character(text.get(..end)?)?, text.get(end + 1..)?))
}

fn character(entity: &str) -> Option<char> {
    match entity {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let digits = entity.strip_prefix('#')?;
            let number = match digits.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16),
                None => digits.parse(),
            };
            char::from_u32(number.ok()?)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(name: &str) -> Option<String> {
        let xml = "wxid_a:\n<?xml version=\"1.0\"?><msgs/><msg a = 'x>y' nickname=\"&lt;A&amp;B&gt; &#x4f60;&#22909;\" username='u\"1' ><c name='no'/>";
        attribute(xml, "msg", name)
    }

    #[test]
    fn attributes_are_those_of_the_element_and_unescaped() {
        assert_eq!(card("a").as_deref(), Some("x>y"));
        assert_eq!(card("nickname").as_deref(), Some("<A&B> 你好"));
        assert_eq!(card("username").as_deref(), Some("u\"1"));
        assert_eq!(card("name"), None);
    }

    #[test]
    fn what_is_no_entity_stays() {
        for text in [
            "&",
            "&;",
            "a & b",
            "&nbsp;",
            "&#xD800;",
            "&#-1;",
            "&#99999999;",
            "&你好;",
        ] {
            assert_eq!(unescape(text), text);
        }
        assert_eq!(
            unescape("&amp;lt;&quot;&apos;&#x10FFFF;"),
            "&lt;\"'\u{10ffff}"
        );
    }

    #[test]
    fn text_full_of_ampersands_takes_no_longer_than_other_text() {
        let ampersands = "&".repeat(1_000_000);
        assert_eq!(unescape(&ampersands), ampersands);
    }

    #[test]
    fn broken_xml_gives_nothing() {
        for xml in [
            "",
            "<",
            "<msg",
            "<msg ",
            "<msg a",
            "<msg a=",
            "<msg a=\"",
            "<msg a=b>",
            "<msg a=\"x",
            "<你",
        ] {
            assert_eq!(attribute(xml, "msg", "a"), None, "{xml}");
            assert_eq!(text(xml, "msg"), None, "{xml}");
        }
    }

    #[test]
    fn the_text_of_an_element() {
        assert_eq!(
            text("<a><title>1 &lt; 2</title></a>", "title").as_deref(),
            Some("1 < 2")
        );
        assert_eq!(
            text("<title><![CDATA[<b>&amp;]]></title>", "title").as_deref(),
            Some("<b>&amp;")
        );
        assert_eq!(
            text("<title/><title x='1'>t</title>", "title").as_deref(),
            Some("t")
        );
        assert_eq!(text("<title><b>t</b></title>", "title"), None);
    }
}
