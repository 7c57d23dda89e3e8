"""The local API, the probes and the metrics: what a person, an app, kubelet and Prometheus ask a running sidecar.

`server.ControlServer` is where to begin; `sidecar.Sidecar` is what it needs from the rest.
"""
