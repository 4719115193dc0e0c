"""The words of causes inside the cluster and among many clients; their places are those of ``causes``."""

from __future__ import annotations

from harness.verdicts.cause import ALL_RULES, RESTART, RULES, STATUS, Cause

INSIDE: dict[str, Cause] = {
    "hairpin-broken": Cause(
        "{pod} does not reach itself through its Service",
        "Its node leads it to the Service's pods, but what should come back to the pod itself is lost: without "
        "masquerade the pod sees its own address as the client's and answers past the translation, or the bridge does "
        "not send frames back to the port they came from{other}.",
        "harness exec {home} -- nft list table {table} (look for `masquerade`)",
        RESTART,
    ),
    "pods-cut-off": Cause(
        "Pods on {node} get no answer from Services ({other})",
        "From outside and from {node} itself the same Services answer, so it is the way from the pods to the rules of "
        "their node: their route, their interface, or a rule that drops what comes from them.",
        "harness exec pod/{other} -- ip route; " + ALL_RULES,
        "Mend the pod's route or narrow the rule; `harness apply` sets the pod network up again.",
    ),
    "cluster-ip-broken": Cause(
        "{node} does not lead {ports} to the pods as it should",
        "The same Service's nodePort on {node} is not at fault: it is the rules for the Service's own address{other}.",
        RULES,
        RESTART,
    ),
    "large-lost": Cause(
        "{node} loses full packets: {ports}",
        "Small requests get through, full packets do not (lost on the way to pods on: {other}): a link there takes "
        "less than the links at its ends allow, and the ICMP that would say so is dropped. A VXLAN takes 50 bytes of "
        "every packet between nodes.",
        "harness exec {node} -- ping -c 3 -M do -s 1472 ADDRESS-OF-ANOTHER-NODE; harness exec {node} -- ip link",
        "Set the MTU of the nodes' links to what the network between them takes, then `harness apply`; or let ICMP "
        "*fragmentation needed* through.",
    ),
    "health-check-wrong": Cause(
        "{node} misleads load balancers about {ports}",
        "Its health check port does not tell what is so ({other}), so a load balancer sends clients where no pod is, "
        "or none where there is one.",
        STATUS,
        RESTART,
    ),
    "clients-huddled": Cause(
        "{node} sends all clients of {ports} to the same pods",
        "Each client sticks, as it should, but all of them together were dealt too few pods: {other}. Something that "
        "all clients share decides in place of their address: another translation in front, or rules for one pod only.",
        RULES,
        RESTART,
    ),
    "clients-shut-out": Cause(
        "{node} does not answer every outside client on {ports}",
        "It answers the first outside client, and fails others: a rule or a route of {node} tells them apart.",
        "harness exec {node} -- ip route get 198.18.0.1; " + ALL_RULES,
        "Look for the rule or the route that knows some clients only.",
    ),
    "pod-ingress-broken": Cause(
        "{node} does not lead pods from {other} to {ports} as it should",
        "From outside and from nodes the same nodePort works, so it is what {node}, or the way to it, does with "
        "packets whose source is a pod.",
        RULES,
        "Look for rules that treat the pod range differently, on both nodes; " + RESTART[0].lower() + RESTART[1:],
    ),
}
