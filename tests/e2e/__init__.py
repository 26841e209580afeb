"""End-to-end tests: raypipe against a real control plane, KubeRay and Karpenter, on simulated nodes (rig.py)."""
