#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::{fs, os::unix::fs::PermissionsExt};

use proptest::prelude::*;

use super::*;

fn place_of(handler: &str, scope: &str, key: &str) -> Place {
    Place {
        handler: handler.try_into().unwrap(),
        scope: scope.to_owned().try_into().unwrap(),
        key: key.to_owned(),
    }
}

/// A data directory, and the key's file beside it.
fn folder() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    fs::create_dir(&data).unwrap();
    let key = home.path().join("data.key");
    (home, data, key)
}

fn vault(data: &Path) -> Arc<dyn Vault> {
    open(&Config::default(), data).unwrap()
}

#[test]
fn the_key_is_made_with_the_first_secret_and_opens_it_later() {
    let (_home, data, key) = folder();
    let first = vault(&data);
    assert!(!key.exists());
    let place = place_of("faq", "*", "token");
    let sealed = first.seal(&place, &"hush".into()).unwrap();
    assert_eq!(
        fs::metadata(&key).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(fs::read_dir(key.parent().unwrap()).unwrap().count(), 2);
    let again = vault(&data).open(&place, &sealed).unwrap();
    assert!(again.is("hush"));
    assert!(!sealed.0.windows(4).any(|it| it == b"hush"));
    assert_ne!(first.seal(&place, &"hush".into()).unwrap(), sealed);
}

#[test]
fn a_record_opens_in_its_place_only() {
    let (_home, data, _) = folder();
    let vault = vault(&data);
    let sealed = vault
        .seal(&place_of("faq", "wxid_a", "token"), &"hush".into())
        .unwrap();
    for (handler, scope, key) in [
        ("fax", "wxid_a", "token"),
        ("faq", "*", "token"),
        ("faq", "wxid_b", "token"),
        ("faq", "wxid_a", "tokens"),
        ("faq", "wxid_at", "oken"),
    ] {
        let opened = vault.open(&place_of(handler, scope, key), &sealed);
        assert_eq!(opened, Err(VaultError::Damaged), "{handler} {scope} {key}");
    }
}

#[test]
fn without_the_key_or_with_another_nothing_opens() {
    let (_home, data, key) = folder();
    let place = place_of("faq", "*", "token");
    let sealed = vault(&data).seal(&place, &"hush".into()).unwrap();
    fs::remove_file(&key).unwrap();
    let lost = vault(&data).open(&place, &sealed).unwrap_err();
    assert_eq!(lost, VaultError::NoKey(key.display().to_string()));
    vault(&data).seal(&place, &"else".into()).unwrap();
    let other = vault(&data).open(&place, &sealed).unwrap_err();
    assert_eq!(other, VaultError::OtherKey(key.display().to_string()));
    fs::write(&key, "something else").unwrap();
    let unfit = vault(&data);
    assert!(matches!(
        unfit.open(&place, &sealed),
        Err(VaultError::BadKey(_))
    ));
    assert!(matches!(
        unfit.seal(&place, &"x".into()),
        Err(VaultError::BadKey(_))
    ));
    assert_eq!(fs::read(&key).unwrap(), b"something else");
}

#[test]
fn a_key_that_came_meanwhile_is_used_and_not_replaced() {
    let (_home, data, key) = folder();
    let (waiting, place) = (vault(&data), place_of("faq", "*", "token"));
    let sealed = vault(&data).seal(&place, &"hush".into()).unwrap();
    let before = fs::read(&key).unwrap();
    waiting.seal(&place, &"other".into()).unwrap();
    assert_eq!(fs::read(&key).unwrap(), before);
    assert!(waiting.open(&place, &sealed).unwrap().is("hush"));
    assert!(keyfile::create(&key).is_err());
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    let (_home, data, key) = folder();
    let place = place_of("faq", "*", "token");
    vault(&data).seal(&place, &"hush".into()).unwrap();
    for mode in [0o640, 0o604, 0o620] {
        fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
        let error = open(&Config::default(), &data).unwrap_err().to_string();
        assert!(error.contains("chmod 600"), "{error}");
    }
}

#[test]
fn a_key_in_the_data_directory_is_refused() {
    let (home, data, _) = folder();
    let inside = data.join("sub");
    fs::create_dir(&inside).unwrap();
    std::os::unix::fs::symlink(&inside, home.path().join("link")).unwrap();
    fs::write(data.join("k"), "").unwrap();
    std::os::unix::fs::symlink(data.join("k"), home.path().join("file")).unwrap();
    for path in ["data/k", "data/sub/k", "link/k", "data/sub/../k", "file"] {
        let config = Config {
            key_file: Some(home.path().join(path)),
        };
        let refused = open(&config, &data);
        assert!(matches!(refused, Err(OpenError::Inside(_))), "{path}");
    }
    let beside = Config {
        key_file: Some(home.path().join("data2")),
    };
    assert!(open(&beside, &data).is_ok());
    assert!(matches!(
        open(&Config::default(), Path::new("/")),
        Err(OpenError::NoName(_))
    ));
}

proptest! {
    #[test]
    fn any_text_opens_as_it_was_and_no_changed_byte_does(text in ".{0,200}", at: prop::sample::Index) {
        let key = Key::new(&[7; 32]);
        let place = place_of("faq", "*", "k");
        let mut sealed = key.seal(&place, &text.as_str().into()).unwrap();
        prop_assert!(key.open(&place, &sealed).unwrap().is(&text));
        let byte = at.index(sealed.0.len());
        sealed.0[byte] ^= 1;
        // The id only says which key it was: it is compared, not sealed.
        let opens = key.sealed(&sealed) && key.open(&place, &sealed).is_ok();
        prop_assert!(!opens);
    }

    #[test]
    fn bytes_that_were_never_sealed_are_damaged(bytes: Vec<u8>) {
        let (key, place) = (Key::new(&[7; 32]), place_of("faq", "*", "k"));
        prop_assert_eq!(key.open(&place, &Sealed(bytes)), Err(VaultError::Damaged));
    }
}
