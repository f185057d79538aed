"""The profiles that ship with wwwserve, found by what a person types."""

from difflib import get_close_matches
from typing import Final

import msgspec

from wwwserve.enginemodel.profiles import EngineProfile
from wwwserve.enginemodel.shipped import read_shipped
from wwwserve.values.refusals import BadInput

SUGGESTIONS_MAX = 3
_NEARNESS = 0.4
"""How alike a suggestion must be, from 0 to 1; a mistyped half is still recognised."""


class _ProfilesFile(msgspec.Struct, frozen=True):
    profiles: tuple[EngineProfile, ...]


def _read_profiles() -> tuple[EngineProfile, ...]:
    found = msgspec.json.decode(read_shipped("profiles.json"), type=_ProfilesFile)
    return tuple(sorted(found.profiles, key=lambda profile: profile.name))


PROFILES: Final = _read_profiles()
"""Every profile, in the order of their names."""


def find_profile(name: str) -> EngineProfile:
    """The profile called `GPU:MODEL` or `GPU:MODEL:tpN`; letter case does not matter.

    Without `:tpN` it is the one with the fewest GPUs. Raises `BadInput` with the nearest names.
    """
    wanted = name.casefold().replace("/", ":")
    matches = [profile for profile in PROFILES if wanted in _list_names(profile)]
    if matches:
        return min(matches, key=lambda profile: profile.tp)
    names = {profile.name.casefold(): profile.name for profile in PROFILES}
    near = get_close_matches(wanted, list(names), SUGGESTIONS_MAX, _NEARNESS)
    raise BadInput(
        field="profile",
        found=name,
        expected="GPU:MODEL, one that `wwwserve engine profiles` lists",
        fix=" or ".join(names[key] for key in near) or PROFILES[0].name,
    )


def _list_names(profile: EngineProfile) -> tuple[str, str]:
    bare = f"{profile.gpu}:{profile.model}".casefold()
    return bare, f"{bare}:tp{profile.tp}"
