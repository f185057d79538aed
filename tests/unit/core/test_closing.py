"""A town with a node that has hours: whom requests go to before, during and after them.

Whole peers, wired by hand as in test_peer.py; only the closing node is told the time.
"""

from tests.unit.core.test_peer import Town, make_setup, submit
from wwwserve.core.effects import AcceptOffer, EndRequest, Report, StartLocal
from wwwserve.core.events import Depart, Departure, LocalTimeRead, StreamEnded
from wwwserve.core.facts import WorkDeclined
from wwwserve.core.policy_settings import PolicySettings, Window
from wwwserve.core.sessions import Route
from wwwserve.values.moments import MILLISECOND, SECOND
from wwwserve.values.refusals import DeclineReason
from wwwserve.wire import Usage

MINUTE_US = 60 * SECOND
HOURS = PolicySettings(hours=(Window(60, 61),))
"""One minute a week."""


def open_town() -> Town:
    """Node 1 has no engine; node 2 has hours and opens in two seconds; node 3 is always open."""
    town = Town(n1=make_setup(1, 0), n2=make_setup(2, 4, HOURS), n3=make_setup(3, 4))
    town.tell(2, LocalTimeRead(60 * MINUTE_US - 2 * SECOND))
    town.run(SECOND)
    return town


def ask(town: Town, number: int) -> None:
    town.tell(1, submit(number, Route.NETWORK))
    town.run(20 * MILLISECOND)


def test_requests_go_to_a_node_when_it_opens_and_elsewhere_when_it_has_closed() -> None:
    town = open_town()
    ask(town, 1)
    assert (len(town.find(2, AcceptOffer)), len(town.find(3, AcceptOffer))) == (0, 1)

    town.run(2 * SECOND)
    town.tell(3, Depart(Departure.DRAIN))
    town.run(SECOND)
    ask(town, 2)
    (taken,) = town.find(2, AcceptOffer)

    town.run(MINUTE_US)
    town.tell(3, Depart(Departure.RESUME))
    town.run(SECOND)
    ask(town, 3)
    assert (len(town.find(2, AcceptOffer)), len(town.find(3, AcceptOffer))) == (1, 2)
    assert town.peers[2].get_snapshot(town.now).works_open == 1, "what runs goes on"
    town.tell(2, StreamEnded(taken.session, Usage(1, 2), bytes(32)))
    assert town.peers[2].get_snapshot(town.now).totals.works_answered == 1


def test_nobody_keeps_asking_a_closed_node() -> None:
    town = open_town()
    for number in range(8):
        ask(town, number)
    declined = [
        effect.fact
        for effect in town.log[2]
        if isinstance(effect, Report) and isinstance(effect.fact, WorkDeclined)
    ]
    assert declined == []


def test_an_offer_that_meets_a_node_as_it_closes_is_answered_elsewhere() -> None:
    town = open_town()
    town.run(2 * SECOND)
    town.tell(3, Depart(Departure.DRAIN))
    town.run(SECOND)
    town.tell(3, Depart(Departure.RESUME))
    # Now all hear that 3 is open again; 2 closes while a question to it is on its way.
    turn_at = town.peers[2].get_snapshot(town.now).opening.hours_change_us
    assert turn_at is not None
    town.run(turn_at - MILLISECOND)
    town.tell(1, submit(1, Route.NETWORK))
    town.run(SECOND)
    reasons = [
        effect.fact.reason
        for effect in town.log[2]
        if isinstance(effect, Report) and isinstance(effect.fact, WorkDeclined)
    ]
    assert reasons == [DeclineReason.CLOSED]
    assert len(town.find(3, AcceptOffer)) == 1


def test_own_users_of_a_closed_node_are_served_here() -> None:
    town = open_town()
    town.tell(2, submit(1))
    assert len(town.find(2, StartLocal)) == 1
    assert not town.find(2, EndRequest)
