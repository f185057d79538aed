"""Every checker bites: a peer broken on purpose in one way is stopped by the rule for that way.

Each broken peer wraps the production peer and alters its effects, its setup or what it hears. The
same scenario with the unbroken peer runs clean.
"""

from collections.abc import Callable
from dataclasses import replace as alter_dataclass

import pytest
from msgspec.structs import replace

from wwwserve.core.chain import Loaded
from wwwserve.core.effects import (
    AcceptOffer,
    Dial,
    Effect,
    EndRequest,
    Report,
    StartLocal,
    StartRemote,
)
from wwwserve.core.events import Event, SubmitRequest
from wwwserve.core.facts import MemberChanged, MemberStatus
from wwwserve.core.peer import Peer
from wwwserve.core.policy_settings import PolicySettings
from wwwserve.core.sessions import Role, Route, SessionId
from wwwserve.core.setup import PeerSetup
from wwwserve.core.snapshot import Snapshot
from wwwserve.sim.checkers import Violation
from wwwserve.sim.cluster import Cluster, CreateCore
from wwwserve.sim.fuzz import run_fuzz
from wwwserve.sim.hosts import PeerSpins
from wwwserve.sim.plans import (
    Fault,
    LedgerPlan,
    NodePlan,
    PolicyValue,
    Scenario,
    WorkloadPlan,
)
from wwwserve.sim.runs import Verdict
from wwwserve.values.limits import QUEUE_LENGTH_MAX
from wwwserve.values.moments import SECOND, Moment

END_US = 40 * SECOND
EIGHT_US = 8 * 3_600 * SECOND
NINE, TEN = 9 * 60, 10 * 60
"""Minutes of the week."""


class Broken:
    """The production peer, and a fault for a subclass to add."""

    def __init__(self, setup: PeerSetup, loaded: Loaded | None = None) -> None:
        self.setup = self.alter_setup(setup)
        self.peer = Peer(self.setup, loaded)

    def alter_setup(self, setup: PeerSetup) -> PeerSetup:
        return setup

    def alter_event(self, event: Event) -> Event:
        return event

    def alter_effects(self, effects: list[Effect]) -> list[Effect]:
        return effects

    def handle(self, event: Event, now: Moment) -> list[Effect]:
        return self.alter_effects(self.peer.handle(self.alter_event(event), now))

    def next_deadline(self) -> Moment:
        return self.peer.next_deadline()

    def get_snapshot(self, now: Moment) -> Snapshot:
        return self.peer.get_snapshot(now)


def repeat(kind: type[Effect]) -> type[Broken]:
    """A peer that asks for one kind of thing twice."""

    class Repeats(Broken):
        def alter_effects(self, effects: list[Effect]) -> list[Effect]:
            return [one for effect in effects for one in [effect] * (1 + isinstance(effect, kind))]

    return Repeats


class RunsAfterTheEnd(Broken):
    def alter_effects(self, effects: list[Effect]) -> list[Effect]:
        ended = [effect.request for effect in effects if isinstance(effect, EndRequest)]
        late = [
            StartLocal(SessionId(Role.ORIGIN, 10**6), request, self.setup.models[0])
            for request in ended
        ]
        return [*effects, *late]


class ClaimsMoreSlots(Broken):
    def alter_setup(self, setup: PeerSetup) -> PeerSetup:
        return alter_dataclass(
            setup, models=tuple(alter_dataclass(one, slots=99) for one in setup.models)
        )


class ForgetsItsPolicy(Broken):
    def alter_setup(self, setup: PeerSetup) -> PeerSetup:
        return alter_dataclass(setup, policy=PolicySettings(own_first=False))


class ForgetsItsDisk(Broken):
    def alter_setup(self, setup: PeerSetup) -> PeerSetup:
        return alter_dataclass(setup, restored={})


class IgnoresRoutes(Broken):
    def alter_event(self, event: Event) -> Event:
        return replace(event, route=Route.AUTO) if isinstance(event, SubmitRequest) else event


