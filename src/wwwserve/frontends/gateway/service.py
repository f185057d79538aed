"""What the gateway answers on each of its paths."""

import secrets
import time
from dataclasses import replace
from functools import lru_cache

import msgspec
from aiohttp import web

from wwwserve.core.requests import PREFIX_KEY_BYTES, compute_prefixes, estimate_prompt_tokens
from wwwserve.frontends.gateway.budgets import explain_short, find_cost_max
from wwwserve.frontends.gateway.checking import apply_controls, check_body
from wwwserve.frontends.gateway.controls import read_controls
from wwwserve.frontends.gateway.errors import (
    JSON_TYPE,
    Refused,
    explain_failure,
    make_error_response,
)
from wwwserve.frontends.gateway.hopes import find_objective
from wwwserve.frontends.gateway.limits import KeyLimits, Lease
from wwwserve.frontends.gateway.models import (
    find_allowed_models,
    find_model,
    is_open_choice,
    list_models,
)
from wwwserve.frontends.gateway.outlet import Outlet
from wwwserve.frontends.gateway.reading import BodyReader
from wwwserve.frontends.gateway.replies import make_headers, send_stream, send_whole
from wwwserve.ports.keys import KeyRing, KeyRules
from wwwserve.ports.peer_handle import PeerHandle, RequestFailed, UserRequest
from wwwserve.ports.spending import Spending
from wwwserve.values.hosts import is_loopback_host
from wwwserve.values.moments import Moment
from wwwserve.wire import Endpoint

GENERATION_PATHS = {
    "/v1/chat/completions": Endpoint.CHAT,
    "/v1/completions": Endpoint.COMPLETIONS,
    "/v1/embeddings": Endpoint.EMBEDDINGS,
}
MODELS_PATH = "/v1/models"
HEALTH_PATH = "/health"
READING = ("GET", "HEAD")
HOSTS_KEPT_MAX = 64
"""Values of `Host` that were judged lately; all of a client's requests have the same."""
_ANYONE = KeyRules(name="")
"""Who comes without a key where none is needed: everybody together."""


