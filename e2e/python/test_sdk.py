"""The server through centrifuge-python, in both of its encodings."""

import asyncio

import pytest
from cent import DisconnectRequest, Disconnect, PublishRequest, SubscribeRequest, UnsubscribeRequest
from centrifuge import Client, DeltaType, Filter, ReplyError, StreamPosition

from harness import JSON, PROTOBUF, ClientEvents, Line, Peer, SubscriptionEvents, someone, token

VALUES = [
    "text",
    "",
    'emoji: \U0001f514, accents: é, newline:\nquote:" zero: \0',
    0,
    -0.0125,
    2**53 - 1,
    True,
    [],
    {},
    {"nested": {"deep": [[{"\U0001f3f0": None}]]}},
]


@pytest.fixture(params=[JSON, PROTOBUF], ids=lambda encoding: encoding.name)
def encoding(request):
    return request.param


@pytest.fixture
def join(server, encoding):
    """Makes peers that speak the encoding of this run."""
    return lambda url=server.ws, **options: Peer(url, encoding, **options)


@pytest.fixture
def channel(request, encoding):
    """The part of a name behind its namespace that no other test has."""
    return f"{request.node.originalname}-{encoding.name}"


async def published(api, channel, *payloads, **options):
    for data in payloads:
        await api.publish(PublishRequest(channel=channel, data=data, **options))


async def refusal(peer, channel, **options):
    events = SubscriptionEvents()
    await peer.client.new_subscription(channel, events=events, **options).subscribe()
    return (await events.next("unsubscribed")).code


def numbers(publications):
    return [publication.data for publication in publications]


async def test_connects_and_learns_its_client_id(join):
    async with join() as one, join() as two:
        assert one.id and two.id and one.id != two.id


async def test_an_invalid_token_is_terminal(server, encoding):
    events = ClientEvents()
    client = Client(server.ws, events=events, use_protobuf=encoding.use_protobuf, token=token(someone())[:-4])
    await client.connect()
    assert (await events.next("disconnected")).code == 3500


async def test_an_expired_token_is_replaced(join):
    user = someone()

    async def fresh():
        return token(user)

    async with join(user=user, token=token(user, lifetime=-60), get_token=fresh) as peer:
        assert peer.id


async def test_a_connection_that_is_refreshed_outlives_its_first_token(join):
    user = someone()
    asked = []

    async def fresh():
        asked.append(user)
        return token(user)

    async def never():
        await asyncio.Event().wait()

    short = token(user, lifetime=2)
    async with join(user=user, token=short, get_token=fresh) as peer:
        # The twin is not refreshed: its end tells that the moment has passed.
        twin = join(user=user, token=short, get_token=never)
        async with twin:
            assert (await twin.events.next("connecting")).code == 3005
        with pytest.raises(ReplyError) as refused:
            await peer.client.rpc("still-there", peer.encoding.encode(None))
        assert refused.value.code == 108
        assert len(asked) == 1


async def test_publications_arrive_in_order(join, api, channel):
    channel = f"room:{channel}"
    async with join() as peer:
        sub, events, _ = await peer.subscribe(channel)
        await sub.publish(peer.encoding.encode({"n": 0}))
        await published(api, channel, *({"n": n} for n in range(1, 20)))
        seen = await peer.publications(events, 20)
        assert [pub.data["n"] for pub in seen] == list(range(20))
        assert [pub.offset for pub in seen] == list(range(1, 21))
        assert seen[0].info.user == peer.user
        assert seen[1].info is None


async def test_values_arrive_as_they_were(join, api, channel):
    channel = f"room:{channel}"
    async with join() as peer:
        sub, events, _ = await peer.subscribe(channel)
        for value in VALUES:
            await sub.publish(peer.encoding.encode(value))
            await published(api, channel, value)
        seen = await peer.publications(events, 2 * len(VALUES))
        assert numbers(seen) == [value for value in VALUES for _ in range(2)]


async def test_bytes_that_are_no_text_arrive_byte_for_byte(server, api):
    async with Peer(server.ws, PROTOBUF) as peer:
        sub, events, _ = await peer.subscribe("bytes:python")
        for data in (bytes(range(256)), b"\0", b"\xff\xfe"):
            await sub.publish(data)
            assert (await events.next("publication")).pub.data == data


async def test_history_pages(join, api, channel):
    channel = f"room:{channel}"
    async with join() as peer:
        sub, _, _ = await peer.subscribe(channel)
        await published(api, channel, *range(1, 11))
        top = await sub.history()
        assert (top.publications, top.offset) == ([], 10)

        async def page(**options):
            return [peer.read(publication).data for publication in (await sub.history(**options)).publications]

        assert await page(limit=3, since=StreamPosition(offset=4, epoch=top.epoch)) == [5, 6, 7]
        assert await page(limit=3, reverse=True) == [10, 9, 8]
        with pytest.raises(ReplyError) as refused:
            await sub.history(limit=3, since=StreamPosition(offset=4, epoch="other"))
        assert refused.value.code == 112


