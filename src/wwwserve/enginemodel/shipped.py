"""The data that ships inside this package, read as the interpreter reads its code.

It is the only thing this package reads, it never changes, and so it is as good as a constant.
"""

from importlib.resources import files


def read_shipped(name: str) -> bytes:
    """The content of one file under `data/`."""
    return files("wwwserve.enginemodel").joinpath("data", *name.split("/")).read_bytes()
