"""The fields of every type that a Pod, Deployment, ReplicaSet, Service or Namespace can hold: Kubernetes 1.37's own.

One type a line: ``field:type``, without ``:type`` a string; ``!`` marks what must be there. ``[T]`` is a list of T,
``{T}`` a mapping of strings to T, ``intstr`` a whole number or a string, ``quantity`` a number or a string such as
``100Mi``. A test holds this table equal to the official OpenAPI schema, so it is never changed by hand alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

TABLE = """
AWSElasticBlockStoreVolumeSource = fsType partition:int32 readOnly:bool volumeID!
Affinity = nodeAffinity:NodeAffinity podAffinity:PodAffinity podAntiAffinity:PodAntiAffinity
AppArmorProfile = localhostProfile type!
AzureDiskVolumeSource = cachingMode diskName! diskURI! fsType kind readOnly:bool
AzureFileVolumeSource = readOnly:bool secretName! shareName!
CSIVolumeSource = driver! fsType nodePublishSecretRef:LocalObjectReference readOnly:bool volumeAttributes:{string}
Capabilities = add:[string] drop:[string]
CephFSVolumeSource = monitors:[string]! path readOnly:bool secretFile secretRef:LocalObjectReference user
CinderVolumeSource = fsType readOnly:bool secretRef:LocalObjectReference volumeID!
ClientIPConfig = timeoutSeconds:int32
ClusterTrustBundleProjection = labelSelector:LabelSelector name optional:bool path! signerName user:int64
Condition = lastTransitionTime! message! observedGeneration:int64 reason! status! type!
ConfigMapEnvSource = name optional:bool
ConfigMapKeySelector = key! name optional:bool
ConfigMapProjection = items:[KeyToPath] name optional:bool
ConfigMapVolumeSource = defaultMode:int32 defaultUser:int64 items:[KeyToPath] name optional:bool
Container = args:[string] command:[string] env:[EnvVar] envFrom:[EnvFromSource] image imagePullPolicy
    lifecycle:Lifecycle livenessProbe:Probe name! ports:[ContainerPort] readinessProbe:Probe
    resizePolicy:[ContainerResizePolicy] resources:ResourceRequirements restartPolicy
    restartPolicyRules:[ContainerRestartRule] securityContext:SecurityContext startupProbe:Probe stdin:bool
    stdinOnce:bool terminationMessagePath terminationMessagePolicy tty:bool volumeDevices:[VolumeDevice]
    volumeMounts:[VolumeMount] workingDir
ContainerExtendedResourceRequest = containerName! requestName! resourceName!
ContainerPort = containerPort:int32! hostIP hostPort:int32 name protocol
ContainerResizePolicy = resourceName! restartPolicy!
ContainerRestartRule = action! exitCodes:ContainerRestartRuleOnExitCodes
ContainerRestartRuleOnExitCodes = operator! values:[int32]
ContainerState = running:ContainerStateRunning terminated:ContainerStateTerminated waiting:ContainerStateWaiting
ContainerStateRunning = startedAt
ContainerStateTerminated = containerID exitCode:int32! finishedAt message reason signal:int32 startedAt
ContainerStateWaiting = message reason
ContainerStatus = allocatedResources:{quantity} allocatedResourcesStatus:[ResourceStatus] containerID image! imageID!
    lastState:ContainerState name! ready:bool! resources:ResourceRequirements restartCount:int32! started:bool
    state:ContainerState stopSignal user:ContainerUser volumeMounts:[VolumeMountStatus]
ContainerUser = linux:LinuxContainerUser
Deployment = apiVersion kind metadata:ObjectMeta spec:DeploymentSpec! status:DeploymentStatus
DeploymentCondition = lastTransitionTime lastUpdateTime message reason status type
DeploymentSpec = minReadySeconds:int32 paused:bool progressDeadlineSeconds:int32 replicas:int32
    revisionHistoryLimit:int32 selector:LabelSelector! strategy:DeploymentStrategy template:PodTemplateSpec!
DeploymentStatus = availableReplicas:int32 collisionCount:int32 conditions:[DeploymentCondition]
    observedGeneration:int64 readyReplicas:int32 replicas:int32 terminatingReplicas:int32 unavailableReplicas:int32
    updatedReplicas:int32
