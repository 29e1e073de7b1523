//! The configuration of handlers, with a real vault.

use std::path::Path;

use super::*;
use crate::{
    domain::{
        Handler, HandlerName,
        handler::{ConfigScope, Unreadable},
        ports::{CatalogueChange, Vault},
    },
    vault,
};

/// A host on this store, whose data directory is `data` in this folder.
async fn service_on(store: &Arc<dyn Store>, home: &Path) -> Service {
    let data = home.join("data");
    std::fs::create_dir_all(&data).unwrap();
    let bot = Bot {
        calls: AtomicUsize::new(0),
        fails: None,
        busy: AtomicBool::new(false),
        breaks: AtomicBool::new(false),
        saw: Mutex::default(),
        says: Mutex::default(),
        timers: Mutex::default(),
        fired: Mutex::default(),
        store: Arc::clone(store),
    };
    let vault: Arc<dyn Vault> = vault::open(&vault::Config::default(), &data).unwrap();
    let service = Service::start(
        Arc::clone(store),
        Arc::new(bot),
        blobs::open(&FilePolicy::default(), &data).unwrap(),
        Arc::new(NoClients),
        vault,
        |client, action: &Action| action.check(client),
        Policies::default(),
    );
    service.await.unwrap()
}

fn in_memory() -> Arc<dyn Store> {
    store::in_memory(Arc::new(|| 5))
}

fn faq() -> HandlerName {
    "faq".try_into().unwrap()
}

fn id(account: &str) -> AccountId {
    account.try_into().unwrap()
}

async fn deployed(service: &Service) {
    let component = Bytes::from_static(b"a bot");
    let deploy = Deploy::of(faq(), component);
    service.deploy(deploy).await.unwrap();
    service.bind(Scope::All, faq()).await.unwrap();
}

/// What the account's bot reads under this key.
fn read(service: &Service, account: &str, key: &str) -> Result<Option<String>, Unreadable> {
    let deployment = service.deployment_of(&id(account)).unwrap();
    let found = deployment.config.get(key);
    found.map(|it| it.map(str::to_owned))
}

#[tokio::test]
async fn what_was_in_the_handler_s_record_becomes_entries() {
    let (store, home) = (in_memory(), tempfile::tempdir().unwrap());
    let former = Handler {
        former_config: [("tone".to_owned(), "kind".to_owned())].into(),
        ..Handler::example("faq")
    };
    let change = CatalogueChange::PutHandler(Box::new(former));
    store.change_catalogue(vec![change]).await.unwrap();
    for _ in 0..2 {
        let service = service_on(&store, home.path()).await;
        service.bind(Scope::All, faq()).await.unwrap();
        assert_eq!(read(&service, "a", "tone"), Ok(Some("kind".into())));
        let items = service.config(&faq(), None).await.unwrap();
        assert_eq!(
            items.first().unwrap().shown,
            ConfigShown::Plain("kind".into())
        );
        let stored = store.catalogue().await.unwrap().handlers;
        assert_eq!(stored.first().unwrap().former_config, Default::default());
    }
}

#[tokio::test]
async fn a_change_is_there_with_the_next_look_up_and_a_deployment_keeps_it() {
    let (store, home) = (in_memory(), tempfile::tempdir().unwrap());
    let service = service_on(&store, home.path()).await;
    deployed(&service).await;
    let own = Some(id("a"));
    let set = |text: &str| [("k".to_owned(), Some(text.to_owned()))].into();
    service
        .change_config(&faq(), None, set("all"))
        .await
        .unwrap();
    service
        .change_config(&faq(), own.clone(), set("own"))
        .await
        .unwrap();
    let key = "s".to_owned();
    service
        .put_secret(&faq(), own.clone(), key.clone(), "hush".into())
        .await
        .unwrap();
    let component = Bytes::from_static(b"another bot");
    service.deploy(Deploy::of(faq(), component)).await.unwrap();
    for service in [&service, &service_on(&store, home.path()).await] {
        let both = ["a", "b"].map(|account| read(service, account, "k"));
        assert_eq!(both, [Ok(Some("own".into())), Ok(Some("all".into()))]);
        assert_eq!(read(service, "a", "s"), Ok(Some("hush".into())));
        assert_eq!(read(service, "b", "s"), Ok(None));
    }
    service
        .remove_secret(&faq(), own.clone(), key.clone())
        .await
        .unwrap();
    assert_eq!(read(&service, "a", "s"), Ok(None));
    let again = service.remove_secret(&faq(), own, key).await;
    assert!(matches!(again, Err(Error::NotFound { .. })), "{again:?}");
}

#[tokio::test]
async fn a_handler_goes_with_its_entries_of_all_scopes() {
    let (store, home) = (in_memory(), tempfile::tempdir().unwrap());
    let service = service_on(&store, home.path()).await;
    deployed(&service).await;
    let set = || [("k".to_owned(), Some("x".to_owned()))].into();
    service.change_config(&faq(), None, set()).await.unwrap();
    // More than one commit takes.
    for n in 0..1100 {
        let account = Some(id(&format!("wxid_{n}")));
        service.change_config(&faq(), account, set()).await.unwrap();
    }
    service.unbind(Scope::All).await.unwrap();
    service.remove_handler(&faq()).await.unwrap();
    assert_eq!(store.configs(&faq()).await.unwrap(), []);
    deployed(&service).await;
    assert_eq!(read(&service, "wxid_7", "k"), Ok(None));
}

#[tokio::test]
async fn a_record_that_was_moved_to_another_account_does_not_open() {
    let (store, home) = (in_memory(), tempfile::tempdir().unwrap());
    let service = service_on(&store, home.path()).await;
    deployed(&service).await;
    service
        .put_secret(&faq(), Some(id("a")), "s".into(), "hush".into())
        .await
        .unwrap();
    let scope = ConfigScope::Account(id("a"));
    let mut moved = store.config(&faq(), &scope).await.unwrap().unwrap();
    moved.scope = ConfigScope::Account(id("b"));
    let change = CatalogueChange::PutConfig(Box::new(moved));
    store.change_catalogue(vec![change]).await.unwrap();
    let service = service_on(&store, home.path()).await;
    assert_eq!(read(&service, "a", "s"), Ok(Some("hush".into())));
    assert_eq!(read(&service, "b", "s"), Err(Unreadable("s".into())));
    // The key is right, but what can't be read stands in the way until it is removed.
    let refused = service
        .put_secret(&faq(), None, "t".into(), "x".into())
        .await;
    assert!(matches!(refused, Err(Error::Conflict(_))), "{refused:?}");
    let removed = service
        .remove_secret(&faq(), Some(id("b")), "s".into())
        .await;
    removed.unwrap();
    let secret = service
        .put_secret(&faq(), None, "t".into(), "x".into())
        .await;
    secret.unwrap();
}
