"""The fields that Kubernetes knows (1.37), by type: what is not among them is a fault."""

from __future__ import annotations

TOP = frozenset("apiVersion kind metadata spec status".split())
META = frozenset(
    "annotations creationTimestamp deletionGracePeriodSeconds deletionTimestamp finalizers generateName generation"
    " labels managedFields name namespace ownerReferences resourceVersion selfLink uid".split()
)
CONTAINER = frozenset(
    "args command env envFrom image imagePullPolicy lifecycle livenessProbe name ports readinessProbe resizePolicy"
    " resources restartPolicy restartPolicyRules securityContext startupProbe stdin stdinOnce terminationMessagePath"
    " terminationMessagePolicy tty volumeDevices volumeMounts workingDir".split()
)
CONTAINER_PORT = frozenset("containerPort hostIP hostPort name protocol".split())
POD_SPEC = frozenset(
    "activeDeadlineSeconds affinity automountServiceAccountToken containers dnsConfig dnsPolicy enableServiceLinks"
    " ephemeralContainers hostAliases hostIPC hostNetwork hostPID hostUsers hostname hostnameOverride imagePullSecrets"
    " initContainers nodeName nodeSelector os overhead preemptionPolicy priority priorityClassName readinessGates"
    " resourceClaims resources restartPolicy runtimeClassName schedulerName schedulingGates securityContext"
    " serviceAccount serviceAccountName setHostnameAsFQDN shareProcessNamespace subdomain"
    " terminationGracePeriodSeconds tolerations topologySpreadConstraints volumes workloadRef".split()
)
POD_TEMPLATE = frozenset("metadata spec".split())
DEPLOYMENT_SPEC = frozenset(
    "minReadySeconds paused progressDeadlineSeconds replicas revisionHistoryLimit selector strategy template".split()
)
REPLICA_SET_SPEC = frozenset("minReadySeconds replicas selector template".split())
LABEL_SELECTOR = frozenset("matchExpressions matchLabels".split())
REQUIREMENT = frozenset("key operator values".split())
SERVICE_SPEC = frozenset(
    "allocateLoadBalancerNodePorts clusterIP clusterIPs externalIPs externalName externalTrafficPolicy"
    " healthCheckNodePort internalTrafficPolicy ipFamilies ipFamilyPolicy loadBalancerClass loadBalancerIP"
    " loadBalancerSourceRanges ports publishNotReadyAddresses selector sessionAffinity sessionAffinityConfig"
    " trafficDistribution type".split()
)
SERVICE_PORT = frozenset("appProtocol name nodePort port protocol targetPort".split())

KINDS = {
    "Pod": "v1", "Service": "v1", "Namespace": "v1", "List": "v1", "Deployment": "apps/v1", "ReplicaSet": "apps/v1",
}  # fmt: skip
"""The kinds that are acted on, each with its apiVersion."""

OTHER_KINDS = frozenset(
    "ClusterRole ClusterRoleBinding ConfigMap CronJob CustomResourceDefinition DaemonSet EndpointSlice Endpoints"
    " HorizontalPodAutoscaler Ingress IngressClass Job LimitRange NetworkPolicy Node PersistentVolume"
    " PersistentVolumeClaim PodDisruptionBudget PriorityClass ReplicationController ResourceQuota Role RoleBinding"
    " Secret ServiceAccount StatefulSet StorageClass".split()
)
"""The kinds that Kubernetes knows and that are listed as ignored."""