async def test_presence_join_and_leave(join, channel):
    channel = f"room:{channel}"
    async with join() as one:
        sub, events, _ = await one.subscribe(channel)
        assert (await events.next("join")).info.client == one.id
        async with join() as two:
            await two.subscribe(channel)
            assert (await events.next("join")).info.user == two.user
            assert set((await sub.presence()).clients) == {one.id, two.id}
            stats = await sub.presence_stats()
            assert (stats.num_clients, stats.num_users) == (2, 2)
        assert (await events.next("leave")).info.client == two.id
        assert set((await sub.presence()).clients) == {one.id}


async def test_refusals_carry_the_documented_codes(join):
    async with join() as peer:
        nothing = peer.encoding.encode({})
        assert await refusal(peer, "locked:x") == 103
        assert await refusal(peer, "nowhere:x") == 102
        with pytest.raises(ReplyError) as refused:
            await peer.client.rpc("anything", nothing)
        assert refused.value.code == 108
        with pytest.raises(ReplyError) as refused:
            await peer.client.publish("plain:x", nothing)
        assert refused.value.code == 103


async def test_disconnects_are_terminal_or_temporary_by_their_code(join, api):
    async with join() as peer:
        await api.disconnect(DisconnectRequest(user=peer.user, disconnect=Disconnect(code=4000, reason="again")))
        lost = await peer.events.next("connecting")
        assert (lost.code, lost.reason) == (4000, "again")
        await peer.events.next("connected")
        await api.disconnect(DisconnectRequest(user=peer.user))
        end = await peer.events.next("disconnected")
        assert (end.code, end.reason) == (3503, "force disconnect")


async def test_a_subscription_token_opens_what_is_locked(join, api, channel):
    channel = f"locked:{channel}"
    async with join() as peer:
        _, events, _ = await peer.subscribe(channel, token=token(peer.user, channel=channel))
        await published(api, channel, "secret")
        assert numbers(await peer.publications(events, 1)) == ["secret"]


async def test_a_subscription_that_is_refreshed_outlives_its_first_token(join, api, channel):
    channel = f"locked:{channel}"
    asked = []
    async with join() as peer, join(user=peer.user) as twin:
        short = token(peer.user, lifetime=2, channel=channel)

        async def fresh(_):
            asked.append(channel)
            return token(peer.user, channel=channel)

        async def never(_):
            await asyncio.Event().wait()

        _, events, _ = await peer.subscribe(channel, token=short, get_token=fresh)
        _, twins, _ = await twin.subscribe(channel, token=short, get_token=never)
        assert (await twins.next("subscribing")).code == 2501
        await published(api, channel, "still here")
        assert numbers(await peer.publications(events, 1)) == ["still here"]
        assert len(asked) == 1


async def test_unsubscribing_stops_the_flow(join, api, channel):
    # Without history, so that what was missed is not recovered on return.
    channel = f"plain:{channel}"
    async with join() as peer:
        sub, events, _ = await peer.subscribe(channel)
        await sub.unsubscribe()
        await events.next("unsubscribed")
        await published(api, channel, 1)
        await sub.subscribe()
        await events.next("subscribed")
        await published(api, channel, 2)
        assert numbers(await peer.publications(events, 1)) == [2]


async def test_a_tags_filter_lets_through_what_it_is_to(join, api, channel):
    channel = f"tagged:{channel}"
    async with join() as peer:
        wanted = Filter.all(Filter.is_in("team", ["red", "blue"]), Filter.negate(Filter.lt("score", "9.5")))
        _, events, _ = await peer.subscribe(channel, tags_filter=wanted)
        await published(api, channel, 1, tags={"team": "red", "score": "9.50"})
        await published(api, channel, 2, tags={"team": "red", "score": "9.49"})
        await published(api, channel, 3, tags={"team": "green", "score": "10"})
        await published(api, channel, 4)
        await published(api, channel, 5, tags={"team": "blue"})
        seen = await peer.publications(events, 2)
        assert numbers(seen) == [1, 5]
        assert seen[0].tags == {"team": "red", "score": "9.50"}


async def test_server_side_subscriptions_come_and_go(join, api, channel):
    channel = f"room:{channel}"
    async with join() as peer:
        await api.subscribe(SubscribeRequest(user=peer.user, channel=channel))
        assert (await peer.events.next("subscribed")).channel == channel
        await published(api, channel, "hello")
        assert numbers(await peer.publications(peer.events, 1)) == ["hello"]
        await api.unsubscribe(UnsubscribeRequest(user=peer.user, channel=channel))
        assert (await peer.events.next("unsubscribed")).channel == channel


