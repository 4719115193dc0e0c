"""The report that a person reads: who answered where, what was judged, and what is wrong with the likely cause."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from io import StringIO

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from harness.model.observation import OUTSIDE
from harness.model.run import Run, Share
from harness.model.verdict import Diagnosis, Status, Verdict
from harness.reports import timeline
from harness.reports.tables import UNHEARD, by_way, is_plain, made_of, short_names

_SIGNS = {
    Status.PASS: ("✓", "green"),
    Status.SKIP: ("–", "dim"),
    Status.INCONCLUSIVE: ("?", "yellow"),
    Status.FAIL: ("✗", "bold red"),
    Status.ERROR: ("!", "bold magenta"),
}
_WIDE = 12
"""More pods or nodes than this are folded."""

_SHOWN_PROBLEMS = 12
_PLACE_FOR_COLUMNS = 20


def render(run: Run, *, width: int = 100, colour: bool = False) -> str:
    """The report as text for a terminal of so many columns, ending with a newline."""
    out = StringIO()
    console = Console(
        file=out, width=width, force_terminal=colour, color_system="standard" if colour else None, highlight=False
    )
    plain = [share for share in run.shares if is_plain(share)]
    for promise in dict.fromkeys((share.service, share.port, share.protocol) for share in plain):
        _service(console, run, [share for share in plain if (share.service, share.port, share.protocol) == promise])
    _inside(console, [share for share in run.shares if not is_plain(share)])
    for scenario in run.scenarios:
        console.print(timeline.scenario(scenario))
    _verdicts(console, run)
    for diagnosis in run.diagnoses:
        _diagnosis(console, diagnosis)
    _ending(console, run)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def sign(status: Status) -> Text:
    """The sign and colour of a status."""
    return Text(*_SIGNS[status])


def _service(console: Console, run: Run, shares: Sequence[Share]) -> None:
    first = shares[0]
    console.print(Text.assemble((f"{first.service}", "bold"), f"  nodePort {first.port}/{first.protocol}"))
    pods = _pods(run, shares)
    if pods:
        outside = [share for share in shares if share.vantage == OUTSIDE]
        wide = len(pods) > _WIDE or _needed(pods) > console.width
        console.print(_folded(outside, pods) if wide else _matrix(run, outside, pods))
    others = [share for share in shares if share.vantage != OUTSIDE]
    if others:
        console.print(Padding(_from_nodes(others, refused=not pods), (0, 0, 1, 2)))


def _pods(run: Run, shares: Sequence[Share]) -> list[str]:
    """The pods that should answer, by node and name, and then whoever else did."""
    planned = {pod.key: (pod.node, pod.key) for pod in (run.plan.pods if run.plan else ())}
    wanted = {
        endpoint.pod
        for service in (run.plan.services if run.plan else ())
        if service.key == shares[0].service
        for port in service.ports
        if port.node_port == shares[0].port and str(port.protocol) == shares[0].protocol
        for endpoint in port.endpoints
    }
    strangers = {name for share in shares for name in share.counts} - wanted
    return [*sorted(wanted, key=lambda key: planned.get(key, ("", key))), *sorted(strangers)]


def _needed(pods: Sequence[str]) -> int:
    return _PLACE_FOR_COLUMNS + sum(max(9, len(name)) + 3 for name in short_names(pods).values())


def _matrix(run: Run, shares: Sequence[Share], pods: Sequence[str]) -> Table:
    home = {pod.key: pod.node for pod in (run.plan.pods if run.plan else ())}
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    table.add_column("from outside to")
    for pod, name in short_names(pods).items():
        table.add_column(f"{name}\non {home[pod]}" if pod in home else f"{name}\nNOT OURS", justify="right")
    table.add_column("failed", justify="right")
    for share in shares:
        total = sum(share.counts.values())
        fair = 1 / max(1, sum(pod in home for pod in share.wants))
        cells = [
            _cell(share.counts.get(pod, 0), total, fair, expected=pod in home)
            if pod in share.wants or pod not in home
            else Text("·", "dim")
            for pod in pods
        ]
        table.add_row(share.place, *cells, _failed(share))
    return table


def _cell(count: int, total: int, fair: float, *, expected: bool) -> Text:
    text = f"{count} {100 * count / total:4.0f} %" if total else "0   – %"
    if not expected:
        return Text(f"✗ {text}" if count else "0", "bold red" if count else "dim")
    if count == 0:
        return Text("✗ never", "bold red")
    suspicious = total >= 100 and not 0.6 * fair <= count / total <= 1.5 * fair
    return Text(f"~ {text}" if suspicious else text, "yellow" if suspicious else "")


def _failed(share: Share) -> Text:
    parts = [f"{number} {name}" for name, number in sorted(share.failures.items())]
    parts += [f"{share.late} late"] if share.late else []
    if share.promise in UNHEARD:
        return Text(f"{', '.join(parts)}: {UNHEARD[share.promise]}" if parts else "0", "dim")
    return Text(f"✗ {', '.join(parts)}", "bold red") if parts else Text("0", "dim")


def _folded(shares: Sequence[Share], pods: Sequence[str]) -> Table:
    """Too many pods for a column each: the least, middle and greatest share of each node."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for heading in ("from outside to", "probes", "pods seen", "least", "median", "most", "failed"):
        table.add_column(heading, justify="left" if heading == "from outside to" else "right")
    for share in shares:
        total = sum(share.counts.values()) or 1
        parts = sorted(100 * share.counts.get(pod, 0) / total for pod in share.wants) or [0.0]
        seen = sum(bool(share.counts.get(pod)) for pod in share.wants)
        style = "bold red" if seen < len(share.wants) else ""
        shown = [f"{value:.1f} %" for value in (parts[0], parts[len(parts) // 2], parts[-1])]
        told = Text(f"{seen} of {len(share.wants)}", style)
        table.add_row(share.place, str(share.attempts), told, *shown, _failed(share))
    return table


def _from_nodes(shares: Sequence[Share], *, refused: bool) -> Text | Table:
    """Node to node: a sign for each pair, or one line when all is well."""
    bad = [share for share in shares if share.lost and not refused]
    places = list(dict.fromkeys(share.place for share in shares))
    attempts = sum(share.attempts for share in shares)
    if refused:
        asking = len({share.vantage for share in shares})
        return Text(f"no endpoints: {attempts} attempts from {asking} nodes; see check `refused`", "dim")
    if not bad or len(places) > _WIDE:
        text = f"node → node: {attempts} probes over {len(shares)} pairs, {len(bad)} pairs with failures"
        return Text(text, "bold red" if bad else "dim")
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    table.add_column("from node, to")
    for place in places:
        table.add_column(place, justify="right")
    by_pair = {(share.vantage, share.place): share for share in shares}
    for vantage in dict.fromkeys(share.vantage for share in shares):
        table.add_row(vantage, *(_pair(by_pair.get((vantage, place))) for place in places))
    return table


def _pair(share: Share | None) -> Text:
    if share is None:
        return Text("–", "dim")
    return Text(f"✗ {share.lost}/{share.attempts}", "bold red") if share.lost else Text("✓", "green")


def _inside(console: Console, shares: Sequence[Share]) -> None:
    """What pods asked, and Services' own addresses: a line for each way, and a row for each pair that went wrong."""
    if not shares:
        return
    console.print(Text("from pods, and to Services' own addresses", "bold"))
    for (service, way), group in by_way(shares).items():
        bad = [share for share in group if share.lost]
        probes = f"{len(group)} pairs, {sum(share.attempts for share in group)} probes"
        told = f"✗ {service} {way}: {probes}, {len(bad)} with failures" if bad else f"✓ {service} {way}: {probes}"
        console.print(Padding(Text(told, "bold red" if bad else "dim"), (0, 0, 0, 2)))
        for share in bad[:_WIDE]:
            row = Text.assemble(f"{share.vantage} → {share.node}  ", _failed(share))
            console.print(Padding(row, (0, 0, 0, 4)))
    console.print()


def _verdicts(console: Console, run: Run) -> None:
    for name, counted in _by_check(run.verdicts).items():
        worst = max(counted, key=list(Status).index)
        numbers = ", ".join(f"{number} {status}" for status, number in counted.items())
        console.print(Text.assemble(sign(worst), f" {name:<12} ", (numbers, "dim" if worst is Status.PASS else "")))
    console.print()
    problems = [verdict for verdict in run.verdicts if verdict.status not in (Status.PASS, Status.SKIP)]
    for verdict in problems[:_SHOWN_PROBLEMS]:
        console.print(Text.assemble(sign(verdict.status), f" {verdict.check}: {verdict.subject}"))
        console.print(Padding(Text(verdict.summary), (0, 0, 0, 4)))
    if len(problems) > _SHOWN_PROBLEMS:
        console.print(f"  … and {len(problems) - _SHOWN_PROBLEMS} more; all are in report.json")
    for verdict in (verdict for verdict in run.verdicts if verdict.status is Status.SKIP):
        console.print(Text(f"– {verdict.check}: {verdict.subject}: {verdict.summary}", "dim"))
    if problems:
        console.print()


def _by_check(verdicts: Sequence[Verdict]) -> dict[str, Counter[Status]]:
    counted: dict[str, Counter[Status]] = {}
    for verdict in verdicts:
        counted.setdefault(verdict.check, Counter())[verdict.status] += 1
    return counted


def _diagnosis(console: Console, diagnosis: Diagnosis) -> None:
    console.print(Text.assemble(("▸ ", "bold red"), (diagnosis.title, "bold")))
    console.print(Padding(Text(diagnosis.text), (0, 0, 1, 2)))


def _ending(console: Console, run: Run) -> None:
    for phase in run.phases:
        if phase.error and not run.verdicts:
            console.print(Text.assemble(("! ", "bold magenta"), f"{phase.name} broke: {phase.error}"))
    for nodes, said in made_of(run.facts):
        console.print(Padding(Text(f"{nodes}: {said}", "dim"), (0, 0, 0, 2)))
    text, style = _SIGNS[run.status]
    numbers = " · ".join(_numbers(run))
    console.print(Text.assemble((f"{text} {run.status}", style), f"  {numbers}"))
    console.print(Text(f"  report: {run.id}/report.html (exit code {run.status.exit_code})", "dim"), soft_wrap=True)


def _numbers(run: Run) -> Iterator[str]:
    yield f"{run.asked} probes"
    yield f"{len(run.verdicts)} verdicts"
    yield f"{run.seconds:.1f} s"
    if run.facts:
        yield f"{len(run.facts)} nodes"
