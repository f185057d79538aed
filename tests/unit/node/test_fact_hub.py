"""Whoever listens hears all they asked for; whoever watches too slowly is told what they missed."""

import asyncio

from wwwserve.core.facts import Fact, FactsDropped, PeerRefused, WorkStarted
from wwwserve.core.sessions import Role, SessionId
from wwwserve.node.fact_hub import FactHub
from wwwserve.values.ids import NodeId, RequestId
from wwwserve.values.limits import FACTS_QUEUED_MAX

NODE = NodeId(b"\x01" * 32)
REQUEST = RequestId(b"\x02" * 16)


def make_fact(number: int) -> Fact:
    return WorkStarted(SessionId(Role.EXECUTOR, number), REQUEST, NODE, "m")


async def test_a_slow_watcher_loses_the_oldest_and_a_listener_nothing() -> None:
    hub = FactHub()
    heard: list[Fact] = []
    end = hub.listen(heard.append)
    watch = aiter(hub.watch())
    first = asyncio.ensure_future(anext(watch))
    await asyncio.sleep(0)  # it watches from its first step on
    count = FACTS_QUEUED_MAX + 3
    for number in range(count):
        hub.tell(make_fact(number))
    assert len(heard) == count
    assert await first == FactsDropped(3)
    assert heard[-1] == FactsDropped(3)
    assert await anext(watch) == make_fact(3)
    end()
    hub.tell(make_fact(-1))
    assert heard[-1] == FactsDropped(3)


def test_who_asks_for_kinds_hears_these_alone_until_they_end_it() -> None:
    hub = FactHub()
    starts: list[Fact] = []
    others: list[Fact] = []
    hub.tell(make_fact(0))  # what was told before does not settle who hears the next
    end = hub.listen(starts.append, (WorkStarted,))
    hub.listen(others.append, (FactsDropped, PeerRefused))
    told = (make_fact(1), FactsDropped(1), PeerRefused(NODE, "a rule", ""), make_fact(2))
    for fact in told:
        hub.tell(fact)
    end()
    hub.tell(make_fact(3))
    assert starts == [told[0], told[3]]
    assert others == [told[1], told[2]]
