//! Reading a client's JSON, which may not be quite what the protocol page says.
//!
//! A field is kept as the bytes it came in, and read when it is needed: so a
//! fault is told with the field's path, a number of any size keeps its digits,
//! and plain text is borrowed from the body.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::domain::Millis;

/// How much of the peer's own text an error shows, in characters.
const SHOWN_MAX_CHARS: usize = 80;

/// How deep a body may nest, as serde_json itself allows. Whatever reads the
/// body later, a bot's parser for one, can count on it.
const DEPTH_MAX: usize = 128;
/// Why a body is refused. The client's fault; the same body never gets better.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct BadRequest {
    /// What the call was about, when that much could be read: it decides the
    /// `ack_type` of the answer.
    pub action: Option<String>,
    /// The path of the field, such as `data.msg.msg_id`.
    pub field: String,
    /// What is wrong with it.
    pub problem: String,
}

impl BadRequest {
    pub(crate) fn new(field: impl fmt::Display, problem: impl Into<String>) -> Self {
        Self {
            action: None,
            field: field.to_string(),
            problem: problem.into(),
        }
    }

    /// The same, met during this action.
    pub(crate) fn during(self, action: &str) -> Self {
        Self {
            action: Some(action.to_owned()),
            ..self
        }
    }
}

/// Text of the peer's, short enough for a log line.
pub(crate) fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN_MAX_CHARS) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// Reads a body that is one JSON object.
pub(crate) fn read_object<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, BadRequest> {
    let bad = |problem: String| Err(BadRequest::new("body", problem));
    let Ok(text) = std::str::from_utf8(body) else {
        return bad("is not UTF-8".to_owned());
    };
    // Checked here because serde takes a list for an object's fields in order.
    if !text.trim_start().starts_with('{') {
        return bad("is no JSON object".to_owned());
    }
    if nests_too_deep(text) {
        return bad(format!("nests deeper than {DEPTH_MAX} levels"));
    }
    match serde_json::from_str(text) {
        Ok(object) => Ok(object),
        Err(error) => bad(format!("is broken JSON: {}", cut(&error.to_string()))),
    }
}

/// One pass over the bytes. Brackets in strings don't count; where the JSON is
/// broken the count is off, and the parser says so.
fn nests_too_deep(text: &str) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' if depth == DEPTH_MAX => return true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// Where a value is in the body. Costs nothing unless an error shows it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum At<'p> {
    Root(&'static str),
    Field(&'p At<'p>, &'static str),
    Entry(&'p At<'p>, usize),
}

impl At<'_> {
    pub(crate) fn field<'p>(&'p self, name: &'static str) -> At<'p> {
        At::Field(self, name)
    }

    pub(crate) fn entry(&self, index: usize) -> At<'_> {
        At::Entry(self, index)
    }
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root(name) => f.write_str(name),
            Self::Field(parent, name) => write!(f, "{parent}.{name}"),
            Self::Entry(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// How many entries a list may have: some times what the largest account has. An
/// entry takes a hundred times as much memory as its shortest text.
const LIST_MAX: usize = 100_000;

/// The longest id of a person, group, message or customer; WeChat's have some 30.
pub(crate) const ID_MAX_BYTES: usize = 256;
/// The longest name that is kept of somebody. WeChat's have 32 characters. With
/// [`ADDRESS_MAX_BYTES`] it keeps the few hundred contacts of one commit below
/// what a commit may hold.
pub(crate) const NAME_MAX_BYTES: usize = 512;
/// The longest address of a picture that is kept of somebody.
pub(crate) const ADDRESS_MAX_BYTES: usize = 2 * 1024;
/// The longest field of a login, and the longest handle: a text that only its
/// maker understands, such as a file's.
pub(crate) const FIELD_MAX_BYTES: usize = 4 * 1024;
/// The longest text or XML of a message. WeChat takes texts of 16 KiB; the XML
/// of forwarded conversations is the longest there is.
pub(crate) const CONTENT_MAX_BYTES: usize = 256 * 1024;

/// WeChat began in January 2011: no message is older.
const EARLIEST_MS: Millis = 1_293_840_000_000;
/// 2100-01-01: a time beyond is in another unit or made up.
const LATEST_MS: Millis = 4_102_444_800_000;

/// A time that a client told, or 0 when it is none that can be.
pub(crate) fn plausible_ms(told: Option<Millis>) -> Millis {
    told.filter(|ms| (EARLIEST_MS..LATEST_MS).contains(ms))
        .unwrap_or(0)
}

/// A value of any type, or none: missing and null are the same.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Loose<'a>(Option<&'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for Loose<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::<&'a RawValue>::deserialize(deserializer).map(Self)
    }
}

