"""Model providers against a server on the loopback that speaks their wire formats, driven by the real SDKs."""
