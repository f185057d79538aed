"""Say whether this Python can run wwwserve, and if not, what to do; any Python 3 can read this."""

import importlib.util
import sys

OLDEST = (3, 11)


def find_problem() -> str:
    """Give the first thing that stands in the way, with its fix; empty when nothing does."""
    found = "%d.%d" % sys.version_info[:2]
    if sys.version_info[:2] < OLDEST:
        return (
            "wwwserve needs Python %d.%d or newer; %s is %s.\n"
            "Install a newer one and name it: make setup PYTHON=python3.12"
        ) % (OLDEST[0], OLDEST[1], sys.executable, found)
    for module in ("venv", "ensurepip"):
        if importlib.util.find_spec(module) is None:
            return (
                "%s has no '%s', so no environment can be made.\n"
                "On Debian and Ubuntu: apt-get install python%s-venv\n"
                "Elsewhere: install the full Python, or name another: make setup PYTHON=python3.12"
            ) % (sys.executable, module, found)
    return ""


if __name__ == "__main__":
    sys.exit(find_problem() or None)
