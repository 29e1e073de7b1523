//! What to try next, to be copied into another terminal.

use wxhost_tests::{
    Host, Result, guests,
    host::{APPID, SECRET_KEY},
};

/// Prints it.
pub fn print(host: &Host) -> Result<()> {
    let address = host.address()?;
    let token = host.data().join("admin-token");
    let token = token.display();
    let wxhost = host.binary().display();
    let sim = guests::profile_dir()?.join("wehub-sim");
    let sim = sim.display();
    let url = host.callback_url()?;
    let log = host.log_path();
    let log = log.display();
    println!(
        r#"
The host keeps serving until Ctrl-C, and the accounts carry out what they are asked to.
In another terminal:

  export WXHOST_URL=http://{address} WXHOST_TOKEN=$(cat '{token}')

  # What is there
  '{wxhost}' account list
  '{wxhost}' handler list
  curl -H "Authorization: Bearer $WXHOST_TOKEN" $WXHOST_URL/api/v1/accounts/wxid_rose/tasks

  # Rose writes to Ann: watch it appear here
  '{wxhost}' task send wxid_rose wxid_ann 'Hello, Ann'
  curl -H "Authorization: Bearer $WXHOST_TOKEN" -H 'Idempotency-Key: once' \
       -d '{{"action":"send","conversation":"wxid_ann","segments":[{{"text":"And again"}}]}}' \
       $WXHOST_URL/api/v1/accounts/wxid_rose/tasks

  # The QR logins so far; a new one waits until its client shows a code
  '{wxhost}' login list
  '{wxhost}' login start --agent wxid_rose --watch

  # A native client: start it, look at it, scan its code, have it write, end it
  curl "$WXHOST_URL/openwx/start_client?client=mine"
  '{wxhost}' client show mine
  curl "http://127.0.0.1:$(curl -s "$WXHOST_URL/openwx/check_client?client=mine" | grep -o '"port":[0-9]*' | cut -d: -f2)/openwx/stub_scan"
  curl "$WXHOST_URL/openwx/send_friend_message?client=mine&id=filehelper&content=hello"
  curl "$WXHOST_URL/openwx/stop_client?client=mine"

  # One more account: every line that you type is a message to it
  '{sim}' --url {url} --appid {APPID} --secret-key {SECRET_KEY} --account wxid_me=Me

  # What the host says of itself
  tail '{log}'
"#
    );
    Ok(())
}
