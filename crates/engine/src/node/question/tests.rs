//! Questions and answers come back as they were, and any other bytes do no harm.

use campanile_protocol::UserId;
use proptest::prelude::*;

use super::*;

fn id(number: u8) -> ClientId {
    ClientId::from_random([number; 16], number)
}

fn orders(number: u64, text: &str, bytes: &[u8]) -> Vec<Order> {
    let grant = Grant {
        info: Some(bytes.into()),
        data: None,
        expire_at: Some(number.cast_signed()),
        recovers_cache: true,
        overrides: Overrides {
            presence: Some(true),
            join_leave: Some(false),
            force_push_join_leave: None,
            force_positioning: Some(false),
            force_recovery: Some(true),
        },
    };
    let position = Position {
        epoch: Epoch::new("era"),
        offset: number,
    };
    let channel = ChannelName::trusted(text);
    vec![
        Order::Subscribe {
            channel: channel.clone(),
            grant,
            recover: Some(position),
        },
        Order::Subscribe {
            channel: channel.clone(),
            grant: Grant::default(),
            recover: None,
        },
        Order::Unsubscribe {
            channel: Some(channel),
            unsubscribed: Unsubscribed::SERVER,
        },
        Order::Unsubscribe {
            channel: None,
            unsubscribed: Unsubscribed::SERVER,
        },
        Order::Disconnect(Disconnect::new(4500, text.to_owned())),
        Order::Message(bytes.into()),
        Order::Refresh {
            expire_at: Some(-1),
            info: Some(bytes.into()),
        },
        Order::Refresh {
            expire_at: None,
            info: None,
        },
        Order::Claim(number),
        Order::Reclaim(number),
        Order::Yield(Claim {
            at: number,
            client: id(3),
        }),
    ]
}

proptest! {
    #[test]
    fn questions_come_back_as_they_were(number: u64, text: String, bytes: Vec<u8>, more: Vec<u8>) {
        let targets = [
            Target::Everybody,
            Target::user(text.clone()),
            Target::User {
                user: text.clone(),
                only: Some(id(1)),
                spared: vec![id(2), id(3)],
            },
        ];
        let mut questions = vec![
            Question::Channels(text.clone()),
            Question::Presence(ChannelName::trusted(&text), usize::MAX),
            Question::PresenceStats(ChannelName::trusted(&text)),
        ];
        for target in targets {
            let orders = orders(number, &text, &bytes).into_iter();
            questions.extend(orders.map(|order| Question::Order(target.clone(), order)));
        }
        for question in questions {
            let mut spelled = question.encode();
            // What a newer version adds is passed over.
            spelled.extend(&more);
            prop_assert_eq!(Question::decode(&spelled), Ok(question));
        }
    }

    #[test]
    fn any_bytes_will_do(bytes: Vec<u8>, kind in 0..6_u8, order in 0..9_u8) {
        let _ = Question::decode(&bytes);
        let _ = read_count(&bytes);
        let _ = read_channels(&bytes);
        let _ = read_clients(&bytes);
        let _ = read_attendance(&bytes);
        let _ = Question::decode(&[&[kind, 0, order], bytes.as_slice()].concat());
    }

    #[test]
    fn answers_come_back_as_they_were(text: String, bytes: Vec<u8>, number: usize, users: Vec<u64>) {
        prop_assert_eq!(read_count(&spell_count(number)), Ok(number));
        let channels = [(text.as_str(), number), ("b", 1)];
        let spelled = spell_channels(channels.into_iter());
        prop_assert_eq!(read_channels(&spelled), Ok(channels.to_vec()));
        let info = Arc::new(ClientInfo {
            user: UserId::new(&text),
            client: id(1),
            conn_info: Some(bytes.as_slice().into()),
            chan_info: None,
        });
        let clients = vec![Arc::clone(&info), info];
        prop_assert_eq!(read_clients(&spell_clients(Some(&clients))), Ok(Some(clients)));
        prop_assert_eq!(read_clients(&spell_clients(None)), Ok(None));
        let spelled = spell_attendance(number, &users);
        prop_assert_eq!(read_attendance(&spelled), Ok((number, users)));
    }
}
