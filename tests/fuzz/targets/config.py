"""An operator's configuration file: a checked configuration, or which field is wrong and why."""

from pathlib import Path
from tempfile import TemporaryDirectory

from wwwserve.node.config import list_changes, list_values, load_config, make_config_text
from wwwserve.values.refusals import BadInput

WORDS = (
    b"[engine]\n", b"[[engines]]\n", b"[[models]]\n", b"[groups]\n", b"[gateway]\n", b"[admin]\n",
    b"[links]\n", b"[network]\n", b"[policy]\n", b"[logs]\n", b"name = ", b"url = ", b"kind = ",
    b"hours = ", b"127.0.0.1:0", b"true", b"nan", b"inf", b"1979-05-27", b"0x", b'"""', b"'''",
)  # fmt: skip
"""What a mutation may put in."""
_FOLDER = TemporaryDirectory(prefix="wwwserve-fuzz-")
_FILE = Path(_FOLDER.name) / "config.toml"


def make_seeds() -> list[bytes]:
    """The file a new node starts with, and small ones that set much."""
    several = (
        '[[engines]]\nname = "a"\nurl = "http://127.0.0.1:1"\nslots = 2\n'
        '[[engines]]\nname = "b"\nurl = "http://127.0.0.1:2"\nkind = "vllm"\n'
        '[[models]]\nid = "org/m"\naliases = ["m"]\n[groups]\nfast = ["org/m"]\n'
    )
    policy = '[policy]\nhours = ["mon-fri 18:00-08:00"]\ntime_zone = "Europe/Berlin"\n'
    return [
        make_config_text("http://127.0.0.1:8080").encode(),
        several.encode(),
        policy.encode(),
        b'[engine]\nurl = "http://127.0.0.1:1"\napi_key = "a-secret"\n',
        b'[gateway]\nhost = "0.0.0.0"\nport = 8000\n[logs]\nlevel = "info"\n',
    ]


def consume(data: bytes) -> None:
    """Load the file; what loads can be shown, and equals itself."""
    _FILE.write_bytes(data)
    try:
        loaded = load_config(_FILE, {})
    except BadInput as error:
        assert error.field
        assert error.fix in str(error)
        return
    assert list_values(loaded)
    assert list_changes(loaded, load_config(_FILE, {})) == ()
