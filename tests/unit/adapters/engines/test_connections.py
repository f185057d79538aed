"""An engine's URL is accepted as people write it, and refused with words when it is none."""

import pytest

from wwwserve.adapters.engines import EngineSettings, open_http_engine
from wwwserve.adapters.engines.connections import parse_engine_url
from wwwserve.values.refusals import BadInput


@pytest.mark.parametrize(
    ("written", "root"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://127.0.0.1:8000/", "http://127.0.0.1:8000"),
        ("http://127.0.0.1:8000/v1", "http://127.0.0.1:8000"),
        (" http://127.0.0.1:8000/v1/ ", "http://127.0.0.1:8000"),
        ("https://models.example/api/v1", "https://models.example/api"),
        ("http://[::1]:8000/v1", "http://[::1]:8000"),
    ],
)
def test_with_or_without_v1(written: str, root: str) -> None:
    assert parse_engine_url(written) == root


@pytest.mark.parametrize(
    "written",
    [
        "",
        "127.0.0.1:8000",
        "localhost",
        "ftp://host/v1",
        "http://",
        "http://h:99999",
        "http://h?a=1",
    ],
)
def test_what_is_no_base_url_is_refused(written: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse_engine_url(written)
    assert caught.value.field == "engine url"


def test_credentials_in_the_url_are_refused_and_not_repeated() -> None:
    with pytest.raises(BadInput) as caught:
        parse_engine_url("http://user:secret@host/v1")
    assert "secret" not in str(caught.value)


def test_an_unknown_kind_names_the_known_ones() -> None:
    with pytest.raises(BadInput, match="llama-server") as caught:
        open_http_engine(EngineSettings("m", "http://127.0.0.1:1", kind="lama"))
    assert caught.value.found == "lama"
