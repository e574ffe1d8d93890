"""Every fusion method behind one interface: infrared and visible image in, fused image out."""

from methods.base import Method
from methods.registry import code_digest, create, expand, find, names, records

__all__ = ["Method", "code_digest", "create", "expand", "find", "names", "records"]
