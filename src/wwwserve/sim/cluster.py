"""A whole pretend network from a plan: hosts, links, engines, users, faults and checkers.

`Cluster` is the simulator's shell. It creates production peers, carries out their effects, sends
users' requests and notes what became of each.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, assert_never

from wwwserve.core.chain import Loaded
from wwwserve.core.effects import (
    AcceptOffer,
    AnswerOrder,
    CloseLink,
    DeclineOffer,
    Dial,
    Effect,
    EndRequest,
    ExtendPayment,
    OpenFeed,
    Persist,
    PublishBlock,
    RecallSession,
    ReleaseOutput,
    Report,
    SendMessage,
    StartLocal,
    StartRemote,
    StopSession,
    TakeExtension,
)
from wwwserve.core.events import CancelRequest, Event, Persisted, SubmitRequest
from wwwserve.core.lanes import Lane
from wwwserve.core.policy_settings import PolicySettings
from wwwserve.core.sessions import Route
from wwwserve.core.setup import PeerSetup, WalletChoices
from wwwserve.sim.carriages import compute_body_digest
from wwwserve.sim.checkers import Checkers
from wwwserve.sim.disk import PretendDisk
from wwwserve.sim.engines import PretendEngine
from wwwserve.sim.faults import Faults
from wwwserve.sim.hosts import AnyPeer, Host
from wwwserve.sim.keys import PretendSigner, PretendVerifier
from wwwserve.sim.ledger_checker import LedgerChecker
from wwwserve.sim.ledgers import PretendLedger
from wwwserve.sim.link_traffic import LinkTraffic
from wwwserve.sim.log_words import LogWords
from wwwserve.sim.money_checker import MoneyChecker
from wwwserve.sim.network import Network
from wwwserve.sim.objectives import tell_first
from wwwserve.sim.people import PEOPLE
from wwwserve.sim.plans import NodePlan, PolicyValue, Scenario
from wwwserve.sim.policies import create_policy, is_idleness_asked
from wwwserve.sim.serving import create_models, find_seats
from wwwserve.sim.streams import Streams
from wwwserve.sim.summaries import create_summary
from wwwserve.sim.truth import Outcome, UserRequest, find_outcome
from wwwserve.sim.workload import (
    Arrival,
    Population,
    create_entropy,
    create_requests,
    create_traced_requests,
)
from wwwserve.sim.world import PretendClock, World
from wwwserve.values.ids import NodeId
from wwwserve.values.moments import SECOND
from wwwserve.values.parameters import MAIN, TINY, compute_network_id
from wwwserve.values.refusals import BadInput

if TYPE_CHECKING:
    from wwwserve.core.facts import Fact

CreateCore = Callable[[PeerSetup, Loaded | None], AnyPeer]
"""Makes a peer: `core.peer.Peer`, or a scripted one in a test."""

UNAWARE = "wwwserve-no-prefix"
"""The strategy of peers that are not told which prompts begin alike."""
INSPECTION_PERIOD_US, INSPECTED_MAX = SECOND, 100
"""How often checkers look at every peer's snapshot, where there are no more; else less often."""


