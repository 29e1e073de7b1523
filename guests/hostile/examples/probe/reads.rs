//! Functions that tell something, and the store.
use wxhost_sdk::contacts::Kind;
use wxhost_sdk::prelude::*;
use wxhost_sdk::wasi;

use crate::unknown;
use crate::words::Words;

pub fn contacts(function: &str, mut words: Words<'_>) -> Result<String, Error> {
    Ok(match function {
        "get-contact" => format!("{:?}", contacts::get_contact(words.word("ID")?)?),
        "find-contacts" => {
            let limit = words.number("LIMIT")?;
            ids(&contacts::find_contacts(words.rest(), limit)?)
        }
        "list-contacts" => {
            let kind = kind(words.option())?;
            let page = contacts::list_contacts(kind, words.option(), words.number("LIMIT")?)?;
            format!(
                "{} next {}",
                ids(&page.items),
                page.next.as_deref().unwrap_or("-")
            )
        }
        "count" => {
            let kind = kind(words.option())?;
            count(kind, words.number("LIMIT")?)?
        }
        "list-members" => {
            let group = words.word("GROUP")?;
            let page = contacts::list_members(group, words.option(), words.number("LIMIT")?)?;
            let ids: Vec<_> = page
                .items
                .iter()
                .map(|member| member.user.id.as_str())
                .collect();
            format!(
                "{} next {}",
                ids.join(","),
                page.next.as_deref().unwrap_or("-")
            )
        }
        "get-member" => {
            let group = words.word("GROUP")?;
            format!("{:?}", contacts::get_member(group, words.word("USER")?)?)
        }
        _ => return Err(unknown(function)),
    })
}

/// Reads all pages of this size.
fn count(kind: Option<Kind>, limit: u32) -> Result<String, Error> {
    let (mut pages, mut found, mut cursor) = (0, 0, None);
    loop {
        let page = contacts::list_contacts(kind, cursor.as_deref(), limit)?;
        pages += 1;
        found += page.items.len();
        cursor = page.next;
        if cursor.is_none() {
            return Ok(format!("{found} in {pages}"));
        }
    }
}

fn kind(word: Option<&str>) -> Result<Option<Kind>, Error> {
    Ok(match word {
        None => None,
        Some("user") => Some(Kind::User),
        Some("group") => Some(Kind::Group),
        Some("official") => Some(Kind::Official),
        Some(other) => return Err(unknown(other)),
    })
}

fn ids(contacts: &[Contact]) -> String {
    let ids: Vec<_> = contacts.iter().map(Contact::id).collect();
    ids.join(",")
}

pub fn context(function: &str, mut words: Words<'_>) -> Result<String, Error> {
    Ok(match function {
        "me" => format!("{:?}", context::me()),
        "client-kind" => context::client_kind(),
        "attempt" => context::attempt().to_string(),
        "deadline" => context::deadline().to_string(),
        "raw" => context::raw(),
        "fact" => context::fact(words.word("NAME")?).unwrap_or_else(|| "-".to_owned()),
        _ => return Err(unknown(function)),
    })
}

pub fn config(function: &str, words: Words<'_>) -> Result<String, Error> {
    Ok(match function {
        "get" => config::get(words.rest())?.unwrap_or_else(|| "-".to_owned()),
        "get-all" => {
            let mut pairs = config::get_all()?;
            pairs.sort();
            let pairs: Vec<_> = pairs
                .iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            pairs.join(",")
        }
        _ => return Err(unknown(function)),
    })
}

pub fn keyvalue(
    function: &str,
    mut words: Words<'_>,
    bucket: fn() -> Result<kv::Bucket, Error>,
) -> Result<String, Error> {
    if function == "open" {
        wasi::keyvalue::open(words.rest())?;
        return Ok(String::new());
    }
    let bucket = bucket()?;
    Ok(match function {
        "get" => shown(bucket.get(words.word("KEY")?)?.as_deref()),
        "set" => {
            bucket.set(words.word("KEY")?, words.rest().as_bytes())?;
            String::new()
        }
        // So many bytes, since a message has an end of its own.
        "fill" => {
            let key = words.word("KEY")?;
            let size: usize = words.number("SIZE")?;
            bucket.set(key, &vec![b'x'; size])?;
            String::new()
        }
        "delete" => {
            bucket.delete(words.word("KEY")?)?;
            String::new()
        }
        "exists" => bucket.exists(words.word("KEY")?)?.to_string(),
        "list-keys" => {
            let found = bucket.list_keys(words.option().map(str::parse).transpose()?)?;
            let next = found
                .cursor
                .map_or("-".to_owned(), |cursor| cursor.to_string());
            format!("{} next {next}", found.keys.join(","))
        }
        "increment" => {
            let key = words.word("KEY")?;
            wasi::atomics::increment(&bucket, key, words.number("DELTA")?)?.to_string()
        }
        "get-many" => {
            let found = wasi::batch::get_many(&bucket, &words.list())?;
            let found: Vec<_> = found
                .iter()
                .flatten()
                .map(|(key, value)| format!("{key}={}", shown(Some(value))))
                .collect();
            found.join(",")
        }
        "set-many" => {
            let list = words.list();
            let pairs: Vec<_> = list
                .iter()
                .filter_map(|word| word.split_once('='))
                .map(|(key, value)| (key.to_owned(), value.as_bytes().to_owned()))
                .collect();
            wasi::batch::set_many(&bucket, &pairs)?;
            String::new()
        }
        "delete-many" => {
            wasi::batch::delete_many(&bucket, &words.list())?;
            String::new()
        }
        _ => return Err(unknown(function)),
    })
}

fn shown(value: Option<&[u8]>) -> String {
    value.map_or("-".into(), |bytes| {
        String::from_utf8_lossy(bytes).into_owned()
    })
}

pub fn clock(function: &str) -> Result<String, Error> {
    match function {
        "now" => Ok(now().to_string()),
        "resolution" => Ok(format!("{:?}", wasi::wall_clock::resolution())),
        _ => Err(unknown(function)),
    }
}

pub fn random(function: &str, mut words: Words<'_>) -> Result<String, Error> {
    match function {
        "bytes" => {
            let bytes = wasi::random::get_random_bytes(words.number("COUNT")?);
            Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
        }
        "u64" => Ok(wasi::random::get_random_u64().to_string()),
        _ => Err(unknown(function)),
    }
}
