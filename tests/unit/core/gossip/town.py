"""A town of nodes, each choosing its links by the code of a real one; no messages, no loss.

Nodes are small integers. What they know of each other is given to them, links are made and shed the
moment one wants it, and a node at its bound refuses.
"""

from collections import deque
from collections.abc import Iterable, Sequence

from tests.unit.core.gossip.pretend import address_of, make_record, name
from wwwserve.core.entropy import Entropy
from wwwserve.core.facts import MemberStatus
from wwwserve.core.gossip.dialling import SHED_REST_PERIODS
from wwwserve.core.gossip.neighbours import Neighbours
from wwwserve.core.gossip.state import Link, Member, State
from wwwserve.values.ids import NodeId
from wwwserve.values.limits import LINKS_MAX
from wwwserve.values.moments import Moment, after
from wwwserve.values.parameters import TINY
from wwwserve.wire import ModelOffer

SETTLED_ROUNDS = 24


class Town:
    """So many nodes; the last `hidden` accept no links, and `rare` serve a model of their own."""

    def __init__(self, count: int, *, hidden: int = 0, rare: Sequence[int] = ()) -> None:
        self.rare = rare
        self.links: list[dict[int, None]] = [{} for _ in range(count)]
        self._now = Moment(0)
        self._entropy = Entropy(b"town")
        self._numbers = {name(number): number for number in range(count)}
        self._states = [
            State(name(number), TINY, Entropy(b"node %d" % number)) for number in range(count)
        ]
        self._choices = [Neighbours(state) for state in self._states]
        self._dialled = [dict[NodeId, Moment]() for _ in range(count)]
        self._members = {
            name(number): self._create_member(number, is_hidden=number >= count - hidden)
            for number in range(count)
        }

    def _create_member(self, number: int, *, is_hidden: bool) -> Member:
        opened = make_record(
            number,
            addresses=() if is_hidden else (address_of(number),),
            models=(ModelOffer("org/rare" if number in self.rare else "org/common"),),
        )
        return Member(opened, MemberStatus.ALIVE)

    # -- what tests do ---------------------------------------------------------------------------

    def meet(self, numbers: Iterable[int]) -> None:
        """Have these know each other, and nobody else."""
        together = {name(number): self._members[name(number)] for number in numbers}
        for node in together:
            state = self._states[self._numbers[node]]
            state.members = {other: together[other] for other in together if other != node}
            state.live_count = len(state.members)

    def settle(self, *, is_met: bool = False) -> None:
        """Let all know each other, unless some of them do, and choose until little changes."""
        if not is_met:
            self.meet(range(len(self.links)))
        self.run(SETTLED_ROUNDS)

    def run(self, rounds: int) -> None:
        """Let all choose, dial and shed, in a new order each time."""
        for _ in range(rounds):
            self._now = after(self._now, TINY.push_pull_period_us)
            for number in self._entropy.shuffle(range(len(self.links))):
                self._tend(number)

    def link(self, one: int, other: int) -> None:
        """One dials the other."""
        self._dialled[one][name(other)] = self._now
        for here, there in ((one, other), (other, one)):
            self.links[here][there] = None
            self._states[here].links[name(there)] = Link.open(TINY, self._now)

    def find_reach(self, start: int, without: Sequence[int] = ()) -> dict[int, int]:
        """Who is reached from a node, and in how many steps."""
        steps, waiting, gone = {start: 0}, deque([start]), dict.fromkeys(without)
        while waiting:
            here = waiting.popleft()
            for there in self.links[here]:
                if there not in steps and there not in gone:
                    steps[there] = steps[here] + 1
                    waiting.append(there)
        return steps

    def list_degrees(self) -> list[int]:
        """How many links each has."""
        return [len(links) for links in self.links]

    # -- what nodes do ---------------------------------------------------------------------------

    def _tend(self, number: int) -> None:
        state, choice = self._states[number], self._choices[number]
        state.now = self._now
        for node in choice.choose():
            other = self._numbers[node]
            if max(len(self.links[number]), len(self.links[other])) < LINKS_MAX:
                self.link(number, other)
            else:
                choice.rest(node, after(self._now, TINY.push_pull_period_us))
        for node in choice.pick_shed(self._dialled[number]):
            self._shed(number, self._numbers[node])

    def _shed(self, one: int, other: int) -> None:
        rest_us = SHED_REST_PERIODS * TINY.push_pull_period_us
        for here, there in ((one, other), (other, one)):
            dialled_at = self._dialled[here].pop(name(there), None)
            if dialled_at is not None and self._now < after(dialled_at, rest_us):
                self._choices[here].rest(name(there), after(self._now, rest_us))
            del self.links[here][there], self._states[here].links[name(there)]
