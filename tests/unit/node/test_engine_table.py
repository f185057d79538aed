"""An engine that is taken out runs what it has to its end and is closed then, not before.

Fake engines say when they are closed; runs end when the test stops them.
"""

import asyncio

from wwwserve.core.engines import EngineHealth, EngineReading
from wwwserve.node.engine_table import RETIRING_MAX, EngineTable
from wwwserve.ports.engine import EngineRequest, EngineRun
from wwwserve.wire import Endpoint

REQUEST = EngineRequest(Endpoint.CHAT, b"{}")


class FakeRun:
    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.stops = 0

    async def read(self) -> bytes | None:
        return self.answer

    async def stop(self) -> None:
        self.stops += 1


class FakeEngine:
    def __init__(self, name: str = "engine", answer: bytes = b"") -> None:
        self.name = name
        self.answer = answer
        self.is_closed = False

    async def read_state(self) -> EngineReading:
        return EngineReading(EngineHealth.READY)

    def start(self, _: EngineRequest) -> EngineRun:
        return FakeRun(self.answer)

    async def close(self) -> None:
        self.is_closed = True


async def let_others_run() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_an_idle_engine_is_closed_at_once_and_others_stay() -> None:
    table, gone, kept = EngineTable(), FakeEngine("gone"), FakeEngine("kept")
    table.put(gone)
    table.put(kept)
    table.remove("gone")
    table.remove("never-there")
    await let_others_run()
    assert (gone.is_closed, kept.is_closed, list(table)) == (True, False, ["kept"])


async def test_the_last_request_of_a_replaced_engine_closes_it() -> None:
    table, old, new = EngineTable(), FakeEngine(answer=b"old"), FakeEngine(answer=b"new")
    table.put(old)
    first, second = table["engine"].start(REQUEST), table["engine"].start(REQUEST)
    table.put(new)
    assert await table["engine"].start(REQUEST).read() == b"new"
    assert await first.read() == b"old"
    closed_after: list[bool] = []
    for run in (first, first, second):
        await run.stop()
        await let_others_run()
        closed_after.append(old.is_closed)
    assert closed_after == [False, False, True]
    assert not new.is_closed


async def test_closing_the_table_closes_what_still_runs() -> None:
    table, busy, idle = EngineTable(), FakeEngine(), FakeEngine("idle")
    table.put(busy)
    table.put(idle)
    table["engine"].start(REQUEST)
    table.remove("engine")
    await table.close()
    assert (busy.is_closed, idle.is_closed, len(table)) == (True, True, 0)


async def test_engines_taken_out_one_after_another_do_not_pile_up() -> None:
    table = EngineTable()
    engines = [FakeEngine() for _ in range(RETIRING_MAX + 2)]
    for engine in engines:
        table.put(engine)
        table["engine"].start(REQUEST)
    await let_others_run()
    assert [engine.is_closed for engine in engines] == [True, *[False] * (RETIRING_MAX + 1)]
    await table.close()
