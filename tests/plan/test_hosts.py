"""The hosts file, as its owner writes it."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banyan.core.errors import InputError
from banyan.core.layout import LinkFacts
from banyan.plan.hosts import (
    DEFAULT_LINK,
    MAX_HOSTS,
    MAX_RANKS,
    HostSpec,
    memory_bytes,
    parse_hosts,
)

FILE = """
[head]
address = "10.0.0.1"
ranks = 2
tls = true

[[host]]
name = "attic"
address = "10.0.0.2"
ssh = "me@10.0.0.2"
ranks = 4
device = "cuda:0"
memory = "8GiB"
command = "/opt/banyan"

[[host]]
name = "cellar"

[link]
bandwidth = "2.5Gbit/s"
latency = "0.2 ms"
"""


def test_everything_that_can_be_said_is_read() -> None:
    file = parse_hosts(FILE)
    assert file.head == HostSpec(name="head", address="10.0.0.1", ranks=2)
    assert file.hosts[0] == HostSpec(
        name="attic",
        address="10.0.0.2",
        ssh="me@10.0.0.2",
        ranks=4,
        device="cuda:0",
        memory_bytes=8 << 30,
        command="/opt/banyan",
    )
    assert file.hosts[1] == HostSpec(name="cellar")
    assert file.link == LinkFacts(latency_s=2e-4, bandwidth=2.5e9 / 8)
    assert file.tls
    assert [host.name for host in file.all] == ["head", "attic", "cellar"]


def test_an_empty_file_is_this_machine_alone() -> None:
    file = parse_hosts("")
    assert (file.head, file.hosts, file.link) == (HostSpec(name="head"), (), DEFAULT_LINK)
    assert not file.tls


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[host]]\nname = 3", "host 1"),
        ("[[host]]\naddress = '10.0.0.2'", "host 1"),
        ("[[host]]\nname = 'a'\nrank = 2", "rank"),
        ("[[host]]\nname = 'a'\nranks = 0", "0"),
        ("[[host]]\nname = 'a'\nranks = true", "True"),
        (f"[[host]]\nname = 'a'\nranks = {MAX_RANKS + 1}", str(MAX_RANKS)),
        ("[[host]]\nname = 'a'\nssh = 7", "ssh of a"),
        ("[[host]]\nname = 'a'\nmemory = 'much'", "much"),
        ("[[host]]\nname = 'a'\nmemory = 8", "8"),
        ("[[host]]\nname = 'a'\nmemory = '0GiB'", "0GiB"),
        ("[[host]]\nname = 'a'\n[[host]]\nname = 'a'", "'a'"),
        ("[[host]]\nname = 'head'", "'head'"),
        ("[head]\naddress = 'x'\n[[host]]\nname = 'a'\naddress = 'x'", "'x'"),
        ("[link]\nbandwidth = 'fast'", "fast"),
        ("[link]\nbandwidth = '1GB'", "1GB"),
        ("[link]\nlatency = '1'", "'1'"),
        ("[link]\nspeed = '1Gbit/s'", "speed"),
        ("[links]", "links"),
        ("head = 3", "head"),
        ("host = {name = 'a'}", str(MAX_HOSTS)),
        ("host = [3]", "host"),
        ("[head", "TOML"),
        ("[head]\ntls = 'yes'", "tls of .head. is 'yes'"),
        ("[head]\nssh = 'me@here'", "ssh"),
        ("[head]\nport = 1", "port"),
        ("[[host]]\nname = 'a'\ntls = true", "tls"),
        ("[[host]]\nname = 'a'\nranks = 1.5", "1.5"),
        ("[[host]]\nname = 'a'\nranks = -1", "-1"),
        ("[[host]]\nname = ''", "no name"),
        ("[[host]]\nname = 'a'\nname = 'b'", "TOML"),
    ],
)
def test_what_is_wrong_is_refused_by_name(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        parse_hosts(text)


def test_more_hosts_than_the_limit_are_refused() -> None:
    text = "".join(f"[[host]]\nname = 'h{i}'\n" for i in range(MAX_HOSTS + 1))
    with pytest.raises(InputError, match=str(MAX_HOSTS)):
        parse_hosts(text)


@pytest.mark.parametrize(
    ("text", "count"),
    [("8GiB", 8 << 30), ("11 GB", 11 * 10**9), ("1.5kB", 1500), ("512", 512), ("2TiB", 2 << 40)],
)
def test_memory_is_read_in_both_kinds_of_units(text: str, count: int) -> None:
    assert memory_bytes(text) == count


@given(st.text(max_size=60))
def test_no_text_does_anything_but_be_read_or_refused(text: str) -> None:
    with suppress(InputError):
        assert parse_hosts(text).head.ranks >= 1
