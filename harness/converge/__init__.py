"""The plan onto the nodes, by Ansible."""
