"""What was measured: value types, keys, source digests, the store, bundles, loading, comparison."""
