//! What an answer of the client's API says about a call (section 4).

use serde::Deserialize;

use super::{calls::Call, messages::name, objects::object, report::ANYWHERE};
use crate::{
    domain::ports::ApiAnswer,
    edge::loose::{Loose, cut},
    service::Outcome,
};

/// How an answer that is no JSON begins is looked for in so many bytes of it.
const SHOWN_BYTES: usize = 400;

#[derive(Deserialize, Default)]
#[serde(default)]
struct Answer<'a> {
    #[serde(borrow)]
    code: Loose<'a>,
    status: Loose<'a>,
}

/// How a call went.
pub(crate) fn outcome(call: &Call, answer: &ApiAnswer) -> Outcome {
    match answer.status {
        200..300 => told(call, &answer.body),
        // Whether it was done before it failed is not known.
        500.. => Outcome::Unknown(refusal(answer)),
        _ => Outcome::Failed(refusal(answer)),
    }
}

fn told(call: &Call, body: &[u8]) -> Outcome {
    let found = std::str::from_utf8(body)
        .ok()
        .and_then(|text| serde_json::from_str::<Loose<'_>>(text).ok());
    let answer = found.and_then(object::<Answer<'_>>);
    let code = answer.as_ref().and_then(|answer| code_of(answer.code));
    match (code, answer) {
        (Some(code), _) if code == "0" => Outcome::Done,
        (Some(code), Some(answer)) => {
            Outcome::Failed(format!("code {code}: {}", name(answer.status)))
        }
        _ if call.coded => {
            Outcome::Unknown("the client's answer does not say how it went".to_owned())
        }
        _ => Outcome::Done,
    }
}

fn code_of(field: Loose<'_>) -> Option<String> {
    field.raw()?;
    let code = field.text(ANYWHERE).ok()?;
    Some(cut(&code)).filter(|code| !code.is_empty())
}

fn refusal(answer: &ApiAnswer) -> String {
    let begin = answer.body.get(..SHOWN_BYTES).unwrap_or(&answer.body);
    let text = String::from_utf8_lossy(begin);
    let line = text.lines().next().unwrap_or_default().trim();
    match line.is_empty() {
        true => format!("HTTP {}", answer.status),
        false => format!("HTTP {}: {}", answer.status, cut(line)),
    }
}
