//! Who is let in, and how the host proves itself.

use serde_json::json;
use wxhost_tests::{
    Context, Host, Result, WehubClient, check,
    host::{APPID, SECRET_KEY, Settings},
    http,
    wehub::{Identity, signature},
};

use crate::fixtures;

#[tokio::test]
async fn the_host_signs_what_the_protocol_page_says() -> Result<()> {
    let settings = Settings::default()
        .app("app-other", "other-key-55aa", &["wxid_other"])
        .app("app-vector", "112233", &["fangqing_hust"])
        .report_contact(5);
    let host = Host::with(settings).await?;
    let identity = Identity::new("app-vector", "112233", "fangqing_hust");
    let client = WehubClient::new(&host.callback_url()?, identity)?;

    let data = client.identity().login_data(Some("helloworld"));
    let ack = client.report("login", data).await?;
    let signed = ack.ok()?.data["signature"].as_str().unwrap_or_default();
    assert_eq!(signed.to_uppercase(), "4B8D798F8B34A7BD2CD3B4CBFA309D9C");
    assert_eq!(ack.data["option"]["flag_report_contact"], 5);
    host.end().await
}

#[tokio::test]
async fn only_admitted_accounts_of_known_apps_log_in() -> Result<()> {
    let settings = Settings::default()
        .accounts(&["wxid_a", "wxid_b", fixtures::ACCOUNT])
        .app("app-second", "second-key-91c2", &["wxid_c"]);
    let host = Host::with(settings).await?;
    let url = host.callback_url()?;
    host.wehub("wxid_a")?.login().await?;

    let refused = host.wehub("wxid_stranger")?.try_login().await?;
    refused.refused("wxid_stranger")?;
    let identity = Identity::new("app-second", "second-key-91c2", "wxid_a");
    let crossed = WehubClient::new(&url, identity)?.try_login().await?;
    crossed.refused("wxid_a")?;
    let identity = Identity::new("app-unknown", SECRET_KEY, "wxid_b");
    let unknown = WehubClient::new(&url, identity)?.try_login().await?;
    unknown.refused("appid")?;
    let identity = Identity::new("app-second", "second-key-91c2", "wxid_c");
    WehubClient::new(&url, identity)?.login().await?;

    let accounts = host.api()?.list("/accounts", "after").await?;
    let ids: Vec<_> = accounts
        .iter()
        .filter_map(|one| one["id"].as_str())
        .collect();
    assert_eq!(ids, ["wxid_a", "wxid_c"]);
    let stranger = "/accounts/wxid_stranger";
    let answer = host
        .api()?
        .request(reqwest::Method::GET, stranger, None)
        .await?;
    answer.problem(404, "not-found")?;
    host.end().await
}

#[tokio::test]
async fn every_way_to_log_in_is_answered() -> Result<()> {
    let host = Host::start().await?;
    let client = host.wehub(fixtures::ACCOUNT)?;
    for name in ["login-without-nonce", "login", "login-after-qr"] {
        let body = fixtures::read(name)?;
        let ack = client.send_json(&body).await?;
        let signed = ack.ok().context(name)?.data["signature"].as_str();
        if let Some(nonce) = body["data"]["nonce"].as_str() {
            let wanted = signature(fixtures::ACCOUNT, nonce, SECRET_KEY);
            let signed = signed.unwrap_or_default();
            check!(signed.eq_ignore_ascii_case(&wanted), "{name}: {signed}");
        }
    }
    let account = host
        .api()?
        .get(&format!("/accounts/{}", fixtures::ACCOUNT))
        .await?;
    assert_eq!(account["client"], "wehub");
    assert_eq!(account["appid"], APPID);
    assert_eq!(account["nickname"], "Bill");
    assert_eq!(account["session"]["machine_id"], "DESKTOP-AB12_4888");
    host.end().await
}

