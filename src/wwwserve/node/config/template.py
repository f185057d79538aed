"""The configuration file a new node starts with: every setting, its default, and why to change it.

Each setting stands there commented out with its default, so the file changes nothing until its
operator does, and no manual is needed to read it.
"""

import json

_TEMPLATE = """\
# Configuration of one wwwserve node. Everything has a default: change what you need, and see what
# holds with `wwwserve config show`. An environment variable goes before this file (gateway.port is
# WWWSERVE_GATEWAY__PORT), and a flag before both (wwwserve up --set gateway.port=8080).

[engine]
# The LLM server behind this node. Without a url the node runs a small model itself
# (`wwwserve engine fetch` brings one, `model` names any GGUF file you have).
# kind = "auto"            # auto, local, openai, llama-server, vllm, sglang, ollama, lm-studio, tgi
{url}
# api_key_env = ""         # environment variable with the node's own key for the engine
# api_key = ""             # or the key itself; users' keys are never passed on
# model = ""               # path of a GGUF file for the local engine
# slots = 0                # requests it runs well at once; 0 = what it says or shows
# context_tokens = 0       # longest prompt plus answer; 0 = what it says (local: 2048)
# threads = 0              # processor threads of the local engine; 0 = half of the cores
# name = "engine"          # what commands call it
# weight = 1               # its share of the work among engines that serve the same model

# Several engines? Instead of [engine], a table for each, with the settings of [engine] and a name.
# [[engines]]
# name = "large"
# url = "http://127.0.0.1:8000/v1"
# weight = 3
# [[engines]]
# name = "small"
# url = "http://127.0.0.1:8001/v1"

[gateway]
# The OpenAI-compatible API for your users. Keys: `wwwserve keys add NAME`.
# host = "127.0.0.1"       # anything but loopback needs at least one key
# port = 8777              # 0 = any free one
# open = false             # serve without a key; on loopback only

[links]
# Where other nodes reach this one. An empty listen accepts none: the node only dials out.
{listen}
{advertise}

[network]
# Whom to meet: tickets from `wwwserve invite`, plain addresses, or whoever is on the local network.
{tickets}
# bootstrap = []           # ["192.0.2.7:8778"]
{lan_discovery}
{name}
# region = ""              # a hint for others where this node is

[admin]
# What the commands talk to; loopback only.
# host = "127.0.0.1"
# port = 8779              # 0 = any free one

[logs]
# What the node says of itself while it runs, on standard error; never a prompt or a key.
# level = "info"           # debug, info, warning, error
# format = "auto"          # auto (text on a terminal, else json), json, text

[policy]
# When and for whom this node works. Shares go from 0 to 1.
# hours = []               # if any: others' requests are taken only then: ["Mon-Fri 18:00-08:00"]
# time_zone = ""           # the zone of these hours, as "Europe/Zurich"; "" = this machine's
# paused_until = ""        # nothing of others before then: "2026-03-02 14:30"
# drain = false            # nothing of others until this is false again
# idle_only = false        # take others' requests only while nobody uses this machine:
# idle_busy_max = 0.2      # from this share of processors or graphics card on, somebody does
# idle_for_s = 300         # and for so many seconds nobody must have
# accept_frequency = 1.0   # of other nodes' admissible requests, how many are taken
# offload_frequency = 1.0  # of own requests, how many may go to others when this node is busy
# queue_frequency = 1.0    # of own requests without a place, how many wait here; the rest get a 503
# target_utilisation = 0.7 # above this share of its slots the node counts as busy
# own_first = true         # take others' requests only below the target and while no own one waits
# reserve_concurrency = 0  # slots of each model that others' requests leave free
# concurrent_max = 1024    # others' requests run here at once
# concurrent_per_peer_max = 512
# requests_per_minute_max = 1000000 # taken from others within any minute
# requests_per_minute_per_peer_max = 1000000
# tokens_per_day_max = 1000000000000 # prompts and answers for others within any 24 hours
# tokens_per_day_per_peer_max = 1000000000000
# prompt_tokens_max = 1000000
# completion_tokens_max = 1000000
# context_tokens_max = 2000000 # prompt and answer together
# body_bytes_max = 8388608
# allow_nodes = []         # if any: only these nodes' requests are taken
# deny_nodes = []          # never taken from, never sent to
# offload_nodes = []       # if any: own requests go to these nodes only
# allow_models = []        # if any: only these models are shared
# deny_models = []         # never shared
# offload_private = false  # own requests are private unless their users say otherwise
# offload_price_max = 1000000 # credits for a million tokens: nothing goes to a dearer node
# offload_credits_per_hour_max = 9000000000000 # what own requests may cost within any hour
# offload_credits_per_day_max = 9000000000000
# guest = ""               # a Python policy of your own, by the name of its entry point

[policy.price]
# What other nodes pay for work done here, in credits for a million tokens; 0 = free. It counts in
# a network with a ledger only. A decimal amount stands in quotes: "0.25".
# prompt = 667             # with 2667, 500 prompt and 250 completion tokens cost one credit
# completion = 2667
# models = {{}}              # for a model of its own price: [policy.price.models."org/name"]
# load_curve = []          # share of these prices by load: ["0.5:0.8", "0.8:1", "1:1.5"]
# floor = 0.5              # the least share of them that is asked
# idle_cut = 0.01          # by what share each hour lowers the ask in which nobody bought

[policy.stake]
# How much of its credits the node keeps staked by itself: the more, the more often it is drawn.
# Nothing here: what `wwwserve wallet stake` orders. It counts in a network with a ledger only.
# target_seats = 0         # seats to keep: staked step by step, taken out if too many; 0 = off
# income_share = 0.0       # or: the share of what others pay that is staked; 0 = off
# reserve = 100            # free credits that are never staked

[ledger]
# How this node lives with the ledger of its network, if that has one.
{door}
# line_max = 10            # credits lent to one payer at most while the ledger stands still

[wallet]
# reserve = 0              # credits that requests never spend

# What the engines serve; leave it out to offer whatever an engine says it has.
# [[models]]
# id = "Qwen/Qwen3-8B"     # org/name: equal on every node with the same weights
# engine_model = ""        # what the engine calls it
# aliases = []             # other names it answers to
# context_tokens = 0       # 0 = what the engine says
# quantisation = ""        # for people
# capabilities = []        # chat, completions, embeddings, tools, vision, logprobs, continuation
# slots = 0                # 0 = the engine's
# engine = ""              # name of the engine that serves it; empty = each that has it

# What users hope for: a time for the whole answer, which keys (`wwwserve keys add NAME --objective
# chat`) and requests choose by its name. The one called default holds for those that choose none.
# [[objectives]]
# name = "chat"
# base_ms = 2000           # so long, and for each token
# prompt_token_us = 0      # so much more
# completion_token_us = 40000
# first_token = false      # whether the first token is due then, not the last
# on_miss = "wait"         # where no place is in time: wait for one, serve all the same, refuse
# second_value = 1         # credits for which its users would wait a second longer

# Names users may ask for, each standing for several models, the best first.
# [groups]
# small = ["Qwen/Qwen3-8B", "HuggingFaceTB/SmolLM2-135M-Instruct"]
"""

