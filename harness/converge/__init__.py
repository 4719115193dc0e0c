"""The plan onto the nodes, by Ansible: ``hostvars`` (what each node is told), ``runner`` (the run), ``events``."""
