"""The report as one HTML file: no network, no script; light or dark as the reader's machine is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from harness.model.observation import OUTSIDE
from harness.model.run import Run, Share
from harness.model.verdict import Diagnosis, Status, Verdict
from harness.reports import html_drill
from harness.reports.tables import UNHEARD, by_way, is_plain, made_of, short_names

_SIGNS = {Status.PASS: "✓", Status.SKIP: "–", Status.INCONCLUSIVE: "?", Status.FAIL: "✗", Status.ERROR: "!"}
_MEANS = {
    Status.PASS: "Every node answers on every nodePort, and traffic spreads over the pods.",
    Status.SKIP: "Nothing was judged; everything was skipped for a reason.",
    Status.INCONCLUSIVE: "Something was seen once and not again; it is not proven either way.",
    Status.FAIL: "The NodePort contract is broken.",
    Status.ERROR: "The rig is broken, so nothing can be said about the data plane.",
}
_NOTHING_LOST = "No request was lost in planned changes, and after what was not planned none for too long."
_STYLE = """
:root{--ground:#fff;--ink:#1c2430;--faint:#68738a;--line:#dfe4ec;--card:#f6f8fb;--good:#157f47;--bad:#c0262d;--odd:#9a6700;
--share:37,99,235}
@media(prefers-color-scheme:dark){:root{--ground:#10151d;--ink:#e4e9f2;--faint:#93a0b8;--line:#2b3545;--card:#18202c;
--good:#4cc38a;--bad:#ff7b80;--odd:#e3b341;--share:96,151,255}}
*{box-sizing:border-box}body{margin:0 auto;max-width:72rem;padding:2rem 1.2rem;background:var(--ground);
color:var(--ink);font:16px/1.5 system-ui,sans-serif}h1{font-size:1.7rem;margin:0}
h2{font-size:1.15rem;margin:2.2rem 0 .6rem}
td.PASS,td.FAIL,td.ERROR,td.INCONCLUSIVE,td.SKIP{white-space:nowrap}
.PASS{color:var(--good)}.FAIL,.ERROR{color:var(--bad)}.INCONCLUSIVE{color:var(--odd)}.SKIP,.faint{color:var(--faint)}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}td,th{padding:.4rem .6rem;text-align:right;
border-bottom:1px solid var(--line);vertical-align:top}th{font-weight:600;font-size:.85rem;color:var(--faint)}
td:first-child,th:first-child,.left td,.left th{text-align:left}.cell{border-radius:.3rem;min-width:6rem}
.bad{color:var(--bad);font-weight:600}.scroll{overflow-x:auto}small{display:block;color:var(--faint)}
article{background:var(--card);border-left:4px solid var(--bad);padding:.8rem 1rem;margin:.8rem 0;border-radius:.3rem}
article h3{margin:0 0 .3rem;font-size:1.05rem}article p{margin:.2rem 0;white-space:pre-line}svg{display:block}
code{font-family:ui-monospace,monospace;font-size:.9em}@media print{body{max-width:none}article{break-inside:avoid}}
"""


def render(run: Run) -> str:
    """The run as a whole HTML document."""
    status = run.status
    body = "".join(_body(run))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{status}: NodePort contract, lab {escape(run.lab)}</title><style>{_STYLE}</style></head>"
        f"<body>{body}</body></html>\n"
    )


def _body(run: Run) -> Iterator[str]:
    status = run.status
    probes = run.asked
    means = _NOTHING_LOST if status is Status.PASS and run.scenarios else _MEANS[status]
    yield f'<h1 class="{status}">{_SIGNS[status]} {status}</h1><p>{means}</p>'
    yield f'<p class="faint">lab {escape(run.lab)} · {escape(run.driver)} · {escape(run.started)} · '
    yield f"{run.seconds:.1f} s · {probes} probes · {len(run.verdicts)} verdicts</p>"
    yield from (_diagnosis(diagnosis) for diagnosis in run.diagnoses)
    yield from (part for each in run.scenarios for part in html_drill.scenario(each))
    yield from (
        f"<article><h3>{escape(p.name)} broke</h3><p>{escape(p.error)}</p></article>" for p in run.phases if p.error
    )
    plain = [share for share in run.shares if is_plain(share)]
    for promise in dict.fromkeys((share.service, share.port, share.protocol) for share in plain):
        yield from _service(run, [s for s in plain if (s.service, s.port, s.protocol) == promise])
    yield from _inside([share for share in run.shares if not is_plain(share)])
    yield from _verdicts(run.verdicts)
    yield from _provenance(run)


def _diagnosis(diagnosis: Diagnosis) -> str:
    where = " · ".join(part for part in (diagnosis.node, diagnosis.pod, diagnosis.cause) if part)
    text = f"<p>{escape(diagnosis.text)}</p>"
    return f"<article><h3>{escape(diagnosis.title)}</h3>{text}<small>{escape(where)}</small></article>"


def _service(run: Run, shares: Sequence[Share]) -> Iterator[str]:
    first = shares[0]
    yield f"<h2>{escape(first.service)} on nodePort {first.port}/{escape(first.protocol)}</h2>"
    home = {pod.key: pod.node for pod in (run.plan.pods if run.plan else ())}
    pods = sorted({pod for share in shares for pod in share.counts}, key=lambda pod: (home.get(pod, "~"), pod))
    if not pods:
        yield f"<p>{sum(share.attempts for share in shares)} attempts, none answered: the Service has no endpoints.</p>"
        return
    heads = "".join(
        f"<th>{escape(name)}<small>on {escape(home.get(pod, '?'))}</small></th>"
        for pod, name in short_names(pods).items()
    )
    yield f'<div class="scroll"><table><tr><th>from → to</th>{heads}<th>failed</th><th>connect p50 / p99</th></tr>'
    ours = [share for share in shares if share.vantage in (OUTSIDE, share.node)]
    for share in ours:
        total = sum(share.counts.values())
        fair = max(1, len(share.wants))
        cells = "".join(
            _cell(share.counts.get(pod, 0), total, fair, expected=pod in home)
            if pod in share.wants or pod not in home
            else '<td class="faint">·</td>'
            for pod in pods
        )
        yield f"<tr><td>{escape(share.vantage)} → {escape(share.place)}</td>{cells}{_lost(share)}{_times(share)}</tr>"
    yield "</table></div>"
    others = [share for share in shares if share not in ours]
    if others:
        bad = [share for share in others if share.lost]
        text = f"Node to other node: {sum(share.attempts for share in others)} probes over {len(others)} pairs, "
        names = ", ".join(f"{escape(share.vantage)} → {escape(share.place)}" for share in bad[:12])
        ending = f"{len(bad)} pairs with failures" + (f": {names}" if bad else ".")
        yield f'<p class="{"bad" if bad else "faint"}">{text}{ending}</p>'


def _inside(shares: Sequence[Share]) -> Iterator[str]:
    """What pods asked, and Services' own addresses."""
    if not shares:
        return
    yield "<h2>From pods, and to Services' own addresses</h2>"
    heads = "".join(f"<th>{head}</th>" for head in ("Service", "asked", "probes", "failed"))
    yield f'<div class="scroll"><table class="left"><tr>{heads}</tr>'
    for (service, way), group in by_way(shares).items():
        bad = [share for share in group if share.lost]
        names = ", ".join(f"{share.vantage} → {share.node}" for share in bad[:12])
        told = f'<td class="bad">✗ {escape(names)}</td>' if bad else f'<td class="faint">0 of {len(group)} pairs</td>'
        probes = sum(share.attempts for share in group)
        yield f"<tr><td>{escape(service)}</td><td>{escape(way)}</td><td>{probes}</td>{told}</tr>"
    yield "</table></div>"


def _cell(count: int, total: int, pods: int, *, expected: bool) -> str:
    if not expected or count == 0:
        return f'<td class="bad">✗ {count or "never"}{"" if expected else " (not ours)"}</td>'
    share = count / total
    shade = min(0.55, share * pods * 0.18)
    bar = _bar(share, 1 / pods)
    return f'<td class="cell" style="background:rgba(var(--share),{shade:.2f})">{count} · {100 * share:.0f} %{bar}</td>'


def _bar(share: float, fair: float) -> str:
    """The share as a bar, with a line where the fair share is."""
    width, mark = 90 * share, 90 * fair
    return (
        '<svg width="90" height="8" role="img" aria-label="share of answers" style="margin-left:auto">'
        f'<rect width="{width:.1f}" height="6" y="1" rx="1" fill="rgb(var(--share))"/>'
        f'<line x1="{mark:.1f}" x2="{mark:.1f}" y1="0" y2="8" stroke="currentColor"/></svg>'
    )


def _lost(share: Share) -> str:
    parts = [f"{number} {escape(name)}" for name, number in sorted(share.failures.items())]
    parts += [f"{share.late} late"] if share.late else []
    if share.promise in UNHEARD:
        return f'<td class="faint">{", ".join(parts) or 0}: {UNHEARD[share.promise]}</td>'
    return f'<td class="bad">✗ {", ".join(parts)}</td>' if parts else '<td class="faint">0</td>'


def _times(share: Share) -> str:
    if share.connect_ms_p50 is None or share.connect_ms_p99 is None:
        return "<td>–</td>"
    return f"<td>{share.connect_ms_p50:.2f} / {share.connect_ms_p99:.2f} ms</td>"


def _verdicts(verdicts: Sequence[Verdict]) -> Iterator[str]:
    if not verdicts:
        return
    yield '<h2>Verdicts</h2><div class="scroll"><table class="left">'
    yield "<tr><th></th><th>check</th><th>of</th><th>seen</th></tr>"
    order = list(Status)
    for verdict in sorted(verdicts, key=lambda verdict: -order.index(verdict.status)):
        sign = f"{_SIGNS[verdict.status]} {verdict.status}"
        yield f'<tr><td class="{verdict.status}">{sign}</td><td>{escape(verdict.check)}</td>'
        yield f"<td>{escape(verdict.subject)}</td><td>{escape(verdict.summary)}</td></tr>"
    yield "</table></div>"


def _provenance(run: Run) -> Iterator[str]:
    yield '<h2>Phases and provenance</h2><table class="left">'
    for phase in run.phases:
        yield f"<tr><td>{escape(phase.name)}</td><td>{phase.seconds:.1f} s{', broke' if phase.error else ''}</td></tr>"
    for name, value in (run.provenance or {}).items():
        yield f"<tr><td>{escape(name)}</td><td><code>{escape(value)}</code></td></tr>"
    for nodes, said in made_of(run.facts):
        yield f"<tr><td>{escape(nodes)}</td><td><code>{escape(said)}</code></td></tr>"
    yield "</table>"
