"""Types of settings that several sections share, each with its bounds."""

from typing import Annotated

from msgspec import Meta

Port = Annotated[int, Meta(ge=0, le=65_535)]
"""0 = any free one."""
Share = Annotated[float, Meta(ge=0, le=1)]
Slots = Annotated[int, Meta(ge=1, le=4_096)]
SlotsOrUnset = Annotated[int, Meta(ge=0, le=4_096)]
Tokens = Annotated[int, Meta(ge=0, le=100_000_000)]
ShortText = Annotated[str, Meta(max_length=200)]
