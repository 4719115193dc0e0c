"""What a cause means, how to see it for oneself and what to do: the words of a diagnosis.

Places in braces are filled in by ``diagnose``: ``{node}``, ``{pod}``, ``{home}`` (the pod's node), ``{address}`` (the
pod's ``address:port``), ``{name}`` (the pod's name), ``{unit}`` (its key in the names of units), ``{ports}``
(nodePorts), ``{other}`` (whom or what the cause is about besides).
"""

from __future__ import annotations

from harness.verdicts.cause import ALL_RULES, POD, RESTART, ROUTE, RULES, STATUS, Cause
from harness.verdicts.inside_causes import INSIDE

CAUSES: dict[str, Cause] = {
    "node-down": Cause(
        "{node} is down or cut off",
        "SSH does not reach {node} either, and traffic to it and to its pods is lost: the machine or its link is down, "
        "so the rig is broken and this says nothing about the forwarder.",
        "ping -c 3 {other}",
        "Bring the node back (`harness up`), then verify again.",
    ),
    "ssh-lost": Cause(
        "{node} could not be asked over SSH",
        "Its nodePorts and pods were not seen to fail, so only the way in is broken: cells from {node} are not judged.",
        "harness exec {node} -- true",
        "Mend SSH to {node}, or sudo there, then verify again.",
    ),
    "outside-path": Cause(
        "The outside client reaches no node, while nodes reach each other",
        "All nodes fail alike and only from outside, so the fault lies between the client and the nodes.",
        "ip route; ip neigh (in the client's network namespace)",
        "Mend the client's link or route, or the firewall between.",
    ),
    "connections-full": Cause(
        "{node} has no room for more connections ({other})",
        "The kernel tracks every connection that {node} takes part in or forwards, and its table is full: it drops "
        "what is new, whatever the rules say, while what is established goes on.",
        "harness exec {node} -- sysctl net.netfilter.nf_conntrack_count net.netfilter.nf_conntrack_max; "
        "harness exec {node} -- dmesg (look for `table full, dropping packet`)",
        "Raise the limit on {node} (of a container: on its host), `sysctl -w net.netfilter.nf_conntrack_max=131072`, "
        "or find who opens so many: `harness exec {node} -- conntrack -L`.",
    ),
    "forwarder-down": Cause(
        "nodeportd does not run on {node}",
        "Nothing maintains the forwarding rules of {node}, and what is there does not do what the plan says.",
        "harness exec {node} -- journalctl -u nodeportd.service -n 50",
        RESTART,
    ),
    "forwarder-stale": Cause(
        "{node} runs stale rules ({other})",
        "nodeportd of {node} did not take over the newest state, so it forwards as an earlier plan said.",
        STATUS,
        RESTART,
    ),
    "ruleset-flushed": Cause(
        "The whole ruleset of {node} is gone",
        "{node} itself refuses the connections: the table `{table}` does not exist there although nodeportd runs, "
        "so something flushed the ruleset or deleted the table.",
        ALL_RULES,
        "Find what flushes (a firewall service with `flush ruleset`?). " + RESTART,
    ),
    "relay-down": Cause(
        "The relay of {node} does not run",
        "{node} itself refuses the connections: nodeport-socat.service, which accepts them for the forwarder socat, "
        "does not run although nodeportd does.",
        "harness exec {node} -- journalctl -u nodeport-socat.service -n 50",
        RESTART,
    ),
    "rule-missing": Cause(
        "{node} has no rule for {ports}",
        "{node} itself refuses the connections{other}: its table is there, but leads this nodePort nowhere.",
        RULES,
        RESTART,
    ),
    "pre-dnat-drop": Cause(
        "{node} drops traffic to {ports} before it is forwarded",
        "Its own connections and the pods on it work, so packets from elsewhere are dropped before DNAT: by a firewall "
        "rule in a raw, mangle or prerouting chain of {node}, or in front of it{other}.",
        ALL_RULES,
        "Remove or narrow the rule that drops, or open the nodePort in that firewall.",
    ),
    "input-drop": Cause(
        "{node} drops traffic to {ports} before its relay gets it",
        "Pods asked directly from {node} answer, but even its own connections to the nodePort are lost. Its forwarder "
        "accepts them itself, so a rule in a prerouting or input chain of {node} drops them{other}.",
        ALL_RULES,
        "Remove or narrow the rule that drops, or open the nodePort in that firewall.",
    ),
    "relay-stuck": Cause(
        "The relay of {node} does not serve",
        "The kernel of {node} takes the connections and nobody serves them, though pods asked directly from {node} "
        "answer: nodeport-socat.service hangs, or has as many connections as it takes.",
        "harness exec {node} -- systemctl status nodeport-socat.service",
        "`harness exec {node} -- systemctl restart nodeport-socat.service`; its journal tells whether it was full.",
    ),
    "forward-drop": Cause(
        "{node} drops what it should forward",
        "Traffic that enters at {node}, and traffic from elsewhere to pods on it, is lost, while what {node} itself "
        "opens works: a rule in a forward chain drops it{other}.",
        ALL_RULES,
        "Allow forwarded traffic to and from the pod network in that firewall.",
    ),
    "ip-forward": Cause(
        "{node} does not forward: {forwarding} is 0",
        "The kernel of {node} forwards no packet at all, so only what {node} itself opens works.",
        "harness exec {node} -- sysctl {forwarding}",
        "`harness exec {node} -- sysctl -w {forwarding}=1`, and find what turned it off.",
    ),
    "masquerade-missing": Cause(
        "{node} does not masquerade",
        "Pods on other nodes answer the client directly, past {node}, so the client does not know the answers for its "
        "own: only pods on {node} itself can be reached through it{other}.",
        "harness exec {node} -- nft list table {table} (look for `masquerade`)",
        RESTART
        + " Connections begun meanwhile stay stuck for two minutes more, until conntrack forgets them, and so does "
        "a new one from the same client port: `harness exec {node} -- conntrack -D -p tcp --state SYN_SENT` ends that.",
    ),
    "endpoint-dead": Cause(
        "{pod} on {home} is dead: nothing listens on {address}",
        "Its own node is refused too when it asks the pod directly, so forwarding is right and the process is gone or "
        "listens on another port{other}.",
        POD,
        "Start the pod's process again, or take the pod out of the Service; see its journal for why it ended.",
    ),
    "app-hangs": Cause(
        "{pod} on {home} accepts connections but does not answer",
        "It does so as well when asked directly: the process is stopped, overloaded or stuck, not the forwarding.",
        "harness exec pod/{name} -- ss -ltn (a full Recv-Q: the process does not accept)",
        "Look at the process: " + POD,
    ),
    "bad-answer": Cause(
        "{pod} on {home} answers wrongly",
        "It does so as well when asked directly, so its payload is wrong at the source or on the path to it{other}.",
        POD,
        "See what listens there, and whether it is the pod's own responder.",
    ),
    "endpoint-unreachable": Cause(
        "{pod} on {home} is silent, even for its own node",
        "Not even {home} reaches {address} directly: the pod's network namespace, its interface or its address is "
        "gone, or it drops everything{other}.",
        "harness exec {home} -- ip netns exec pod-{unit} ip addr",
        "Set the pod up again with `harness apply`.",
    ),
    "pod-network-down": Cause(
        "The pod network of {node} is down",
        "Not even {node} reaches its own pods directly.",
        "harness exec {node} -- ip addr show cni0",
        "`harness exec {node} -- systemctl restart nodeport-network.service`",
    ),
    "endpoint-unready": Cause(
        "{pod} on {home} is not ready: {other}",
        "It answers when asked directly, but its readiness check fails on its own node too, so nodes rightly send it "
        "no connections.",
        STATUS,
        "See why the pod says so, and whether its readinessProbe asks the right port and path.",
    ),
    "endpoint-held-back": Cause(
        "{node} does not use {pod} on {home}: {other}",
        "The readiness check that {node} itself makes fails, while {home} holds the pod for ready: the path between "
        "them is at fault, not the pod.",
        STATUS + "; " + ROUTE,
        "Check routes, neighbours and firewalls of {node} and {home}; {node} uses the pod again by itself.",
    ),
    "foreign-responder": Cause(
        "{other} answers on the port of {pod}",
        "Asked directly, {address} on {home} is answered by somebody who is not this pod: a stale pod of an earlier "
        "run, or another program on its port.",
        "harness exec pod/{name} -- ss -ltnp",
        "Stop the other program on {home}, then start the pod again.",
    ),
    "misrouted": Cause(
        "{node} sends {ports} to {other}",
        "Asked directly, the Service's pods are themselves, so it is the rules of {node} that lead elsewhere.",
        RULES,
        RESTART,
    ),
    "endpoint-left-out": Cause(
        "{node} leaves {pod} out",
        "Nothing failed, but {pod} never got a connection through {node}, though asked directly it is not at fault: "
        "the rules of {node} do not list it.",
        RULES,
        RESTART,
    ),
    "endpoint-blackholed": Cause(
        "{node} loses what it sends to {pod}",
        "Connections heal late: the lost SYN never left {node}, so its retransmission drew another pod. Packets to "
        "{address} are dropped on {node} itself: by a blackhole route, a dead neighbour or a forward rule{other}.",
        ROUTE + "; " + ALL_RULES,
        "Remove that route or rule on {node}.",
    ),
    "route-missing": Cause(
        "{node} has no route to the pods on {home}",
        "{node} does not reach pods on {home} directly either, though others do{other}.",
        ROUTE,
        "`harness exec {node} -- systemctl reload nodeport-network.service`, or `harness apply`.",
    ),
    "tunnel-broken": Cause(
        "The VXLAN of {node} does not carry what pods and nodes send each other",
        "Other nodes do not reach the pods on {node}, nor does {node} reach pods on other nodes, while each reaches "
        "its own: what is between them is the link nodeport-vxlan{other}.",
        "harness exec {node} -- ip -details link show nodeport-vxlan; harness exec {node} -- "
        "bridge fdb show dev nodeport-vxlan; " + ALL_RULES,
        "`harness exec {node} -- systemctl reload nodeport-network.service`, or `harness apply`; and let the UDP port "
        "of the VXLAN through, between all nodes.",
    ),
    "path-broken": Cause(
        "Other nodes do not reach the pods on {node}",
        "Asked directly from other nodes, pods on {node} are silent too, while {node} itself reaches them: traffic "
        "into its pod network is dropped there or on the way{other}.",
        ALL_RULES,
        "Allow the other nodes' addresses into the pod network of {node}; check its routes and its link.",
    ),
    "backend-unreachable": Cause(
        "{node} does not reach {pod} on {home}",
        "Asked directly from {node} the pod is not reached either, from elsewhere it is: the path between {node} and "
        "{home} is at fault, not the rules{other}.",
        ROUTE,
        "Check routes, neighbours and firewalls of {node} and {home}.",
    ),
    "stale-rule": Cause(
        "{node} sends traffic for {pod} to a wrong place",
        "Asked directly from {node} the pod answers; through the nodePort of {node} alone it does not: the rule there "
        "holds a wrong address or port for it{other}.",
        RULES,
        RESTART,
    ),
    "endpoint-weight": Cause(
        "{node} gives {pod} {other}",
        "Its rules list an endpoint twice or pick unevenly.",
        RULES,
        RESTART,
    ),
    "unexpected-answer": Cause(
        "{node} answers on {ports}, though the Service has no endpoints",
        "A stale rule or another program on {node} answers: {other}.",
        RULES + "; harness exec {node} -- ss -ltnp",
        "Stop the program that listens there, or apply again with `harness apply`.",
    ),
    "black-hole": Cause(
        "{node} swallows connections to {ports} in place of refusing them",
        "The Service has no endpoints, so clients should learn at once; here they wait until they give up{other}.",
        ALL_RULES,
        "Find the rule that drops; without endpoints a nodePort must be refused.",
    ),
    "affinity-broken": Cause(
        "{node} does not keep a client with its pod",
        "The Service has sessionAffinity ClientIP, so one client belongs to one pod until it was silent for "
        "timeoutSeconds; here its connections went to {other}.",
        RULES + " (look for `affinity`)",
        RESTART,
    ),
    "not-dropped": Cause(
        "{node} does not stay silent on {ports}",
        "The node has no pod of the Service while the traffic policy is Local, or the client is not among the "
        "allowed sources: silence is promised there, to load balancers above all. Who answered: {other}.",
        RULES,
        RESTART,
    ),
    "address-open": Cause(
        "{node} answers on {ports} at {other}, where nothing is promised",
        "The address is not among its nodeport_addresses, or a label leaves the Service to another proxy: its rules "
        "have a place too many, or another program listens there.",
        RULES + "; harness exec {node} -- ss -ltnup",
        "Stop the program that listens there, or apply again with `harness apply`.",
    ),
    "address-dead": Cause(
        "{node} does not answer on {ports} at {other}, though it does at its own address",
        "The address is among its nodeport_addresses: its rules leave it out, the address has moved away since "
        "`harness up` asked for it, or a firewall or a missing route lies on that network.",
        RULES + "; harness exec {node} -- ip address",
        "`harness up` asks machines for their addresses anew; then apply again with `harness apply`.",
    ),
    "source-hidden": Cause(
        "{node} hides clients from their pods",
        "Here pods have to see the client's own address (traffic policy Local, or a pod that asks another one); they "
        "saw {other}: something masquerades on {node}, our rules or those of somebody else.",
        ALL_RULES + " (look for `masquerade` and `snat`)",
        RESTART,
    ),
    "packet-loss": Cause(
        "Packets to {node} get lost",
        "Every pod answered, yet some attempts failed or needed a second SYN: packets are lost at random on the way to "
        "{node} or on it{other}.",
        "harness exec {node} -- ip -s link",
        "Look for errors and drops of its links, for a full conntrack table, and for rules with `limit`.",
    ),
    "node-state": Cause(
        "{node} is not as it should be: {other}",
        "No probe failed for it yet.",
        STATUS,
        "Apply again with `harness apply`.",
    ),
    "unexplained": Cause(
        "{node} fails on {ports} in a way that fits no known cause",
        "The shape of the outage is none of the known ones.",
        ALL_RULES,
        "See the counts in the report, and `harness collect`.",
    ),
    **INSIDE,
}
