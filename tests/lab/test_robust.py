"""What may befall nodeportd and its files in the middle of changes, on real nodes: nothing is lost, all is mended."""

from __future__ import annotations

import json
import random
import re
import threading
from collections.abc import Iterator
from typing import Self

import pytest

from harness.model.cluster import Cluster
from harness.model.progress import silent
from harness.model.verdict import Status
from harness.session import change, run, survey
from harness.session.lab import Lab
from harness.support import clock
from tests.lab.faults import SETTLE, on
from tests.lab.labs import with_applied
from tests.lab.test_nothing_lost import WEB_APP, losses, restart, scale, under_load

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with with_applied(tmp_path_factory.mktemp("robust"), WEB_APP) as lab:
        yield lab


def green(lab: Lab) -> None:
    found = survey.survey(lab.cluster(), change.present(lab).plan, silent)
    assert [str(verdict) for verdict in found.verdicts if verdict.status is not Status.PASS] == []


class Killer(threading.Thread):
    """Kills nodeportd on one node after the other, at moments that nobody foresees but the seed."""

    def __init__(self, cluster: Cluster, seed: int) -> None:
        super().__init__()
        self.chance = random.Random(seed)  # noqa: S311 - repeatable, not secret
        self.cluster = cluster
        self.over = threading.Event()
        self.kills = 0

    def run(self) -> None:
        while not self.over.wait(self.chance.uniform(0.05, 0.9)):
            node = self.chance.choice(self.cluster.nodes).name
            on(self.cluster, node, "systemctl kill --signal=KILL nodeportd.service || true")
            self.kills += 1

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.join()


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_nodeportd_killed_at_any_moment_of_changes_costs_no_request(lab: Lab, seed: int) -> None:
    killed = Killer(lab.cluster(), seed)

    def work() -> None:
        with killed:
            scale(lab, 5)
            restart(lab, 500 + seed)
            scale(lab, 3)

    assert losses(under_load(lab.cluster(), work)) == {}
    assert killed.kills > 5
    green(lab)


@pytest.mark.parametrize(
    "left", [pytest.param(0, marks=pytest.mark.long), 40, pytest.param(-2, marks=pytest.mark.long)]
)
def test_a_state_file_that_is_cut_short_changes_nothing_is_told_and_mended(lab: Lab, left: int) -> None:
    """Even when nodeportd starts anew with it; ``left``: so many bytes, from the end when negative."""
    cluster = lab.cluster()
    size = f"$(($(stat -c %s /etc/nodeport/state.json) {left}))" if left < 0 else str(left)
    cut = f"truncate --size={size} /etc/nodeport/state.json"

    def work() -> None:
        on(cluster, "n2", f"{cut}; systemctl reload nodeportd")
        refused(cluster)
        on(cluster, "n2", "systemctl restart nodeportd")
        refused(cluster)

    assert losses(under_load(cluster, work)) == {}
    found = survey.survey(cluster, change.present(lab).plan, silent)
    told = [verdict.summary for verdict in found.verdicts if verdict.node == "n2" and verdict.status is Status.FAIL]
    assert any("is refused, the rules stay as they are" in text for text in told), told
    assert {diagnosis.node for diagnosis in found.diagnoses} == {"n2"}
    run.apply_only(lab, [str(WEB_APP)], silent)
    green(lab)


def refused(cluster: Cluster) -> None:
    """Wait until nodeportd on n2 says that it does not take its file."""

    def look() -> None:
        said = json.loads(on(cluster, "n2", "cat /run/nodeport/status.json"))
        if "is refused" not in said["error"]:
            raise clock.NotYet(str(said))

    clock.until(look, what="the file to be refused", within=10)


def test_a_change_that_the_kernel_refuses_once_is_carried_out_whole(lab: Lab) -> None:
    """The elements that it would change are not there any more: the transaction fails, and the table is made anew."""
    cluster = lab.cluster()
    on(cluster, "n2", "nft flush table ip nodeport; nft delete table ip nodeport")
    scale(lab, 5)
    assert "it is made anew" in on(cluster, "n2", "journalctl --unit=nodeportd --lines=20 --output=cat")
    green(lab)
    scale(lab, 3)
    green(lab)


HELD = "systemctl kill --signal=STOP nodeportd.service"
DROP_IN = "/run/systemd/system/nodeportd.service.d"
UNABLE = f"""
systemctl stop nodeportd; mkdir -p {DROP_IN}
printf '[Service]\\nExecStart=\\nExecStart=/bin/false\\n' >{DROP_IN}/unable.conf; systemctl daemon-reload
"""
ABLE = f"rm -r {DROP_IN}; systemctl daemon-reload; systemctl reset-failed nodeportd; systemctl start nodeportd"


@pytest.mark.long
@pytest.mark.parametrize(
    ("harm", "mends", "words"),
    [
        pytest.param(HELD, "systemctl kill --signal=CONT nodeportd.service", "the daemon is in state T", id="stopped"),
        pytest.param(UNABLE, ABLE, "systemctl restart nodeportd.service: ", id="does not start"),
    ],
)
def test_a_daemon_that_does_not_get_there_is_told_with_what_it_is_at(
    lab: Lab, harm: str, mends: str, words: str
) -> None:
    cluster = lab.cluster()
    generation = change.present(lab).plan.generation
    on(cluster, "n1", harm)
    try:
        ask = f"{SETTLE} {generation + (harm == HELD)} 2>&1 || true"
        said = on(cluster, "n1", ask)
    finally:
        on(cluster, "n1", mends)
    assert re.search(rf"nodeportd does not run generation {generation + (harm == HELD)} after [34]\d s", said), said
    assert words in said
    green(lab)
