"""Planning from the command line: the table, the JSON, what is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tests.cli.conftest import Runner
from tests.plan.beds import bed

from banyan.core.layout import to_json

ARTICLE = "layers=26,hidden=3200,ffn=8640,heads=32,vocab=32000"
B13 = "layers=40,hidden=5120,ffn=13824,heads=40,vocab=32000"
HOSTS = """
[head]
name = "attic"
device = "rtx2080ti"
ranks = 4

[[host]]
name = "cellar"
address = "10.0.0.2"
device = "rtx2080ti"
ranks = 4

[link]
bandwidth = "1Gbit/s"
latency = "0.1ms"
"""
FACTS = json.dumps({"cluster": {"facts": to_json(bed(2, 1, "cpu"))}})


@pytest.fixture
def hosts(tmp_path: Path) -> str:
    path = tmp_path / "hosts.toml"
    path.write_text(HOSTS)
    return str(path)


@pytest.fixture
def facts(tmp_path: Path) -> str:
    path = tmp_path / "facts.json"
    path.write_text(FACTS)
    return str(path)


def test_the_articles_bed_is_told_replicas_with_their_memory_and_why_not_the_others(
    run: Runner, hosts: str
) -> None:
    shown = run("plan", ARTICLE, "--hosts", hosts, "--prompt", "2048", "--precision", "fp16")
    assert shown.code == 0
    lines = shown.out.splitlines()
    assert lines[0].endswith("in fp16, 32 requests at a time, 2048 tokens in, 128 out")
    assert any(line.split()[:3] == ["throughput", "8", "replicas"] for line in lines)
    for host in ("attic", "cellar"):
        assert f"{host}: 4 x rtx2080ti" in shown.out
    assert re.search(r"#{19}\. 9\d%", shown.out)
    assert "8 replicas wins: " in shown.out
    assert "Splitting every layer over everything (tp8) takes" in shown.out
    assert "loses time on sums between ranks:" in shown.out
    assert "does not fit:" in shown.out
    assert lines[-1].endswith(f"--hosts {hosts} --replicas 8")
    assert "BANYAN_KV_CACHE_BYTES=" in lines[-1]
    assert "Assumed, not measured: the link attic - cellar." in shown.err


def test_json_has_every_layout_with_its_bytes_seconds_cause_and_reason(
    run: Runner, hosts: str
) -> None:
    body = run("plan", B13, "--hosts", hosts, "--concurrency", "8", "--json").json
    assert set(body) == {"workload", "precision", "assumed", "best", "launch", "rejected"}
    assert set(body["best"]) == {"throughput", "ttft", "itl"}
    assert body["precision"] == "bf16"
    for each in [*body["best"].values(), *body["rejected"]]:
        parts = ("weights", "kv", "activations")
        for rank in each["ranks"]:
            assert rank["total_bytes"] == sum(rank[f"{part}_bytes"] for part in parts)
        fits = all(rank["total_bytes"] <= rank["limit_bytes"] for rank in each["ranks"])
        assert each["fits"] is fits
        assert each["ttft_s"] == pytest.approx(sum(each["ttft_parts_s"].values()))
        assert all(sum(layers) == 40 for layers in each["layers"])
    assert all(each["cause"] and each["reason"] for each in body["rejected"])
    assert all(len(each["ranks"]) > len(each["layers"]) for each in body["best"].values())


def test_facts_of_a_running_cluster_stand_for_a_hosts_file(run: Runner, facts: str) -> None:
    shown = run("plan", ARTICLE, "--facts", facts, "--concurrency", "1", "--objective", "itl")
    assert shown.code == 0
    assert "--workers 1 --layout" in shown.out
    assert "h0, h1" in shown.out


def test_machines_that_cannot_hold_the_model_are_named_with_what_would_fit(
    run: Runner, hosts: str
) -> None:
    ended = run("plan", ARTICLE, "--hosts", hosts, "--prompt", "100000", "--concurrency", "64")
    assert ended.code != 0
    assert ended.out == ""
    assert "No layout fits. The closest is" in ended.err
    assert "it may use 10.45 GB" in ended.err
    assert "It fits with" in ended.err


def test_every_layout_that_does_not_fit_says_what_it_needs(run: Runner, hosts: str) -> None:
    """Where only streaming is left, all resident layouts are listed, each with its arithmetic."""
    shape = B13.replace("layers=40", "layers=400")
    body = run("plan", shape, "--hosts", hosts, "--concurrency", "1", "--json").json
    resident = [each for each in body["rejected"] if "streamed" not in each["layout"]]
    assert len(resident) > 5
    for each in resident:
        assert each["cause"] == "does not fit"
        assert "it may use 10.45 GB" in each["reason"]
    assert body["launch"] == [
        f"The engine does not run {body['best']['throughput']['layout']} yet."
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([ARTICLE], "--hosts hosts.toml or --facts FILE"),
        ([ARTICLE, "--hosts", "HOSTS", "--facts", "FACTS"], "named twice"),
        ([ARTICLE, "--hosts", "absent.toml"], "absent.toml cannot be read"),
        ([ARTICLE, "--facts", "absent.json"], "absent.json cannot be read"),
        ([ARTICLE, "--facts", "HOSTS"], "not JSON"),
        ([ARTICLE, "--hosts", "HOSTS", "--objective", "speed"], "throughput, ttft, itl"),
        ([ARTICLE, "--hosts", "HOSTS", "--precision", "fp8"], "auto, fp32"),
        (["layers=26,hidden=3200", "--hosts", "HOSTS"], "It needs layers, hidden, ffn"),
        ([ARTICLE + ",colour=3", "--hosts", "HOSTS"], "something unknown"),
        ([ARTICLE + ",kv_heads=5", "--hosts", "HOSTS"], "cannot share 5 key-value heads"),
        ([ARTICLE + ",kv_heads=0", "--hosts", "HOSTS"], "between 1 and"),
        ([ARTICLE + ",experts=4", "--hosts", "HOSTS"], "needs experts_per_token"),
    ],
)
def test_wrong_arguments_are_refused_with_what_would_be_right(
    run: Runner, hosts: str, facts: str, arguments: list[str], said: str
) -> None:
    given = [{"HOSTS": hosts, "FACTS": facts}.get(each, each) for each in arguments]
    ended = run("plan", *given)
    assert ended.code == 2
    assert ended.out == ""
    assert said in ended.err
