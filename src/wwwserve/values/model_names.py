"""One model under many names: canonical ids, provider aliases and what folds together.

A canonical id is `org/name`. Engines, users and GGUF files write the same model as `Qwen3-8B`,
`qwen3:8b` or `Qwen3-8B-Q4_K_M.gguf`; folding makes such spellings meet without a central list.
"""

import re
from typing import NewType

from wwwserve.values.refusals import BadInput

ModelId = NewType("ModelId", str)
"""A canonical model id: `org/name`."""

MODEL_NAME_LENGTH_MAX = 200
AUTO = "auto"
"""The name by which a user asks for whatever this node would choose."""

_CANONICAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
_QUANTISATION = re.compile(
    r"[-._](i?q\d(_[a-z0-9]+)*|fp?16|bf16|fp8|int[48]|w\d+a\d+|awq|gptq(-int[48])?)$"
)


def parse_model_id(text: str) -> ModelId:
    """Read a canonical id; raises `BadInput` when it is not `org/name`."""
    if not _CANONICAL.fullmatch(text):
        raise BadInput(
            field="model",
            found=text[:MODEL_NAME_LENGTH_MAX],
            expected="org/name of letters, digits, '.', '_' and '-'",
            fix="for example 'Qwen/Qwen3-8B'",
        )
    return ModelId(text)


def fold_model_name(name: str) -> str:
    """The spelling-independent core of a model's name; equal folds are taken for one model.

    Drops the organisation or folder, a `.gguf` ending and a trailing quantisation mark, ignores
    case, and reads `:`, `_` and blanks as `-`.
    """
    base = name.strip().rsplit("/", 1)[-1].lower().removesuffix(".gguf").removesuffix(":latest")
    base = _QUANTISATION.sub("", base)
    return re.sub(r"[:_\s]+", "-", base)
