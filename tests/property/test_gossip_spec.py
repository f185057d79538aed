"""What is held of a node is what the spec holds, whatever is heard of it and in whatever order.

The Python of `spec/gossip.md` is run as it stands in the chapter, beside a real machine that is
told the same news by a linked peer; after each piece both must hold the same. Claim:
[GOSSIP-ORDER.6].
"""

import re
from collections.abc import Callable
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.core.gossip.driver import Driver, dead, suspect
from tests.unit.core.gossip.pretend import make_record, name
from wwwserve.wire import Dead, OpenedRecord, Suspect

CHAPTER = Path(__file__).parents[2] / "spec" / "gossip.md"
Held = tuple[str, int] | None

KINDS = st.sampled_from(["alive", "left", "suspect", "dead"])
NEWS = st.lists(st.tuples(KINDS, st.integers(min_value=1, max_value=4)), max_size=12)


def read_reference() -> Callable[[Held, str, int], Held]:
    """The chapter's only Python block, as the function it defines."""
    fence = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
    (block,) = fence.findall(CHAPTER.read_text(encoding="utf-8"))
    names: dict[str, Callable[[Held, str, int], Held]] = {}
    exec(block, names)  # noqa: S102 - it is our own chapter
    return names["hold"]


def make_news(kind: str, version: int) -> OpenedRecord | Suspect | Dead:
    match kind:
        case "alive":
            return make_record(3, version=version)
        case "left":
            return make_record(3, version=version, is_leaving=True)
        case "suspect":
            return suspect(3, version)
        case _:
            return dead(3, version)


def get_held(driver: Driver) -> Held:
    view = driver.gossip.get_member(name(3))
    return None if view is None else (view.status.value, view.record.version)


@given(NEWS)
def test_the_machine_holds_what_the_spec_holds(news: list[tuple[str, int]]) -> None:
    hold = read_reference()
    driver = Driver()
    driver.link(1)
    expected: Held = None
    for kind, version in news:
        expected = hold(expected, kind, version)
        driver.tell(1, make_news(kind, version))
        assert get_held(driver) == expected
