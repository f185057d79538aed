"""`paper`: the rules of the WWW.Serve prototype, without the sleeps that were no part of them.

From its source (version `1dbb333`) and the evaluation of the paper (arXiv 2603.20661):

- dispatch, for whoever is first at a node: its engine below the target, run it there; else with
  `OFFLOAD_PERMILLE`, and a free credit, draw `CANDIDATES` nodes by stake among those that have not
  had it, probe all, and send it to the first of the draw that accepts; else with `QUEUE_PERMILLE`
  into the queue of the own engine; else back to the front, and nobody behind it moves;
- accept: with `ACCEPT_PERMILLE`, no own user waiting, and the engine below the target;
- who gets a request may send it on, and its answer goes back the same way; the origin pays its
  executor one credit; own users' requests go before those of others;
- stake: `paper_stake`, every second. Frequencies 0.8, 0.2 and 0.8, target 0.7, credits 10 000.

Not here, since it could only cost: half a second of sleep before each request, which bounds a node
to two of them in a second (here who cannot be placed is tried again after `LOOK_AGAIN_US`, and the
own engine is looked at as soon as a run on it ends); metrics that are three seconds old; everybody
waiting while one request's probes are on their way, which took no time on the prototype's loopback,
and for the slowest of them when the choice is clear; another node's request that goes to the end of
the line when an own user's comes at the same time; time-outs after 600 s that do not stop the work;
and the duels, which are work that no user asked for.
"""

from collections import deque
from collections.abc import Callable, Sequence

from wwwserve.sim.baselines.draws import draw_weighted
from wwwserve.sim.baselines.paper_stake import StakeBoard, compute_target_stake
from wwwserve.sim.baselines.sites import Parcel, Reply, Rule, Site
from wwwserve.values.moments import MILLISECOND, SECOND

OFFLOAD_PERMILLE = 800
QUEUE_PERMILLE = 200
ACCEPT_PERMILLE = 800
CANDIDATES = 3
LOOK_AGAIN_US = 500 * MILLISECOND
"""Until who could not be placed is tried once more."""
STAKE_PERIOD_US = SECOND
_ACCEPTED = 0


class PaperRule:
    """One node of the prototype."""

    def __init__(self, site: Site, board: StakeBoard) -> None:
        self._site = site
        self._board = board
        self._users: deque[Parcel] = deque()
        """Of this node, in the order they came."""
        self._others: deque[Parcel] = deque()
        """Accepted from other nodes."""
        self._put_back: Parcel | None = None
        """Came to nothing, and is not tried again before its time."""
        self._adjust_stake()

    def take(self, parcel: Parcel) -> None:
        """See `Rule`."""
        self._get_queue(parcel).append(parcel)
        self._dispatch()

    def reply(self, parcel: Parcel) -> Reply:
        """See `Rule`."""
        assert self._site.number not in parcel.path, "who had it is not asked"
        is_willing = self._site.entropy.chance(ACCEPT_PERMILLE) and not self._users
        return _ACCEPTED if is_willing and self._site.read_use().is_idle else None

    def notice_end(self) -> None:
        """See `Rule`."""
        self._dispatch()

    def notice_answer(self, parcel: Parcel) -> None:
        """See `Rule`."""
        if not parcel.is_at_home:
            self._board.pay(self._site.number, parcel.path[-1])

    def _dispatch(self) -> None:
        """Place who is first, then the next, until one cannot be placed now."""
        while (first := self._find_first()) is not None:
            is_idle = self._site.read_use().is_idle
            if not is_idle and first is self._put_back:
                return
            self._get_queue(first).popleft()
            self._put_back = None
            if is_idle:
                self._site.run(first)
            else:
                self._offload(first)

    def _find_first(self) -> Parcel | None:
        for queue in (self._users, self._others):
            while queue and queue[0].is_over:
                queue.popleft()
        return next((queue[0] for queue in (self._users, self._others) if queue), None)

    def _get_queue(self, parcel: Parcel) -> deque[Parcel]:
        return self._users if parcel.is_at_home else self._others

    def _offload(self, parcel: Parcel) -> None:
        site, board = self._site, self._board
        drawn: list[int] = []
        if site.entropy.chance(OFFLOAD_PERMILLE) and board.get_free(site.number):
            stakes = {node: board.get_staked(node) for node in site.list_others(parcel)}
            drawn = draw_weighted(site.entropy, stakes, CANDIDATES)
        if drawn:
            self._probe(parcel, drawn)
        else:
            self._queue_or_put_back(parcel)

    def _probe(self, parcel: Parcel, drawn: list[int]) -> None:
        replies: dict[int, Reply] = {}
        is_open = True

        def create_listener(node: int) -> Callable[[Reply], None]:
            def listen(reply: Reply) -> None:
                nonlocal is_open
                replies[node] = reply
                if is_open:
                    is_open = not self._settle(parcel, drawn, replies)

            return listen

        for node in drawn:
            self._site.ask(parcel, node, create_listener(node))

    def _settle(self, parcel: Parcel, drawn: list[int], replies: dict[int, Reply]) -> bool:
        """Whether it is decided: everybody drawn before the first that accepts has refused."""
        for node in drawn:
            if node not in replies:
                return False
            if replies[node] is not None:
                self._site.send(parcel, node)
                return True
        self._queue_or_put_back(parcel)
        self._dispatch()
        return True

    def _queue_or_put_back(self, parcel: Parcel) -> None:
        if self._site.entropy.chance(QUEUE_PERMILLE):
            self._site.run(parcel)
            return
        self._get_queue(parcel).appendleft(parcel)
        self._put_back = parcel

        def try_again() -> None:
            if self._put_back is parcel:
                self._put_back = None
                self._dispatch()

        self._site.after(LOOK_AGAIN_US, try_again)

    def _adjust_stake(self) -> None:
        has_queue = bool(self._users or self._others)
        target = compute_target_stake(self._site.read_use(), has_queue=has_queue)
        self._board.adjust(self._site.number, target)
        self._site.after(STAKE_PERIOD_US, self._adjust_stake)


def create_paper_rules(sites: Sequence[Site]) -> list[Rule]:
    """The rules of nodes that share one ledger."""
    board = StakeBoard(len(sites))
    return [PaperRule(site, board) for site in sites]
