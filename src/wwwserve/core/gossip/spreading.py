"""Passing news on: a few claims ride on every probe and answer, and on rounds of their own."""

from wwwserve.core.gossip.agenda import Task
from wwwserve.core.gossip.own import OwnRecord
from wwwserve.core.gossip.rules import compute_tellings_max, pick_some
from wwwserve.core.gossip.state import State
from wwwserve.values.ids import NodeId
from wwwserve.values.moments import after
from wwwserve.wire import Ack, Alive, Claim, Gossip, OpenedRecord


class Spreader:
    """Each piece of news is told a number of times that grows with the logarithm of the network."""

    def __init__(self, state: State, own: OwnRecord) -> None:
        """There is no news yet."""
        self._state = state
        self._own = own

    def take_claims(self, first: Claim | None = None) -> tuple[Claim, ...]:
        """News to ride on a probe or an answer, `first` before all.

        A probe never waits for a disk, so the own record does not ride until it is durable.
        """
        skip = None if self._own.is_durable else self._state.node
        return self._state.claims.take(tellings_max=self._tellings_max(), first=first, skip=skip)

    def hear_again(self, opened: OpenedRecord) -> None:
        """A peer passes on a record that was passed on to us before."""
        self._state.claims.hear_again(
            opened.node, Alive(opened.sealed), tellings_max=self._tellings_max()
        )

    def answer(self, peer: NodeId, number: int) -> None:
        """Say to a peer that we are there, with news unless it asks all the time."""
        state = self._state
        is_told = state.links[peer].answers.take(state.now)
        state.send(peer, Ack(number, self.take_claims() if is_told else ()))

    def on_gossip_due(self) -> None:
        """Tell a few linked peers, and go on while there is news."""
        state = self._state
        peers = pick_some(state.entropy, list(state.links), state.parameters.gossip_fan_out)
        for peer in peers:
            claims = state.claims.take(tellings_max=self._tellings_max())
            if claims:
                has_own = any(
                    isinstance(claim, Alive) and claim.sealed == self._own.opened.sealed
                    for claim in claims
                )
                state.send(peer, Gossip(claims), self._own.lane if has_own else None)
        state.gossip_at = after(state.now, state.parameters.gossip_period_us)
        if state.claims:
            state.agenda.set(state.gossip_at, Task.GOSSIP)

    def tell_everybody(self) -> None:
        """Tell every linked peer the own record now: for a last word there is no next round."""
        news = Gossip((Alive(self._own.opened.sealed),))
        for peer in self._state.links:
            self._state.send(peer, news, self._own.lane)

    def _tellings_max(self) -> int:
        return compute_tellings_max(self._state.parameters, self._state.live_count)
