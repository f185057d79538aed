"""The provider's rules are those of the spec: any settings, load and request, the same decision.

The Python of `spec/requests.md` is run as it stands in the chapter and compared with `core.policy`.
"""

import re
from collections.abc import Callable
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.core.desk import node, summary
from wwwserve.core.placing import Accepted, Declined, LoadView, PeerRequest, Queued, Verdict
from wwwserve.core.policy import decide_offer, decide_own
from wwwserve.core.policy_settings import PolicySettings
from wwwserve.values.model_names import ModelId
from wwwserve.wire import ModelOffer, RequestSummary

CHAPTER = Path(__file__).parents[2] / "spec" / "requests.md"
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
    body_bytes_max=st.sampled_from([999, 1000]),
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
)
SUMMARIES = st.builds(summary, prompt_tokens=TOKENS, completion_tokens_max=TOKENS)
OFFERS = st.builds(
    ModelOffer, model=st.sampled_from(["org/a", "org/b"]), context_tokens=st.sampled_from([0, 100])
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


@given(settings=SETTINGS, load=st.none() | LOADS, draw=DRAWS)
def test_own_requests(settings: PolicySettings, load: LoadView | None, draw: int) -> None:
    # [REQUESTS-POLICY.1]
    assert say(decide_own(settings, load, draw)) == REFERENCE["decide_own"](settings, load, draw)


@given(settings=SETTINGS, load=LOADS, asked=SUMMARIES, offer=OFFERS, draw=DRAWS)
def test_offers(
    settings: PolicySettings, load: LoadView, asked: RequestSummary, offer: ModelOffer, draw: int
) -> None:
    # [REQUESTS-POLICY.1]
    verdict = decide_offer(settings, load, PeerRequest(node(1), asked, offer), draw)
    wanted = REFERENCE["decide_offer"](settings, load, asked, offer, node(1), draw)
    assert isinstance(verdict, Accepted) is wanted