class SwapsRoutes(Broken):
    def alter_event(self, event: Event) -> Event:
        return replace(event, route=Route.LOCAL) if isinstance(event, SubmitRequest) else event


class PretendsToAnswer(Broken):
    def alter_effects(self, effects: list[Effect]) -> list[Effect]:
        return [
            EndRequest(effect.request, None) if isinstance(effect, StartLocal) else effect
            for effect in effects
        ]


class OffersToSuspects(Broken):
    def alter_effects(self, effects: list[Effect]) -> list[Effect]:
        altered: list[Effect] = []
        for effect in effects:
            if isinstance(effect, StartRemote):
                altered.append(Report(MemberChanged(effect.peer, MemberStatus.SUSPECT, 2**60)))
            altered.append(effect)
        return altered


class BelievesOldNews(Broken):
    def alter_effects(self, effects: list[Effect]) -> list[Effect]:
        facts = [effect.fact for effect in effects if isinstance(effect, Report)]
        changes = [fact for fact in facts if isinstance(fact, MemberChanged)]
        return [*effects, *(Report(replace(one, version=one.version - 1)) for one in changes)]


class QueuesWithoutEnd(Broken):
    def get_snapshot(self, now: Moment) -> Snapshot:
        return alter_dataclass(self.peer.get_snapshot(now), requests_queued=QUEUE_LENGTH_MAX + 1)


class LosesCount(Broken):
    def get_snapshot(self, now: Moment) -> Snapshot:
        return alter_dataclass(self.peer.get_snapshot(now), requests_open=7_777)


class NeverSleeps(Broken):
    def next_deadline(self) -> Moment:
        return Moment(0)


class NeverDials(Broken):
    def alter_effects(self, effects: list[Effect]) -> list[Effect]:
        return [effect for effect in effects if not isinstance(effect, Dial)]


class Raises(Broken):
    def handle(self, event: Event, now: Moment) -> list[Effect]:
        assert not isinstance(event, SubmitRequest), "broken on purpose"
        return super().handle(event, now)


def make_scenario(
    policy: dict[str, PolicyValue] | None = None,
    *,
    local_permille: int = 0,
    network_permille: int = 0,
    is_paid: bool = False,
) -> Scenario:
    """Three nodes with one policy, all users at the first; the world begins on Monday at 08:00."""
    node = NodePlan(policy=policy or {}, local_zero_us=EIGHT_US)
    return Scenario(
        name="checked",
        nodes={"crowded": replace(node, share=1), "second": node, "third": node},
        ledger=LedgerPlan() if is_paid else None,
        workload=WorkloadPlan(
            load_permille=700, local_permille=local_permille, network_permille=network_permille
        ),
        faults=(
            Fault(at_us=8 * SECOND, kind="drain", node="third"),
            Fault(at_us=9 * SECOND, kind="resume", node="third"),
            Fault(at_us=12 * SECOND, kind="kill", node="third", for_us=SECOND),
        ),
        duration_us=END_US,
    )


def play(scenario: Scenario, create_core: CreateCore) -> None:
    cluster = Cluster(scenario, 1, strategy="wwwserve", create_core=create_core)
    cluster.start()
    cluster.run_until(END_US)


