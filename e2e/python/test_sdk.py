"""The server through centrifuge-python, JSON protocol."""

import pytest
from cent import PublishRequest
from centrifuge import Client, ReplyError, StreamPosition

from harness import ClientEvents, Line, Peer, SubscriptionEvents, someone, token


async def published(api, channel, *payloads):
    for data in payloads:
        await api.publish(PublishRequest(channel=channel, data=data))


async def refusal(peer, channel, **options):
    events = SubscriptionEvents()
    await peer.client.new_subscription(channel, events=events, **options).subscribe()
    return (await events.next("unsubscribed")).code


async def test_connects_and_learns_its_client_id(server):
    async with Peer(server.ws) as one, Peer(server.ws) as two:
        assert one.id and two.id and one.id != two.id


async def test_an_invalid_token_is_terminal(server):
    events = ClientEvents()
    await Client(server.ws, events=events, token=token(someone())[:-4]).connect()
    assert (await events.next("disconnected")).code == 3500


async def test_an_expired_token_is_replaced(server):
    user = someone()

    async def fresh():
        return token(user)

    async with Peer(server.ws, user=user, token=token(user, lifetime=-60), get_token=fresh) as peer:
        assert peer.id


async def test_publications_arrive_in_order(server, api):
    async with Peer(server.ws) as peer:
        sub, events, _ = await peer.subscribe("room:order")
        await sub.publish({"n": 0})
        await published(api, "room:order", *({"n": n} for n in range(1, 20)))
        seen = [(await events.next("publication")).pub for _ in range(20)]
        assert [pub.data["n"] for pub in seen] == list(range(20))
        assert [pub.offset for pub in seen] == list(range(1, 21))
        assert seen[0].info.user == peer.user
        assert seen[1].info is None


async def test_history_pages(server, api):
    async with Peer(server.ws) as peer:
        sub, _, _ = await peer.subscribe("room:history")
        await published(api, "room:history", *range(1, 11))
        top = await sub.history()
        assert (top.publications, top.offset) == ([], 10)
        page = await sub.history(limit=3, since=StreamPosition(offset=4, epoch=top.epoch))
        assert [pub.data for pub in page.publications] == [5, 6, 7]
        page = await sub.history(limit=3, reverse=True)
        assert [pub.data for pub in page.publications] == [10, 9, 8]
        with pytest.raises(ReplyError) as refused:
            await sub.history(limit=3, since=StreamPosition(offset=4, epoch="other"))
        assert refused.value.code == 112


async def test_presence_join_and_leave(server):
    async with Peer(server.ws) as one:
        sub, events, _ = await one.subscribe("room:presence")
        assert (await events.next("join")).info.client == one.id
        async with Peer(server.ws) as two:
            await two.subscribe("room:presence")
            assert (await events.next("join")).info.user == two.user
            assert set((await sub.presence()).clients) == {one.id, two.id}
            stats = await sub.presence_stats()
            assert (stats.num_clients, stats.num_users) == (2, 2)
        assert (await events.next("leave")).info.client == two.id
        assert set((await sub.presence()).clients) == {one.id}


async def test_refusals_carry_the_documented_codes(server):
    async with Peer(server.ws) as peer:
        assert await refusal(peer, "locked:x") == 103
        assert await refusal(peer, "nowhere:x") == 102
        with pytest.raises(ReplyError) as refused:
            await peer.client.rpc("anything", {})
        assert refused.value.code == 108
        with pytest.raises(ReplyError) as refused:
            await peer.client.publish("plain:x", 1)
        assert refused.value.code == 103


async def test_a_subscription_token_opens_what_is_locked(server, api):
    async with Peer(server.ws) as peer:
        _, events, _ = await peer.subscribe("locked:mine", token=token(peer.user, channel="locked:mine"))
        await published(api, "locked:mine", "secret")
        assert (await events.next("publication")).pub.data == "secret"


async def test_unsubscribing_stops_the_flow(server, api):
    # Without history, so that what was missed is not recovered on return.
    async with Peer(server.ws) as peer:
        sub, events, _ = await peer.subscribe("plain:stop")
        await sub.unsubscribe()
        await events.next("unsubscribed")
        await published(api, "plain:stop", 1)
        await sub.subscribe()
        await events.next("subscribed")
        await published(api, "plain:stop", 2)
        assert (await events.next("publication")).pub.data == 2


async def away(line, peer, api, channel, count):
    """Publishes `count` payloads while the peer's line is down."""
    line.down()
    await peer.events.next("connecting")
    await published(api, channel, *range(1, count + 1))
    line.up()


async def test_what_was_missed_is_recovered(server, api):
    async with Line(server) as line, Peer(line.ws) as peer:
        _, events, _ = await peer.subscribe("room:away")
        await away(line, peer, api, "room:away", 50)
        back = await events.next("subscribed")
        assert (back.was_recovering, back.recovered) == (True, True)
        seen = [(await events.next("publication")).pub for _ in range(50)]
        assert [pub.data for pub in seen] == list(range(1, 51))
        assert [pub.offset for pub in seen] == list(range(1, 51))


async def test_what_is_beyond_history_is_admitted(server, api):
    async with Line(server) as line, Peer(line.ws) as peer:
        _, events, _ = await peer.subscribe("short:gap")
        await away(line, peer, api, "short:gap", 6)
        back = await events.next("subscribed")
        assert (back.was_recovering, back.recovered) == (True, False)
        assert back.stream_position.offset == 6
