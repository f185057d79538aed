"""What others do without a centre, kept to compare with: a rule for each node, and nothing else.

| name | a request goes | seen of other nodes |
|---|---|---|
| `random` | to any node, all alike | nothing |
| `stake` | home; on overload to a node drawn by stake | nothing |
| `hot-potato` | home; on overload on to a node drawn by stake, up to three times | nothing |
| `p2c` | to the less loaded of home and a node drawn by stake | a fresh probe for each request |
| `paper` | as the prototype of WWW.Serve has it | a shared ledger, and three fresh probes |

They stand in front of the same engines as the peers and have the same requests, lines of the same
latency between them, and none of the peers' burdens: nobody has to be found, believed or paid, no
link is opened, nobody joins, leaves or fails. What a rule leaves open is decided in its favour: an
engine's use is read at the instant it is needed, and who was just given to it counts. As for a
central scheduler, every request may run anywhere (`route` and allowed executors mean nothing).

`sites` says what a rule may see and do, `nodes` is how that is done, `trial` plays a scenario.
"""

from wwwserve.sim.baselines.hot_potato import HotPotato
from wwwserve.sim.baselines.paper import create_paper_rules
from wwwserve.sim.baselines.random_draw import RandomDraw
from wwwserve.sim.baselines.sites import Baseline
from wwwserve.sim.baselines.stake_draw import StakeDraw
from wwwserve.sim.baselines.trial import BaselineTrial
from wwwserve.sim.baselines.two_choices import TwoChoices

BASELINES = {
    "random": Baseline(
        "every request to a node drawn at once, all alike",
        lambda sites: [RandomDraw(site) for site in sites],
    ),
    "stake": Baseline(
        "at home while there is room, on overload to a node drawn by stake",
        lambda sites: [StakeDraw(site) for site in sites],
    ),
    "paper": Baseline(
        "the WWW.Serve prototype's own rules, without its accidental sleeps", create_paper_rules
    ),
    "hot-potato": Baseline(
        "who is overloaded passes a request on, three times at most",
        lambda sites: [HotPotato(site) for site in sites],
    ),
    "p2c": Baseline(
        "the power of two choices: home or one node that is probed, the less loaded",
        lambda sites: [TwoChoices(site) for site in sites],
    ),
}
"""Every baseline by its name."""

__all__ = ["BASELINES", "Baseline", "BaselineTrial"]