PLAIN = make_scenario()
BREAKAGES: list[tuple[str, Callable[[PeerSetup], Broken], Scenario]] = [
    ("ends-once", repeat(EndRequest), PLAIN),
    ("request-open", RunsAfterTheEnd, PLAIN),
    ("session-number", repeat(StartLocal), PLAIN),
    ("accept", repeat(AcceptOffer), PLAIN),
    ("answer", PretendsToAnswer, PLAIN),
    # A policy whose owner does not come first says nothing of how full an engine may be.
    ("slots", ClaimsMoreSlots, make_scenario({"own_first": False})),
    ("partner", OffersToSuspects, PLAIN),
    ("partner", ForgetsItsPolicy, make_scenario({"deny_nodes": ("second", "third")})),
    ("partner", ForgetsItsPolicy, make_scenario({"offload_nodes": ("crowded",)})),
    ("route", IgnoresRoutes, make_scenario(local_permille=1000)),
    ("route", SwapsRoutes, make_scenario(network_permille=1000)),
    ("policy", ForgetsItsPolicy, make_scenario({"accept_permille": 0})),
    ("policy", ForgetsItsPolicy, make_scenario({"concurrent_max": 0})),
    ("policy", ForgetsItsPolicy, make_scenario({"concurrent_per_peer_max": 1})),
    ("policy", ForgetsItsPolicy, make_scenario({"prompt_tokens_max": 10})),
    ("policy", ForgetsItsPolicy, make_scenario({"target_utilisation_permille": 100})),
    ("policy", ForgetsItsPolicy, make_scenario({"deny_models": ("pretend/base",)})),
    ("policy", ForgetsItsPolicy, make_scenario({"allow_nodes": ("third",)})),
    ("policy", ForgetsItsPolicy, make_scenario({"hours": ((NINE, TEN),)})),
    ("policy", ForgetsItsPolicy, make_scenario({"idle_only": True})),
    ("policy", ForgetsItsPolicy, make_scenario({"reserve_concurrency": 3})),
    ("policy", ForgetsItsPolicy, make_scenario({"completion_tokens_max": 1_000})),
    ("policy", ForgetsItsPolicy, make_scenario({"context_tokens_max": 1_000})),
    ("policy", ForgetsItsPolicy, make_scenario({"body_bytes_max": 1_000})),
    ("policy", ForgetsItsPolicy, make_scenario({"requests_per_minute_max": 2})),
    ("policy", ForgetsItsPolicy, make_scenario({"requests_per_minute_per_peer_max": 2})),
    ("policy", ForgetsItsPolicy, make_scenario({"tokens_per_day_max": 50_000})),
    ("policy", ForgetsItsPolicy, make_scenario({"tokens_per_day_per_peer_max": 50_000})),
    ("budget", ForgetsItsPolicy, make_scenario({"offload_price_max": 5}, is_paid=True)),
    ("budget", ForgetsItsPolicy, make_scenario({"offload_credits_per_hour_max": 9}, is_paid=True)),
    ("budget", ForgetsItsPolicy, make_scenario({"offload_credits_per_day_max": 9}, is_paid=True)),
    ("version", BelievesOldNews, PLAIN),
    ("own-version", ForgetsItsDisk, PLAIN),
    ("bounds", QueuesWithoutEnd, PLAIN),
    ("bounds", LosesCount, PLAIN),
]


@pytest.mark.parametrize(
    ("rule", "create_core", "scenario"),
    BREAKAGES,
    ids=[f"{rule}-{number}" for number, (rule, _, _) in enumerate(BREAKAGES)],
)
def test_a_broken_peer_is_caught(rule: str, create_core: CreateCore, scenario: Scenario) -> None:
    with pytest.raises(Violation) as caught:
        play(scenario, create_core)
    assert caught.value.rule == rule


@pytest.mark.parametrize("scenario", [PLAIN, *(scenario for _, _, scenario in BREAKAGES[7:31])])
def test_the_unbroken_peer_runs_clean(scenario: Scenario) -> None:
    play(scenario, Peer)


def test_a_peer_that_never_sleeps_is_caught() -> None:
    with pytest.raises(PeerSpins):
        play(PLAIN, NeverSleeps)


@pytest.mark.parametrize(
    ("create_core", "verdict"), [(NeverDials, Verdict.STUCK), (Raises, Verdict.CRASH)]
)
def test_what_never_happens_and_what_blows_up_have_their_own_verdicts(
    create_core: CreateCore, verdict: Verdict
) -> None:
    result = run_fuzz(2, create_core=create_core)
    assert result.verdict is verdict
    assert result.detail
