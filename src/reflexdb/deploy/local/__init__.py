"""Instances as processes of this machine: started, handed over, kept running and found again."""

from reflexdb.deploy.local.deployer import LocalDeployer

__all__ = ["LocalDeployer"]
