import pytest

from banyan.engine.pages import PagePool


def test_a_shared_page_is_free_only_when_its_last_holder_has_gone() -> None:
    pool = PagePool(2)
    pages = pool.allocate(1)
    pool.retain(pages)
    pool.release(pages)
    assert pool.free == 1
    pool.release(pages)
    assert pool.free == 2


def test_no_page_is_given_out_twice() -> None:
    pool = PagePool(5)
    pages = pool.allocate(2) + pool.allocate(3)
    assert sorted(pages) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("misuse", ["allocate", "release", "retain"])
def test_misuse_is_an_error_and_never_a_silent_leak(misuse: str) -> None:
    pool = PagePool(1)
    with pytest.raises(RuntimeError):
        if misuse == "allocate":
            pool.allocate(2)
        elif misuse == "release":
            pool.release([0])
        else:
            pool.retain([0])
