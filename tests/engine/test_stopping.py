from hypothesis import given
from hypothesis import strategies as st

from banyan.engine.stopping import StopFilter

STOPS = st.lists(st.text("ab\n", min_size=1, max_size=4), max_size=3)


@given(pieces=st.lists(st.text("ab\nc", max_size=4), max_size=12), stops=STOPS)
def test_what_is_shown_is_the_text_up_to_the_first_stop_string(
    pieces: list[str], stops: list[str]
) -> None:
    stream = StopFilter(stops)
    shown = ""
    read = ""
    for piece in pieces:
        read += piece
        shown += stream.push(piece)
        found = [at for stop in stops if (at := read.find(stop)) >= 0]
        if found:
            assert stream.stopped
            break
        assert not stream.stopped
        assert read.startswith(shown)
        hidden = read[len(shown) :]
        assert not hidden or any(stop.startswith(hidden) for stop in stops)
    shown += stream.flush()
    expected = "".join(pieces)
    ends = [at for stop in stops if (at := read.find(stop)) >= 0]
    if not ends:
        assert shown == expected
    else:
        assert not any(stop in shown for stop in stops)
        assert read.startswith(shown)


def test_a_possible_start_of_a_stop_string_is_held_back_and_shown_if_it_was_none() -> None:
    stream = StopFilter(["\n\nQ:"])
    assert stream.push("one\n") == "one"
    assert stream.push("\n") == ""
    assert stream.push("two") == "\n\ntwo"
    assert stream.push(" three\n\nQ: four") == " three"
    assert stream.stopped
    assert stream.push("more") == ""
    assert stream.flush() == ""
