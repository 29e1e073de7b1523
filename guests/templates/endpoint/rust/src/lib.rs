//! Has an account say what is posted to `/x/{{name}}/ACCOUNT/WHOM`. For which accounts it may
//! act, handler.toml says.
use wxhost_sdk::{
    endpoint::{self, Request, Response},
    prelude::*,
};

wxhost_sdk::endpoint!(serve);

fn serve(request: Request) -> Result<Response, Error> {
    let Some((account, to)) = wanted(&request.method, &request.path) else {
        return Ok(Response::text(400, "post a text to ACCOUNT/WHOM\n"));
    };
    let text = String::from_utf8_lossy(&request.body);
    match endpoint::act_for(account).and_then(|()| Ok(send_text(to, &text)?)) {
        Ok(task) => {
            let said = kv::increment("said", 1)?;
            log::info(format_args!("said {said}"));
            Ok(Response::text(202, format!("{task}\n")))
        }
        // What the host refuses has a code and says why.
        Err(error) if error.code().is_some() => Ok(Response::text(403, format!("{error}\n"))),
        Err(error) => Err(error),
    }
}

/// The account, and to whom it speaks. Needs no host, so that a test can call it.
fn wanted<'a>(method: &str, path: &'a str) -> Option<(&'a str, &'a str)> {
    let names = path.strip_prefix('/')?.split_once('/')?;
    (method == "POST" && !names.1.contains('/')).then_some(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_two() {
        assert_eq!(wanted("POST", "/a/b"), Some(("a", "b")));
        assert_eq!(wanted("GET", "/a/b"), None);
        assert_eq!(wanted("POST", "/a"), None);
        assert_eq!(wanted("POST", "/a/b/c"), None);
    }
}
