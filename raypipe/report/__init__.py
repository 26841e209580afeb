"""A plan told to people and tools: table, explanations, Kubernetes objects. It renders values and decides nothing."""
