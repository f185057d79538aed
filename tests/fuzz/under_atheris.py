"""The process of one campaign: `python -m tests.fuzz.under_atheris TARGET CORPUS FOUND S S`.

The last two are the seconds of search and the most that one input may take.

Nothing of this project may be imported before atheris can mark it, so this module asks `campaigns`
for its numbers and imports the target last.
"""

import sys
from pathlib import Path
from random import Random

import atheris

from tests.fuzz.campaigns import (
    INPUT_BYTES_MAX,
    MEMORY_MB_MAX,
    Target,
    find_mutator,
    find_words,
    list_kept,
    load_target,
    read_hex,
)

OWN_SHARE = 3
"""One mutation in so many is atheris's own, of the bytes; the others know the structure."""


def main(name: str, corpus: Path, found: Path, *, seconds: str, input_s_max: str) -> None:
    """Fuzz a target until the time is over, or until it breaks; never returns."""
    with atheris.instrument_imports(include=["wwwserve"]):
        target = load_target(name)
    arguments = [
        sys.argv[0],
        f"-max_total_time={seconds}",
        f"-max_len={INPUT_BYTES_MAX}",
        f"-timeout={input_s_max}",
        f"-rss_limit_mb={MEMORY_MB_MAX}",
        f"-artifact_prefix={found}/",
        "-print_final_stats=1",
        *_write_words(found.parent / "words", target),
        str(corpus),
    ]
    _write_seeds(corpus, target)
    mutator = find_mutator(target)
    if mutator is None:
        atheris.Setup(arguments, target.consume)
    else:

        def mutate(data: bytes, size_max: int, seed: int) -> bytes:
            chance = Random(seed)  # noqa: S311 - repeatable is the point
            changed = mutator(data, chance) if chance.randrange(OWN_SHARE) else None
            fits = changed is not None and len(changed) <= size_max
            return changed if changed is not None and fits else atheris.Mutate(data, size_max)

        atheris.Setup(arguments, target.consume, custom_mutator=mutate)
    atheris.Fuzz()


def _write_seeds(corpus: Path, target: Target) -> None:
    seeds = target.make_seeds()
    name = target.__name__.rpartition(".")[2]
    seeds += [read_hex(path.read_text(encoding="ascii")) for path in list_kept(name)]
    for number, seed in enumerate(seeds):
        (corpus / f"seed-{number:03}").write_bytes(seed)


def _write_words(path: Path, target: Target) -> list[str]:
    """A dictionary in libFuzzer's form, and the flag that names it."""
    words = find_words(target)
    lines = ['"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n' for word in words]
    path.write_text("".join(lines), encoding="ascii")
    return [f"-dict={path}"] if words else []


if __name__ == "__main__":
    what, kept, broken, span, longest = sys.argv[1:]
    main(what, Path(kept), Path(broken), seconds=span, input_s_max=longest)
