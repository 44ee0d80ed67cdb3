"""Memory for copies to a card, where there is none and where the system refuses to pin it."""

from __future__ import annotations

import logging

import torch

from banyan.engine.stream import pinned
from banyan.engine.stream.pinned import host_memory


def test_memory_begins_on_a_page_and_is_there_to_be_written():
    memory = host_memory(5000, torch.device("cpu"))
    assert memory.data.data_ptr() % 4096 == 0
    assert not memory.data.any()
    memory.data.fill_(7)
    assert int(memory.data.sum()) == 7 * 5000
    assert not memory.is_pinned


def test_where_the_system_refuses_the_same_memory_serves_and_a_warning_says_so_once(
    monkeypatch, caplog
):
    card = torch.device("cuda:0")
    monkeypatch.setattr(pinned, "_pin", lambda data, device: False)
    pinned._say_refused.cache_clear()
    with caplog.at_level(logging.WARNING):
        found = [host_memory(size, card) for size in (4096, 8192)]
    assert [(len(memory.data), memory.is_pinned) for memory in found] == [
        (4096, False),
        (8192, False),
    ]
    assert caplog.text.count("refuses to pin") == 1
    assert "ulimit -l" in caplog.text
