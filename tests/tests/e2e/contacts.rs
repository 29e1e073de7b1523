//! What the host keeps of an account's contacts.

use std::time::Duration;

use serde_json::{Value, json};
use wxhost_tests::{Context, Host, Result, WehubClient, check, poll};

use crate::fixtures::{self, ACCOUNT, GROUP};

/// How many friends a very large list has.
const MANY: usize = 20_000;
/// How long the host may take for it. WeHub gives up after 30 s.
const MANY_MAX: Duration = Duration::from_secs(25);

async fn ids(host: &Host, kind: &str) -> Result<Vec<String>> {
    let path = format!("/accounts/{ACCOUNT}/contacts");
    let all = host.api()?.list(&path, "after").await?;
    let of_kind = all.iter().filter(|contact| contact["kind"] == kind);
    let ids = of_kind.filter_map(|contact| contact["id"].as_str());
    Ok(ids.map(str::to_owned).collect())
}

async fn contact(host: &Host, id: &str) -> Result<Value> {
    let path = format!("/accounts/{ACCOUNT}/contacts");
    let all = host.api()?.list(&path, "after").await?;
    let found = all.into_iter().find(|contact| contact["id"] == id);
    found.context(format!("there is no contact {id}"))
}

async fn members(host: &Host) -> Result<Vec<String>> {
    let path = format!("/accounts/{ACCOUNT}/groups/{GROUP}/members");
    let all = host.api()?.list(&path, "after").await?;
    let ids = all
        .iter()
        .filter_map(|member| member["user"]["id"].as_str());
    Ok(ids.map(str::to_owned).collect())
}

async fn report(client: &WehubClient, fixture: &str) -> Result<()> {
    let ack = client.send_json(&fixtures::read(fixture)?).await?;
    ack.silent().context(fixture)?;
    Ok(())
}

#[tokio::test]
async fn reports_change_what_is_known() -> Result<()> {
    let host = Host::unpaced().await?;
    let client = host.wehub(ACCOUNT)?.login().await?;
    report(&client, "report_contact").await?;
    assert_eq!(
        ids(&host, "user").await?,
        ["wxid_friend01", "wxid_friend02"]
    );
    assert_eq!(ids(&host, "group").await?, [GROUP]);
    assert_eq!(ids(&host, "official").await?, ["gh_7ec28ec1ef37"]);
    let path = format!("/accounts/{ACCOUNT}/contacts?kind=group");
    let page = host.api()?.get(&path).await?;
    assert_eq!(page["items"].as_array().map(Vec::len), Some(1));
    let friend = contact(&host, "wxid_friend01").await?;
    assert_eq!(friend["nickname"], "好友1");
    assert_eq!(friend["sex"], "male");
    assert_eq!(
        members(&host).await?,
        ["wxid_friend01", "wxid_friend02", ACCOUNT]
    );

    report(&client, "report_contact_update").await?;
    assert_eq!(contact(&host, "wxid_friend03").await?["nickname"], "好友3");
    let group = contact(&host, GROUP).await?;
    assert_eq!(
        (&group["name"], &group["member_count"]),
        (&json!("改名后的群"), &json!(4))
    );

    report(&client, "report_room_member_info").await?;
    let path = format!("/accounts/{ACCOUNT}/groups/{GROUP}/members?limit=1");
    let page = host.api()?.get(&path).await?;
    assert_eq!(page["items"][0]["group_nickname"], "群名片1");
    check!(page["next"].is_string(), "there are more: {page}");

    report(&client, "report_room_member_change").await?;
    check!(
        members(&host).await?.contains(&"wxid_friend03".to_owned()),
        "who joined is a member"
    );
    let mut left = fixtures::read("report_room_member_change")?;
    left["data"]["flag"] = json!(0);
    client.send_json(&left).await?.silent()?;
    check!(
        !members(&host).await?.contains(&"wxid_friend03".to_owned()),
        "who left is none"
    );

    report(&client, "report_new_friend").await?;
    assert_eq!(contact(&host, "wxid_friend09").await?["nickname"], "Jerry");
    report(&client, "report_friend_removed").await?;
    check!(
        !ids(&host, "user")
            .await?
            .contains(&"wxid_friend02".to_owned()),
        "a friend is gone"
    );
    report(&client, "report_room_removed").await?;
    assert_eq!(ids(&host, "group").await?, Vec::<String>::new());
    host.end().await
}

#[tokio::test]
async fn a_bot_hears_of_each_report() -> Result<()> {
    let host = Host::unpaced().await?;
    host.serve_guest("*", "probe").await?;
    host.configure("probe", json!({"report-to": "wxid_log"}))
        .await?;
    let client = host.wehub(ACCOUNT)?.login().await?;
    let told = [
        ("report_contact", "ContactsReported"),
        ("report_contact_update", "ContactsUpdated"),
        ("report_new_friend", "FriendAdded"),
        ("report_friend_removed", "FriendRemoved"),
        ("report_new_room", "GroupJoined"),
        ("report_room_member_change", "MembersChanged"),
        ("report_room_member_info", "MembersReported"),
        ("report_room_removed", "GroupLeft"),
        ("report_user_info", "UserInfo"),
        ("report_zoom_check_status", "FriendChecked"),
        ("report_friend_add_request", "FriendRequest"),
        ("unknown-action", "Other(\"report_something_new\")"),
    ];
    for (fixture, word) in told {
        let ack = client.send_json(&fixtures::read(fixture)?).await?;
        let texts = ack.ok()?.to("wxid_log")?.texts();
        let found = texts.iter().any(|text| text.contains(word));
        check!(found, "{fixture}: {texts:?} without {word}");
    }
    host.end().await
}

#[tokio::test]
async fn a_very_large_list_is_taken_in_time() -> Result<()> {
    let host = Host::unpaced().await?;
    let client = host.wehub(ACCOUNT)?.login().await?;
    let report = client.report_contact(MANY);
    poll::within("a very large list", MANY_MAX, report)
        .await?
        .silent()?;
    assert_eq!(ids(&host, "user").await?.len(), MANY);
    host.end().await
}
