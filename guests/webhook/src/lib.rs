//! An endpoint for other systems: who posts `{"account": …, "to": …, "text": …}` has the
//! account say the text. Which accounts, the deployment says (`--act-for`), and who may
//! post, its token.

use serde::Deserialize;
use wxhost_sdk::{
    endpoint::{self, Request, Response},
    prelude::*,
};

wxhost_sdk::endpoint!(serve);

/// What is posted.
#[derive(Deserialize)]
struct Message {
    account: String,
    to: String,
    text: String,
}

fn serve(request: Request) -> Result<Response, Error> {
    if request.method != "POST" {
        return Ok(Response::text(
            405,
            "post {\"account\": …, \"to\": …, \"text\": …}\n",
        ));
    }
    let message: Message = match serde_json::from_slice(&request.body) {
        Ok(message) => message,
        Err(error) => return Ok(Response::text(400, format!("{error}\n"))),
    };
    let sent = endpoint::act_for(&message.account)
        .and_then(|()| Ok(send_text(&message.to, &message.text)?));
    match sent {
        Ok(task) => {
            let said = kv::increment("said", 1)?;
            let body = serde_json::json!({"task": task, "said": said});
            Ok(Response::new(202, "application/json", body.to_string()))
        }
        // What the host refused is for the caller to mend.
        Err(error) if error.code() == Some("forbidden") => {
            Ok(Response::text(403, format!("{error}\n")))
        }
        Err(error) if error.code().is_some() => Ok(Response::text(422, format!("{error}\n"))),
        Err(error) => Err(error),
    }
}
