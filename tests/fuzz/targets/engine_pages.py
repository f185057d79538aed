"""Pages of engines: whatever they show, each dialect reads a state of them that could be true.

The first two bytes of an input choose a page of a recorded engine and its status; the rest is what
that page then says, its metrics in Prometheus's text format or its JSON.
"""

import asyncio
from collections.abc import Mapping
from random import Random

from tests.fakes.engines.dresses import DRESSES, Dress
from tests.fuzz.mutating import mutate_json
from wwwserve.adapters.engines import DIALECTS, EngineSettings
from wwwserve.adapters.engines.connections import Connections
from wwwserve.adapters.engines.pages import COUNT_MAX, Page, Pages
from wwwserve.core.engines import EngineReading

STATUSES = (200, 200, 200, 503, 401, 404, 0)
_PAGES: tuple[tuple[Dress, str], ...] = tuple(
    (dress, path) for dress in DRESSES for path in dress.pages
)
_LOOP = asyncio.new_event_loop()
WORDS = tuple(
    word.encode()
    for word in (
        "vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc",
        "vllm:cache_config_info", "sglang:num_running_reqs", "sglang:num_queue_reqs",
        "tgi_batch_current_size", "llamacpp:requests_processing", 'priority="', 'block_size="16"',
        'num_gpu_blocks="', "NaN", "+Inf", "1e400", "\\n", "# TYPE ",
    )
)  # fmt: skip
"""What a mutation may put in."""


class _FixedPages(Pages):
    """Pages that are what the input says."""

    def __init__(self, pages: Mapping[str, Page], answer: Page) -> None:
        super().__init__(Connections(EngineSettings("m", "http://127.0.0.1:1")), 1)
        self._fixed = pages
        self._answer = answer

    async def get(self, path: str) -> Page:
        return self._fixed.get(path, Page(404))

    async def ask_once(self, path: str, question: object, edition: str = "") -> Page:
        return self._answer


def make_seeds() -> list[bytes]:
    """Every page of every recorded engine."""
    return [
        bytes([number, 0]) + dress.pages[path].body for number, (dress, path) in enumerate(_PAGES)
    ]


def mutate(data: bytes, chance: Random) -> bytes | None:
    """Change a field of a page in JSON; None for any other."""
    changed = mutate_json(data[2:], chance)
    return None if changed is None else data[:2] + changed


def consume(data: bytes) -> None:
    """Have every dialect look at the engine with this page among its own."""
    chosen, status = (data + bytes(2))[:2]
    dress, path = _PAGES[chosen % len(_PAGES)]
    said = Page(STATUSES[status % len(STATUSES)], data[2:], failure="gone")
    shown = {known: Page(200, page.body) for known, page in dress.pages.items()}
    pages = _FixedPages(shown | {path: said}, said)
    _LOOP.run_until_complete(_look(pages))


async def _look(pages: Pages) -> None:
    for dialect in DIALECTS:
        assert await dialect.is_spoken(pages) in (True, False)
        _check(await dialect.read_state(pages))


def _check(reading: EngineReading) -> None:
    counts = [reading.running, reading.waiting, reading.slots, reading.kv_used_permille]
    assert all(count is None or 0 <= count <= COUNT_MAX for count in counts)
    assert reading.slots != 0
    assert (reading.kv_used_permille or 0) <= 1_000
    for model in reading.models:
        assert model.name
        assert model.context_tokens is None or 0 < model.context_tokens <= COUNT_MAX