DeploymentStrategy = rollingUpdate:RollingUpdateDeployment type
DownwardAPIProjection = items:[DownwardAPIVolumeFile]
DownwardAPIVolumeFile = fieldRef:ObjectFieldSelector mode:int32 path! resourceFieldRef:ResourceFieldSelector user:int64
DownwardAPIVolumeSource = defaultMode:int32 defaultUser:int64 items:[DownwardAPIVolumeFile]
EmptyDirVolumeSource = medium mode:int32 sizeLimit:quantity
Endpoint = addresses:[string]! conditions:EndpointConditions deprecatedTopology:{string} hints:EndpointHints hostname
    nodeName targetRef:ObjectReference zone
EndpointConditions = ready:bool serving:bool terminating:bool
EndpointHints = forNodes:[ForNode] forZones:[ForZone]
EndpointPort = appProtocol name port:int32 protocol
EndpointSlice = addressType! apiVersion endpoints:[Endpoint] kind metadata:ObjectMeta ports:[EndpointPort]
EnvFromSource = configMapRef:ConfigMapEnvSource prefix secretRef:SecretEnvSource
EnvVar = name! value valueFrom:EnvVarSource
EnvVarSource = configMapKeyRef:ConfigMapKeySelector fieldRef:ObjectFieldSelector fileKeyRef:FileKeySelector
    resourceFieldRef:ResourceFieldSelector secretKeyRef:SecretKeySelector
EphemeralContainer = args:[string] command:[string] env:[EnvVar] envFrom:[EnvFromSource] image imagePullPolicy
    lifecycle:Lifecycle livenessProbe:Probe name! ports:[ContainerPort] readinessProbe:Probe
    resizePolicy:[ContainerResizePolicy] resources:ResourceRequirements restartPolicy
    restartPolicyRules:[ContainerRestartRule] securityContext:SecurityContext startupProbe:Probe stdin:bool
    stdinOnce:bool targetContainerName terminationMessagePath terminationMessagePolicy tty:bool
    volumeDevices:[VolumeDevice] volumeMounts:[VolumeMount] workingDir
EphemeralVolumeSource = volumeClaimTemplate:PersistentVolumeClaimTemplate
EvictionResponder = name! priority:int32!
ExecAction = command:[string]
FCVolumeSource = fsType lun:int32 readOnly:bool targetWWNs:[string] wwids:[string]
FileKeySelector = key! optional:bool path! volumeName!
FlexVolumeSource = driver! fsType options:{string} readOnly:bool secretRef:LocalObjectReference
FlockerVolumeSource = datasetName datasetUUID
ForNode = name!
ForZone = name!
GCEPersistentDiskVolumeSource = fsType partition:int32 pdName! readOnly:bool
GRPCAction = mode port:int32! service
GitRepoVolumeSource = directory repository! revision
GlusterfsVolumeSource = endpoints! path! readOnly:bool
HTTPGetAction = host httpHeaders:[HTTPHeader] path port:intstr! protocol scheme
HTTPHeader = name! value!
HostAlias = hostnames:[string] ip!
HostIP = ip!
HostPathVolumeSource = path! type
ISCSIVolumeSource = chapAuthDiscovery:bool chapAuthSession:bool fsType initiatorName iqn! iscsiInterface lun:int32!
    portals:[string] readOnly:bool secretRef:LocalObjectReference targetPortal!
ImageVolumeSource = pullPolicy reference
ImageVolumeStatus = imageRef!
KeyToPath = key! mode:int32 path! user:int64
LabelSelector = matchExpressions:[LabelSelectorRequirement] matchLabels:{string}
LabelSelectorRequirement = key! operator! values:[string]
Lifecycle = postStart:LifecycleHandler preStop:LifecycleHandler stopSignal
LifecycleHandler = exec:ExecAction httpGet:HTTPGetAction sleep:SleepAction tcpSocket:TCPSocketAction
LinuxContainerUser = gid:int64! supplementalGroups:[int64] uid:int64!
LoadBalancerIngress = hostname ip ipMode ports:[PortStatus]
LoadBalancerStatus = ingress:[LoadBalancerIngress]
LocalObjectReference = name
ManagedFieldsEntry = apiVersion fieldsType fieldsV1:object manager operation subresource time
NFSVolumeSource = path! readOnly:bool server!
Namespace = apiVersion kind metadata:ObjectMeta spec:NamespaceSpec status:NamespaceStatus
NamespaceCondition = lastTransitionTime message reason status! type!
NamespaceSpec = finalizers:[string]
NamespaceStatus = conditions:[NamespaceCondition] phase
NodeAffinity = preferredDuringSchedulingIgnoredDuringExecution:[PreferredSchedulingTerm]
    requiredDuringSchedulingIgnoredDuringExecution:NodeSelector