async def away(line, peer, api, channel, *payloads):
    """Publishes payloads while the peer's line is down."""
    line.down()
    await peer.events.next("connecting")
    await published(api, channel, *payloads)
    line.up()


async def test_what_was_missed_is_recovered(server, join, api, channel):
    channel = f"room:{channel}"
    async with Line(server) as line, join(line.ws) as peer:
        _, events, _ = await peer.subscribe(channel)
        await away(line, peer, api, channel, *range(1, 51))
        back = await events.next("subscribed")
        assert (back.was_recovering, back.recovered) == (True, True)
        seen = await peer.publications(events, 50)
        assert numbers(seen) == list(range(1, 51))
        assert [pub.offset for pub in seen] == list(range(1, 51))


async def test_what_is_beyond_history_is_admitted(server, join, api, channel):
    channel = f"short:{channel}"
    async with Line(server) as line, join(line.ws) as peer:
        _, events, _ = await peer.subscribe(channel)
        await away(line, peer, api, channel, *range(6))
        back = await events.next("subscribed")
        assert (back.was_recovering, back.recovered) == (True, False)
        assert back.stream_position.offset == 6


async def test_server_side_subscriptions_are_recovered(server, join, api, channel):
    channel = f"room:{channel}"
    user = someone()
    async with Line(server) as line, join(line.ws, user=user, token=token(user, channels=[channel])) as peer:
        assert (await peer.events.next("subscribed")).channel == channel
        await away(line, peer, api, channel, *range(20))
        assert (await peer.events.next("subscribed")).recovered
        assert numbers(await peer.publications(peer.events, 20)) == list(range(20))


async def test_positioning_and_recovery_are_granted_to_who_asks(join, channel):
    channel = f"wish:{channel}"
    async with join() as one, join() as two, join() as three:
        _, _, plain = await one.subscribe(channel)
        assert (plain.positioned, plain.recoverable) == (False, False)
        _, _, positioned = await two.subscribe(channel, positioned=True)
        assert (positioned.positioned, positioned.recoverable) == (True, False)
        _, _, recoverable = await three.subscribe(channel, recoverable=True)
        assert (recoverable.positioned, recoverable.recoverable) == (True, True)


async def test_an_application_loads_its_state_again_when_it_cannot_be_recovered(server, join, api, channel):
    channel = f"short:{channel}"
    states = []

    async with Line(server) as line, join(line.ws) as peer, join() as source:
        reader, _, _ = await source.subscribe(channel)

        async def state(_):
            top = await reader.history()
            states.append(top.offset)
            return StreamPosition(offset=top.offset, epoch=top.epoch)

        _, events, _ = await peer.subscribe(channel, get_state=state, min_resubscribe_delay=0.02)
        await away(line, peer, api, channel, 1, 2)
        assert (await events.next("subscribed")).recovered
        assert numbers(await peer.publications(events, 2)) == [1, 2]
        await away(line, peer, api, channel, *range(8))
        assert (await events.next("subscribed")).recovered
        assert states == [0, 10]


async def test_a_cache_gives_its_newest_publication(server, join, api, channel):
    channel = f"cache:{channel}"

    async def nothing(_):
        return StreamPosition(offset=0, epoch="")

    await published(api, channel, 1, 2, 3)
    async with Line(server) as line, join(line.ws) as peer:
        _, events, first = await peer.subscribe(channel, get_state=nothing)
        assert (first.was_recovering, first.recovered) == (True, True)
        assert numbers(await peer.publications(events, 1)) == [3]
        await away(line, peer, api, channel, *range(4, 20))
        assert (await events.next("subscribed")).recovered
        await published(api, channel, 20)
        assert numbers(await peer.publications(events, 2)) == [19, 20]


async def test_deltas_add_up_across_a_loss_of_the_line(server, join, api, channel):
    channel = f"delta:{channel}"
    words = ["bell", "Glöckchen", "鐘楼", "\U0001f514\U0001f3f0"]
    documents = [[f"{n}: {words[n % 4]}" for n in range(length)] for length in range(20, 50)]
    async with Line(server) as line, join(line.ws) as peer:
        _, events, _ = await peer.subscribe(channel, delta=DeltaType.FOSSIL)
        await published(api, channel, *documents[:10])
        before = await peer.publications(events, 10)
        await away(line, peer, api, channel, *documents[10:20])
        assert (await events.next("subscribed")).recovered
        await published(api, channel, *documents[20:])
        seen = before + await peer.publications(events, 20)
        assert numbers(seen) == documents
        assert sum(publication.delta for publication in seen) >= 28
