"""The kinds that Kubernetes knows: those acted on, and those that are listed as ignored, with the reason."""

from __future__ import annotations

KINDS = {
    "Pod": "v1", "Service": "v1", "Namespace": "v1", "List": "v1", "Deployment": "apps/v1", "ReplicaSet": "apps/v1",
    "EndpointSlice": "discovery.k8s.io/v1",
}  # fmt: skip
"""The kinds that are acted on, each with its apiVersion."""

_NO_PODS = ": no pods are made; write a Deployment for that"
_NO_TRAFFIC = ""
_ENDPOINTS = ": write EndpointSlice objects"
_NO_POLICY = ": no traffic is held back"

_IGNORED = {
    _NO_PODS: {
        "apps/v1": "DaemonSet StatefulSet ControllerRevision",
        "batch/v1": "CronJob Job",
        "v1": "PodTemplate ReplicationController",
    },
    _ENDPOINTS: {"v1": "Endpoints"},
    _NO_POLICY: {"networking.k8s.io/v1": "NetworkPolicy"},
    _NO_TRAFFIC: {
        "v1": "ConfigMap Event LimitRange Node PersistentVolume PersistentVolumeClaim ResourceQuota Secret"
        " ServiceAccount",
        "apiextensions.k8s.io/v1": "CustomResourceDefinition",
        "admissionregistration.k8s.io/v1": "MutatingWebhookConfiguration ValidatingWebhookConfiguration",
        "apiregistration.k8s.io/v1": "APIService",
        "autoscaling/v2": "HorizontalPodAutoscaler",
        "gateway.networking.k8s.io/v1": "Gateway HTTPRoute",
        "networking.k8s.io/v1": "Ingress IngressClass",
        "coordination.k8s.io/v1": "Lease",
        "node.k8s.io/v1": "RuntimeClass",
        "policy/v1": "PodDisruptionBudget",
        "rbac.authorization.k8s.io/v1": "ClusterRole ClusterRoleBinding Role RoleBinding",
        "scheduling.k8s.io/v1": "PriorityClass",
        "storage.k8s.io/v1": "CSIDriver StorageClass VolumeAttachment",
    },
}

IGNORED = {
    kind: (version, f"{kind} objects are not acted on{reason}")
    for reason, versions in _IGNORED.items()
    for version, kinds in versions.items()
    for kind in kinds.split()
}
"""The kinds that are known and not acted on: kind to its apiVersion, and why it is ignored."""

_OLD_VERSIONS = {"HorizontalPodAutoscaler": "autoscaling/v1", "Gateway": "gateway.networking.k8s.io/v1beta1",
                 "HTTPRoute": "gateway.networking.k8s.io/v1beta1"}  # fmt: skip


def versions(kind: str) -> tuple[str, ...]:
    """The apiVersions under which a known kind may be written, the one to write first."""
    if kind in KINDS:
        return (KINDS[kind],)
    old = (_OLD_VERSIONS[kind],) if kind in _OLD_VERSIONS else ()
    return (IGNORED[kind][0], *old)
