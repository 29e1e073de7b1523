//! The message units of task 1 (section 5), made of a message's segments.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

use super::tasks::{as_given, invalid, unsupported};
use crate::domain::action::{FileSource, LinkCard, MiniProgramCard, Refused, Segment};

/// What WeHub replaces by a mention when `at_style` is 1.
const MENTION: &str = "{$@}";
/// What the same characters become when a person wrote them: a zero-width space
/// keeps WeHub from taking them for a mention.
const MENTION_IN_WORDS: &str = "{\u{200b}$@}";

/// One message unit.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub(super) enum Unit<'a> {
    /// Text, a picture (3) or a GIF (47): the latter two by address.
    Plain {
        msg_type: u32,
        msg: Cow<'a, str>,
    },
    Link {
        msg_type: u32,
        link_url: &'a str,
        link_title: &'a str,
        link_desc: &'a str,
        link_img_url: &'a str,
    },
    /// A film or any other file.
    Video {
        msg_type: u32,
        video_url: &'a str,
    },
    Card {
        msg_type: u32,
        wxid_card: &'a str,
    },
    MiniProgram {
        msg_type: u32,
        raw_msg: &'a str,
        cover_url: &'a str,
    },
    AsGiven(&'a RawValue),
}

/// The units of one message, and whom its texts mention.
#[derive(Debug, Default)]
pub(super) struct Units<'a> {
    pub units: Vec<Unit<'a>>,
    /// In the order of their placeholders.
    pub mentions: Vec<&'a str>,
}

/// Words and mentions that follow each other become one text unit; everything
/// else is a unit of its own. Placeholders and mentions are equal in number,
/// raw units aside: those are their author's.
pub(super) fn units(segments: &[Segment]) -> Result<Units<'_>, Refused> {
    let mentioning = segments.iter().any(|s| matches!(s, Segment::Mention(_)));
    let mut made = Units::default();
    for run in segments.chunk_by(|a, b| is_wording(a) && is_wording(b)) {
        match run {
            [] => {}
            [first, ..] if is_wording(first) => made.add_text(run, mentioning),
            others => {
                for segment in others {
                    made.units.push(unit(segment)?);
                }
            }
        }
    }
    Ok(made)
}

fn is_wording(segment: &Segment) -> bool {
    matches!(segment, Segment::Text(_) | Segment::Mention(_))
}

impl<'a> Units<'a> {
    /// Words are looked through once they are joined: two texts could make up a
    /// placeholder together.
    fn add_text(&mut self, run: &'a [Segment], mentioning: bool) {
        let mut text = Cow::Borrowed("");
        let mut words = Cow::Borrowed("");
        for segment in run {
            match segment {
                Segment::Mention(user) => {
                    self.mentions.push(user);
                    text += words_only(std::mem::take(&mut words), mentioning);
                    text += MENTION;
                }
                Segment::Text(more) => words += more.as_str(),
                _ => {}
            }
        }
        text += words_only(words, mentioning);
        self.units.push(Unit::Plain {
            msg_type: 1,
            msg: text,
        });
    }
}

fn words_only(words: Cow<'_, str>, mentioning: bool) -> Cow<'_, str> {
    match mentioning && words.contains(MENTION) {
        true => Cow::Owned(words.replace(MENTION, MENTION_IN_WORDS)),
        false => words,
    }
}

fn unit(segment: &Segment) -> Result<Unit<'_>, Refused> {
    Ok(match segment {
        Segment::Text(text) => plain(1, text),
        Segment::Image(source) => plain(3, url(source)?),
        Segment::Sticker(source) => plain(47, url(source)?),
        Segment::Video(source) | Segment::Document(source) => Unit::Video {
            msg_type: 43,
            video_url: url(source)?,
        },
        Segment::Link(card) => link(card),
        Segment::MiniProgram(card) => mini_program(card),
        Segment::Card(user) => Unit::Card {
            msg_type: 42,
            wxid_card: user,
        },
        Segment::Raw(json) => Unit::AsGiven(as_given("raw", json)?),
        Segment::Mention(_) => return invalid("mention", "belongs into a text"),
        Segment::MentionAll => return unsupported("mention everybody"),
        Segment::Quote(_) => return unsupported("answer one particular message"),
        Segment::Voice(_) => return unsupported("send voice"),
    })
}

fn plain(msg_type: u32, msg: &str) -> Unit<'_> {
    Unit::Plain {
        msg_type,
        msg: Cow::Borrowed(msg),
    }
}

fn url(source: &FileSource) -> Result<&str, Refused> {
    match source {
        FileSource::Url(url) => Ok(url),
        FileSource::Held(_) => unsupported("send files that the host holds: give a url"),
    }
}

fn link(card: &LinkCard) -> Unit<'_> {
    Unit::Link {
        msg_type: 49,
        link_url: &card.url,
        link_title: &card.title,
        link_desc: &card.description,
        link_img_url: card.thumbnail_url.as_deref().unwrap_or(""),
    }
}

fn mini_program(card: &MiniProgramCard) -> Unit<'_> {
    Unit::MiniProgram {
        msg_type: 4901,
        raw_msg: &card.xml,
        cover_url: card.cover_url.as_deref().unwrap_or(""),
    }
}
