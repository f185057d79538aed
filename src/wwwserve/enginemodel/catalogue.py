"""The profiles that ship with wwwserve, found by what a person types."""

from difflib import get_close_matches

import msgspec

from wwwserve.enginemodel.profiles import EngineProfile
from wwwserve.enginemodel.shipped import read_shipped
from wwwserve.values.refusals import BadInput

SUGGESTIONS_MAX = 3
_NEARNESS = 0.4
"""How alike a suggestion must be, from 0 to 1; a mistyped half is still recognised."""


class _ProfilesFile(msgspec.Struct, frozen=True):
    profiles: tuple[EngineProfile, ...]


def list_profiles() -> tuple[EngineProfile, ...]:
    """Every profile, in the order of their names."""
    # Read each time: it takes a tenth of a millisecond, and nothing has to be kept.
    found = msgspec.json.decode(read_shipped("profiles.json"), type=_ProfilesFile)
    return tuple(sorted(found.profiles, key=lambda profile: profile.name))


def find_profile(name: str) -> EngineProfile:
    """The profile called `GPU:MODEL` or `GPU:MODEL:tpN`; letter case does not matter.

    Without `:tpN` it is the one with the fewest GPUs. Raises `BadInput` with the nearest names.
    """
    wanted = name.casefold().replace("/", ":")
    profiles = list_profiles()
    matches = [profile for profile in profiles if wanted in _list_names(profile)]
    if matches:
        return min(matches, key=lambda profile: profile.tp)
    names = {profile.name.casefold(): profile.name for profile in profiles}
    near = get_close_matches(wanted, list(names), SUGGESTIONS_MAX, _NEARNESS)
    raise BadInput(
        field="profile",
        found=name,
        expected="GPU:MODEL, one that `wwwserve engine profiles` lists",
        fix=" or ".join(names[key] for key in near) or profiles[0].name,
    )


def _list_names(profile: EngineProfile) -> tuple[str, str]:
    bare = f"{profile.gpu}:{profile.model}".casefold()
    return bare, f"{bare}:tp{profile.tp}"
