"""From an operator's choices to what `core.Peer` is born with. Pure: no file, no environment."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address

from wwwserve.core.placing import Objective
from wwwserve.core.policy_settings import PolicySettings
from wwwserve.core.pricing import Prices, PriceTable
from wwwserve.node.config import AUTO, Config, LedgerConfig, PriceConfig
from wwwserve.node.config.money import PRICE_MAX, parse_curve
from wwwserve.node.config.policy import CREDITS_LIMIT
from wwwserve.node.hours import parse_hours
from wwwserve.ports.interfaces import InterfaceAddress
from wwwserve.values.credits import CREDIT, MICROCREDITS_MAX, parse_credits
from wwwserve.values.ids import NodeId, parse_node_id
from wwwserve.values.limits import RECORD_ADDRESSES_MAX
from wwwserve.values.model_names import ModelId, parse_model_id
from wwwserve.values.moments import MILLISECOND, SECOND
from wwwserve.values.parameters import MAIN, Parameters
from wwwserve.wire import parse_ticket

_PERMILLE = 1000


def make_parameters(config: Config) -> Parameters:
    """The network-wide numbers, under this network's name."""
    return replace(MAIN, network=config.network.name)


def make_policy(config: Config) -> PolicySettings:
    """The policy in whole thousandths, micro-credits and parsed names."""
    policy, price, stake = config.policy, config.price, config.stake
    return PolicySettings(
        hours=parse_hours("policy.hours", policy.hours),
        accept_permille=_permille(policy.accept_frequency),
        offload_permille=_permille(policy.offload_frequency),
        queue_permille=_permille(policy.queue_frequency),
        target_utilisation_permille=_permille(policy.target_utilisation),
        own_first=policy.own_first,
        reserve_concurrency=policy.reserve_concurrency,
        idle_only=policy.idle_only,
        idle_busy_permille=_permille(policy.idle_busy_max),
        idle_for_us=policy.idle_for_s * SECOND,
        concurrent_max=policy.concurrent_max,
        concurrent_per_peer_max=policy.concurrent_per_peer_max,
        requests_per_minute_max=policy.requests_per_minute_max,
        requests_per_minute_per_peer_max=policy.requests_per_minute_per_peer_max,
        tokens_per_day_max=policy.tokens_per_day_max,
        tokens_per_day_per_peer_max=policy.tokens_per_day_per_peer_max,
        prompt_tokens_max=policy.prompt_tokens_max,
        completion_tokens_max=policy.completion_tokens_max,
        context_tokens_max=policy.context_tokens_max,
        body_bytes_max=policy.body_bytes_max,
        allow_nodes=_nodes(policy.allow_nodes),
        deny_nodes=_nodes(policy.deny_nodes),
        allow_models=_models(policy.allow_models),
        deny_models=_models(policy.deny_models),
        offload_nodes=_nodes(policy.offload_nodes),
        offload_price_max=_cap("policy.offload_price_max", policy.offload_price_max, PRICE_MAX),
        offload_credits_per_hour_max=_cap(
            "policy.offload_credits_per_hour_max", policy.offload_credits_per_hour_max
        ),
        offload_credits_per_day_max=_cap(
            "policy.offload_credits_per_day_max", policy.offload_credits_per_day_max
        ),
        load_curve=parse_curve("policy.price.load_curve", price.load_curve),
        price_floor_permille=_permille(price.floor),
        idle_cut_permille=_permille(price.idle_cut),
        stake_seats=stake.target_seats,
        stake_income_permille=_permille(stake.income_share),
        stake_reserve=parse_credits("policy.stake.reserve", stake.reserve),
        guest=policy.guest,
    )


