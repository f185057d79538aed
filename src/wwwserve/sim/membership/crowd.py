"""A crowd: many production peers that only have to know each other; no users, no engines.

Everything is as in a `Cluster` - paths, links, disks, clocks that drift - but for what requests
need, so that hundreds of peers can be watched for minutes. What each holds of each other is kept
from the facts they report, and is known to the microsecond.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import assert_never

import msgspec

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
from wwwserve.core.entropy import Entropy
from wwwserve.core.events import Event, LinkClosed, LinkOpened, Persisted
from wwwserve.core.facts import Fact, MemberChanged
from wwwserve.core.lanes import Lane
from wwwserve.core.peer import Peer
from wwwserve.core.sessions import ServedModel
from wwwserve.core.setup import PeerSetup
from wwwserve.sim.disk import PretendDisk
from wwwserve.sim.engines import CAPABILITIES, ENGINE_NAME, PretendEngine
from wwwserve.sim.hosts import AnyPeer, Host
from wwwserve.sim.keys import PretendSigner, PretendVerifier
from wwwserve.sim.membership.standing import Standing
from wwwserve.sim.membership.traffic import Traffic
from wwwserve.sim.network import Network
from wwwserve.sim.plans import EnginePlan, NetworkPlan
from wwwserve.sim.world import PretendClock, World
from wwwserve.values.ids import NodeId
from wwwserve.values.model_names import ModelId
from wwwserve.values.moments import MILLISECOND, SECOND
from wwwserve.values.parameters import MAIN, Parameters, compute_network_id
from wwwserve.wire import Message, ModelOffer

CreateCore = Callable[[PeerSetup], AnyPeer]
"""Makes a peer: `core.peer.Peer`, or one that is timed."""

STEP_US = 20 * MILLISECOND
"""Virtual time between two looks at whether something awaited has come."""
DRIFT_PPM_MAX = 200
"""How wrong a clock runs at most, either way."""
ENTRIES = 3
"""Nodes that newcomers are told of, as a bootstrap list would; the first few hosts."""
_DISK_US = 5 * MILLISECOND
_MODELS = ("Qwen/Qwen3-8B", "meta-llama/Llama-3.1-8B-Instruct")
"""What everybody serves: a record of an ordinary size."""


@dataclass(frozen=True, slots=True)
class CrowdPlan:
    """How many, how far apart, and by which numbers."""

    node_count: int
    loss_permille: int = 0
    """Share of messages that are lost and sent again; links are reliable streams."""
    latency_us: int = 20 * MILLISECOND
    """Longest base latency of a pair, one way."""
    parameters: Parameters = MAIN


class Crowd:
    """One world of peers that hold a membership, from its plan and seed."""

    def __init__(self, plan: CrowdPlan, seed: int, *, create_core: CreateCore = Peer) -> None:
        """Nobody runs before `start`."""
        entropy = Entropy(f"crowd {plan.node_count} {seed}".encode())
        self.plan = plan
        self.world = World(entropy.split("world"))
        self.watchers: list[Callable[[Host, Event], None]] = []
        """Told of every event just before its peer is."""
        self.fact_watchers: list[Callable[[Host, Fact], None]] = []
        """Told of every fact, after `standing` has taken it in."""
        self._entropy = entropy
        self._create_core = create_core
        secret = entropy.bytes(32)
        self.verifier = PretendVerifier(secret)
        self.network_id = compute_network_id(plan.parameters)
        self._signers = [PretendSigner(secret, str(index)) for index in range(plan.node_count)]
        self.network = Network(
            self.world,
            NetworkPlan(latency_us=plan.latency_us, loss_permille=plan.loss_permille),
            self.verifier,
            self.network_id,
        )
        self.hosts = [self._create_host(index) for index in range(plan.node_count)]
        for host in self.hosts:
            self.network.add(host)
        self.traffic = Traffic(self.world, plan.node_count)
        self.network.watch_message = self._watch_message
        self._indices = {host.node_id: host.index for host in self.hosts}
        self.standing = Standing(plan.node_count)

    # -- running ---------------------------------------------------------------------------------

    @property
    def now_us(self) -> int:
        """Virtual time since the world began."""
        return self.world.now_us

    def start(self, hosts: Iterable[Host], *, within_us: int = SECOND) -> None:
        """Have these start, spread evenly over a span of time from now on."""
        chosen = list(hosts)
        for number, host in enumerate(chosen):
            self.world.after(within_us * number // len(chosen), self._create_starter(host))

    def start_now(self, host: Host) -> None:
        """Start one at this instant."""
        self.standing.on_birth(host.index)
        host.start()

    def run_for(self, span_us: int) -> None:
        """Let virtual time pass. Raises `PeerSpins`, or whatever a peer raises."""
        self.world.run_until(self.now_us + span_us)

    def wait_until(self, is_met: Callable[[], bool], *, within_us: int) -> int | None:
        """Let time pass until a condition holds; how long it took, None if it took too long."""
        began_us = self.now_us
        while not is_met():
            if self.now_us - began_us >= within_us:
                return None
            self.run_for(STEP_US)
        return self.now_us - began_us

    def crash(self, host: Host, *, is_silent: bool) -> None:
        """End a host's process, as `kill -9` does; with `is_silent`, as a power cut does."""
        self.network.lose_process(host, is_silent=is_silent)
        host.end()
        self.traffic.on_death(host.index)
        self.standing.on_death(host.index)

    def set_loss(self, loss_permille: int) -> None:
        """From now on this share of messages is lost, and sent again."""
        self.network.plan = msgspec.structs.replace(self.network.plan, loss_permille=loss_permille)

    def split(self, inside: list[Host]) -> Callable[[], None]:
        """Cut these off from all others, both ways; the answer undoes it."""
        outside = [host for host in self.hosts if host not in inside]
        pairs = [(one, other) for one in inside for other in outside]
        for one, other in pairs:
            self.network.block(one, other)
            self.network.block(other, one)

        def heal() -> None:
            for one, other in pairs:
                self.network.unblock(one, other)
                self.network.unblock(other, one)

        return heal

    # -- hosts -----------------------------------------------------------------------------------

    def _create_host(self, index: int) -> Host:
        entropy = self._entropy.split(f"host {index}")
        drift_ppm = entropy.below(2 * DRIFT_PPM_MAX + 1) - DRIFT_PPM_MAX
        return Host(
            index=index,
            name=str(index),
            node_id=self._signers[index].node_id,
            address=f"node-{index}.example.net:7946",
            world=self.world,
            clock=PretendClock(entropy.below(1000 * SECOND), drift_ppm),
            disk=PretendDisk(self.world, _DISK_US),
            engine=PretendEngine(self.world, EnginePlan(), (), entropy.split("engine")),
            create_peer=self._create_peer,
            carry_out=self._carry_out,
            watch=self._watch_event,
            engine_poll_us=None,
        )

    def _create_peer(self, host: Host) -> AnyPeer:
        entries = [entry for entry in self.hosts[:ENTRIES] if entry is not host]
        return self._create_core(
            PeerSetup(
                signer=self._signers[host.index],
                parameters=self.plan.parameters,
                entropy_seed=self._entropy.split(f"peer {host.name} {host.life}").bytes(32),
                addresses=(host.address,),
                models=tuple(_create_model(name) for name in _MODELS),
                bootstrap=tuple((entry.address, entry.node_id) for entry in entries),
                restored=host.disk.read(Lane.BOOK),
                software="wwwserve",
            )
        )

    def _create_starter(self, host: Host) -> Callable[[], None]:
        return lambda: self.start_now(host)

    # -- events and effects ----------------------------------------------------------------------

    def _watch_event(self, host: Host, event: Event) -> None:
        if isinstance(event, LinkOpened):
            self.traffic.on_link_opened(host.index, self._indices[event.peer])
        elif isinstance(event, LinkClosed):
            self.traffic.on_link_closed(host.index, self._indices[event.peer])
        for watcher in self.watchers:
            watcher(host, event)

    def _watch_message(self, sender: Host, peer: NodeId, message: Message, data: bytes) -> None:
        self.traffic.on_message(sender.index, self._indices[peer], message, data)

    def _carry_out(self, host: Host, effect: Effect) -> None:
        match effect:
            case SendMessage():
                self._send(host, effect)
            case Report():
                self._on_fact(host, effect.fact)
            case Persist():
                host.disk.write(effect, lambda done: host.tell(Persisted(done.lane, done.number)))
            case Dial():
                self.network.dial(host, effect.address, effect.expected)
            case CloseLink():
                self.network.end_link(host, effect)
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
                | PublishBlock()
                | OpenFeed()
                | AnswerOrder()
            ):
                raise AssertionError("nobody asks for anything in a crowd")
            case _:
                assert_never(effect)

    def _send(self, host: Host, effect: SendMessage) -> None:
        if effect.lane is None:
            self.network.send(host, effect.peer, effect.message)
        else:
            host.disk.hold(
                effect.lane, lambda: self.network.send(host, effect.peer, effect.message)
            )

    def _on_fact(self, host: Host, fact: Fact) -> None:
        if isinstance(fact, MemberChanged):
            self.standing.on_change(host.index, self._indices[NodeId(fact.node)], fact.status)
        for watcher in self.fact_watchers:
            watcher(host, fact)


def _create_model(name: str) -> ServedModel:
    offer = ModelOffer(ModelId(name), context_tokens=32_768, capabilities=CAPABILITIES)
    return ServedModel(offer=offer, engine=ENGINE_NAME, engine_model=name, slots=4)
