import pytest
from cent import AsyncClient

from harness import API_KEY, Server


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("campanile"))
    yield server
    server.stop()


@pytest.fixture
async def api(server):
    client = AsyncClient(server.api, API_KEY)
    yield client
    await client.close()
