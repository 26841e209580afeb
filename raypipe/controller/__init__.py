"""The live loop: it observes, plans, acts and observes again; it alone writes to clusters and keeps durable state."""
