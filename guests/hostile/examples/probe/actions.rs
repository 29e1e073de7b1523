//! Functions that do something.
use wxhost_sdk::log as logging;
use wxhost_sdk::model::{Link, MiniProgram};
use wxhost_sdk::prelude::*;
use wxhost_sdk::{timers, web};

use crate::unknown;
use crate::words::Words;

pub fn chat(function: &str, mut words: Words<'_>) -> Result<String, Error> {
    Ok(match function {
        "reply" => chat::reply(words.rest())?,
        "send" => {
            let conversation = words.word("CONVERSATION")?;
            let segments = words
                .list()
                .iter()
                .map(|word| segment(word))
                .collect::<Result<Vec<_>, _>>()?;
            chat::send(conversation, &segments)?
        }
        "recall" => chat::recall(words.word("MESSAGE")?)?,
        "stick" => chat::stick(words.word("CONVERSATION")?, words.word("on|off")? == "on")?,
        "download" => chat::download(words.word("FILE")?)?,
        "accept-transfer" => chat::accept_transfer(words.word("SENDER")?, words.word("TRANSFER")?)?,
        "perform-raw" => chat::perform_raw(words.rest())?,
        _ => return Err(unknown(function)),
    })
}

/// `text:…`, `mention:USER`, `mention-all`, `image:SOURCE` (also sticker, voice,
/// video, document), `link:TITLE,DESCRIPTION,URL,THUMBNAIL`,
/// `mini-program:TITLE,COVER-URL,XML`, `card:USER`, `quote:MESSAGE`, `raw:JSON`.
fn segment(word: &str) -> Result<Segment, Error> {
    let (kind, value) = word.split_once(':').unwrap_or((word, ""));
    Ok(match kind {
        "text" => Segment::Text(value.into()),
        "mention" => Segment::Mention(value.into()),
        "mention-all" => Segment::MentionAll,
        "image" => Segment::Image(source(value)?),
        "sticker" => Segment::Sticker(source(value)?),
        "voice" => Segment::Voice(source(value)?),
        "video" => Segment::Video(source(value)?),
        "document" => Segment::Document(source(value)?),
        "link" => {
            let mut parts = value.split(',').map(str::to_owned);
            Segment::Link(Link {
                title: parts.next().unwrap_or_default(),
                description: parts.next().unwrap_or_default(),
                url: parts.next().unwrap_or_default(),
                thumbnail_url: parts.next(),
                app_name: None,
            })
        }
        "mini-program" => {
            let mut parts = value.splitn(3, ',').map(str::to_owned);
            Segment::MiniProgram(MiniProgram {
                title: parts.next().unwrap_or_default(),
                cover: None,
                cover_url: parts.next().filter(|url| !url.is_empty()),
                xml: parts.next().unwrap_or_default(),
            })
        }
        "card" => Segment::Card(value.into()),
        "quote" => Segment::Quote(value.into()),
        "raw" => Segment::Raw(value.into()),
        _ => return Err(unknown(kind)),
    })
}

/// `held:FILE`, `url:URL` or `bytes:TEXT`.
fn source(value: &str) -> Result<FileSource, Error> {
    match value.split_once(':') {
        Some(("held", file)) => Ok(FileSource::Held(file.into())),
        Some(("url", url)) => Ok(FileSource::Url(url.into())),
        Some(("bytes", text)) => Ok(FileSource::Bytes(text.into())),
        _ => Err(unknown(value)),
    }
}

pub fn groups(function: &str, mut words: Words<'_>) -> Result<String, Error> {
    Ok(match function {
        "create" => groups::create(words.option(), &words.list())?,
        "invite" => {
            let group = words.word("GROUP")?;
            let by = match words.word("invitation|adding")? {
                "invitation" => groups::InviteBy::Invitation,
                "adding" => groups::InviteBy::Adding,
                other => return Err(unknown(other)),
            };
            groups::invite(group, &words.list(), by)?
        }
        "accept-invitation" => groups::accept_invitation(words.word("URL")?)?,
        "kick" => groups::kick(words.word("GROUP")?, &words.list())?,
        "kick-everywhere" => groups::kick_everywhere(words.word("USER")?)?,
        "rename" => groups::rename(words.word("GROUP")?, words.rest())?,
        "rename-me" => groups::rename_me(words.word("GROUP")?, words.rest())?,
        "announce" => groups::announce(words.word("GROUP")?, words.rest())?,
        "leave" => groups::leave(words.word("GROUP")?)?,
        "refresh" => groups::refresh(&words.list())?,
        _ => return Err(unknown(function)),
    })
}

