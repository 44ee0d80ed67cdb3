"""Bytes of matrices in each precision."""

from __future__ import annotations

from banyan.core.layout import Interval
from banyan.plan.matrices import Matrix, Product


def test_four_bits_have_a_scale_and_a_zero_for_every_32_numbers() -> None:
    matrix = Matrix(64, Interval(0, 96))
    assert matrix.size_bytes("packed") == 64 * 96 // 2 + 64 * 3 * 4
    assert matrix.size_bytes("int8") == 64 * 96 + 64 * 2
    assert Matrix(64, Interval(16, 80)).size_bytes("packed") == 64 * 3 * (16 + 4)


def test_a_copy_has_the_numbers_once_more_and_the_biases_too() -> None:
    matrix = Matrix(64, Interval(0, 96))
    packed, copied = (
        Product((("down", matrix),), bias=True).size_bytes(kind)
        for kind in ("packed", "packed+copy")
    )
    assert packed == matrix.size_bytes("packed") + 64 * 2
    assert copied == packed + 64 * 96 * 2 + 64 * 2


def test_what_is_not_dealt_in_sixteens_or_not_stored_in_four_bits_is_not_packed() -> None:
    inputs = Interval(0, 64)
    odd = Product((("q", Matrix(24, inputs)),))
    assert odd.size_bytes("packed") == Matrix(24, inputs).size_bytes("int8")
    both = Product((("q", Matrix(24, inputs)), ("k", Matrix(8, inputs))))
    assert both.size_bytes("packed") == Matrix(32, inputs).size_bytes("packed")
    apart = both.size_bytes("packed", (("k", "bf16"),))
    assert apart == Matrix(24, inputs).size_bytes("int8") + 8 * 64 * 2
