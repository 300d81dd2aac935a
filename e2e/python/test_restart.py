"""Another process takes the server's place while centrifuge-python is connected."""

import signal

import pytest
from cent import AsyncClient, PublishRequest
from centrifuge import DeltaType, StreamPosition

from harness import API_KEY, JSON, PROTOBUF, Peer, Server, someone, token

NO_DRAIN = {"shutdown": {"drain": "0s"}}
MEMORY = {"engine": {"type": "memory"}}


@pytest.fixture(params=[signal.SIGTERM, signal.SIGKILL], ids=lambda how: how.name)
def how(request):
    return request.param


@pytest.fixture(params=[JSON, PROTOBUF], ids=lambda encoding: encoding.name)
def encoding(request):
    return request.param


@pytest.fixture
def start(tmp_path):
    """Starts a server that is this test's alone."""
    servers = []

    def started(**settings):
        servers.append(Server(tmp_path, **NO_DRAIN, **settings))
        return servers[-1]

    yield started
    for server in servers:
        server.stop()


async def published(server, channel, *payloads):
    """Through a client of its own: the connections of an older one are gone with the older process."""
    api = AsyncClient(server.api, API_KEY)
    for data in payloads:
        await api.publish(PublishRequest(channel=channel, data=data))
    await api.close()


async def test_a_restart_is_invisible_to_who_recovers(start, how, encoding):
    server = start()
    user = someone()
    deltas = [[f"{n}: Glöckchen" for n in range(length)] for length in range(20, 40)]
    async with Peer(server.ws, encoding, user=user, token=token(user, channels=["room:own"])) as peer:
        await peer.events.next("subscribed")
        sub, events, first = await peer.subscribe("room:kept")
        _, growth, _ = await peer.subscribe("delta:kept", delta=DeltaType.FOSSIL)
        await sub.publish(encoding.encode("of the client"))
        await published(server, "room:kept", 2, 3)
        await published(server, "room:own", 1)
        await published(server, "cache:kept", 1, 2)
        await published(server, "delta:kept", *deltas[:10])
        before = await peer.publications(events, 3)
        grown = await peer.publications(growth, 10)
        await peer.publications(peer.events, 1)

        await server.restart(how)

        back = await events.next("subscribed")
        assert (back.was_recovering, back.recovered) == (True, True)
        assert back.stream_position.epoch == first.stream_position.epoch
        assert (await peer.events.next("subscribed")).recovered
        assert (await growth.next("subscribed")).recovered
        await sub.publish(encoding.encode(4))
        await published(server, "room:own", 2)
        await published(server, "delta:kept", *deltas[10:])
        seen = before + await peer.publications(events, 1)
        assert [publication.data for publication in seen] == ["of the client", 2, 3, 4]
        assert [publication.offset for publication in seen] == [1, 2, 3, 4]
        assert [publication.data for publication in await peer.publications(peer.events, 1)] == [2]
        grown += await peer.publications(growth, 10)
        assert [publication.data for publication in grown] == deltas
        history = await sub.history(limit=-1)
        assert [peer.read(publication).data for publication in history.publications] == ["of the client", 2, 3, 4]
        (there,) = (await sub.presence()).clients.values()
        assert there.user == user

        async def nothing(_):
            return StreamPosition(offset=0, epoch="")

        _, cache, context = await peer.subscribe("cache:kept", get_state=nothing)
        assert context.recovered
        assert [publication.data for publication in await peer.publications(cache, 1)] == [2]


async def test_a_server_that_keeps_its_streams_in_memory_says_that_they_are_gone(start, how, encoding):
    server = start(**MEMORY)
    async with Peer(server.ws, encoding) as peer:
        _, events, first = await peer.subscribe("room:gone")
        await published(server, "room:gone", 1)
        await peer.publications(events, 1)

        await server.restart(how)

        back = await events.next("subscribed")
        assert (back.was_recovering, back.recovered) == (True, False)
        assert back.stream_position.epoch != first.stream_position.epoch
        await published(server, "room:gone", 2)
        assert [(pub.data, pub.offset) for pub in await peer.publications(events, 1)] == [(2, 1)]
