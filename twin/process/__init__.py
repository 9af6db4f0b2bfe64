"""What a node does when, and the random draws behind it, as Warp functions that both engines call (docs/semantics.md)."""
