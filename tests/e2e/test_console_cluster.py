"""The Cluster page: machines and links to look at, what was picked and why, what to do next."""

from __future__ import annotations

from dataclasses import replace

import pytest
from playwright.sync_api import Page, expect
from tests.e2e.conftest import Console, OpenConsole
from tests.e2e.console_stub import Shop
from tests.e2e.test_console_access import FAINT, NAMELESS, PHONE
from tests.server import cluster_states

pytestmark = pytest.mark.browser

JOIN = "banyan join 10.0.0.1:7946 --token TOKEN"


def opened(open_console: OpenConsole, shop: Shop, **context: object) -> tuple[Console, Page]:
    console = open_console(shop, **context)
    page = console.open("cluster")
    page.locator(".cluster-body .card").first.wait_for()
    return console, page


def tile(page: Page, name: str) -> str:
    found = page.locator(".tile", has=page.locator(".tile-name", has_text=name))
    return " ".join(found.inner_text().split())


def test_without_a_cluster_the_page_tells_how_to_start_one(open_console: OpenConsole) -> None:
    _, page = opened(open_console, Shop())
    expect(page.get_by_role("heading", level=2)).to_have_text(
        "This server's models run on one machine"
    )
    commands = page.locator(".command code")
    assert commands.first.inner_text() == "banyan up --workers 1"
    page.get_by_role("button", name="Copy: banyan up --workers 1").focus()
    page.wait_for_timeout(2300)  # another look at the server leaves the focus where it is
    expect(page.get_by_role("button", name="Copy: banyan up --workers 1")).to_be_focused()


def test_machines_their_ranks_and_the_link_between_are_drawn(open_console: OpenConsole) -> None:
    _, page = opened(open_console, Shop(cluster=cluster_states.of(2, 1)))
    drawing = page.get_by_role("img", name="2 machines and the links between them")
    expect(drawing.locator(".map-name")).to_have_text(["head", "attic-1"])
    expect(drawing.locator(".map-rank.is-good")).to_have_count(3)
    expect(drawing.locator(".map-measure")).to_have_text(["120 µs", "928 Mbit/s"])
    assert tile(page, "State") == "State Ready smollm2-135m-instruct"
    assert tile(page, "Machines") == "Machines 2 of 2 3 ranks"
    assert tile(page, "Writes") == "Writes 24.1 tokens/s; reads 311"
    expect(page.locator(".page-head")).to_contain_text("30 layers is cut among 3 ranks")
    expect(page.locator(".memory-words").first).to_have_text(
        "ranks 1 GB · everything else 5.1 GB · of 16.6 GB"
    )
    page.get_by_text("Every link, both ways").click()
    expect(page.locator(".links tbody th").first).to_have_text("within head")
    expect(page.locator(".links tbody tr")).to_have_count(3)  # attic-1 has but one rank
    assert page.locator(".links tbody tr").nth(1).inner_text().split("\t") == [
        "head → attic-1",
        "120 µs",
        "936 Mbit/s",
    ]


def test_each_size_says_what_was_picked_and_opens_to_compare(open_console: OpenConsole) -> None:
    _, page = opened(open_console, Shop(cluster=cluster_states.of(1, 1)))
    rows = page.locator("summary.sum-head")
    expect(rows).to_have_count(6)
    assert " ".join(rows.first.inner_text().split()) == (
        "4 KiB exchange 175 µs predicted 158 µs 1.32× as fast as scatter"
    )
    rows.first.focus()
    page.keyboard.press("Enter")
    ways = page.locator("details[open] .sum-name")
    expect(ways).to_have_text(["exchange", "scatter", "tree", "ring", "star"])
    page.wait_for_timeout(2300)
    expect(page.locator("details[open]")).to_have_count(1)  # it stays open at the next look


def test_who_computes_what_is_shown_for_stages_too(open_console: OpenConsole) -> None:
    _, page = opened(open_console, Shop(cluster=cluster_states.of(1, 2, staged=True)))
    expect(page.locator(".split-layers")).to_have_text(["Layers 1–10", "Layers 11–30"])
    expect(page.locator(".split-stage").nth(1).locator(".split-piece")).to_have_text(["1", "2"])
    expect(page.locator(".page-head")).to_contain_text("lie on 2 stages")


def test_replicas_are_told_apart(open_console: OpenConsole) -> None:
    alone = cluster_states.of(1)
    (head,) = alone.hosts
    copies = [replace(rank, replica=1) for rank in head.ranks]
    attic = replace(head, name="attic-1", ranks=tuple(copies))
    status = replace(alone, hosts=(head, attic), expected_hosts=2, layout="2 replicas", options=())
    _, page = opened(open_console, Shop(cluster=status))
    expect(page.locator(".page-head")).to_contain_text("2 replicas share the requests. All 30")
    expect(page.locator(".split-layers")).to_have_text(
        ["Replica 0 · Layers 1–30", "Replica 1 · Layers 1–30"]
    )
    expect(page.locator(".rank-name")).to_have_text(["rank 0", "rank 1.0"])


def test_the_layouts_that_were_weighed_are_told_with_why_not(open_console: OpenConsole) -> None:
    status = replace(cluster_states.of(1, 1), assumed=("the link head - attic-1",))
    _, page = opened(open_console, Shop(cluster=status))
    expect(page.get_by_text("Not measured, but assumed: the link head - attic-1.")).to_be_visible()
    rows = page.locator(".options tbody tr")
    expect(rows).to_have_count(2)
    assert rows.first.inner_text().split() == [
        *("tp2", "in", "use", "30", "410", "ms", "27.7", "ms", "The", "fastest", "of", "them."),
    ]
    expect(rows.last).to_contain_text("17.2 ms more for sums between ranks")
    expect(page.get_by_text("in use")).to_have_count(1)