NodeAllocatableMappedResources = name! quantity:quantity!
NodeAllocatableOverheadResources = name! perContainer:quantity perPod:quantity
NodeAllocatableResourceClaimStatus = containers:[string] mapping:[NodeAllocatableMappedResources]
    overhead:[NodeAllocatableOverheadResources] resourceClaimName!
NodeSelector = nodeSelectorTerms:[NodeSelectorTerm]!
NodeSelectorRequirement = key! operator! values:[string]
NodeSelectorTerm = matchExpressions:[NodeSelectorRequirement] matchFields:[NodeSelectorRequirement]
ObjectFieldSelector = apiVersion fieldPath!
ObjectMeta = annotations:{string} creationTimestamp deletionGracePeriodSeconds:int64 deletionTimestamp
    finalizers:[string] generateName generation:int64 labels:{string} managedFields:[ManagedFieldsEntry] name namespace
    ownerReferences:[OwnerReference] resourceVersion selfLink uid
ObjectReference = apiVersion fieldPath kind name namespace resourceVersion uid
OwnerReference = apiVersion! blockOwnerDeletion:bool controller:bool kind! name! uid!
PersistentVolumeClaimSpec = accessModes:[string] dataSource:TypedLocalObjectReference
    dataSourceRef:TypedObjectReference resources:VolumeResourceRequirements selector:LabelSelector storageClassName
    volumeAttributesClassName volumeMode volumeName
PersistentVolumeClaimTemplate = metadata:ObjectMeta spec:PersistentVolumeClaimSpec!
PersistentVolumeClaimVolumeSource = claimName! readOnly:bool
PhotonPersistentDiskVolumeSource = fsType pdID!
Pod = apiVersion kind metadata:ObjectMeta spec:PodSpec status:PodStatus
PodAffinity = preferredDuringSchedulingIgnoredDuringExecution:[WeightedPodAffinityTerm]
    requiredDuringSchedulingIgnoredDuringExecution:[PodAffinityTerm]
PodAffinityTerm = labelSelector:LabelSelector matchLabelKeys:[string] mismatchLabelKeys:[string]
    namespaceSelector:LabelSelector namespaces:[string] topologyKey!
PodAntiAffinity = preferredDuringSchedulingIgnoredDuringExecution:[WeightedPodAffinityTerm]
    requiredDuringSchedulingIgnoredDuringExecution:[PodAffinityTerm]
PodCertificateProjection = certificateChainPath credentialBundlePath keyPath keyType! maxExpirationSeconds:int32
    signerName! user:int64 userAnnotations:{string}
PodCondition = lastProbeTime lastTransitionTime message observedGeneration:int64 reason status! type!
PodDNSConfig = nameservers:[string] options:[PodDNSConfigOption] searches:[string]
PodDNSConfigOption = name value
PodExtendedResourceClaimStatus = requestMappings:[ContainerExtendedResourceRequest]! resourceClaimName!
PodIP = ip!
PodOS = name!
PodReadinessGate = conditionType!
PodResourceClaim = name! resourceClaimName resourceClaimTemplateName
PodResourceClaimStatus = name! resourceClaimName
PodSchedulingGate = name!
PodSchedulingGroup = podGroupName
PodSecurityContext = appArmorProfile:AppArmorProfile fsGroup:int64 fsGroupChangePolicy runAsGroup:int64
    runAsNonRoot:bool runAsUser:int64 seLinuxChangePolicy seLinuxOptions:SELinuxOptions seccompProfile:SeccompProfile
    supplementalGroups:[int64] supplementalGroupsPolicy sysctls:[Sysctl] windowsOptions:WindowsSecurityContextOptions
PodSpec = activeDeadlineSeconds:int64 affinity:Affinity automountServiceAccountToken:bool containers:[Container]!
    dnsConfig:PodDNSConfig dnsPolicy enableServiceLinks:bool ephemeralContainers:[EphemeralContainer]
    evictionResponders:[EvictionResponder] hostAliases:[HostAlias] hostIPC:bool hostNetwork:bool hostPID:bool
    hostUsers:bool hostname hostnameOverride imagePullSecrets:[LocalObjectReference] initContainers:[Container]
    nodeName nodeSelector:{string} os:PodOS overhead:{quantity} preemptionPolicy priority:int32 priorityClassName
    readinessGates:[PodReadinessGate] resourceClaims:[PodResourceClaim] resources:ResourceRequirements restartPolicy
    runtimeClassName schedulerName schedulingGates:[PodSchedulingGate] schedulingGroup:PodSchedulingGroup
    securityContext:PodSecurityContext serviceAccount serviceAccountName setHostnameAsFQDN:bool
    shareProcessNamespace:bool subdomain terminationGracePeriodSeconds:int64 tolerations:[Toleration]
    topologySpreadConstraints:[TopologySpreadConstraint] volumes:[Volume]
