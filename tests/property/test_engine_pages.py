"""Whatever pages an engine shows, each dialect makes a reading of them that could be true.

Hypothesis takes the pages of real engines apart: fields are dropped, or are something else. No
network is used; one slip here would end the task that watches an engine.
"""

import asyncio
from collections.abc import Mapping

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.engines.dresses import DRESSES, Dress
from wwwserve.adapters.engines import DIALECTS, EngineSettings
from wwwserve.adapters.engines.connections import Connections
from wwwserve.adapters.engines.pages import COUNT_MAX, Page, Pages
from wwwserve.core.engines import EngineReading

ODD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
ODD_TEXT = st.text(max_size=40) | st.from_regex(
    r"(vllm:num_requests_running|sglang:token_usage|tgi_queue_size)(\{.*\})? [-+0-9eENaInf.]{1,9}",
    fullmatch=True,
)
STATUSES = st.sampled_from([200, 200, 200, 200, 0, 302, 401, 404, 500, 503])


class FixedPages(Pages):
    """Pages that are what a test says."""

    def __init__(self, pages: Mapping[str, Page], answer: Page) -> None:
        super().__init__(Connections(EngineSettings("m", "http://127.0.0.1:1")), 1)
        self._fixed = pages
        self._answer = answer

    async def get(self, path: str) -> Page:
        return self._fixed.get(path, Page(404))

    async def ask_once(self, path: str, question: object, edition: str = "") -> Page:
        return self._answer


def take_apart(draw: st.DrawFn, value: object) -> object:
    """A decoded page with some of its parts gone or exchanged."""
    match draw(st.integers(0, 9)), value:
        case 0, _:
            return draw(ODD)
        case _, dict():
            kept = [key for key in value if draw(st.integers(0, 9))]
            return {key: take_apart(draw, value[key]) for key in kept}
        case _, list():
            return [take_apart(draw, item) for item in value]
        case _:
            return value


@st.composite
def draw_pages(draw: st.DrawFn, dress: Dress) -> FixedPages:
    pages = {}
    for path, page in dress.pages.items():
        if page.content_type == "application/json":
            body = msgspec.json.encode(take_apart(draw, msgspec.json.decode(page.body)))
        else:
            lines = [line for line in page.body.decode().splitlines() if draw(st.booleans())]
            body = "\n".join([*lines, draw(ODD_TEXT)]).encode()
        pages[path] = Page(draw(STATUSES), body, failure="gone")
    return FixedPages(pages, Page(draw(STATUSES), msgspec.json.encode(draw(ODD))))


def check(reading: EngineReading) -> None:
    counts = [reading.running, reading.waiting, reading.slots, reading.kv_used_permille]
    assert all(count is None or 0 <= count <= COUNT_MAX for count in counts)
    assert reading.slots != 0
    assert (reading.kv_used_permille or 0) <= 1_000
    for model in reading.models:
        assert model.name
        assert model.context_tokens is None or 0 < model.context_tokens <= COUNT_MAX


@pytest.mark.parametrize("dress", DRESSES, ids=str)
@settings(max_examples=40)
@given(data=st.data())
def test_no_page_is_too_odd(dress: Dress, data: st.DataObject) -> None:
    pages = data.draw(draw_pages(dress))

    async def read_all_kinds() -> None:
        for dialect in DIALECTS:
            assert await dialect.is_spoken(pages) in (True, False)
            check(await dialect.read_state(pages))

    asyncio.run(read_all_kinds())