def make_prices(price: PriceConfig, ledger: LedgerConfig) -> PriceTable:
    """What is asked for a million tokens, and lent while the ledger stands, in micro-credits."""
    default = Prices(
        parse_credits("policy.price.prompt", price.prompt),
        parse_credits("policy.price.completion", price.completion),
    )
    models = {
        parse_model_id(model): Prices(
            default.prompt if one.prompt is None else parse_credits(model, one.prompt),
            default.completion if one.completion is None else parse_credits(model, one.completion),
        )
        for model, one in price.models.items()
    }
    return PriceTable(default, models, parse_credits("ledger.line_max", ledger.line_max))


def make_groups(config: Config) -> Mapping[str, tuple[ModelId, ...]]:
    """Group names with the canonical ids they stand for."""
    return {name: _models(ids) for name, ids in config.groups.items()}


def make_objectives(config: Config) -> Mapping[str, Objective]:
    """What users may hope for, by the names they choose it by."""
    return {
        one.name: Objective(
            base_us=one.base_ms * MILLISECOND,
            prompt_token_ns=one.prompt_token_us * 1_000,
            completion_token_ns=one.completion_token_us * 1_000,
            is_first_token=one.first_token,
            on_miss=one.on_miss,
            second_value=parse_credits("objectives.second_value", one.second_value),
        )
        for one in config.objectives
    }


def list_addresses(
    config: Config, bound: str, interfaces: Sequence[InterfaceAddress]
) -> tuple[str, ...]:
    """Where others should dial this node, given where it listens; empty: nowhere.

    Where there is no room for all, it goes to those the operator named.
    """
    if not bound:
        return ()
    wanted = config.links.advertise or (bound,)
    named = [address for address in wanted if address != AUTO]
    if AUTO not in wanted:
        return tuple(named)
    host, port = split_bound(bound)
    own = [one.address.ip for one in list_reachable(bound, interfaces) if not one.is_link_only]
    if not host.is_unspecified:
        own = [host]
    texts = [format_address(one, port) for one in own][: RECORD_ADDRESSES_MAX - len(named)]
    place = wanted.index(AUTO)
    return tuple(dict.fromkeys((*named[:place], *texts, *named[place:])))


def list_reachable(
    bound: str, interfaces: Sequence[InterfaceAddress]
) -> tuple[InterfaceAddress, ...]:
    """Those of this machine's addresses at which others reach it, given where it listens."""
    if not bound:
        return ()
    host, _ = split_bound(bound)
    return tuple(
        one
        for one in interfaces
        if one.address.version == host.version and (host.is_unspecified or one.address.ip == host)
    )


def split_bound(bound: str) -> tuple[IPv4Address | IPv6Address, int]:
    """The address and the port of the place where a transport listens."""
    host, _, port = bound.rpartition(":")
    return ip_address(host.strip("[]").partition("%")[0]), int(port)


def format_address(host: IPv4Address | IPv6Address, port: int) -> str:
    """`host:port`, as transports dial it."""
    return f"[{host}]:{port}" if isinstance(host, IPv6Address) else f"{host}:{port}"


def make_bootstrap(config: Config) -> tuple[tuple[str, NodeId | None], ...]:
    """Whom to meet at the start: tickets first, since they say who must answer."""
    tickets = [parse_ticket(text) for text in config.network.tickets]
    known = [(address, NodeId(ticket.node)) for ticket in tickets for address in ticket.addresses]
    return (*known, *((address, None) for address in config.network.bootstrap))


def _cap(name: str, amount: str | int, limit: int = CREDITS_LIMIT) -> int:
    """An amount in micro-credits; one that nothing reaches means that there is no cap."""
    cap = parse_credits(name, amount)
    return MICROCREDITS_MAX if cap >= limit * CREDIT else cap


def _permille(share: float) -> int:
    return round(share * _PERMILLE)


def _nodes(texts: tuple[str, ...]) -> tuple[NodeId, ...]:
    return tuple(parse_node_id(text) for text in texts)


def _models(texts: tuple[str, ...]) -> tuple[ModelId, ...]:
    return tuple(parse_model_id(text) for text in texts)
