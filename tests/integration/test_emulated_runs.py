"""The measured runs of a real engine, against emulated ones over HTTP: the mean time is kept.

All three runs are replayed at once and whole, 300 requests each, against a process each, sped up
`SPEEDUP` times. Two cores keep up with that; if a machine does not, the engine's own account of how
late it was says so before the times are looked at.
"""

import asyncio
import sys
from statistics import mean
from time import monotonic

import aiohttp
import pytest

from wwwserve.adapters.engines import RestartPlan, ServerState, SupervisedServer
from wwwserve.enginemodel import MEASURED_RUNS, MeasuredRun, MeasuredTimes, load_times
from wwwserve.values.moments import SECOND

COMMAND = (sys.executable, "-m", "wwwserve.adapters.engines.emulated_server")
SPEEDUP = 10
ERROR_MAX = 0.10
LAG_SECONDS_MAX = 0.5
"""Real time: at this speedup five seconds of the run, a tenth of the shortest mean."""


@pytest.mark.slow
async def test_measured_runs_over_http() -> None:
    results = await asyncio.gather(*(replay_over_http(run) for run in MEASURED_RUNS))
    for run, (found_s, lag_s) in zip(MEASURED_RUNS, results, strict=True):
        expected_s = mean(times.lateness.e2e_us for times in load_times(run)) / SECOND
        error = found_s / expected_s - 1
        sys.stdout.write(
            f"{run.name} over HTTP at {SPEEDUP}x: mean e2e {found_s:.4g} s, measured "
            f"{expected_s:.4g} s, {error:+.1%}, at most {lag_s * 1_000:.0f} ms late\n"
        )
        assert lag_s < LAG_SECONDS_MAX, "this machine was too busy to tell"
        assert abs(error) <= ERROR_MAX


async def replay_over_http(run: MeasuredRun) -> tuple[float, float]:
    """Mean time to the last token in the run's own seconds, and the engine's worst lag."""
    flags = (f"--profile={run.profile_name}", f"--slots={run.max_num_seqs}", f"--speedup={SPEEDUP}")
    server = SupervisedServer((*COMMAND, *flags), RestartPlan(deaths_max=1))
    server.start()
    await server.wait_for(ServerState.READY, ServerState.FAILING)
    assert server.url is not None, server.detail
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(server.url, connector=connector, timeout=timeout) as session:
        start = monotonic()
        spans = await asyncio.gather(*(ask_at(session, times, start) for times in load_times(run)))
        async with session.get("/metrics") as response:
            page = await response.text()
    await server.close()
    lag = next(line for line in page.splitlines() if line.startswith("emulated:lag_seconds_max{"))
    return mean(spans) * SPEEDUP, float(lag.split()[-1])


async def ask_at(session: aiohttp.ClientSession, times: MeasuredTimes, start: float) -> float:
    """Send one request when its time has come; seconds from then to the whole answer."""
    due = start + times.arrival.at / SECOND / SPEEDUP
    demand = times.arrival.demand
    body = {"prompt": [1] * demand.prompt_tokens, "max_tokens": demand.output_tokens}
    await asyncio.sleep(due - monotonic())
    async with session.post("/v1/completions", json=body | {"ignore_eos": True}) as response:
        assert response.status == 200
        await response.read()
    # From when it was due: a late client must not make the engine look fast.
    return monotonic() - due
