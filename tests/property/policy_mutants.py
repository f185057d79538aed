"""Bugs seeded into the policy, and the small pretend networks whose checker is to notice them.

Each bug is one place of `core.policy`; the world beside it has a provider who set what the bug
breaks, at a value that its guests reach.
"""

import importlib
from dataclasses import dataclass
from typing import Final

from tests.property.ledger_mutants import Mutant, infected
from tests.property.staking_walk import Account, find_stake_fault
from wwwserve.sim.plans import (
    EnginePlan,
    LedgerPlan,
    NodePlan,
    OwnerUse,
    PolicyValue,
    Scenario,
    WorkloadPlan,
)
from wwwserve.values.moments import SECOND

FRESH: Final = ("wwwserve.core", "wwwserve.sim")
"""What is loaded afresh: the policy, all peers, and the world that looks at them."""
END_US: Final = 240 * SECOND
STAKE_EPOCHS: Final = 400
_HOUR_US: Final = 3_600 * SECOND
_SHORT: Final[dict[str, PolicyValue]] = {"own_first": False}


@dataclass(frozen=True, slots=True)
class World:
    """A provider with a few own users beside one whose many users come over."""

    policy: dict[str, PolicyValue]
    """The provider's."""
    asker: dict[str, PolicyValue]
    zero_us: int
    owner_use: tuple[OwnerUse, ...]
    owner_share: int
    """Of its own users in all requests; the asker's is 6."""
    is_paid: bool

    def create_scenario(self) -> Scenario:
        """The plan."""
        small = EnginePlan(slots=1)
        asker = NodePlan(share=6, engine=small, policy={"accept_permille": 0, **self.asker})
        owner = NodePlan(
            share=self.owner_share,
            engine=EnginePlan(slots=6),
            policy=self.policy,
            local_zero_us=self.zero_us,
            owner_use=self.owner_use,
        )
        return Scenario(
            name="provider",
            nodes={"asker": asker, "owner": owner},
            ledger=LedgerPlan(credits_each=1_000) if self.is_paid else None,
            workload=WorkloadPlan(load_permille=500),
            duration_us=END_US,
        )


@dataclass(frozen=True, slots=True)
class StakeLife:
    """A provider whose policy keeps its stake, and what it begins with."""

    policy: dict[str, int]
    free: int
    bond: int


@dataclass(frozen=True, slots=True)
class Bug:
    """A mutant, and the world or the life that is to show it."""

    mutant: Mutant
    world: World | StakeLife


def find_fault(world: World | StakeLife) -> str:
    """What the checker, or the auditor of stake, says of peers as they are loaded now."""
    if isinstance(world, StakeLife):
        return _find_stake_fault(world)
    cluster_module = importlib.import_module("wwwserve.sim.cluster")
    peer_module = importlib.import_module("wwwserve.core.peer")
    checkers_module = importlib.import_module("wwwserve.sim.checkers")
    cluster = cluster_module.Cluster(
        world.create_scenario(), 1, strategy="wwwserve", create_core=peer_module.Peer
    )
    cluster.start()
    try:
        cluster.run_until(END_US)
    except checkers_module.Violation as violation:
        return str(violation)
    return ""


def _find_stake_fault(life: StakeLife) -> str:
    settings_module = importlib.import_module("wwwserve.core.policy_settings")
    policy_module = importlib.import_module("wwwserve.core.policy")
    entropy_module = importlib.import_module("wwwserve.core.entropy")
    settings = settings_module.PolicySettings(**life.policy)
    policy = policy_module.Policy(settings, entropy_module.Entropy(b"policy"))
    return find_stake_fault(policy, settings, Account(life.free, life.bond), 1, STAKE_EPOCHS)


def find_fault_of(bug: Bug) -> str:
    """What the checker says while the bug lives."""
    with infected(bug.mutant.module, bug.mutant.write(), FRESH):
        return find_fault(bug.world)


def _world(
    policy: dict[str, PolicyValue],
    asker: dict[str, PolicyValue] | None = None,
    *,
    zero_us: int = 9 * _HOUR_US,
    owner_use: tuple[OwnerUse, ...] = (),
    owner_share: int = 2,
    is_paid: bool = False,
) -> World:
    own = {**_SHORT, **policy}
    return World(own, asker or {}, zero_us, owner_use, owner_share, is_paid)


