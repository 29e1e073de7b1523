//! Asks for a hundred thousand messages, whatever the host answers.
use wxhost_sdk::prelude::*;

wxhost_hostile::on_message!(run);

fn run(event: Event) -> Result<(), Error> {
    let to = event
        .message()
        .map_or(&event.account, |message| &message.conversation);
    for number in 0..100_000 {
        let _ = send_text(to, &format!("flood {number}"));
    }
    Ok(())
}
