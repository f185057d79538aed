"""Questions and sums of membership: no state, no change. The claims are those of spec/gossip.md."""

from collections.abc import Sequence
from typing import TypeVar

from wwwserve.core.entropy import Entropy
from wwwserve.core.facts import MemberStatus
from wwwserve.core.gossip.state import CONFIRMATIONS_MAX, Member
from wwwserve.core.sessions import ServedModel
from wwwserve.values.limits import RECORD_BYTES_MAX, RECORD_MODELS_MAX
from wwwserve.values.moments import Moment
from wwwserve.values.parameters import Parameters
from wwwserve.wire import Claim, Dead, ModelOffer, PeerRecord, Suspect, encode

T = TypeVar("T")

JITTER_PERMILLE = 500
"""Back-off and push/pull periods vary by half either way, so that nodes do not beat together."""
_SHRUNK_PERMILLE = ((), (0,), (0, 631), (0, 500, 792))
"""log(confirmations + 1) / log(possible ones + 1): which part of the way from its longest to its
shortest time a suspicion has come (Lifeguard 3.2)."""
KNOCKS_PER_PERIOD = 4
"""So a healed partition of any number of nodes is noticed within about half a probe period."""
_DOUBLINGS_MAX = 16
"""Far above any period; keeps the sum small however long somebody is gone."""
_MODELS_HEADER_BYTES = 8
"""What framing a longer array of models can add to a record."""


def compute_log2(count: int) -> int:
    """The base-2 logarithm of `count + 1`, rounded up, without leaving whole numbers."""
    return count.bit_length()


def compute_suspicion_us(parameters: Parameters, live_count: int, confirmations: int) -> int:
    """How long a suspect has to refute, in a network of so many others [GOSSIP-SUSPICION.1].

    One accuser may be deaf itself, so its word alone takes long; with each that confirms it the
    time shrinks, down to what the news needs to get there and back.
    """
    periods = parameters.suspicion_base + compute_log2(live_count + 1)
    shortest_us = periods * parameters.probe_period_us
    # Everybody but the suspect and its first accuser, this node included, can confirm.
    possible = min(CONFIRMATIONS_MAX, live_count - 1)
    if confirmations >= possible:
        return shortest_us
    longest_us = parameters.suspicion_stretch * shortest_us
    shrunk_permille = _SHRUNK_PERMILLE[possible][confirmations]
    return longest_us - (longest_us - shortest_us) * shrunk_permille // 1000


def is_late(parameters: Parameters, due: Moment, now: Moment) -> bool:
    """Whether this node woke so late that it must not judge by what it has not read."""
    return now - due >= parameters.probe_timeout_us


def compute_tellings_max(parameters: Parameters, live_count: int) -> int:
    """On how many messages a claim rides, in a network of so many others [GOSSIP-SPREAD.1]."""
    return parameters.gossip_multiplier * compute_log2(live_count + 1)


def compute_backoff_us(
    parameters: Parameters, failures: int, addresses: Sequence[str], longest_us: int
) -> int:
    """How long to wait after so many failed dials in a row: doubling, up to the longest.

    All of a node's addresses are tried before the pause grows.
    """
    doublings = min(failures // max(1, len(addresses)), _DOUBLINGS_MAX)
    return min(parameters.probe_period_us << doublings, longest_us)


def compute_knock_us(parameters: Parameters, live_count: int) -> int:
    """How long to wait between two knocks, in a network of so many others [GOSSIP-LINKS.4].

    All nodes share the work: together they knock `KNOCKS_PER_PERIOD` times in a probe period, but
    none less often than once in a push/pull period.
    """
    share_us = live_count * parameters.probe_period_us // KNOCKS_PER_PERIOD
    return min(max(share_us, parameters.probe_period_us), parameters.push_pull_period_us)


def is_live(member: Member) -> bool:
    """Whether the member is held alive or suspect: somebody to be probed and linked to."""
    return member.status in (MemberStatus.ALIVE, MemberStatus.SUSPECT)


def compute_status_after(member: Member, doubt: Suspect | Dead) -> MemberStatus:
    """What one is to hold of a member after somebody's doubt about it [GOSSIP-ORDER.2].

    A doubt counts for exactly the version held: an older one is refuted already, and a newer one
    speaks of a record nobody has proved to us.
    """
    if doubt.version != member.opened.record.version:
        return member.status
    match doubt, member.status:
        case Suspect(), MemberStatus.ALIVE:
            return MemberStatus.SUSPECT
        case Dead(), MemberStatus.ALIVE | MemberStatus.SUSPECT:
            return MemberStatus.DEAD
        case _:
            return member.status


def is_confirmation(member: Member, doubt: Suspect | Dead) -> bool:
    """Whether a doubt adds one more accuser to those who hold the member suspect already."""
    return (
        member.status is MemberStatus.SUSPECT
        and isinstance(doubt, Suspect)
        and doubt.version == member.opened.record.version
        and doubt.accuser not in (*member.accusers, doubt.node)
        and len(member.accusers) <= CONFIRMATIONS_MAX
    )


def compute_doubt(member: Member) -> Suspect | Dead | None:
    """The claim that says what we hold against a member, if anything."""
    record = member.opened.record
    if member.status is MemberStatus.SUSPECT:
        return Suspect(record.node, record.version, member.accusers[0])
    if member.status is MemberStatus.DEAD:
        return Dead(record.node, record.version, member.accusers[0])
    return None


def get_doubts(claims: Sequence[Claim]) -> list[Suspect | Dead]:
    """The claims that rest on somebody's word, in their order."""
    return [claim for claim in claims if isinstance(claim, Suspect | Dead)]


def compute_slots(models: Sequence[ServedModel]) -> int:
    """Requests these models' engines run at once, an engine's models sharing its slots."""
    slots: dict[str, int] = {}
    for model in models:
        slots[model.engine] = max(model.slots, slots.get(model.engine, 0))
    return sum(slots.values())


def compute_offers(models: Sequence[ServedModel], bare: PeerRecord) -> tuple[ModelOffer, ...]:
    """What a record says of the models: each once, in order, while the record stays in bounds.

    `bare` is the record without models. What does not fit is served but not offered to others.
    """
    offers: dict[str, ModelOffer] = {}
    room = RECORD_BYTES_MAX - len(encode(bare)) - _MODELS_HEADER_BYTES
    for model in models:
        offer = model.offer
        room -= 0 if offer.model in offers else len(encode(offer))
        if room < 0 or len(offers) == RECORD_MODELS_MAX:
            break
        offers.setdefault(offer.model, offer)
    return tuple(offers.values())


def pick_some(entropy: Entropy, items: Sequence[T], count: int) -> list[T]:
    """Up to `count` different items, all choices equally likely."""
    rest = list(items)
    picked: list[T] = []
    while rest and len(picked) < count:
        chosen = entropy.below(len(rest))
        rest[chosen], rest[-1] = rest[-1], rest[chosen]
        picked.append(rest.pop())
    return picked
