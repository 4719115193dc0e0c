"""What verbs ask of objects: found by kubectl's words, changed alone, missed with the ones there are."""

from __future__ import annotations

import pytest

from harness.errors import UsageError
from harness.model.workload import Strategy, Workload
from harness.plan import alter, names
from harness.plan.alter import Reference
from harness.plan.waves import fence_posts
from tests.unit.plan.sample import deployment, pod, service

WORKLOAD = Workload(
    pods=(pod("solo"),), replica_sets=(deployment("web", 3), deployment("api", 2)), services=(service("web"),)
)
WEB = Reference("Deployment", "default", "web")


@pytest.mark.parametrize(
    "text", ["deploy/web", "deployment/web", "deployments/web", "deployment.apps/web", "Deploy/web"]
)
def test_kubectl_s_words_are_understood(text: str) -> None:
    assert Reference.read(text, "default") == WEB
    assert WEB.plain == "deployment.apps/web"


@pytest.mark.parametrize("text", ["web", "deploy/", "/web", "job/web", ""])
def test_what_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no object"):
        Reference.read(text, "default")


def test_one_deployment_is_scaled_and_nothing_else() -> None:
    scaled = alter.scaled(WORKLOAD, WEB, 7)
    assert [each.replicas for each in scaled.replica_sets] == [7, 2]
    assert (scaled.pods, scaled.services) == (WORKLOAD.pods, WORKLOAD.services)


def test_a_restart_makes_another_template_and_survives_the_next_apply() -> None:
    def revision(workload: Workload) -> str:
        web = workload.replica_sets[0]
        return names.revision(web.template_labels, web.template, web.restarted_at)

    once, twice = (alter.restarted(WORKLOAD, WEB, at) for at in ("2026-01-01", "2026-01-02"))
    assert len({revision(each) for each in (WORKLOAD, once, twice)}) == 3
    assert alter.kept_from(WORKLOAD, once) == once
    assert alter.kept_from(once, WORKLOAD) == WORKLOAD


def test_what_is_not_there_is_named_with_what_is() -> None:
    with pytest.raises(UsageError) as refused:
        alter.scaled(WORKLOAD, Reference("Deployment", "default", "wep"), 1)
    assert str(refused.value) == (
        'deployment.apps "wep" not found in namespace default (there are: default/web, default/api)'
    )
    with pytest.raises(UsageError, match="none was applied"):
        alter.restarted(Workload(), WEB, "now")


def test_objects_go_by_kind_namespace_and_name() -> None:
    gone = (Reference("Service", "default", "web"), Reference("Pod", "default", "solo"))
    left = alter.without(WORKLOAD, gone)
    assert alter.objects(left) == (WEB, Reference("Deployment", "default", "api"))
    assert alter.without(WORKLOAD, [Reference("Service", "elsewhere", "web")]) == WORKLOAD
    assert alter.without(WORKLOAD, alter.objects(WORKLOAD)) == Workload()


@pytest.mark.parametrize(
    ("strategy", "replicas", "posts"),
    [
        (Strategy(), 3, (1, 0)),
        (Strategy(), 4, (1, 1)),
        (Strategy(max_surge="0", max_unavailable="25%"), 3, (0, 1)),  # ResolveFenceposts: both 0 is 1 unavailable
        (Strategy(max_surge="2", max_unavailable="0"), 1, (2, 0)),
        (Strategy(max_surge="100%", max_unavailable="100%"), 5, (5, 5)),
        (Strategy(max_surge="33%", max_unavailable="33%"), 10, (4, 3)),
    ],
)
def test_percentages_are_rounded_as_kubernetes_does(strategy: Strategy, replicas: int, posts: tuple[int, int]) -> None:
    assert fence_posts(strategy, replicas) == posts
