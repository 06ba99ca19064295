"""What is put into other people's servers: modules in their languages, shipped as they are. Runs no server."""

from archiver.servers.compiling import install as compiled
from archiver.servers.shipped import MODULES, Shipped, copy

__all__ = ["MODULES", "Shipped", "compiled", "copy"]
