"""A user's spelling finds the model it means, and nobody else's alias can take a name over.

A catalogue is filled by hand with own models and members, and asked for names.
"""

from dataclasses import replace

import pytest

from tests.unit.core.desk import member, node, served
from wwwserve.core.facts import MemberStatus
from wwwserve.core.routing import MODELS_FOUND_MAX, SUGGESTIONS_MAX, Catalogue
from wwwserve.core.snapshot import MemberView
from wwwserve.values.ids import NodeId
from wwwserve.values.limits import MEMBERS_MAX
from wwwserve.values.model_names import ModelId
from wwwserve.wire import ModelOffer

QWEN = ModelId("Qwen/Qwen3-8B")
SMOL = ModelId("HuggingFaceTB/SmolLM2-135M-Instruct")


def make_catalogue(*members: MemberView) -> Catalogue:
    catalogue = Catalogue({"fast": (SMOL, QWEN)})
    catalogue.set_own((served(model=SMOL, aliases=("tiny",)),))
    for view in members:
        catalogue.set_member(view)
    return catalogue


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("Qwen/Qwen3-8B", (QWEN,)),
        ("qwen3:8b", (QWEN,)),
        ("Qwen3-8B-Q4_K_M.gguf", (QWEN,)),
        ("models/Qwen3-8B.gguf", (QWEN,)),
        ("big", (QWEN,)),
        ("tiny", (SMOL,)),
        ("TINY", (SMOL,)),
        ("smollm2-135m-instruct", (SMOL,)),
        ("fast", (SMOL, QWEN)),
        ("auto", (SMOL, QWEN)),
        ("gpt-4", ()),
    ],
)
def test_spellings_find_their_model(name: str, found: tuple[ModelId, ...]) -> None:
    catalogue = make_catalogue(member(1, ModelOffer(QWEN, aliases=("big",))))
    assert catalogue.find(name) == found


def test_an_ambiguous_name_finds_nothing_and_suggests_both() -> None:
    catalogue = make_catalogue(member(1, ModelOffer(QWEN)), member(2, ModelOffer("Copy/Qwen3-8B")))
    assert catalogue.find("qwen3-8b") == ()
    assert set(catalogue.suggest("qwen3-8b")) == {QWEN, "Copy/Qwen3-8B"}


def test_no_alias_of_another_node_takes_over_a_name_of_ours_or_an_id() -> None:
    thief = ModelOffer("evil/model", aliases=("tiny", "fast", "auto", "qwen3-8b", QWEN))
    catalogue = make_catalogue(member(1, ModelOffer(QWEN)), member(2, thief))
    assert catalogue.find("tiny") == (SMOL,)
    assert catalogue.find("fast") == (SMOL, QWEN)
    assert catalogue.find("qwen3-8b") == (QWEN,)
    assert catalogue.find(QWEN) == (QWEN,)


def test_a_mistyped_name_suggests_what_is_close() -> None:
    catalogue = make_catalogue(member(1, ModelOffer(QWEN)))
    assert catalogue.suggest("qwen3-7b")[0] == QWEN
    assert 0 < len(catalogue.suggest("entirely different")) <= SUGGESTIONS_MAX


def test_auto_is_own_models_first_then_the_most_served() -> None:
    rare, common = ModelId("org/rare"), ModelId("org/common")
    catalogue = make_catalogue(
        member(1, ModelOffer(rare)),
        *(member(number, ModelOffer(common)) for number in range(2, 5)),
    )
    assert catalogue.find("auto") == (SMOL, common, rare)


def test_a_name_stands_for_no_more_models_than_a_request_can_carry() -> None:
    offers = [ModelOffer(f"org/model-{number}") for number in range(40)]
    assert len(make_catalogue(member(1, *offers)).find("auto")) == MODELS_FOUND_MAX


def test_a_dead_members_models_are_known_but_not_listed() -> None:
    catalogue = make_catalogue(member(1, ModelOffer(QWEN), status=MemberStatus.DEAD))
    assert catalogue.is_known(QWEN)
    assert [view.model for view in catalogue.get_models()] == [SMOL]


def test_a_new_record_replaces_the_old_one() -> None:
    catalogue = make_catalogue(member(1, ModelOffer(QWEN)))
    catalogue.set_member(member(1, ModelOffer("org/new")))
    assert not catalogue.is_known(QWEN)
    assert catalogue.find("new") == ("org/new",)


def test_a_model_view_sums_up_all_that_serve_it() -> None:
    catalogue = make_catalogue(
        member(1, ModelOffer(QWEN, context_tokens=8, capabilities=("chat",), quantisation="Q4")),
        member(2, ModelOffer(QWEN, context_tokens=32, capabilities=("chat", "tools"))),
    )
    view = catalogue.get_models()[1]
    assert (view.nodes, view.context_tokens, view.is_local) == (2, 32, False)
    assert (view.capabilities, view.quantisations) == (("chat", "tools"), ("Q4",))


def test_the_table_is_bounded_and_the_gone_make_room() -> None:
    catalogue = Catalogue({})
    first, second = member(1), member(2, status=MemberStatus.DEAD)
    for number in range(MEMBERS_MAX - 2):
        stranger = NodeId(node(9)[:-2] + number.to_bytes(2, "big"))
        catalogue.set_member(replace(first, node=stranger))
    catalogue.set_member(first)
    catalogue.set_member(second)
    catalogue.set_member(member(3, ModelOffer("org/third")))
    assert catalogue.get_member(node(3)) is not None
    assert catalogue.get_member(node(2)) is None
    catalogue.set_member(member(4))
    assert catalogue.get_member(node(4)) is None
