"""`bench gossip` puts its figures beside the bars, and refuses sizes no crowd can have.

The part in virtual time runs whole, on crowds of a few nodes.
"""

import pytest

from wwwserve.bench.gossip import measure_crowds
from wwwserve.cli.app import run


def test_every_figure_is_named_once_and_stands_beside_its_bar() -> None:
    found = measure_crowds(1, (6, 5))
    results = {result.name: result for result in found}
    assert len(results) == len(found)
    for result in results.values():
        if result.baseline:
            assert result.ratio == result.value / result.baseline
    assert results["5 nodes: links of a node"].value == 3, "the last has not come yet"
    assert results["6 nodes: false deaths"].value == 0
    assert results["6 nodes: kill to suspected, p50"].baseline == 3
    assert (
        0 < results["6 nodes: cut to suspected, p50"].value < results["6 nodes: cut to dead"].value
    )


@pytest.mark.parametrize("sizes", ["ten", "10,", "4", "10,1001", "-10"])
def test_sizes_that_no_crowd_can_have_are_refused(
    sizes: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["bench", "gossip", f"--nodes={sizes}"]) == 2
    assert "wwwserve bench gossip --nodes 10,50,200" in capsys.readouterr().err
