"""The world, translated: what is read of it becomes values or raw objects, what is decided becomes requests.

Adapters translate and never decide. Each translates its library's exceptions into raypipe's in one place.
"""