#[tokio::test]
async fn an_account_logs_out_and_in_again() -> Result<()> {
    let host = Host::start().await?;
    let path = "/accounts/wxid_a";
    let first = host.wehub("wxid_a")?.called("Ann").login().await?;
    let before = host.api()?.get(path).await?;
    assert_eq!(before["nickname"], "Ann");
    assert_eq!(before["session"]["client_version"], "0.4.26");
    assert_eq!(
        before["session"]["local_ips"],
        json!(["192.168.0.104", "10.0.0.4"])
    );
    assert!(
        before
            .get("last_logout")
            .is_none_or(|value| value.is_null())
    );

    first.logout().await?.ok()?;
    let out = host.api()?.get(path).await?;
    assert!(out.get("session").is_none_or(|value| value.is_null()));
    assert!(out["last_logout"]["at_ms"].is_u64(), "{out}");

    host.wehub("wxid_a")?.called("Anna").login().await?;
    let again = host.api()?.get(path).await?;
    assert_eq!(again["nickname"], "Anna");
    assert_eq!(again["first_login_ms"], before["first_login_ms"]);
    assert!(again["session"].is_object(), "{again}");
    host.end().await
}

#[tokio::test]
async fn a_secret_path_keeps_others_out() -> Result<()> {
    let secret = "p4th-77aa01bc-9f3e5d";
    let host = Host::with(Settings::default().path_secret(secret)).await?;
    host.wehub("wxid_a")?.login().await?;
    let address = host.address()?;
    for path in ["wehub/callback", "wehub/wrong/callback", "wehub//callback"] {
        let identity = Identity::new(APPID, SECRET_KEY, "wxid_b");
        let client = WehubClient::new(&format!("http://{address}/{path}"), identity)?;
        let body = client.identity().envelope("pull_task", json!({}));
        let answer = client.send_raw(body.to_string().as_bytes()).await?;
        check!(answer.status == 404, "{path}: HTTP {}", answer.status);
    }
    let (status, text) = http::get(address, &format!("/wehub/{secret}/callback")).await?;
    assert_eq!(status, 200);
    check!(
        !text.is_empty() && text.len() < 1000,
        "no short text: {text}"
    );
    host.end().await
}

#[tokio::test]
async fn whether_a_client_ends_after_a_logout_hangs_on_its_customer() -> Result<()> {
    let settings = Settings::default().accounts(&["*"]).app_with(
        "app-stays",
        "second-key-91c2",
        &["*"],
        "on_logout = \"stay\"\n",
    );
    let host = Host::with(settings).await?;
    let a = host.wehub("wxid_a")?.login().await?;
    let exits = json!({"exit_wehub": 1, "exit_wechat": 1});
    assert_eq!(a.logout().await?.ok()?.data, exits);
    let account = host.api()?.get("/accounts/wxid_a").await?;
    assert_eq!(
        account["last_logout"]["reason"],
        "the client reported a logout"
    );

    let identity = Identity::new("app-stays", "second-key-91c2", "wxid_b");
    let b = WehubClient::new(&host.callback_url()?, identity)?
        .login()
        .await?;
    let stays = json!({"exit_wehub": 0, "exit_wechat": 0});
    assert_eq!(b.logout().await?.ok()?.data, stays);
    host.end().await
}

#[tokio::test]
async fn what_a_replaced_process_says_late_is_answered_and_revives_nothing() -> Result<()> {
    let host = Host::start().await?;
    host.serve_guest("*", "echo").await?;
    let old = host.wehub("wxid_a")?.login().await?;
    let mut identity = old.identity().clone();
    identity.machine_id = "DESKTOP-new_1".to_owned();
    identity.client_session = "cs-new".to_owned();
    let new = WehubClient::new(&host.callback_url()?, identity)?
        .login()
        .await?;
    let session =
        async || -> Result<_> { Ok(host.api()?.get("/accounts/wxid_a").await?["session"].clone()) };
    let before = session().await?;
    old.text_from("wxid_bob", "late").await?.says("late")?;
    host.api()?
        .send_text("wxid_a", "wxid_bob", "for the new one")
        .await?;
    check!(old.pull_task().await?.task_id.is_none(), "it got a task");
    let goodbye = old.logout().await?;
    assert_eq!(goodbye.ok()?.data["exit_wehub"], 1, "it shall end");
    assert_eq!(session().await?, before);
    new.pull_task().await?.says("for the new one")?;

    new.logout().await?.ok()?;
    new.text_from("wxid_bob", "later").await?.ok()?;
    check!(session().await?.is_null(), "a message revived the session");
    host.end().await
}