def test_an_algorithm_that_was_asked_for_is_said_to_be(open_console: OpenConsole) -> None:
    status = replace(cluster_states.of(1, 1), algorithm="tree", payload="int8")
    status = replace(status, choices=(), links=())
    _, page = opened(open_console, Shop(cluster=status))
    ways = page.locator("section.card", has_text="How the ranks sum")
    expect(ways).to_contain_text("The operator asked for tree")
    expect(ways).to_contain_text("may cross machines as int8")
    expect(page.locator(".map-link.is-unmeasured")).to_have_count(1)


def test_links_that_no_sum_was_timed_on_are_those_the_layout_was_chosen_by(
    open_console: OpenConsole,
) -> None:
    status = replace(cluster_states.of(1, 1, staged=True), choices=(), links=())
    shop = Shop(cluster=replace(status, facts=cluster_states.facts("head", "attic-1")))
    _, page = opened(open_console, shop)
    expect(page.locator(".map-measure")).to_have_text(["150 µs", "880 Mbit/s"])
    assert shop.cluster is not None
    assumed = cluster_states.facts("head", "attic-1", is_measured=False)
    shop.cluster = replace(shop.cluster, facts=assumed)
    expect(page.locator(".map-measure")).to_have_text(["150 µs", "assumed"])
    page.get_by_text("Every link, both ways").click()
    expect(page.locator(".links tbody th").first).to_have_text("head → attic-1 (assumed)")


def test_machines_that_are_awaited_can_be_brought_in(open_console: OpenConsole) -> None:
    shop = Shop(cluster=replace(cluster_states.waiting("attic"), tls=True))
    _, page = opened(open_console, shop)
    expect(page.get_by_text("Waiting for 1 of 2 machines")).to_be_visible()
    expect(page.locator(".command code")).to_have_text(f"{JOIN} --name attic --tls")
    expect(page.get_by_text("encrypted (TLS)")).to_be_visible()
    expect(page.get_by_text("It is a secret that is not shown here")).to_be_visible()
    expect(page.locator(".map-host.is-awaited")).to_contain_text("attic")
    shop.cluster = cluster_states.of(1, 1)
    expect(page.get_by_text("Waiting for 1 of 2 machines")).to_have_count(0)
    assert tile(page, "State").startswith("State Ready")


def test_a_group_that_is_down_says_why_and_what_to_do(open_console: OpenConsole) -> None:
    cause = "Rank 1 on host attic-1: its process was <b>killed</b> by SIGKILL."
    _, page = opened(open_console, Shop(cluster=cluster_states.down(cause)))
    notice = page.get_by_role("status").filter(has_text="The cluster is down")
    expect(notice).to_contain_text(cause)
    expect(notice).to_contain_text("as soon as all machines are back")
    expect(notice.locator("code")).to_have_text(JOIN)


def test_a_server_that_is_gone_is_said_and_found_again(open_console: OpenConsole) -> None:
    console, page = opened(open_console, Shop(cluster=cluster_states.of(1, 1)))
    page.route("**/api/cluster", lambda route: route.abort())
    expect(page.get_by_role("alert")).to_contain_text("cannot be reached")
    page.unroute("**/api/cluster")
    expect(page.locator(".map-name")).to_have_count(2)
    assert console.faults == []


def test_the_speed_is_drawn_from_what_was_written_meanwhile(open_console: OpenConsole) -> None:
    shop = Shop(cluster=cluster_states.of(1, 1))
    _, page = opened(open_console, shop)
    expect(page.locator(".speed-line polyline")).to_have_count(1)
    rates = """async () => (await import("/static/js/cluster-speed.js")).ratesSeen()"""
    assert page.evaluate(rates)[-1] == 0
    shop.cluster = replace(cluster_states.of(1, 1), decoded_tokens=180)  # 60 more
    page.wait_for_function("""async () => {
        const { ratesSeen } = await import("/static/js/cluster-speed.js");
        return ratesSeen().at(-1) > 10;
    }""")


@pytest.mark.parametrize(("theme", "locale"), [("light", "en-US"), ("dark", "zh-CN")])
def test_every_state_can_be_read_and_reached(
    open_console: OpenConsole, theme: str, locale: str
) -> None:
    shop = Shop(cluster=cluster_states.of(2, 1, 1, staged=True))
    console, page = opened(open_console, shop, color_scheme=theme, locale=locale)
    for status in (
        shop.cluster,
        cluster_states.of(1, 1, ready=False),
        cluster_states.waiting(machines=3),
        cluster_states.down("A cable was pulled."),
    ):
        shop.cluster = status
        page.reload()
        page.locator(".tile").first.wait_for()
        assert page.evaluate(FAINT) == []
        assert page.evaluate(NAMELESS) == []
    assert console.faults == []


def test_on_a_phone_nothing_runs_over_the_edge(open_console: OpenConsole) -> None:
    shop = Shop(cluster=cluster_states.of(1, 1, 1, 1, 1))
    _, page = opened(open_console, shop, viewport=PHONE)
    page.locator(".map").wait_for()
    page.locator("summary.sum-head").first.click()
    over = """() => [...document.querySelectorAll("main *")]
        .filter((node) => node.getBoundingClientRect().right > innerWidth + 1)
        .map((node) => node.outerHTML.slice(0, 80))"""
    assert page.evaluate(over) == []
