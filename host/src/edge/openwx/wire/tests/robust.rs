use proptest::{prelude::*, sample::Index};

use super::*;

/// Reports of each kind, to be broken.
fn samples() -> Vec<Value> {
    let group = json!({"id": "@@g", "name": "G", "member": [{"id": "@m", "name": "M"}]});
    let mut all = vec![
        friend_message(),
        group_message(),
        with(
            friend_message(),
            json!({"format": "media", "media_path": "/p", "media_size": 1}),
        ),
        with(friend_message(), json!({"format": "app", "app_url": "u"})),
        with(friend_message(), json!({"format": "card", "card_id": "@c"})),
        with(
            friend_message(),
            json!({"format": "revoke", "revoke_id": 1}),
        ),
    ];
    for name in [
        "login",
        "stop",
        "state_change",
        "input_qrcode",
        "new_friend",
        "lose_friend",
        "new_group",
        "lose_group",
        "new_group_member",
        "lose_group_member",
        "group_property_change",
        "group_member_property_change",
        "friend_property_change",
        "user_property_change",
        "update_user",
        "update_friend",
        "update_group",
        "friend_request",
        "later",
    ] {
        all.push(event(name, json!([group, "name", "old", group])));
        all.push(event(name, json!(["@a", "aGk=", "x", "y"])));
    }
    all
}

fn odd_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        Just(json!({"id": [1]})),
        Just(json!([null, 1, "x", {}, []])),
    ]
}

fn places(value: &mut Value) -> Vec<&mut Value> {
    match value {
        Value::Object(fields) => fields.values_mut().flat_map(places).collect(),
        Value::Array(entries) => entries.iter_mut().flat_map(places).collect(),
        leaf => vec![leaf],
    }
}

fn try_parse(body: impl Into<Bytes>) -> bool {
    match parse(&body.into(), &me()) {
        Ok(_) => true,
        Err(error) => {
            assert!(error.to_string().chars().count() < 300, "{error}");
            false
        }
    }
}

proptest! {
    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        try_parse(bytes);
    }

    #[test]
    fn reports_with_changed_values(
        at in any::<Index>(),
        changes in prop::collection::vec((any::<Index>(), odd_value()), 1..4),
    ) {
        let samples = samples();
        let mut body = samples[at.index(samples.len())].clone();
        for (at, value) in changes {
            let mut places = places(&mut body);
            let at = at.index(places.len());
            *places[at] = value;
        }
        try_parse(body.to_string());
    }

    #[test]
    fn whatever_an_event_is_called_and_holds_it_survives(
        name in "[a-z_]{1,20}",
        params in prop::collection::vec(odd_value(), 0..5),
    ) {
        prop_assert!(try_parse(event(&name, Value::from(params)).to_string()));
    }

    #[test]
    fn whatever_an_answer_holds(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = (own_user(&bytes), friends(&bytes), groups(&bytes));
    }
}
