//! Accepts friend requests that say the password, greets new friends, and leaves all
//! other requests to people.
use wxhost_sdk::prelude::*;

wxhost_sdk::bot!(on_event);

fn on_event(event: Event) -> Result<(), Error> {
    match &event.what {
        Happening::FriendRequest(request) => {
            let password = config::require("password")?;
            if request.greeting.contains(&password) {
                friends::accept(&request.ticket)?;
            } else {
                log::info(format_args!("{} did not say the password", request.user.id));
            }
        }
        Happening::FriendAdded(added) => {
            let text = config::get("greeting")?;
            let text = text.as_deref().unwrap_or("Hello! How can I help?");
            send_text(&added.user.id, text)?;
        }
        _ => {}
    }
    Ok(())
}