_UNSET = {
    "url": '# url = ""                 # for example "http://127.0.0.1:8000/v1"',
    "listen": '# listen = "127.0.0.1:8778"',
    "advertise": '# advertise = []           # as others dial it: "node.example.org:8778", "auto"',
    "tickets": "# tickets = []",
    "name": '# name = "main"            # nodes of another name are strangers',
    "door": '# door = ""                # "" = the first one; sponsor, earn, faucet, dev, or none',
    "lan_discovery": "# lan_discovery = false    # find others on the local network, and be found",
}
_ON_LAN = {
    "listen": 'listen = "0.0.0.0:8778"    # from every network this machine is on',
    "advertise": 'advertise = ["auto"]       # this machine\'s addresses, as they change',
    "lan_discovery": "lan_discovery = true       # find others on the local network, and be found",
}


def make_config_text(
    engine_url: str = "",
    *,
    on_lan: bool = False,
    ticket: str = "",
    network: str = "",
    door: str = "",
) -> str:
    """The text of a new `config.toml`.

    With `engine_url`, in front of that engine; with `on_lan`, in touch with the nodes of the local
    network; with `ticket`, bound for the `network` it leads to; with `door`, coming in by it.
    """
    # JSON's strings are TOML's basic strings.
    wishes = {
        "url": f"url = {json.dumps(engine_url)}" if engine_url else "",
        "tickets": f"tickets = [{json.dumps(ticket)}]" if ticket else "",
        "name": f"name = {json.dumps(network)}" if network else "",
        "door": f"door = {json.dumps(door)}" if door else "",
    }
    set_ = {name: line for name, line in wishes.items() if line}
    return _TEMPLATE.format(**{**_UNSET, **(_ON_LAN if on_lan else {}), **set_})