PodStatus = allocatedResources:{quantity} conditions:[PodCondition] containerStatuses:[ContainerStatus]
    ephemeralContainerStatuses:[ContainerStatus] extendedResourceClaimStatus:PodExtendedResourceClaimStatus hostIP
    hostIPs:[HostIP] initContainerStatuses:[ContainerStatus] message
    nodeAllocatableResourceClaimStatuses:[NodeAllocatableResourceClaimStatus] nominatedNodeName
    observedGeneration:int64 phase podIP podIPs:[PodIP] qosClass reason resize
    resourceClaimStatuses:[PodResourceClaimStatus] resources:ResourceRequirements startTime
    volumeHealth:[PodVolumeHealth]
PodTemplateSpec = metadata:ObjectMeta spec:PodSpec
PodVolumeHealth = healthConditions:[VolumeHealthCondition] lastTransitionTime name!
PortStatus = error port:int32! protocol!
PortworxVolumeSource = fsType readOnly:bool volumeID!
PreferredSchedulingTerm = preference:NodeSelectorTerm! weight:int32!
Probe = exec:ExecAction failureThreshold:int32 grpc:GRPCAction httpGet:HTTPGetAction initialDelaySeconds:int32
    periodSeconds:int32 successThreshold:int32 tcpSocket:TCPSocketAction terminationGracePeriodSeconds:int64
    timeoutSeconds:int32
ProjectedVolumeSource = defaultMode:int32 defaultUser:int64 sources:[VolumeProjection]
QuobyteVolumeSource = group readOnly:bool registry! tenant user volume!
RBDVolumeSource = fsType image! keyring monitors:[string]! pool readOnly:bool secretRef:LocalObjectReference user
ReplicaSet = apiVersion kind metadata:ObjectMeta spec:ReplicaSetSpec! status:ReplicaSetStatus
ReplicaSetCondition = lastTransitionTime message reason status type
ReplicaSetSpec = minReadySeconds:int32 replicas:int32 selector:LabelSelector! template:PodTemplateSpec
ReplicaSetStatus = availableReplicas:int32 conditions:[ReplicaSetCondition] fullyLabeledReplicas:int32
    observedGeneration:int64 readyReplicas:int32 replicas:int32! terminatingReplicas:int32
ResourceClaim = name! request
ResourceFieldSelector = containerName divisor:quantity resource!
ResourceHealth = health message resourceID!
ResourceRequirements = claims:[ResourceClaim] limits:{quantity} requests:{quantity}
ResourceStatus = name! resources:[ResourceHealth]
RollingUpdateDeployment = maxSurge:intstr maxUnavailable:intstr
SELinuxOptions = level role type user
ScaleIOVolumeSource = fsType gateway! protectionDomain readOnly:bool secretRef:LocalObjectReference! sslEnabled:bool
    storageMode storagePool system! volumeName
SeccompProfile = localhostProfile type!
SecretEnvSource = name optional:bool
SecretKeySelector = key! name optional:bool
SecretProjection = items:[KeyToPath] name optional:bool
SecretVolumeSource = defaultMode:int32 defaultUser:int64 items:[KeyToPath] optional:bool secretName
SecurityContext = allowPrivilegeEscalation:bool appArmorProfile:AppArmorProfile capabilities:Capabilities
    privileged:bool procMount readOnlyRootFilesystem:bool runAsGroup:int64 runAsNonRoot:bool runAsUser:int64
    seLinuxOptions:SELinuxOptions seccompProfile:SeccompProfile windowsOptions:WindowsSecurityContextOptions
Service = apiVersion kind metadata:ObjectMeta spec:ServiceSpec status:ServiceStatus
ServiceAccountTokenProjection = audience expirationSeconds:int64 path! user:int64
ServicePort = appProtocol name nodePort:int32 port:int32! protocol targetPort:intstr
ServiceSpec = allocateLoadBalancerNodePorts:bool clusterIP clusterIPs:[string] externalIPs:[string] externalName
    externalTrafficPolicy healthCheckNodePort:int32 internalTrafficPolicy ipFamilies:[string] ipFamilyPolicy
    loadBalancerClass loadBalancerIP loadBalancerSourceRanges:[string] ports:[ServicePort]
    publishNotReadyAddresses:bool selector:{string} sessionAffinity sessionAffinityConfig:SessionAffinityConfig
    trafficDistribution type
