"""Every supported API method through cent."""

import time

import pytest
from cent import (
    AsyncClient,
    BatchRequest,
    BroadcastRequest,
    CentApiResponseError,
    CentTransportError,
    CentUnauthorizedError,
    ChannelsRequest,
    ConnectionsRequest,
    Disconnect,
    DisconnectRequest,
    HistoryRemoveRequest,
    HistoryRequest,
    InfoRequest,
    PresenceRequest,
    PresenceStatsRequest,
    PublishRequest,
    RefreshRequest,
    StreamPosition,
    SubscribeRequest,
    UnsubscribeRequest,
)

from harness import Peer, someone


async def code(call) -> int:
    with pytest.raises(CentApiResponseError) as refused:
        await call
    return refused.value.code


async def test_publish_returns_the_position(api):
    first = await api.publish(PublishRequest(channel="room:publish", data={"n": 1}))
    second = await api.publish(PublishRequest(channel="room:publish", data={"n": 2}))
    assert (first.offset, second.offset) == (1, 2)
    assert first.epoch == second.epoch != ""
    unkept = await api.publish(PublishRequest(channel="room:publish", data={"n": 3}, skip_history=True))
    assert not unkept.offset


async def test_publish_repeated_with_its_key_happens_once(api):
    request = PublishRequest(channel="room:idempotent", data=1, idempotency_key="once")
    first, again = await api.publish(request), await api.publish(request)
    assert (first.offset, first.epoch) == (again.offset, again.epoch)
    history = await api.history(HistoryRequest(channel="room:idempotent", limit=-1))
    assert len(history.publications) == 1


async def test_publish_keeps_tags_and_refuses_bad_base64(api):
    await api.publish(PublishRequest(channel="room:tags", data=1, tags={"kind": "bell"}))
    history = await api.history(HistoryRequest(channel="room:tags", limit=1))
    assert history.publications[0].tags == {"kind": "bell"}
    assert await code(api.publish(PublishRequest(channel="room:tags", data=None, b64data="%%%"))) == 107


async def test_publish_errors(api):
    assert await code(api.publish(PublishRequest(channel="", data=1))) == 107
    assert await code(api.publish(PublishRequest(channel="nowhere:x", data=1))) == 102


async def test_broadcast_answers_for_each_channel(api):
    result = await api.broadcast(BroadcastRequest(channels=["room:b1", "nowhere:b", "room:b2"], data="ding"))
    good, bad, other = result.responses
    assert (good.error, good.result.offset) == (None, 1)
    assert bad.error.code == 102
    assert (other.error, other.result.offset) == (None, 1)
    assert await code(api.broadcast(BroadcastRequest(channels=[], data=1))) == 107


async def test_subscribe_and_unsubscribe(server, api):
    async with Peer(server.ws) as peer:
        await api.subscribe(SubscribeRequest(user=peer.user, channel="room:given", data={"hello": True}))
        opened = await peer.events.next("subscribed")
        assert (opened.channel, opened.data) == ("room:given", {"hello": True})
        await api.publish(PublishRequest(channel="room:given", data="ding"))
        assert (await peer.events.next("publication")).pub.data == "ding"
        await api.unsubscribe(UnsubscribeRequest(user=peer.user, channel="room:given"))
        assert (await peer.events.next("unsubscribed")).channel == "room:given"
    assert await code(api.subscribe(SubscribeRequest(user=peer.user, channel=""))) == 107
    assert await code(api.subscribe(SubscribeRequest(user=peer.user, channel="nowhere:x"))) == 102
    assert await code(api.unsubscribe(UnsubscribeRequest(user=peer.user, channel="nowhere:x"))) == 102


async def test_unsubscribe_ends_a_client_side_subscription(server, api):
    async with Peer(server.ws) as peer:
        _, events, _ = await peer.subscribe("plain:out")
        await api.unsubscribe(UnsubscribeRequest(user=peer.user, channel="plain:out"))
        ended = await events.next("unsubscribed")
        assert (ended.code, ended.reason) == (2000, "server unsubscribe")


async def test_disconnect(server, api):
    async with Peer(server.ws) as peer:
        await api.disconnect(DisconnectRequest(user=peer.user))
        ended = await peer.events.next("disconnected")
        assert (ended.code, ended.reason) == (3503, "force disconnect")
    async with Peer(server.ws) as peer:
        await api.disconnect(DisconnectRequest(user=peer.user, disconnect=Disconnect(code=4501, reason="bye")))
        ended = await peer.events.next("disconnected")
        assert (ended.code, ended.reason) == (4501, "bye")


