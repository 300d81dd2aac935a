//! The contract of [`Presence`], as cases that every implementation passes.
//!
//! Each case uses channels of its own name, so that one store may serve them all.

use std::collections::BTreeMap;
use std::sync::Arc;

use campanile_protocol::{ClientId, ClientInfo, UserId};

use crate::presence::{Presence, PresenceStats};
use crate::testkit::channel;

/// A session of `user`; sessions differ by their number.
#[must_use]
pub fn attendee(user: &str, number: u8) -> Arc<ClientInfo> {
    Arc::new(ClientInfo {
        user: UserId::new(user),
        client: ClientId::from_random([number; 16], 0),
        conn_info: None,
        chan_info: None,
    })
}

async fn add(presence: &dyn Presence, name: &str, info: &Arc<ClientInfo>) {
    let added = presence.add(&channel(name), Arc::clone(info)).await;
    added.expect("presence takes it");
}

async fn stats(presence: &dyn Presence, name: &str) -> (usize, usize) {
    let stats = presence.stats(&channel(name)).await;
    let PresenceStats { clients, users } = stats.expect("presence can be asked");
    (clients, users)
}

async fn list(presence: &dyn Presence, name: &str) -> BTreeMap<ClientId, Arc<ClientInfo>> {
    let list = presence.list(&channel(name), usize::MAX).await;
    let list = list.expect("presence can be asked").expect("no bound");
    let (entries, count) = (list.iter(), list.len());
    let map: BTreeMap<_, _> = entries.map(|one| (one.client, Arc::clone(one))).collect();
    assert_eq!(map.len(), count, "nobody is listed twice");
    map
}

/// Sessions are counted, users once each, until the last session of a user leaves.
pub async fn a_user_with_two_sessions_counts_once(presence: &dyn Presence) {
    let name = "users";
    for (user, number) in [("a", 1), ("a", 2), ("b", 3), ("b", 3)] {
        add(presence, name, &attendee(user, number)).await;
    }
    assert_eq!(stats(presence, name).await, (3, 2));
    let remove = async |number| {
        let client = attendee("", number).client;
        presence.remove(&channel(name), client).await;
    };
    remove(1).await;
    remove(1).await;
    assert_eq!(stats(presence, name).await, (2, 2));
    remove(2).await;
    assert_eq!(stats(presence, name).await, (1, 1));
    remove(3).await;
    assert_eq!(stats(presence, name).await, (0, 0));
}

/// Beyond the bound nothing is listed, at the bound everything.
pub async fn a_channel_with_too_many_is_counted_but_not_listed(presence: &dyn Presence) {
    let name = "bound";
    add(presence, name, &attendee("a", 1)).await;
    add(presence, name, &attendee("a", 2)).await;
    let list = async |max| presence.list(&channel(name), max).await;
    assert_eq!(list(1).await.expect("presence can be asked"), None);
    let all = list(2).await.expect("presence can be asked");
    assert_eq!(all.map(|all| all.len()), Some(2));
}

/// A session is listed with all that was said of it, and with the latest.
pub async fn a_session_is_listed_as_it_was_added_last(presence: &dyn Presence) {
    let name = "infos";
    let first = attendee("a", 1);
    add(presence, name, &first).await;
    let last = Arc::new(ClientInfo {
        user: UserId::new("another\0\u{7f}"),
        conn_info: Some((*b"{\"a\":1}").into()),
        chan_info: Some((*b"\xff\0").into()),
        ..(*first).clone()
    });
    add(presence, name, &last).await;
    assert_eq!(list(presence, name).await[&first.client], last);
    assert_eq!(stats(presence, name).await, (1, 1));
}

/// Empty is not absent.
pub async fn an_empty_info_stays_one(presence: &dyn Presence) {
    let name = "empty";
    let info = Arc::new(ClientInfo {
        conn_info: Some((*b"").into()),
        ..(*attendee("", 1)).clone()
    });
    add(presence, name, &info).await;
    assert_eq!(list(presence, name).await[&info.client], info);
    assert_eq!(stats(presence, name).await, (1, 1), "anonymous is a user");
}

/// Who is in one is in no other, whatever the names are made of.
pub async fn channels_with_odd_names_do_not_mix(presence: &dyn Presence) {
    let names = [
        "odd", "odd}", "{odd}", "}{", "%7D", "}", "odd:e", "odd e", "odd\n", "odd\0", "\u{fc}", "%",
    ];
    for (number, name) in (1..).zip(names) {
        add(presence, name, &attendee(name, number)).await;
    }
    for (number, name) in (1..).zip(names) {
        let info = attendee(name, number);
        let list = list(presence, name).await;
        assert_eq!(list.into_values().collect::<Vec<_>>(), [info], "{name}");
    }
}

/// Nobody has to be there.
pub async fn an_unknown_channel_is_empty(presence: &dyn Presence) {
    let client = attendee("a", 1).client;
    presence.remove(&channel("unknown"), client).await;
    assert_eq!(stats(presence, "unknown").await, (0, 0));
    assert!(list(presence, "unknown").await.is_empty());
}

/// Users are told apart by every byte of their ids, and counted rightly however many there are.
pub async fn many_users_are_told_apart(presence: &dyn Presence) {
    let name = "many";
    let user = |number: u8| format!("{}\0{}", number / 3, number % 2);
    for number in 1..=200 {
        add(presence, name, &attendee(&user(number), number)).await;
    }
    let distinct: std::collections::BTreeSet<_> = (1..=200).map(user).collect();
    assert_eq!(stats(presence, name).await, (200, distinct.len()));
    assert_eq!(list(presence, name).await.len(), 200);
}

/// Makes a test of every case. `$build` makes a future of what derefs to a presence,
/// `$run` runs one to its end.
#[macro_export]
macro_rules! presence_contract {
    ($build:expr, $run:expr) => {
        $crate::presence_contract!(@cases $build, $run;
            a_user_with_two_sessions_counts_once,
            a_channel_with_too_many_is_counted_but_not_listed,
            a_session_is_listed_as_it_was_added_last,
            an_empty_info_stays_one,
            channels_with_odd_names_do_not_mix,
            an_unknown_channel_is_empty,
            many_users_are_told_apart);
    };
    (@cases $build:expr, $run:expr; $($case:ident),*) => {
        $(
            #[test]
            fn $case() {
                $run(async {
                    let presence = $build().await;
                    $crate::testkit::contract::presence::$case(&*presence).await;
                });
            }
        )*
    };
}
