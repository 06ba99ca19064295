"""What is put into other people's servers: modules in their languages, shipped as they are. Runs nothing."""

from archiver.servers.shipped import MODULES, Shipped, copy

__all__ = ["MODULES", "Shipped", "copy"]
