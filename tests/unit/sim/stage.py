"""A small quiet world of scripted peers, to see what the simulator's shell tells them."""

from wwwserve.core.chain import Loaded
from wwwserve.core.effects import Effect, StartRemote
from wwwserve.core.events import EngineRead, Event, Started
from wwwserve.core.sessions import Role, ServedModel, SessionId
from wwwserve.core.setup import PeerSetup
from wwwserve.core.snapshot import Snapshot, Totals
from wwwserve.sim.cluster import Cluster
from wwwserve.sim.hosts import Host
from wwwserve.sim.people import Honest
from wwwserve.sim.plans import MODEL, EnginePlan, NetworkPlan, NodePlan, Scenario, WorkloadPlan
from wwwserve.sim.truth import UserRequest
from wwwserve.values.ids import RequestId
from wwwserve.values.moments import NEVER, SECOND, Moment
from wwwserve.wire import Endpoint, Offer, PeerRecord, RequestSummary

CROSSING_US = 10_000
"""Every message takes exactly so long."""
ACCEPT_WAIT_US = 5 * SECOND


class StandIn:
    """A peer without a mind of its own: it notes what it is told."""

    def __init__(self, setup: PeerSetup) -> None:
        self.setup = setup
        self.heard: list[Event] = []

    def handle(self, event: Event, now: Moment) -> list[Effect]:
        assert now >= 0
        self.heard.append(event)
        return []

    def next_deadline(self) -> Moment:
        return NEVER

    def get_snapshot(self, now: Moment) -> Snapshot:
        assert now >= 0
        node = self.setup.node_id
        record = PeerRecord(1, node, 1, (), (), 0, 1, 1)
        return Snapshot(node, record, (), (), (), 0, 0, 0, Totals())


class Puppet(Honest):
    """Carries out what a test asks for; the rules are not checked on it."""

    is_honest = False


class Stage:
    """Stand-ins named a, b, c ... that do nothing until a test asks for an effect."""

    def __init__(self, count: int = 2, engine: EnginePlan | None = None) -> None:
        plan = Scenario(
            name="stage",
            nodes={name: NodePlan(engine=engine or EnginePlan()) for name in "abcdefgh"[:count]},
            network=NetworkPlan(
                latency_us=CROSSING_US, latency_us_min=CROSSING_US, jitter_permille=0
            ),
            workload=WorkloadPlan(load_permille=0),
        )
        self.peers: dict[bytes, StandIn] = {}
        self.cluster = Cluster(plan, 1, strategy="wwwserve", create_core=self._create)
        self.cluster.start()
        self.hosts = list(self.cluster.hosts.values())
        for host in self.hosts:
            host.person = Puppet()
        self.run(0)

    def _create(self, setup: PeerSetup, loaded: Loaded | None) -> StandIn:
        assert loaded is None
        peer = self.peers[setup.node_id] = StandIn(setup)
        return peer

    def run(self, span_us: int = SECOND) -> None:
        """Let time pass."""
        self.cluster.run_until(self.cluster.world.now_us + span_us)

    def link(self, one: Host, other: Host) -> None:
        """Join two hosts and forget what they were told about it."""
        self.cluster.network.dial(one, other.address, other.node_id)
        self.run()
        self.hear(one)
        self.hear(other)

    def hear(self, host: Host) -> list[Event]:
        """What a peer was told since the last look, but for its start and engine readings."""
        peer = self.peers[host.node_id]
        heard, peer.heard = peer.heard, []
        return [event for event in heard if not isinstance(event, Started | EngineRead)]

    def name(self, host: Host) -> list[str]:
        """The kinds of what `hear` gives."""
        return [type(event).__name__ for event in self.hear(host)]

    def create_request(
        self, *, completion_tokens: int = 41, is_streamed: bool = True
    ) -> UserRequest:
        """A request the first host's user sends now; 40 tokens a second, so about a second."""
        number = len(self.cluster.requests)
        request = UserRequest(
            request=RequestId(bytes([number]) * 16),
            origin=0,
            arrival_us=self.cluster.world.now_us,
            prompt_tokens=40,
            completion_tokens=completion_tokens,
            model=MODEL,
            is_streamed=is_streamed,
        )
        self.cluster.submit(request)
        self.hear(self.hosts[0])
        return request

    def get_model(self, host: Host) -> ServedModel:
        """What a host serves."""
        return self.peers[host.node_id].setup.models[0]

    def create_offer(self, request: UserRequest, executor: Host, number: int) -> StartRemote:
        """The effect that offers a request to another host."""
        summary = RequestSummary(
            request=request.request,
            endpoint=Endpoint.CHAT,
            models=(MODEL,),
            prompt_tokens=request.prompt_tokens,
            completion_tokens_max=0,
            body_bytes=0,
        )
        return StartRemote(
            session=SessionId(Role.ORIGIN, number),
            request=request.request,
            peer=executor.node_id,
            offer=Offer(1, summary, number, MODEL),
            accept_wait_us=ACCEPT_WAIT_US,
        )
