"""What a health check port says: kube-proxy's form is understood, and any other is told as what it is."""

from __future__ import annotations

import json

import pytest

from harness.model.observation import Ask, Outcome, Speak
from harness.probes import answers

ASK = Ask(speak=Speak.HEALTH, request="/healthz")
BODY = {"service": {"namespace": "default", "name": "web"}, "localEndpoints": 2, "serviceProxyHealthy": True}
HEADERS = {"Content-Type": "application/json", "X-Content-Type-Options": "nosniff"}


def said(status: str = "200 OK", body: object = BODY, **headers: str) -> str:
    fields = {**HEADERS, **{name.replace("_", "-"): value for name, value in headers.items()}}
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in fields.items() if value)]
    return "\r\n".join(lines) + "\r\n\r\n" + (body if isinstance(body, str) else json.dumps(body, indent="\t"))


@pytest.mark.parametrize(
    ("raw", "answer"),
    [
        (said(), "200 default/web 2"),
        (said(X_Load_Balancing_Endpoint_Weight="2"), "200 default/web 2"),
        (said("503 Service Unavailable", {**BODY, "localEndpoints": 0}), "503 default/web 0"),
        (said("503 Service Unavailable", {**BODY, "serviceProxyHealthy": False}),
         "503 default/web 2 (proxy not healthy)"),
    ],
)  # fmt: skip
def test_an_answer_is_one_line(raw: str, answer: str) -> None:
    assert answers.read(ASK, raw) == (Outcome.OK, answer, "", "")


@pytest.mark.parametrize(
    ("raw", "fault"),
    [
        (said(body="ok"), "no JSON"),
        (said(body={**BODY, "localEndpoints": "2"}), "not kube-proxy's JSON"),
        (said(body={**BODY, "more": 1}), "not kube-proxy's JSON"),
        (said(Content_Type="text/plain"), "content-type is text/plain"),
        (said(X_Content_Type_Options=""), "x-content-type-options is missing"),
        (said(X_Load_Balancing_Endpoint_Weight="3"), "weight is 3, localEndpoints 2"),
    ],
)
def test_another_form_is_a_bad_answer(raw: str, fault: str) -> None:
    outcome, name, _, detail = answers.read(ASK, raw)
    assert (outcome, name) == (Outcome.BAD_ANSWER, "")
    assert fault in detail
