"""Which nodes to buy and which pods go on each: problem, bound, fill, patterns, rounding, improve, solve."""
