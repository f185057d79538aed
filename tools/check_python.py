"""Say whether this Python can run wwwserve and, if not, what to do.

Written for any Python 3, because an old one is exactly what it must be able to refuse.
"""

import importlib.util
import sys

OLDEST = (3, 11)
TOO_OLD = """\
wwwserve needs Python {0}.{1} or newer; {2} is {3}.{4}.
Install a newer one and name it: make setup PYTHON=python3.12"""
NO_MODULE = """\
{0} has no '{1}' module, so no environment can be made with it.
On Debian and Ubuntu: apt-get install python{2}.{3}-venv
Elsewhere: install the full Python, or name another: make setup PYTHON=python3.12"""


def find_problem() -> str:
    """Give the first thing that stands in the way, with its fix; empty when nothing does."""
    major, minor = sys.version_info[:2]
    if (major, minor) < OLDEST:
        return TOO_OLD.format(*OLDEST, sys.executable, major, minor)
    for module in ("venv", "ensurepip"):
        if importlib.util.find_spec(module) is None:
            return NO_MODULE.format(sys.executable, module, major, minor)
    return ""


if __name__ == "__main__":
    sys.exit(find_problem() or None)