class Cluster:
    """One world, from its plan and seed."""

    def __init__(
        self, scenario: Scenario, seed: int, *, strategy: str, create_core: CreateCore
    ) -> None:
        """Nothing happens before `start`. Raises `BadInput` for a plan that cannot be."""
        entropy = create_entropy(scenario, seed)
        self.scenario = scenario
        self.seed = seed
        self.requests: dict[bytes, UserRequest] = {}
        """Every request sent so far, in the order of arrival."""
        self.watchers: list[Callable[[Host, Fact], None]] = []
        """Told of every fact."""
        self.births: list[Callable[[Host, PolicySettings], None]] = []
        """Told of every process that begins, and of the policy it begins with."""
        self._entropy = entropy
        self._objective = tell_first(scenario)
        self._strategy = strategy
        self._create_core = create_core
        self._parameters = MAIN if scenario.parameters == "main" else TINY
        self._secret = entropy.bytes(32)
        self.world = World(entropy.split("world"))
        self._signers = {name: PretendSigner(self._secret, name) for name in scenario.nodes}
        verifier, network_id = PretendVerifier(self._secret), compute_network_id(self._parameters)
        node_ids = [signer.node_id for signer in self._signers.values()]
        self._seats = find_seats(scenario, node_ids)
        self.ledger: PretendLedger | None = None
        """The network's; None: nothing is paid."""
        if scenario.ledger is not None:
            self.ledger = PretendLedger(scenario.ledger, tuple(node_ids), network_id, verifier)
            network_id = self.ledger.genesis_id
        self.network = Network(self.world, scenario.network, verifier, network_id)
        self.log_words = LogWords(self.network, self.ledger.opener) if self.ledger else None
        self.ledger_checker = LedgerChecker()
        self.money_checker = MoneyChecker(self.ledger_checker)
        self.hosts = {
            name: self._create_host(index, name, plan)
            for index, (name, plan) in enumerate(scenario.nodes.items())
        }
        for host in self.hosts.values():
            self.network.add(host)
        self.traffic = LinkTraffic(self.world, self.network, self.hosts, from_us=scenario.join_us)
        self._validate()
        self.streams = Streams(
            self.network,
            self.requests.get,
            on_output=lambda _: None,
            on_end=self._on_end,
            money=self.money_checker,
            opener=self.ledger.opener if self.ledger else None,
        )
        self.checkers = Checkers(
            self.requests.get, lambda request: self.streams.get_answerer(request) is not None
        )
        self.faults = Faults(
            self.world, self.network, self.streams, self.hosts, self.create_policy, self._on_death
        )

    # -- running ---------------------------------------------------------------------------------

    def start(self, trace: Sequence[Arrival] | None = None) -> None:
        """Arrange the starts of all nodes, all requests and all faults."""
        for name, plan in self.scenario.nodes.items():
            self.world.at(plan.start_us, self._create_starter(self.hosts[name]))
        population = Population(
            list(self.scenario.nodes.values()), [host.node_id for host in self.hosts.values()]
        )
        entropy = self._entropy.split("workload")
        if trace is None:
            requests = create_requests(self.scenario, population, entropy)
        else:
            requests = create_traced_requests(self.scenario, population, entropy, trace)
        self._await_next(requests)
        self.faults.schedule(self.scenario.faults)
        self.world.after(INSPECTION_PERIOD_US, self._inspect)

    def run_until(self, moment_us: int) -> None:
        """Let virtual time pass. Raises `Violation`, `PeerSpins`, or whatever a peer raises."""
        self.world.run_until(moment_us)

    @property
    def node_names(self) -> list[str]:
        """All nodes, in the plan's order."""
        return list(self.hosts)

    @property
    def message_counts(self) -> dict[str, int]:
        """Control messages sent so far, by kind."""
        return dict(self.network.message_counts)

    @property
    def frame_count(self) -> int:
        """Frames of request streams sent so far."""
        return self.streams.frame_count

    def get_digest(self) -> str:
        """A digest over every effect in order."""
        return self.world.get_digest()

    def is_quiet(self) -> bool:
        """Whether no request is open anywhere."""
        return all(request.outcome is not Outcome.OPEN for request in self.requests.values())

    def submit(self, request: UserRequest) -> None:
        """A user sends a request now."""
        host = list(self.hosts.values())[request.origin]
        self.requests[request.request] = request
        if not host.is_up:
            self._finish(request, Outcome.REFUSED)
            return
        route = Route.LOCAL if self._strategy == "single" else request.route
        host.tell(
            SubmitRequest(
                create_summary(
                    request,
                    body_bytes_per_token=self.scenario.body_bytes_per_token,
                    is_prefix_told=self._strategy != UNAWARE,
                ),
                route,
                request.allowed_executors,
                body_digest=compute_body_digest(request) if self.ledger else b"",
                client=request.client,
                objective=self._objective,
            )
        )
        if request.patience_us:
            host.do_later(request.patience_us, lambda: self._go_away(host, request))

    def create_policy(self, values: dict[str, PolicyValue]) -> PolicySettings:
        """A policy from a plan's words. Raises `BadInput`."""
        return create_policy(values, self._find_node_id)

    # -- nodes -----------------------------------------------------------------------------------

    def _validate(self) -> None:
        """Refuse names that mean nothing now rather than when they are needed."""
        for plan in self.scenario.nodes.values():
            self.create_policy(plan.policy)
            create_models(plan)
        for fault in self.scenario.faults:
            self.create_policy(fault.policy)
            self._find_node_id(fault.node)
            if fault.other:
                self._find_node_id(fault.other)

    def _create_host(self, index: int, name: str, plan: NodePlan) -> Host:
        signer = self._signers[name]
        entropy = self._entropy.split(f"host {name}")
        if plan.person not in PEOPLE:
            raise BadInput("person", plan.person, ", ".join(PEOPLE), "correct the name")
        return Host(
            index=index,
            name=name,
            node_id=signer.node_id,
            address=f"{name}:1",
            world=self.world,
            clock=PretendClock(entropy.below(1000 * SECOND), plan.drift_ppm),
            disk=PretendDisk(self.world, plan.disk_us),
            engine=PretendEngine(self.world, plan.engine, plan.models, entropy.split("engine")),
            create_peer=self._create_peer,
            carry_out=self._carry_out,
            watch=self._watch_event,
            person=PEOPLE[plan.person](signer.node_id),
            local_zero_us=plan.local_zero_us,
            owner_use=plan.owner_use,
            is_machine_read=is_idleness_asked(self.scenario, name),
        )

    def _create_peer(self, host: Host) -> AnyPeer:
        plan = self.scenario.nodes[host.name]
        policy = self.create_policy(plan.policy)
        models = create_models(plan)
        self.checkers.on_birth(host, policy, models)
        self.ledger_checker.on_birth(host)
        self.money_checker.on_birth(host)
        for on_birth in self.births:
            on_birth(host, policy)
        first = next(iter(self.hosts.values()))
        setup = PeerSetup(
            signer=self._signers[host.name],
            parameters=self._parameters,
            entropy_seed=self._entropy.split(f"peer {host.name} {host.life}").bytes(32),
            addresses=(host.address,),
            models=models,
            policy=policy,
            bootstrap=() if host is first else ((first.address, first.node_id),),
            seats=self._seats,
            restored=host.disk.read(Lane.BOOK),
            genesis_id=self.ledger.genesis_id if self.ledger else b"",
            wallet=WalletChoices(
                stored=host.disk.read(Lane.FEED), is_clean_boot=not host.has_lost_power
            ),
        )
        if self.ledger is None:
            return self._create_core(setup, None)
        is_founder = plan.start_us == 0
        return self._create_core(setup, self.ledger.load(host.disk, is_founder=is_founder))

    def _create_starter(self, host: Host) -> Callable[[], None]:
        return lambda: self.faults.start(host)

    def _find_node_id(self, name: str) -> NodeId:
        if name not in self._signers:
            raise BadInput("node", name, ", ".join(self._signers), "correct the name")
        return self._signers[name].node_id

    def _watch_event(self, host: Host, event: Event) -> None:
        self.checkers.on_event(host, event)
        if self.ledger is not None:
            self.ledger_checker.on_event(host, event)
            self.money_checker.on_event(host, event)
        self.traffic.on_event(host, event)

    def _inspect(self) -> None:
        for host in self.hosts.values():
            snapshot = host.get_snapshot()
            if snapshot is not None:
                self.checkers.inspect(host, snapshot)
        self.world.after(INSPECTION_PERIOD_US * -(-len(self.hosts) // INSPECTED_MAX), self._inspect)

    # -- effects ---------------------------------------------------------------------------------

    def _carry_out(self, host: Host, effect: Effect) -> None:
        self.checkers.on_effect(host, effect)
        if self.ledger is not None:
            self.ledger_checker.on_effect(host, effect)
            self.money_checker.on_effect(host, effect)
        match effect:
            case SendMessage() | Dial() | CloseLink():
                self._carry_out_link(host, effect)
            case Report():
                for watcher in self.watchers:
                    watcher(host, effect.fact)
            case PublishBlock() | OpenFeed() | AnswerOrder():
                assert self.log_words is not None, "only who has a ledger asks for this"
                self.log_words.carry_out(host, effect)
            case Persist():
                host.disk.write(effect, lambda done: host.tell(Persisted(done.lane, done.number)))
            case (
                StartLocal()
                | StartRemote()
                | ExtendPayment()
                | StopSession()
                | RecallSession()
                | EndRequest()
                | AcceptOffer()
                | ReleaseOutput()
                | TakeExtension()
                | DeclineOffer()
            ):
                self.streams.carry_out(host, effect)
            case _:
                assert_never(effect)

    def _carry_out_link(self, host: Host, effect: SendMessage | Dial | CloseLink) -> None:
        match effect:
            case SendMessage():
                self._send(host, effect)
            case Dial():
                self.network.dial(host, effect.address, effect.expected)
            case CloseLink():
                self.network.end_link(host, effect)
            case _:
                assert_never(effect)

    def _send(self, host: Host, effect: SendMessage) -> None:
        if effect.lane is None:
            self.network.send(host, effect.peer, effect.message)
        else:
            host.disk.hold(
                effect.lane, lambda: self.network.send(host, effect.peer, effect.message)
            )

    # -- users -----------------------------------------------------------------------------------

    def _await_next(self, requests: Iterator[UserRequest]) -> None:
        request = next(requests, None)
        if request is None:
            return

        def arrive() -> None:
            self.submit(request)
            self._await_next(requests)

        self.world.at(request.arrival_us, arrive)

    def _go_away(self, host: Host, request: UserRequest) -> None:
        if request.outcome is Outcome.OPEN:
            host.tell(CancelRequest(request.request))

    def _on_end(self, request: UserRequest, host: Host, effect: EndRequest) -> None:
        assert list(self.hosts.values())[request.origin] is host, "its own node ends a request"
        request.error = effect.error
        if effect.error is None:
            request.executor = self.streams.get_answerer(request.request)
        self._finish(request, find_outcome(effect.error))

    def _finish(self, request: UserRequest, outcome: Outcome) -> None:
        request.outcome = outcome
        request.ended_us = self.world.now_us

    def _on_death(self, host: Host) -> None:
        self.traffic.on_death(host)
        for request in self.requests.values():
            if request.origin == host.index and request.outcome is Outcome.OPEN:
                self._finish(request, Outcome.LOST)
