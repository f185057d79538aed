"""The body store never holds more than its bound, and what is removed makes room again."""

import pytest

from wwwserve.node.bodies import BodyStore, BodyStoreFull


def test_a_body_that_does_not_fit_is_refused_and_the_others_stay() -> None:
    store = BodyStore(bytes_max=10)
    store.put("first", b"123456")
    with pytest.raises(BodyStoreFull):
        store.put("second", b"12345")
    assert store.get("first") == b"123456"
    store.remove("first")
    store.put("second", b"12345")
    assert store.bytes_used == 5


def test_room_set_aside_counts_before_the_body_has_come() -> None:
    store = BodyStore(bytes_max=10)
    store.reserve("arriving", 8)
    with pytest.raises(BodyStoreFull):
        store.reserve("another", 3)
    store.put("arriving", b"1234")
    assert store.bytes_used == 8
    store.remove("arriving")
    store.remove("arriving")
    assert store.bytes_used == 0
