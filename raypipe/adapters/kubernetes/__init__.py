"""Kubernetes API servers: reached by kubeconfig contexts, listed, watched and written to, in raw JSON.

`look` lists clusters once, side by side (`raypipe plan --context`); an `Observer` keeps one in memory by watching it.
What either sees is handed on as it came, and `raypipe.manifests` reads it as it reads files. A `Writer` alone changes
anything.

Decision: raw JSON through the client's REST layer, not the client's model objects: 5,000 pods decode in a tenth of the
time, a kind of a newer server is not lost on the way, and live objects and files enter by one door.
"""

from raypipe.adapters.kubernetes.looking import look
from raypipe.adapters.kubernetes.observer import Observer
from raypipe.adapters.kubernetes.server import Server
from raypipe.adapters.kubernetes.writing import Writer

__all__ = ["Observer", "Server", "Writer", "look"]
