"""nodeportd: the NodePort forwarder of one node, on nftables. Python's standard library and Debian's python3-nftables.

``state`` reads what is wanted, ``ruleset`` turns it into nftables text, ``listing`` compares listings (all pure);
``kernel`` is the door to nftables, ``daemon`` serves, ``settle`` is what Ansible asks.
"""