pub fn friends(function: &str, mut words: Words<'_>) -> Result<String, Error> {
    Ok(match function {
        "accept" => friends::accept(words.word("TICKET")?)?,
        "add" => friends::add(words.word("USER")?, words.option(), words.rest())?,
        "remove" => friends::remove(words.word("USER")?)?,
        "check" => friends::check(words.word("USER")?)?,
        "remark" => friends::remark(words.word("USER")?, words.rest())?,
        "refresh" => friends::refresh(words.word("USER")?)?,
        "refresh-all" => friends::refresh_all()?,
        "fetch-avatar" => friends::fetch_avatar(words.word("USER")?, words.option())?,
        _ => return Err(unknown(function)),
    })
}

pub fn tags(function: &str, mut words: Words<'_>) -> Result<String, Error> {
    let tag = words.word("TAG")?;
    Ok(match function {
        "add" => tags::add(tag, &words.list())?,
        "remove" => tags::remove(tag, &words.list())?,
        "delete" => tags::delete(tag)?,
        "rename" => tags::rename(tag, words.word("TO")?)?,
        _ => return Err(unknown(function)),
    })
}

pub fn timers(function: &str, mut words: Words<'_>) -> Result<String, Error> {
    Ok(match function {
        "set" => {
            timers::set(
                words.word("TIMER")?,
                words.number::<u64>("DUE")?,
                words.rest(),
            )?;
            String::new()
        }
        "cancel" => timers::cancel(words.word("TIMER")?)?.to_string(),
        "list-timers" => format!("{:?}", timers::list_timers()?),
        _ => return Err(unknown(function)),
    })
}

/// `web.fetch METHOD URL TIMEOUT-MS BODY`, `web.header NAME VALUE URL`,
/// `web.many COUNT URL` with the last one's outcome, `web.large BYTES URL`.
pub fn web(function: &str, mut words: Words<'_>) -> Result<String, Error> {
    let response = match function {
        "fetch" => {
            let (method, url) = (words.word("METHOD")?, words.word("URL")?);
            let request = web::request(method, url).header("user-agent", "wxhost-probe");
            web::fetch(&web::Request {
                timeout_ms: words.option().map(str::parse).transpose()?,
                body: words.rest().into(),
                ..request
            })?
        }
        "header" => {
            let (name, value) = (words.word("NAME")?, words.word("VALUE")?);
            web::fetch(&web::get(words.word("URL")?).header(name, value))?
        }
        "many" => {
            let (count, url): (u32, _) = (words.number("COUNT")?, words.word("URL")?);
            for _ in 1..count {
                web::fetch(&web::get(url))?;
            }
            web::fetch(&web::get(url))?
        }
        "large" => {
            let bytes = words.number("BYTES")?;
            web::fetch(&web::post(words.word("URL")?, vec![b'x'; bytes]))?
        }
        _ => return Err(unknown(function)),
    };
    Ok(format!("{} {}", response.status, response.text()))
}

/// `log.LEVEL TEXT`; also `log.stdout` and `log.stderr`.
pub fn log(function: &str, words: Words<'_>) -> Result<String, Error> {
    let level = match function {
        "trace" => logging::Level::Trace,
        "debug" => logging::Level::Debug,
        "info" => logging::Level::Info,
        "warn" => logging::Level::Warn,
        "error" => logging::Level::Error,
        "critical" => logging::Level::Critical,
        "stdout" => {
            println!("{}", words.rest());
            return Ok(String::new());
        }
        "stderr" => {
            eprintln!("{}", words.rest());
            return Ok(String::new());
        }
        _ => return Err(unknown(function)),
    };
    logging::write(level, "probe", words.rest());
    Ok(String::new())
}
