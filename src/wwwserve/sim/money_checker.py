"""What the two sides of each paid stream give and get: nobody loses more than was agreed.

Fed with what really left, arrived and was paid on pretend streams, with what honest wallets have on
their disks, and with what the log settles. It counts for itself and shares no meter with the core:

- a payer has paid at no time more than what arrived is worth, the prompt and one unit;
- a payee goes on at no time when more than the prompt and three units of what it sent are unpaid,
  and if it is paid ahead, when anything is;
- no hold pays more than its payer released, nor less than what is on the disk of its payee while
  that one runs;
- a wallet has two different feed blocks of one number only if the first can enter the log no more.

docs/faults.md has the bounds; only honest people are held to them, and only they are protected.
"""

from dataclasses import dataclass, field
from typing import Final

import msgspec

from wwwserve.core.effects import Effect, ExtendPayment, Persist, Report, StartRemote
from wwwserve.core.events import Event, Persisted
from wwwserve.core.facts import Fact
from wwwserve.core.lanes import Lane
from wwwserve.core.ledger_facts import HoldSettled
from wwwserve.core.paying import HoldTerms, PayerTerms
from wwwserve.core.sessions import SessionId
from wwwserve.sim.checkers import Violation
from wwwserve.sim.hosts import Host
from wwwserve.sim.ledger_checker import LedgerChecker
from wwwserve.wire.ledger import FeedHeader, SealedFeed

LATE_UNITS_MAX: Final = 3
"""What an executor that is paid after may lose, beside the prompt."""

_FEED_KEY: Final = b"f"
_KEPT_KEY: Final = b"k"
_SEALED: "msgspec.msgpack.Decoder[SealedFeed]" = msgspec.msgpack.Decoder(SealedFeed)
_HEADER: "msgspec.msgpack.Decoder[FeedHeader]" = msgspec.msgpack.Decoder(FeedHeader)
_KEPT: "msgspec.msgpack.Decoder[tuple[int, bytes, int, int]]" = msgspec.msgpack.Decoder(
    tuple[int, bytes, int, int]
)


@dataclass(slots=True, eq=False)
class PaidStream:
    """One request at one executor, as an onlooker sees it."""

    payer: Host
    life: int
    """Of the payer's process that began it."""
    terms: HoldTerms
    """Of its first hold: the prices of the others are the same."""
    _released: dict[bytes, int] = field(default_factory=dict)
    """What the payer's preimages are worth, by hold."""
    _taken: dict[bytes, int] = field(default_factory=dict)
    """What the payee has of that."""
    _arrived_worth: int = 0

    def note_arrived(self, completion_tokens: int) -> None:
        """So many tokens have arrived, the prompt's answer among them."""
        self._arrived_worth = max(self._arrived_worth, self._compute_worth(completion_tokens))

    def note_released(self, terms: HoldTerms, depth: int) -> None:
        """The payer sent a unit. Raises `Violation`."""
        self._released[terms.hold_id] = _compute_pay(terms, depth)
        # Rounding is worth a micro-credit in each hold.
        slack = self.terms.first + self.terms.unit + len(self._released)
        lost = sum(self._released.values()) - self._arrived_worth
        if self.payer.person.is_honest and lost > slack:
            detail = f"{lost} paid beyond what arrived, and {slack} are the most"
            raise Violation("payer-bound", self.payer, detail)

    def note_taken(self, terms: HoldTerms, depth: int) -> None:
        """A unit has arrived at the payee, and was good."""
        self._taken[terms.hold_id] = _compute_pay(terms, depth)

    def note_sent(self, payee: Host, completion_tokens: int) -> None:
        """The payee lets a piece go, of which so many tokens went before. Raises `Violation`."""
        terms = self.terms
        unpaid = self._compute_worth(completion_tokens) - sum(self._taken.values())
        slack = 0 if terms.lead_units < 0 else terms.first + LATE_UNITS_MAX * terms.unit
        if payee.person.is_honest and unpaid > slack:
            detail = f"{unpaid} unpaid when it goes on, and {slack} are the most"
            raise Violation("payee-bound", payee, detail)

    def get_released(self, hold_id: bytes) -> int:
        """What the payer has released of a hold."""
        return self._released.get(hold_id, 0)

    def _compute_worth(self, completion_tokens: int) -> int:
        terms = self.terms
        return terms.first + terms.unit * completion_tokens // terms.unit_tokens


@dataclass(slots=True)
class _Purse:
    """What one host's wallet has on its disk, as far as that was acknowledged."""

    pending: dict[int, Persist] = field(default_factory=dict)
    kept: dict[bytes, int] = field(default_factory=dict)
    """Depths of preimages by hold."""