def _bug(what: str, module: str, old: str, new: str, world: World | StakeLife) -> Bug:
    return Bug(Mutant(what, f"wwwserve.core.policy.{module}", old, new), world)


_IDLE = _world(
    {"idle_only": True, "idle_for_us": 30 * SECOND},
    owner_use=(OwnerUse(from_us=0, until_us=60 * SECOND),),
    owner_share=0,
)
_SELDOM_IDLE = _world({"idle_only": True, "idle_for_us": 5 * SECOND}, owner_share=1)
_CLOSES = _world({"hours": ((540, 542),)})
_OPENS = _world({"hours": ((542, 600),)})
_RISES: Final = StakeLife({"stake_seats": 12, "stake_reserve": 200}, free=280, bond=0)
_RICH: Final = StakeLife({"stake_seats": 12, "stake_reserve": 200}, free=2_000, bond=0)
_FALLS: Final = StakeLife({"stake_seats": 3, "stake_reserve": 200}, free=500, bond=450)
_EARNS: Final = StakeLife({"stake_income_permille": 500, "stake_reserve": 0}, free=2_000, bond=0)
_BUDGET: Final[dict[str, PolicyValue]] = {"offload_credits_per_hour_max": 8_000_000}

BUGS: Final = (
    # -- whose and what
    _bug("a denied node is let in", "offers",
         "lambda settings, case: case.asker in settings.deny_nodes,",
         "lambda settings, case: False,", _world({"deny_nodes": ("asker",)})),
    _bug("a list of nodes is not looked at", "offers",
         "bool(settings.allow_nodes) and case.asker not in settings.allow_nodes", "False",
         _world({"allow_nodes": ("owner",)})),
    # -- how large
    _bug("an answer without a limit counts as nothing", "ruling",
         "return summary.completion_tokens_max or offer.context_tokens or _LIMITLESS_TOKENS",
         "return summary.completion_tokens_max", _world({"completion_tokens_max": 2_000})),
    _bug("prompt and answer are not added up", "offers",
         "return case.summary.prompt_tokens + _count_answer(case)", "return _count_answer(case)",
         _world({"context_tokens_max": 600})),
    # -- how much
    _bug("a minute's request is not counted itself", "offers",
         "lambda case: case.counts.minute_requests + 1,",
         "lambda case: case.counts.minute_requests,", _world({"requests_per_minute_max": 3})),
    _bug("one node's request is not counted itself", "offers",
         "lambda case: case.counts.minute_requests_asker + 1,",
         "lambda case: case.counts.minute_requests_asker,",
         _world({"requests_per_minute_per_peer_max": 3})),
    _bug("a minute is half as long", "usage",
         "self.minute_requests = RollingSum(MINUTE_US)",
         "self.minute_requests = RollingSum(MINUTE_US // 2)",
         _world({"requests_per_minute_max": 3})),
    _bug("a request does not count before it is over", "usage",
         "each.open_tokens += tokens", "each.open_tokens += 0",
         _world({"tokens_per_day_max": 40_000})),
    _bug("a request is forgotten when it is over", "usage",
         "each.day_tokens.add(tokens, now)", "each.day_tokens.add(0, now)",
         _world({"tokens_per_day_max": 40_000})),
    _bug("the day's cap is compared without the request", "offers",
         "lambda case: case.counts.day_tokens + _count_with_answer(case),",
         "lambda case: case.counts.day_tokens,", _world({"tokens_per_day_max": 34_000})),
    _bug("one node's day is everybody's", "offers",
         "lambda case: case.counts.day_tokens_asker + _count_with_answer(case),",
         "lambda case: case.counts.day_tokens_asker,",
         _world({"tokens_per_day_per_peer_max": 34_000})),
    _bug("one more may run than is said", "offers",
         "lambda case: _get_load(case).peer_running + 1,",
         "lambda case: _get_load(case).peer_running,", _world({"concurrent_max": 1})),
    _bug("one more of a node may run than is said", "offers",
         "lambda case: _get_load(case).asker_running + 1,",
         "lambda case: _get_load(case).asker_running,", _world({"concurrent_per_peer_max": 1})),
    _bug("the last slot that is kept is given away", "offers",
         "_get_load(case).used + settings.reserve_concurrency >= _get_load(case).slots",
         "_get_load(case).used + settings.reserve_concurrency > _get_load(case).slots",
         _world({"reserve_concurrency": 5})),
    _bug("own users come first only when the node is full", "ruling",
         "return load.own_waiting == 0 and is_read and is_below_target(settings, load)",
         "return load.own_waiting == 0 and is_read and load.has_room",
         _world({"own_first": True, "target_utilisation_permille": 200})),
    _bug("others' prompts are read together", "ruling",
         "is_read = load.own_running == 0 or load.peer_unread == 0", "is_read = True",
         _world({"own_first": True, "target_utilisation_permille": 1_000}, owner_share=4)),
    _bug("a prompt counts as read at once", "ruling",
         "is_read = load.own_running == 0 or load.peer_unread == 0",
         "is_read = load.own_running == 0 or load.peer_unread < 2",
         _world({"own_first": True, "target_utilisation_permille": 1_000}, owner_share=4)),
    # -- when
    _bug("it opens a minute early", "hours",
         "minutes[start:this_week] = b\"\\1\" * (this_week - start)",
         "minutes[start - 1 : this_week] = b\"\\1\" * (this_week - start + 1)", _OPENS),
    _bug("it never closes", "opening",
         "self.is_open = self._table.is_open(week_us)", "self.is_open = True", _CLOSES),
    _bug("any idleness is enough", "offers",
         "settings.idle_only and case.idle_us < settings.idle_for_us,",
         "settings.idle_only and case.idle_us == 0,", _IDLE),
    _bug("who uses the machine does not matter", "idleness",
         "if is_used:", "if False:", _IDLE),
    _bug("own users' requests are no use of the machine", "machine",
         "self._idleness.read(is_used=is_own or is_busy, is_clear=not works, now=now)",
         "self._idleness.read(is_used=is_busy and not is_own, is_clear=not works, now=now)",
         _SELDOM_IDLE),
    # -- what leaves
    _bug("a hold does not count before it is paid", "spending",
         "self._locked += compute_most(terms)", "self._locked += 0",
         _world({}, _BUDGET, is_paid=True)),
    _bug("a budget is compared without the request", "spending",
         "if self.compute_hour(now) + most > settings.offload_credits_per_hour_max:",
         "if self.compute_hour(now) > settings.offload_credits_per_hour_max:",
         _world({}, _BUDGET, is_paid=True)),
    _bug("what was spent is forgotten", "spending",
         "self._hour.add(amount, at)", "self._hour.add(0, at)",
         _world({}, _BUDGET, is_paid=True)),
    # -- what is staked
    _bug("the reserve is staked", "staking",
         "spare = max(case.holdings.free - settings.stake_reserve, 0)",
         "spare = case.holdings.free", _RISES),
    _bug("the target is passed", "staking",
         "seats = min(_take_step(missing), spare // case.holdings.seat_price)",
         "seats = spare // case.holdings.seat_price", _RICH),
    _bug("one order follows the other", "staking",
         "if case.rest_epochs:", "if False:", _RICH),
    _bug("an order does not wait for the log", "staking",
         "if self._ordered is not None:", "if False:", _RICH),
    _bug("what is too much is taken out at once", "staking",
         "is_lasting = case.surplus_epochs >= SURPLUS_EPOCHS", "is_lasting = True", _FALLS),
    _bug("more is taken out than is too much", "staking",
         "-(-seats // STEP_DIVISOR)", "-(-seats // STEP_DIVISOR) + 1", _FALLS),
    _bug("what is set aside is staked twice", "staking",
         "self.set_aside -= self._ordered", "self.set_aside -= 0", _EARNS),
    _bug("all of the income is set aside", "staking",
         "share = microcredits * settings.stake_income_permille // _PERMILLE",
         "share = microcredits", _EARNS),
)  # fmt: skip