/// What a value looks like, by its first byte: JSON of a body that passed the
/// first reading is well-formed.
enum Shape<'a> {
    Absent,
    Text(&'a str),
    Number(&'a str),
    Bool(bool),
    List(&'a str),
    Object(&'a str),
}

impl Shape<'_> {
    fn name(&self) -> &'static str {
        match self {
            Self::Absent => "is missing",
            Self::Text(_) => "is a string",
            Self::Number(_) => "is a number",
            Self::Bool(_) => "is a boolean",
            Self::List(_) => "is a list",
            Self::Object(_) => "is an object",
        }
    }

    fn unfit(&self, at: At<'_>, wanted: &str) -> BadRequest {
        BadRequest::new(at, format!("{}, not {wanted}", self.name()))
    }
}

impl<'a> Loose<'a> {
    pub(crate) fn raw(self) -> Option<&'a RawValue> {
        self.0
    }

    fn shape(self) -> Shape<'a> {
        let Some(json) = self.0.map(RawValue::get) else {
            return Shape::Absent;
        };
        match json.as_bytes().first() {
            Some(b'"') => Shape::Text(json),
            Some(b'{') => Shape::Object(json),
            Some(b'[') => Shape::List(json),
            Some(b't') => Shape::Bool(true),
            Some(b'f') => Shape::Bool(false),
            Some(b'n') | None => Shape::Absent,
            Some(_) => Shape::Number(json),
        }
    }

    /// Text. A number gives its digits, a boolean `1` or `0`, nothing the empty text.
    pub(crate) fn text(self, at: At<'_>) -> Result<Cow<'a, str>, BadRequest> {
        match self.shape() {
            Shape::Absent => Ok(Cow::Borrowed("")),
            Shape::Text(json) => unquote(json, at),
            Shape::Number(digits) => Ok(Cow::Borrowed(digits)),
            Shape::Bool(bit) => Ok(Cow::Borrowed(if bit { "1" } else { "0" })),
            other => Err(other.unfit(at, "text")),
        }
    }

    /// Text that names something. As [`Self::text`], but a fraction or a boolean
    /// can't have been meant: taken as text it would name something else.
    pub(crate) fn id(self, at: At<'_>) -> Result<Cow<'a, str>, BadRequest> {
        at_most(self.naming(at)?, ID_MAX_BYTES, at)
    }

    /// As [`Self::id`], for what only its maker understands: it may be longer.
    pub(crate) fn handle(self, at: At<'_>) -> Result<String, BadRequest> {
        at_most(self.naming(at)?, FIELD_MAX_BYTES, at).map(Cow::into_owned)
    }

    fn naming(self, at: At<'_>) -> Result<Cow<'a, str>, BadRequest> {
        match self.shape() {
            Shape::Number(digits) if digits.contains(['.', 'e', 'E']) => Err(BadRequest::new(
                at,
                format!("is no whole number: {}", cut(digits)),
            )),
            other @ Shape::Bool(_) => Err(other.unfit(at, "an id")),
            _ => self.text(at),
        }
    }

    /// As [`Self::id`], owned, and none when empty.
    pub(crate) fn some_id(self, at: At<'_>) -> Result<Option<String>, BadRequest> {
        self.id(at)
            .map(|id| (!id.is_empty()).then(|| id.into_owned()))
    }

    /// As [`Self::some_id`], for an entry of a list: none too when it can't be
    /// anybody's id, so that one entry does not cost all the others.
    pub(crate) fn listed_id(self, at: At<'_>) -> Result<Option<String>, BadRequest> {
        if let Shape::Text(json) = self.shape() {
            let id = unquote(json, at).ok();
            let id = id.filter(|id| (1..=ID_MAX_BYTES).contains(&id.len()));
            return Ok(id.map(Cow::into_owned));
        }
        match self.naming(at)? {
            id if id.len() > ID_MAX_BYTES || id.is_empty() => Ok(None),
            id => Ok(Some(id.into_owned())),
        }
    }

    /// Text for people's eyes. As [`Self::text`], but half a character, as it
    /// remains of a name that was cut off, becomes U+FFFD.
    fn words(self, at: At<'_>) -> Result<Cow<'a, str>, BadRequest> {
        match self.shape() {
            Shape::Text(json) => unquote(json, at).or_else(|_| unquote_lossy(json, at)),
            _ => self.text(at),
        }
    }

    /// A name of somebody's, cut off where it gets too long.
    pub(crate) fn name(self, at: At<'_>) -> Result<String, BadRequest> {
        let mut name = self.words(at)?.into_owned();
        name.truncate(name.floor_char_boundary(NAME_MAX_BYTES));
        Ok(name)
    }

    /// As [`Self::name`], and none when empty.
    pub(crate) fn some_name(self, at: At<'_>) -> Result<Option<String>, BadRequest> {
        self.name(at).map(|name| (!name.is_empty()).then_some(name))
    }

    /// An address of a picture; none when it is too long to be kept or no text:
    /// part of an address leads nowhere.
    pub(crate) fn address(self, at: At<'_>) -> Result<Option<String>, BadRequest> {
        let address = self.words(at)?;
        let whole = (1..=ADDRESS_MAX_BYTES).contains(&address.len())
            && !address.contains(char::REPLACEMENT_CHARACTER);
        Ok(whole.then(|| address.into_owned()))
    }

    /// A text that stands by itself, and is refused when it is too long.
    pub(crate) fn field(self, at: At<'_>) -> Result<String, BadRequest> {
        at_most(self.words(at)?, FIELD_MAX_BYTES, at).map(Cow::into_owned)
    }

    /// Text or XML of a message.
    pub(crate) fn content(self, at: At<'_>) -> Result<Cow<'a, str>, BadRequest> {
        at_most(self.words(at)?, CONTENT_MAX_BYTES, at)
    }

    /// As [`Self::content`], owned, and none when empty.
    pub(crate) fn some_content(self, at: At<'_>) -> Result<Option<String>, BadRequest> {
        self.content(at)
            .map(|text| (!text.is_empty()).then(|| text.into_owned()))
    }

    /// A number from zero up; none for nothing, an empty text or less than zero.
    pub(crate) fn number(self, at: At<'_>) -> Result<Option<u64>, BadRequest> {
        let text = self.text(at)?;
        match text.trim() {
            "" => Ok(None),
            digits => whole_number(digits)
                .ok_or_else(|| BadRequest::new(at, format!("is no whole number: {}", cut(digits)))),
        }
    }

    /// A list of whatever; none when there is no list.
    pub(crate) fn list(self, at: At<'_>) -> Result<Option<Vec<Loose<'a>>>, BadRequest> {
        match self.shape() {
            Shape::Absent => Ok(None),
            Shape::List(json) => {
                let list: Vec<_> = parse_known(json, at)?;
                if list.len() > LIST_MAX {
                    let problem = format!("has more than {LIST_MAX} entries");
                    return Err(BadRequest::new(at, problem));
                }
                Ok(Some(list))
            }
            other => Err(other.unfit(at, "a list")),
        }
    }

    /// A list of ids, without those that can't be any; none when there is no list.
    pub(crate) fn ids(self, at: At<'_>) -> Result<Option<Vec<String>>, BadRequest> {
        let Some(entries) = self.list(at)? else {
            return Ok(None);
        };
        let ids = entries.into_iter().enumerate();
        ids.filter_map(|(index, entry)| entry.listed_id(at.entry(index)).transpose())
            .collect::<Result<_, _>>()
            .map(Some)
    }

    /// An object with these fields; none when there is no object.
    pub(crate) fn object<T: Deserialize<'a>>(self, at: At<'_>) -> Result<Option<T>, BadRequest> {
        match self.shape() {
            Shape::Absent => Ok(None),
            Shape::Object(json) => parse_known(json, at).map(Some),
            other => Err(other.unfit(at, "an object")),
        }
    }
}

/// Reads a list of objects; entries that are null or mean nobody are left out.
/// None when there is no list.
pub(crate) fn each<'a, W: Deserialize<'a>, T>(
    list: Loose<'a>,
    at: At<'_>,
    read: impl Fn(&W, At<'_>) -> Result<Option<T>, BadRequest>,
) -> Result<Option<Vec<T>>, BadRequest> {
    let Some(entries) = list.list(at)? else {
        return Ok(None);
    };
    let mut found = Vec::with_capacity(entries.len());
    for (index, entry) in entries.into_iter().enumerate() {
        if let Some(fields) = entry.object::<W>(at.entry(index))? {
            found.extend(read(&fields, at.entry(index))?);
        }
    }
    Ok(Some(found))
}

/// The text between the quotes; borrowed when nothing in it is escaped.
fn unquote<'a>(json: &'a str, at: At<'_>) -> Result<Cow<'a, str>, BadRequest> {
    let inner = json.strip_prefix('"').and_then(|s| s.strip_suffix('"'));
    match inner {
        Some(plain) if !plain.contains('\\') => Ok(Cow::Borrowed(plain)),
        _ => match serde_json::from_str(json) {
            Ok(text) => Ok(Cow::Owned(text)),
            // Half of a surrogate pair, for one.
            Err(_) => Err(BadRequest::new(at, "holds an escape that is no character")),
        },
    }
}

/// As [`unquote`], with U+FFFD for every half of a surrogate pair. Rare, so it
/// need not be fast.
fn unquote_lossy<'a>(json: &str, at: At<'_>) -> Result<Cow<'a, str>, BadRequest> {
    let mut mended = String::with_capacity(json.len());
    let mut rest = json;
    while let Some((before, escape)) = rest.split_once('\\') {
        mended.push_str(before);
        // An escape has one character after its backslash, or `u` and four digits.
        let length = escape.chars().next().map_or(0, |c| match c {
            'u' => 5,
            c => c.len_utf8(),
        });
        let (code, after) = escape.split_at_checked(length).unwrap_or((escape, ""));
        let low = after.strip_prefix('\\').and_then(|after| after.get(..5));
        let (code, after) = match (surrogate(code), low.and_then(surrogate)) {
            (Some(Half::High), Some(Half::Low)) => {
                mended.push('\\');
                mended.push_str(code);
                let (low, after) = after.split_at_checked(6).unwrap_or((after, ""));
                mended.push_str(low);
                rest = after;
                continue;
            }
            (Some(_), _) => ("ufffd", after),
            (None, _) => (code, after),
        };
        mended.push('\\');
        mended.push_str(code);
        rest = after;
    }
    mended.push_str(rest);
    serde_json::from_str(&mended)
        .map(Cow::Owned)
        .map_err(|_| BadRequest::new(at, "holds an escape that is no character"))
}

/// One of the two escapes that make up a character beyond U+FFFF.
enum Half {
    High,
    Low,
}

/// Which half an escape, without its backslash, is.
fn surrogate(code: &str) -> Option<Half> {
    let digits = code.strip_prefix('u')?;
    match u16::from_str_radix(digits, 16).ok()? {
        0xD800..=0xDBFF => Some(Half::High),
        0xDC00..=0xDFFF => Some(Half::Low),
        _ => None,
    }
}

fn at_most<'a>(
    text: Cow<'a, str>,
    max_bytes: usize,
    at: At<'_>,
) -> Result<Cow<'a, str>, BadRequest> {
    match text.len() > max_bytes {
        true => Err(BadRequest::new(
            at,
            format!("is longer than {max_bytes} bytes"),
        )),
        false => Ok(text),
    }
}

/// Some(None) for less than zero.
fn whole_number(digits: &str) -> Option<Option<u64>> {
    if let Ok(number) = digits.parse::<i128>() {
        return Some(u64::try_from(number).ok());
    }
    // Qt writes large numbers as 1.574064e+12.
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    let number = digits.parse::<f64>().ok()?;
    if number.fract() != 0.0 || number.abs() > EXACT_MAX {
        return None;
    }
    Some((number >= 0.0).then_some(number as u64))
}

/// Reads JSON whose form and type were seen before, so what can still be wrong
/// is a field that is there twice.
fn parse_known<'a, T: Deserialize<'a>>(json: &'a str, at: At<'_>) -> Result<T, BadRequest> {
    serde_json::from_str(json).map_err(|error| BadRequest::new(at, cut(&error.to_string())))
}