async def test_disconnect_of_one_client_spares_the_other(server, api):
    user = someone()
    async with Peer(server.ws, user=user) as one, Peer(server.ws, user=user) as two:
        await two.subscribe("room:spared")
        await api.disconnect(DisconnectRequest(user=user, client=one.id))
        await one.events.next("disconnected")
        presence = await api.presence(PresenceRequest(channel="room:spared"))
        assert set(presence.presence) == {two.id}


async def test_refresh(server, api):
    async with Peer(server.ws) as peer:
        await api.refresh(RefreshRequest(user=peer.user, expire_at=int(time.time()) + 600))
        await api.refresh(RefreshRequest(user=peer.user, expired=True))
        assert (await peer.events.next("connecting")).code == 3005
    await api.refresh(RefreshRequest(user="nobody"))


async def test_presence_and_stats(server, api):
    async with Peer(server.ws) as peer:
        await peer.subscribe("room:here")
        presence = (await api.presence(PresenceRequest(channel="room:here"))).presence
        assert presence[peer.id].user == peer.user
        stats = await api.presence_stats(PresenceStatsRequest(channel="room:here"))
        assert (stats.num_clients, stats.num_users) == (1, 1)
    assert (await api.presence(PresenceRequest(channel="room:nobody"))).presence == {}
    for request in (PresenceRequest, PresenceStatsRequest):
        call = api.presence if request is PresenceRequest else api.presence_stats
        assert await code(call(request(channel="plain:x"))) == 108
        assert await code(call(request(channel="nowhere:x"))) == 102
        assert await code(call(request(channel=""))) == 107


async def test_history_and_its_removal(api):
    for n in range(1, 6):
        await api.publish(PublishRequest(channel="room:kept", data=n))
    top = await api.history(HistoryRequest(channel="room:kept"))
    assert (top.publications, top.offset) == ([], 5)

    async def page(**options):
        result = await api.history(HistoryRequest(channel="room:kept", **options))
        return [pub.data for pub in result.publications]

    assert await page(limit=-1) == [1, 2, 3, 4, 5]
    assert await page(limit=2, since=StreamPosition(offset=2, epoch=top.epoch)) == [3, 4]
    assert await page(limit=2, reverse=True) == [5, 4]
    stale = HistoryRequest(channel="room:kept", limit=1, since=StreamPosition(offset=1, epoch="other"))
    assert await code(api.history(stale)) == 112

    await api.history_remove(HistoryRemoveRequest(channel="room:kept"))
    after = await api.history(HistoryRequest(channel="room:kept", limit=-1))
    assert (after.publications, after.offset, after.epoch) == ([], 5, top.epoch)
    for call, request in ((api.history, HistoryRequest), (api.history_remove, HistoryRemoveRequest)):
        assert await code(call(request(channel="plain:x"))) == 108
        assert await code(call(request(channel="nowhere:x"))) == 102
        assert await code(call(request(channel=""))) == 107


async def test_channels_and_info(server, api):
    async with Peer(server.ws) as peer:
        await peer.subscribe("plain:listed")
        listed = (await api.channels(ChannelsRequest(pattern="plain:lis*"))).channels
        assert {name: channel.num_clients for name, channel in listed.items()} == {"plain:listed": 1}
        (node,) = (await api.info(InfoRequest())).nodes
        assert node.uid and node.name and node.version
        assert node.num_clients >= 1 and node.num_users >= 1
        assert node.num_channels >= 1 and node.num_subs >= 1


@pytest.mark.parametrize("parallel", [False, True])
async def test_batch_answers_in_order(api, parallel):
    channel = f"room:batch-{parallel}"
    # Only commands that succeed: cent itself fails on the reply of one that does not (KeyError).
    requests = [
        PublishRequest(channel=channel, data=1),
        PresenceRequest(channel=channel),
        ChannelsRequest(pattern="none*"),
    ]
    published, presence, channels = (
        await api.batch(BatchRequest(requests=requests, parallel=parallel))
    ).replies
    assert published.offset == 1
    assert presence.presence == {}
    assert channels.channels == {}


async def test_a_wrong_key_is_unauthorized(server):
    stranger = AsyncClient(server.api, "wrong")
    with pytest.raises(CentUnauthorizedError):
        await stranger.info(InfoRequest())
    await stranger.close()


async def test_a_method_not_served_is_a_transport_error(api):
    with pytest.raises(CentTransportError) as refused:
        await api.connections(ConnectionsRequest(user="u", expression=""))
    assert refused.value.status_code == 404
