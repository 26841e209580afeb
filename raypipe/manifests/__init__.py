"""Kubernetes objects to model values: files, folders and fleet files in, a `FleetSnapshot` out."""

from raypipe.manifests.paths import read_paths

__all__ = ["read_paths"]
