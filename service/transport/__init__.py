"""gRPC in front of the serving layer, and /metrics over HTTP.   Knows the wire; knows no tensors and no queues."""
