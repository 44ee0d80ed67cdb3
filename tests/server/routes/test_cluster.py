"""Who computes together, as the API tells it."""

from __future__ import annotations

import httpx
from tests.server import cluster_states
from tests.server.harness import Running, running
from tests.server.stubs import StubApp

from banyan.core.cluster import ClusterStatus
from banyan.core.layout import from_json
from banyan.server.keys import KeyRing


def test_a_server_of_one_machine_says_so(client: httpx.Client) -> None:
    assert client.get("/api/cluster").json() == {"cluster": None}


def test_the_cluster_is_told_whole(server: Running, client: httpx.Client) -> None:
    status = cluster_states.of(2, 1)
    server.app.cluster = cluster_states.StubCluster(status)
    told = client.get("/api/cluster").json()["cluster"]
    assert from_json(ClusterStatus, told) == status
    assert [len(host["ranks"]) for host in told["hosts"]] == [2, 1]
    assert told["hosts"][0]["ranks"][1]["share"]["heads"] == {"begin": 3, "end": 6}


def test_only_who_has_a_key_is_told(app: StubApp) -> None:
    app.cluster = cluster_states.StubCluster(cluster_states.waiting())
    key = KeyRing(app.settings.home / "keys.json").add("operator")
    with running(app, allowed_hosts="banyan.example") as server:
        assert httpx.get(f"{server.url}/api/cluster").status_code == 401
        told = httpx.get(f"{server.url}/api/cluster", headers={"Authorization": f"Bearer {key}"})
        assert told.json()["cluster"]["address"] == "10.0.0.1:7946"
