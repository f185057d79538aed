"""What the policy's checker says where no small network leads: looks at the machine, own users.

A watch is told by hand what a host hears; expected answers follow from the settings' own words.
`tests/property/test_policy_mutants.py` has the rest.
"""

from dataclasses import replace

import pytest

from tests.unit.sim.stage import Stage
from wwwserve.core.events import MachineRead, OfferReceived
from wwwserve.core.policy_settings import PolicySettings
from wwwserve.core.sessions import Role, SessionId
from wwwserve.sim.policy_checker import PolicyWatch, Standing
from wwwserve.values.moments import SECOND

CALM = Standing(used=0, slots=4, own_running=0, peer_unread=0, own_waiting=0)
IDLE = PolicySettings(idle_only=True, idle_for_us=20 * SECOND)


class Watched:
    """A host, a watch over it, and an offer for it."""

    def __init__(self, policy: PolicySettings) -> None:
        self.stage = Stage()
        asker, self.host = self.stage.hosts
        self.watch = PolicyWatch(policy)
        offer = self.stage.create_offer(self.stage.create_request(), self.host, 1).offer
        self.offer = OfferReceived(SessionId(Role.EXECUTOR, 1), asker.node_id, offer)

    def look(self, *busy: int, every_us: int = 5 * SECOND, own_running: int = 0) -> None:
        """The machine is looked at so often, and found so busy."""
        for busy_permille in busy:
            self.watch.note_reading(self.host, MachineRead(busy_permille), own_running)
            self.stage.run(every_us)

    def find_fault(self, standing: Standing = CALM) -> str:
        model = self.stage.get_model(self.host)
        return self.watch.find_fault(self.host, self.offer, model, standing)


def test_an_own_user_who_waits_comes_first_where_the_provider_says_so() -> None:
    waiting = Standing(used=0, slots=4, own_running=0, peer_unread=0, own_waiting=1)
    assert "own users wait" in Watched(PolicySettings()).find_fault(waiting)
    assert Watched(PolicySettings(own_first=False)).find_fault(waiting) == ""


def test_beside_own_users_one_prompt_of_others_is_read_at_a_time() -> None:
    second = Standing(used=2, slots=4, own_running=1, peer_unread=1, own_waiting=0)
    assert "read together" in Watched(PolicySettings()).find_fault(second)
    assert Watched(PolicySettings()).find_fault(replace(second, own_running=0)) == ""
    assert Watched(PolicySettings(own_first=False)).find_fault(second) == ""


@pytest.mark.parametrize(
    "busy",
    [(0, 0, 0, 0), (199, 199, 199, 199), (200, 0, 0, 0, 0)],
    ids=["long enough", "just below", "used before"],
)
def test_a_machine_is_idle_that_was_watched_and_unused(busy: tuple[int, ...]) -> None:
    watched = Watched(IDLE)
    watched.look(*busy)
    assert watched.find_fault() == ""


@pytest.mark.parametrize(
    ("busy", "every_us"),
    [
        ((0, 0, 0), 5 * SECOND),
        ((0, 200, 0, 0), 5 * SECOND),
        ((0, 0), 31 * SECOND),
        ((), 5 * SECOND),
    ],
    ids=["too short", "used", "not watched", "never looked"],
)
def test_any_other_machine_is_not(busy: tuple[int, ...], every_us: int) -> None:
    watched = Watched(IDLE)
    watched.look(*busy, every_us=every_us)
    assert "not idle" in watched.find_fault()


def test_a_machine_that_runs_own_requests_is_in_use() -> None:
    watched = Watched(IDLE)
    watched.look(0, 0, 0, 0)
    running = Standing(used=1, slots=4, own_running=1, peer_unread=0, own_waiting=0)
    assert "not idle" in watched.find_fault(running)
    watched.look(0, 0, 0, own_running=1)
    assert "not idle" in watched.find_fault()


def test_work_of_others_hides_its_owner_for_ten_minutes_at_most() -> None:
    watched = Watched(IDLE)
    watched.look(0, 0, 0, 0)
    watched.watch.note_work(watched.host, watched.offer, watched.stage.get_model(watched.host))
    watched.look(*[950] * 100)
    assert watched.find_fault() == ""
    watched.look(*[950] * 20)
    assert "not idle" in watched.find_fault()