class GatewayService:
    """Answers HTTP requests by way of one peer."""

    __slots__ = (
        "_bodies",
        "_handle",
        "_keys",
        "_limits",
        "_prefix_key",
        "_spending",
        "_write_wait_s",
    )

    def __init__(
        self,
        handle: PeerHandle,
        keys: KeyRing,
        bodies: BodyReader,
        *,
        write_wait_s: float,
        spending: Spending,
    ) -> None:
        self._spending = spending
        self._write_wait_s = write_wait_s
        self._handle = handle
        self._keys = keys
        self._bodies = bodies
        self._limits = KeyLimits()
        # Of this process alone: what is cached for a conversation seldom outlives it anyway.
        self._prefix_key = secrets.token_bytes(PREFIX_KEY_BYTES)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request, whatever it asks."""
        try:
            endpoint = GENERATION_PATHS.get(request.path)
            if endpoint is not None and request.method == "POST":
                return await self._generate(request, endpoint)
            return self._answer_other(request)
        except Refused as refused:
            return make_error_response(refused)

    # -- the paths that only read ----------------------------------------------------------------

    def _answer_other(self, request: web.BaseRequest) -> web.Response:
        path, method = request.path, request.method
        methods = _get_methods(path)
        if not methods:
            message = f"there is nothing at {path[:200]}. Try: {', '.join(GENERATION_PATHS)}"
            raise Refused(404, message, "not_found")
        allow = {"allow": ", ".join((*methods, "OPTIONS"))}
        if method == "OPTIONS":
            # Without headers for other origins: no web page of theirs may call this gateway.
            return web.Response(status=204, headers=allow)
        if method not in methods:
            message = f"{method} is not possible at {path[:200]}. Try: {methods[0]}"
            raise Refused(405, message, "method_not_allowed", headers=allow)
        if path == HEALTH_PATH:
            return _make_json({"status": "ok"})
        rules = self._authenticate(request)
        if path == MODELS_PATH:
            return _make_json(list_models(self._handle.get_snapshot(), rules))
        return _make_json(find_model(self._handle, rules, path.removeprefix(MODELS_PATH + "/")))

    # -- the paths that generate -----------------------------------------------------------------

    async def _generate(self, request: web.BaseRequest, endpoint: Endpoint) -> web.StreamResponse:
        rules = self._authenticate(request)
        body = await self._bodies.read(request)
        checked = check_body(endpoint, body)
        controls = read_controls(
            request.headers, checked.own_fields, is_private_unsaid=self._handle.is_private_unsaid
        )
        models = find_allowed_models(self._handle, rules, checked.model)
        prompt_tokens = estimate_prompt_tokens(checked.parts)
        cost_max = find_cost_max(self._spending, rules)
        wanted = UserRequest(
            endpoint=endpoint,
            models=models,
            public_model="" if is_open_choice(checked.model, models) else checked.model,
            body=apply_controls(body, checked, controls),
            prompt_tokens=prompt_tokens,
            completion_tokens_max=checked.completion_tokens_max,
            is_streamed=checked.is_streamed,
            shows_usage=checked.shows_usage,
            route=controls.route,
            priority=rules.priority,
            deadline_us=controls.deadline_us,
            needs=checked.needs,
            # Equal hashes tell that two requests belong together.
            prefixes=(
                () if controls.is_private else compute_prefixes(checked.parts, self._prefix_key)
            ),
            is_private=controls.is_private,
            allowed_executors=controls.executors,
            objective=find_objective(self._handle.objectives, rules, controls),
            cost_max=min(cost_max, controls.cost_max),
            price_max=controls.price_max,
            client=rules.key_id,
        )
        tokens = prompt_tokens + checked.completion_tokens_max * checked.choices
        lease = self._limits.admit(rules, tokens, _get_now())
        try:
            return await self._run(request, wanted, lease)
        finally:
            # Known to have used nothing, or known what, or else what was taken at entry stands.
            self._limits.release(lease, None, _get_now())

    async def _run(
        self, request: web.BaseRequest, wanted: UserRequest, lease: Lease
    ) -> web.StreamResponse:
        """Have the peer answer it; the peer hears at once if the user leaves before the end."""
        try:
            reply = self._handle.submit(wanted)
        except RequestFailed as failed:
            self._limits.release(lease, 0, _get_now())
            raise explain_failure(failed) from failed
        outlet = Outlet(request, self._write_wait_s)
        try:
            extra = self._limits.make_headers(lease.rules, _get_now())
            send = send_stream if wanted.is_streamed else send_whole
            return await send(request, outlet, reply, extra)
        except RequestFailed as failed:
            self._limits.release(lease, 0, _get_now())
            refused = self._explain_short(lease.rules, failed) or explain_failure(failed)
            headers = {**make_headers(reply.info), **refused.headers}
            raise replace(refused, headers=headers) from failed
        finally:
            outlet.close()
            reply.cancel()
            # An answer that broke off has cost what was delivered of it.
            self._spending.charge(lease.rules, reply.info.cost or 0)
            if (usage := reply.info.usage) is not None:
                used = usage.prompt_tokens + usage.completion_tokens
                self._limits.release(lease, used, _get_now())

    def _explain_short(self, rules: KeyRules, failed: RequestFailed) -> Refused | None:
        """What is said of a key's budget, if that was too little."""
        wallet = self._handle.get_snapshot().wallet if rules.budget else None
        if wallet is None:
            return None
        return explain_short(self._spending, rules, failed, wallet.spendable)

    def _authenticate(self, request: web.BaseRequest) -> KeyRules:
        """Who asks; raises `Refused` (401, or 403 for a strange `Host` where all may come in)."""
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        key = key.strip()
        rules = self._keys.find(key) if key and scheme.lower() == "bearer" else None
        if rules is not None:
            return rules
        if self._keys.is_open():
            if not _is_own_host(request.headers.get("host", "")):
                message = "without a key only this machine's own names work. Try: http://127.0.0.1"
                raise Refused(403, message, "host_not_allowed")
            return _ANYONE
        message = "no API key was sent" if not key else "the API key is not valid here"
        raise Refused(
            401,
            f"{message}. Try: Authorization: Bearer KEY, with a key made by `wwwserve keys add`",
            "invalid_api_key",
            headers={"www-authenticate": "Bearer"},
        )


# Taking an address apart costs two microseconds.
_is_own_host = lru_cache(maxsize=HOSTS_KEPT_MAX)(is_loopback_host)


def _get_methods(path: str) -> tuple[str, ...]:
    """What can be done at a path; nothing, if it is not one of ours."""
    if path in GENERATION_PATHS:
        return ("POST",)
    if path in (MODELS_PATH, HEALTH_PATH) or path.removeprefix(MODELS_PATH + "/") not in ("", path):
        return READING
    return ()


def _make_json(value: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), headers=JSON_TYPE)


def _get_now() -> Moment:
    return Moment(time.monotonic_ns() // 1_000)