@dataclass(slots=True)
class MoneyChecker:
    """All paid streams and wallets of a world."""

    logs: LedgerChecker
    _streams: dict[bytes, PaidStream] = field(default_factory=dict)
    """By each of their holds."""
    _sessions: dict[tuple[int, int, SessionId], PaidStream] = field(default_factory=dict)
    """By host, life of its process, and session."""
    _terms: dict[bytes, HoldTerms] = field(default_factory=dict)
    _purses: dict[int, _Purse] = field(default_factory=dict)
    _feeds: dict[tuple[int, int], tuple[bytes, int]] = field(default_factory=dict)
    """By host and number: the last feed block signed, and until when it may enter the log."""

    def get_stream(self, hold_id: bytes) -> PaidStream:
        """The stream that a hold pays, whose peer has asked for it."""
        return self._streams[hold_id]

    def count_held(self, host: Host) -> int:
        """Open holds of a host that it has still to close, if they are not claimed.

        A process that was killed forgets how deep its holds are paid, so it closes none of them:
        what their payees do not claim comes back at their end.
        """
        streams = [self._streams.get(hold_id) for hold_id in self.logs.list_holds(host)]
        return sum(stream is not None and stream.life == host.life for stream in streams)

    # -- wallets ---------------------------------------------------------------------------------

    def on_birth(self, host: Host) -> None:
        """A process starts with what its disk has."""
        purse = self._purses[host.index] = _Purse()
        for key, value in host.disk.read(Lane.FEED).items():
            if key.startswith(_KEPT_KEY):
                purse.kept[key[1:]] = _KEPT.decode(value)[0]

    def on_event(self, host: Host, event: Event) -> None:
        """Look at what a host's disk acknowledges. Raises `Violation`."""
        if isinstance(event, Persisted) and event.lane is Lane.FEED:
            purse = self._purses[host.index]
            self._note_written(host, purse, purse.pending.pop(event.number))

    def on_effect(self, host: Host, effect: Effect) -> None:
        """Look at what a host writes, and at what its log settles. Raises `Violation`."""
        match effect:
            case Persist(lane=Lane.FEED):
                self._purses[host.index].pending[effect.number] = effect
            case StartRemote(session=session, payment=PayerTerms(terms=terms)):
                stream = PaidStream(host, host.life, terms)
                self._sessions[host.index, host.life, session] = stream
                self._add_hold(stream, terms)
            case ExtendPayment(session, _, payment):
                stream = self._sessions[host.index, host.life, session]
                self._add_hold(stream, payment.terms)
            case Report(fact):
                self._on_fact(host, fact)
            case _:
                pass

    def _add_hold(self, stream: PaidStream, terms: HoldTerms) -> None:
        self._streams[terms.hold_id] = stream
        self._terms[terms.hold_id] = terms

    def _note_written(self, host: Host, purse: _Purse, written: Persist) -> None:
        for key, value in written.changes:
            if key.startswith(_KEPT_KEY):
                if value is None:
                    purse.kept.pop(key[1:], None)
                else:
                    purse.kept[key[1:]] = _KEPT.decode(value)[0]
            elif key.startswith(_FEED_KEY) and value is not None and host.person.is_honest:
                self._note_feed(host, _SEALED.decode(value))

    def _note_feed(self, host: Host, sealed: SealedFeed) -> None:
        header, feed_id = _HEADER.decode(sealed.header), sealed.compute_id()
        place = host.index, header.seq
        known_id, until_ms = self._feeds.get(place, (feed_id, 0))
        time_ms = self.logs.time_ms
        if known_id != feed_id and time_ms <= until_ms:
            detail = f"number {header.seq} again at {time_ms} ms, the first holds until {until_ms}"
            raise Violation("own-fork", host, detail)
        self._feeds[place] = feed_id, header.valid_until_ms

    # -- the log ---------------------------------------------------------------------------------

    def _on_fact(self, host: Host, fact: Fact) -> None:
        if not isinstance(fact, HoldSettled) or not host.person.is_honest:
            return
        stream = self._streams.get(fact.hold_id)
        if stream is None:
            return  # It never left, and nobody has a preimage of it.
        if host.node_id == fact.payer and fact.paid > stream.get_released(fact.hold_id):
            detail = f"a hold paid {fact.paid}, released were {stream.get_released(fact.hold_id)}"
            raise Violation("paid-as-released", host, detail)
        if host.node_id == fact.payee:
            depth = self._purses[host.index].kept.get(fact.hold_id, 0)
            kept = _compute_pay(self._terms[fact.hold_id], depth)
            if fact.paid < kept:
                detail = f"a hold paid {fact.paid}, on its payee's disk was {kept}"
                raise Violation("paid-as-kept", host, detail)


def _compute_pay(terms: HoldTerms, depth: int) -> int:
    return terms.first + (depth - 1) * terms.unit if depth > 0 else 0