ServiceStatus = conditions:[Condition] loadBalancer:LoadBalancerStatus
SessionAffinityConfig = clientIP:ClientIPConfig
SleepAction = seconds:int64!
StorageOSVolumeSource = fsType readOnly:bool secretRef:LocalObjectReference volumeName volumeNamespace
Sysctl = name! value!
TCPSocketAction = host port:intstr!
Toleration = effect key operator tolerationSeconds:int64 value
TopologySpreadConstraint = labelSelector:LabelSelector matchLabelKeys:[string] maxSkew:int32! minDomains:int32
    nodeAffinityPolicy nodeTaintsPolicy topologyKey! whenUnsatisfiable!
TypedLocalObjectReference = apiGroup kind! name!
TypedObjectReference = apiGroup kind! name! namespace
Volume = awsElasticBlockStore:AWSElasticBlockStoreVolumeSource azureDisk:AzureDiskVolumeSource
    azureFile:AzureFileVolumeSource cephfs:CephFSVolumeSource cinder:CinderVolumeSource configMap:ConfigMapVolumeSource
    csi:CSIVolumeSource downwardAPI:DownwardAPIVolumeSource emptyDir:EmptyDirVolumeSource
    ephemeral:EphemeralVolumeSource fc:FCVolumeSource flexVolume:FlexVolumeSource flocker:FlockerVolumeSource
    gcePersistentDisk:GCEPersistentDiskVolumeSource gitRepo:GitRepoVolumeSource glusterfs:GlusterfsVolumeSource
    hostPath:HostPathVolumeSource image:ImageVolumeSource iscsi:ISCSIVolumeSource name! nfs:NFSVolumeSource
    persistentVolumeClaim:PersistentVolumeClaimVolumeSource photonPersistentDisk:PhotonPersistentDiskVolumeSource
    portworxVolume:PortworxVolumeSource projected:ProjectedVolumeSource quobyte:QuobyteVolumeSource rbd:RBDVolumeSource
    scaleIO:ScaleIOVolumeSource secret:SecretVolumeSource storageos:StorageOSVolumeSource
    vsphereVolume:VsphereVirtualDiskVolumeSource
VolumeDevice = devicePath! name!
VolumeHealthCondition = message reason! status!
VolumeMount = bindMountOptions:[string] mountPath! mountPropagation name! readOnly:bool recursiveReadOnly subPath
    subPathExpr
VolumeMountStatus = mountPath! name! readOnly:bool recursiveReadOnly volumeStatus:VolumeStatus
VolumeProjection = clusterTrustBundle:ClusterTrustBundleProjection configMap:ConfigMapProjection
    downwardAPI:DownwardAPIProjection podCertificate:PodCertificateProjection secret:SecretProjection
    serviceAccountToken:ServiceAccountTokenProjection
VolumeResourceRequirements = limits:{quantity} requests:{quantity}
VolumeStatus = image:ImageVolumeStatus
VsphereVirtualDiskVolumeSource = fsType storagePolicyID storagePolicyName volumePath!
WeightedPodAffinityTerm = podAffinityTerm:PodAffinityTerm! weight:int32!
WindowsSecurityContextOptions = gmsaCredentialSpec gmsaCredentialSpecName hostProcess:bool runAsUserName
"""


@dataclass(frozen=True, slots=True)
class FieldType:
    """What a field holds: ``one``, a ``list`` or a ``map`` of ``of``, which is a scalar or a type of the table."""

    of: str
    shape: str = "one"
    required: bool = False


Fields = dict[str, FieldType]

_WORD = re.compile(r"(?P<name>[^:!]+)(?::(?P<open>[\[{]?)(?P<of>\w+)[\]}]?)?(?P<required>!?)")
_SHAPES = {"[": "list", "{": "map"}


def _field(word: str) -> tuple[str, FieldType]:
    found = _WORD.fullmatch(word)
    if found is None:  # pragma: no cover - the table is constant
        raise ValueError(word)
    shape = _SHAPES.get(found["open"] or "", "one")
    return found["name"], FieldType(found["of"] or "string", shape, bool(found["required"]))


def types(table: str) -> dict[str, Fields]:
    """Type name to its fields, of a table such as ``TABLE``."""
    rows = table.strip().replace("\n    ", " ").splitlines()
    return {name: dict(map(_field, words.split())) for name, _, words in (row.partition(" = ") for row in rows)}


TYPES = types(TABLE)
"""Type name to its fields."""
