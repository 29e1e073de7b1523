//! The parameters of a request: of its query and of its form, as Perl's clients read
//! them. A JSON body is not looked at.

use reqwest::Url;
use serde_json::Value;

/// Names and values in order.
#[derive(Debug, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Those of the query and of a form in the body.
    pub fn read(query: Option<&str>, content_type: &str, body: &[u8]) -> Self {
        let mut all = pairs(query.unwrap_or_default());
        if content_type.starts_with("application/x-www-form-urlencoded") {
            all.extend(pairs(&String::from_utf8_lossy(body)));
        }
        Self(all)
    }

    /// The value of the first of this name that is not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut found = self.0.iter().filter(|(key, _)| key == name);
        found.find_map(|(_, value)| (!value.is_empty()).then_some(value.as_str()))
    }

    /// The value as a number.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.get(name).and_then(|text| text.parse().ok())
    }

    /// All of them, for people to read.
    pub fn to_json(&self) -> Value {
        let pairs = self.0.iter();
        pairs
            .map(|(name, value)| (name.clone(), value.as_str()))
            .collect()
    }

    /// Those of these names that are there.
    pub fn among<'a>(&'a self, names: &[&'a str]) -> Vec<(&'a str, &'a str)> {
        let found = names
            .iter()
            .filter_map(|name| Some((*name, self.get(name)?)));
        found.collect()
    }
}

fn pairs(text: &str) -> Vec<(String, String)> {
    let url = Url::parse(&format!("http://stub/?{text}"));
    url.map_or_else(
        |_| Vec::new(),
        |url| url.query_pairs().into_owned().collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_add_to_the_query_and_json_does_not() {
        let form = "application/x-www-form-urlencoded";
        let read = Query::read(
            Some("id=%40f1&content="),
            form,
            "content=你+好%21".as_bytes(),
        );
        assert_eq!(
            (read.get("id"), read.get("content")),
            (Some("@f1"), Some("你 好!"))
        );
        let read = Query::read(None, "application/json", b"{\"id\":\"@f1\"}");
        assert_eq!(read.get("id"), None);
        assert_eq!(Query::read(Some("a=5#x"), "", b"").number("a"), Some(5));
    }
}
