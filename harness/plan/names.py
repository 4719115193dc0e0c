"""Names and identities: pod names as Kubernetes draws them, template hashes, uids.

Everything here is drawn from a hash of what it names instead of from chance, so that the same input
always gives the same plan.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Collection, Sequence
from itertools import count

import msgspec

from harness.model.plan import Listen
from harness.model.workload import Labels, PodSpec, ReplicaSet, RestartPolicy

ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""No vowels and no look-alikes, so that no word comes out (k8s.io/apimachinery/pkg/util/rand)."""

SUFFIX_LENGTH = 5
MAX_BASE_LENGTH = 63 - SUFFIX_LENGTH
"""Upstream cuts what stands before the suffix to this (k8s.io/apiserver/pkg/storage/names/generate.go)."""

_UID_SPACE = uuid.UUID("5f1d8e0c-3c55-5c0f-9b4e-6d8f7a1f7a60")


def digest(*parts: object) -> int:
    """A number of 256 bits out of any plain values; dictionaries count by content, not by order."""
    return int.from_bytes(hashlib.sha256(msgspec.json.encode(parts, order="deterministic")).digest(), "big")


def safe_encode(text: str) -> str:
    """Upstream's ``SafeEncodeString``: every character becomes one of :data:`ALPHABET`."""
    return "".join(ALPHABET[ord(character) % len(ALPHABET)] for character in text)


def revision(labels: Labels, spec: PodSpec, restarted_at: str = "") -> str:
    """The *pod-template-hash*: up to ten signs that change whenever the template does, or is restarted."""
    restarted = (restarted_at,) if restarted_at else ()
    told: dict[str, object] = {
        "containers": spec.containers,
        "termination_grace_period_seconds": spec.termination_grace_period_seconds,
    }
    # What is as ever is left out, so that a template keeps its hash when this program learns of another field.
    if spec.readiness is not None:
        told["readiness"] = spec.readiness
    if spec.restart_policy is not RestartPolicy.ALWAYS:
        told["restart_policy"] = spec.restart_policy
    if spec.memory_limit is not None:
        told["memory_limit"] = spec.memory_limit
    return safe_encode(str(digest(dict(labels), told, *restarted) % 2**32))


def owner(replica_set: ReplicaSet) -> str:
    """How a pod names its owner: ``Deployment/web-app``."""
    return f"{replica_set.kind}/{replica_set.name}"


def new_pod_names(
    replica_set: ReplicaSet, template_hash: str, lab_uid: str, wanted: int, taken: Collection[str]
) -> list[str]:
    """``wanted`` names for new pods, none of which is in ``taken`` (names of the same namespace).

    A Deployment's pods are ``<name>-<template-hash>-<5 signs>``, a ReplicaSet's ``<name>-<5 signs>``, both cut
    to 63 signs before the suffix, as upstream's ``generateName`` does.
    """
    base = f"{replica_set.name}-{template_hash}-" if replica_set.kind == "Deployment" else f"{replica_set.name}-"
    base = base[:MAX_BASE_LENGTH]
    names: list[str] = []
    if not wanted:
        return names
    seen = set(taken)
    for ordinal in count():
        name = base + _suffix(lab_uid, replica_set.namespace, owner(replica_set), template_hash, ordinal)
        if name in seen:
            continue
        seen.add(name)
        names.append(name)
        if len(names) == wanted:
            break
    return names


def _suffix(*seed: str | int) -> str:
    number = digest("suffix", *seed)
    signs = []
    for _ in range(SUFFIX_LENGTH):
        number, sign = divmod(number, len(ALPHABET))
        signs.append(ALPHABET[sign])
    return "".join(signs)


def pod_uid(
    lab_uid: str, key: str, where: tuple[str, str], template_hash: str, listens: Sequence[Listen], born: int
) -> str:
    """The identity that a pod's responder gives.

    It is another one for another lab, template, set of ports or place (``where``: node and address), and for a
    pod made anew later under the same name: ``born`` is the generation before it. So whatever is left over from
    an earlier pod can be told from it.
    """
    text = msgspec.json.encode((lab_uid, key, where, template_hash, tuple(listens), born), order="deterministic")
    return str(uuid.uuid5(_UID_SPACE, text.decode()))
