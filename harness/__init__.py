"""Proves the NodePort contract on real nodes.

Data flows one way: Kubernetes YAML → typed model → plan → converge → probes → verdicts → report.
``docs/architecture.md`` has one paragraph for each room of this package.
"""

__version__ = "0.1.0"
