"""JUnit XML: one case a check and node, the form that CI systems read. Never empty: a run that died has a case too."""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.etree import ElementTree as ET

from harness.model.run import Run
from harness.model.verdict import Status, Verdict

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_CHILD = {Status.FAIL: "failure", Status.ERROR: "error", Status.INCONCLUSIVE: "failure", Status.SKIP: "skipped"}


def render(run: Run) -> str:
    """The run as one test suite."""
    verdicts = run.verdicts or (Verdict("set-up", run.lab, Status.ERROR, _died(run)),)
    count = {kind: sum(_CHILD.get(verdict.status) == kind for verdict in verdicts) for kind in set(_CHILD.values())}
    suite = ET.Element(
        "testsuite",
        name="nodeport-harness",
        tests=str(len(verdicts)),
        failures=str(count["failure"]),
        errors=str(count["error"]),
        skipped=str(count["skipped"]),
        time=f"{run.seconds:.3f}",
        timestamp=run.started,
    )
    properties = ET.SubElement(suite, "properties")
    for name, value in {"lab": run.lab, "driver": run.driver, **(run.provenance or {}), **_versions(run)}.items():
        ET.SubElement(properties, "property", name=_clean(name), value=_clean(value))
    for verdict in verdicts:
        _case(suite, run, verdict)
    suites = ET.Element("testsuites")
    suites.append(suite)
    ET.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(suites, encoding="unicode") + "\n"


def _versions(run: Run) -> dict[str, str]:
    """What every node runs on, in its own words."""
    return {
        f"{fact.node} {name}": value
        for fact in run.facts
        for name in fact.versions.__dataclass_fields__
        if (value := getattr(fact.versions, name))
    }


def _case(suite: ET.Element, run: Run, verdict: Verdict) -> None:
    place = ".".join(part for part in (verdict.service.replace(".", "_"), verdict.vantage) if part) or "cluster"
    name = f"{verdict.check}[{verdict.node or verdict.subject}]"
    case = ET.SubElement(suite, "testcase", classname=_clean(place), name=_clean(name), time="0")
    if verdict.status is Status.PASS:
        return
    child = ET.SubElement(case, _CHILD[verdict.status], message=_clean(f"{verdict.status}: {verdict.summary}"))
    if verdict.status is not Status.SKIP:
        child.text = _clean("\n\n".join((verdict.subject, verdict.summary, *_causes(run, verdict))))


def _causes(run: Run, verdict: Verdict) -> Iterator[str]:
    for diagnosis in run.diagnoses:
        if not diagnosis.node or diagnosis.node in (verdict.node, verdict.vantage) or diagnosis.pod:
            yield f"{diagnosis.title}\n{diagnosis.text}"


def _died(run: Run) -> str:
    return next((phase.error for phase in run.phases if phase.error), "the run ended before anything was judged")


def _clean(text: str) -> str:
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
