"""The provider's rules are those of the spec: any settings, load and request, the same decision.

The Python of `spec/policy.md` is run as it stands in the chapter and compared with `core.policy`.
"""

import re
from collections.abc import Callable
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.core.desk import node, summary
from wwwserve.core.deciding import Case, Counts, Question
from wwwserve.core.placing import Accepted, Declined, LoadView, Queued, Verdict
from wwwserve.core.policy import decide, explain
from wwwserve.core.policy_settings import PolicySettings
from wwwserve.values.model_names import ModelId
from wwwserve.values.moments import SECOND, Moment
from wwwserve.wire import ModelOffer

NOW = Moment(7 * SECOND)
CHAPTER = Path(__file__).parents[2] / "spec" / "policy.md"
SAID = {Accepted: "run here", Declined: "look around", Queued: "wait"}

PERMILLES = st.integers(min_value=0, max_value=1000)
DRAWS = st.integers(min_value=0, max_value=999)
FEW = st.integers(min_value=0, max_value=3)
TOKENS = st.sampled_from([0, 1, 99, 100, 101, 1_000_000])
NODES = st.lists(st.integers(min_value=1, max_value=3).map(node), max_size=2).map(tuple)
MODELS = st.lists(st.sampled_from(["org/a", "org/b"]).map(ModelId), max_size=1).map(tuple)
SETTINGS = st.builds(
    PolicySettings,
    accept_permille=PERMILLES,
    offload_permille=PERMILLES,
    target_utilisation_permille=PERMILLES,
    own_first=st.booleans(),
    concurrent_max=FEW,
    concurrent_per_peer_max=FEW,
    prompt_tokens_max=TOKENS,
    completion_tokens_max=TOKENS,
    context_tokens_max=TOKENS.map(lambda tokens: 2 * tokens),
    body_bytes_max=st.sampled_from([999, 1000]),
    requests_per_minute_max=FEW,
    requests_per_minute_per_peer_max=FEW,
    tokens_per_day_max=TOKENS.map(lambda tokens: 4 * tokens),
    tokens_per_day_per_peer_max=TOKENS.map(lambda tokens: 4 * tokens),
    reserve_concurrency=FEW,
    idle_only=st.booleans(),
    idle_for_us=FEW,
    allow_nodes=NODES,
    deny_nodes=NODES,
    allow_models=MODELS,
    deny_models=MODELS,
)
LOADS = st.builds(
    LoadView,
    slots=FEW,
    used=FEW,
    kv_used_permille=st.none() | PERMILLES,
    own_waiting=FEW,
    peer_running=FEW,
    asker_running=FEW,
    own_running=FEW,
    peer_unread=FEW,
)
SUMMARIES = st.builds(summary, prompt_tokens=TOKENS, completion_tokens_max=TOKENS)
OFFERS = st.builds(
    ModelOffer, model=st.sampled_from(["org/a", "org/b"]), context_tokens=st.sampled_from([0, 100])
)
OFFERED = st.builds(
    Case,
    question=st.just(Question.OFFER),
    summary=SUMMARIES,
    at=st.just(NOW),
    load=LOADS,
    draw=st.none() | DRAWS,
    asker=st.integers(1, 3).map(node),
    offer=OFFERS,
    closed_us=st.sampled_from([0, 0, 0, 1]),
    idle_us=FEW,
    counts=st.builds(
        Counts,
        minute_requests=FEW,
        minute_requests_asker=FEW,
        day_tokens=TOKENS,
        day_tokens_asker=TOKENS,
    ),
)


def read_reference() -> dict[str, Callable[..., object]]:
    """The chapter's Python, as functions by name."""
    blocks = re.findall(
        r"^```python\n(.*?)^```", CHAPTER.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    names: dict[str, Callable[..., object]] = {}
    exec("\n".join(blocks), names)  # noqa: S102 - our own chapter
    return names


REFERENCE = read_reference()


def say(verdict: Verdict) -> str:
    return SAID[type(verdict)]


@given(settings=SETTINGS, load=st.none() | LOADS, draw=st.none() | DRAWS)
def test_own_requests(settings: PolicySettings, load: LoadView | None, draw: int | None) -> None:
    # [POLICY-REFERENCE.1]
    case = Case(Question.OWN, summary(), NOW, load, draw)
    assert say(decide(settings, case)[0]) == REFERENCE["decide_own"](settings, case)
    assert_explained(settings, case)


@given(settings=SETTINGS, draw=st.none() | DRAWS)
def test_requests_without_a_place(settings: PolicySettings, draw: int | None) -> None:
    # [POLICY-REFERENCE.1]
    case = Case(Question.WAIT, summary(), NOW, None, draw)
    assert say(decide(settings, case)[0]) == REFERENCE["decide_wait"](settings, case)
    assert_explained(settings, case)


@given(settings=SETTINGS, case=OFFERED)
def test_offers(settings: PolicySettings, case: Case) -> None:
    # [POLICY-REFERENCE.1]
    verdict, _ = decide(settings, case)
    assert isinstance(verdict, Accepted) is REFERENCE["is_offer_accepted"](settings, case)
    assert_explained(settings, case)


def assert_explained(settings: PolicySettings, case: Case) -> None:
    """[POLICY-EXPLAIN.1]."""
    answers = [(said.verdict, said.rule) for said in explain(settings, case) if said.verdict]
    assert answers[0] == decide(settings, case)
    assert all(said.detail for said in explain(settings, case))
