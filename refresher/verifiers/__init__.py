"""The built-in verifiers; each answers whether a candidate may be published."""
